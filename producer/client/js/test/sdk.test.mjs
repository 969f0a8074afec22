// What the table of behaviours (tests/sdk) does not say, without a stack: what is JavaScript's own.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { test } from "node:test";
import { inspect } from "node:util";

import OpenAI from "openai";

import * as sdk from "@fusionai/sdk";
import { FusionAI, FusionAIError, SeenEvents } from "@fusionai/sdk";

import { gathered, served } from "./server.mjs";

const failing = (status, error = {}, headers = {}) => ({ status, headers, body: { error: { message: "no", ...error } } });
const caught = (promise) => Promise.resolve(promise).then(() => assert.fail("no error"), (error) => error);
const streaming = (text) => ({ headers: { "content-type": "text/event-stream" }, body: text });
const chat = { model: "m", messages: [{ role: "user", content: "hi" }] };

test("an error is of our class, of the official one, and of ours in common", async () => {
  await served(() => failing(429, { type: "rate_limit_exceeded" }, { "retry-after": "3600" }), async (client, seen) => {
    const error = await caught(client.credits.retrieve());
    assert.ok(error instanceof sdk.RateLimitError && error instanceof OpenAI.RateLimitError);
    assert.ok(error instanceof FusionAIError && error instanceof OpenAI.APIError);
    assert.ok(!(error instanceof sdk.UnavailableError));
    assert.equal(error.name, "RateLimitError");
    assert.equal(error.retryAfter, 3600); // nobody waits for an hour within a call
    assert.equal(seen.length, 1);
  });
  assert.ok(!(new Error("no") instanceof FusionAIError));
  assert.ok(!(null instanceof FusionAIError));
});

test("a 402 has its fields, a stream's error those of its event", async () => {
  await served(() => failing(402, { required_credits: 10 }), async (client) => {
    assert.equal((await caught(client.jobs.create({}))).details.required_credits, 10);
  });
});

test("nothing of OpenAI's environment is sent, and what is missing is said", async () => {
  const before = { ...process.env };
  for (const name of ["API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID"]) process.env[`OPENAI_${name}`] = "a-secret";
  process.env.OPENAI_CUSTOM_HEADERS = "X-Proxy: a-secret";
  for (const name of ["API_KEY", "BASE_URL"]) delete process.env[`FUSIONAI_${name}`];
  try {
    assert.throws(() => new FusionAI({ baseURL: "http://x/v1" }), /FUSIONAI_API_KEY/);
    assert.equal(new FusionAI({ apiKey: "k" }).baseURL, "http://127.0.0.1:8000/v1");
    await served(() => ({}), async (client, seen) => {
      await client.credits.retrieve();
      await client.withOptions({ maxRetries: 0 }).credits.retrieve();
      assert.equal(seen[1].headers["x-own"], "1");
      assert.ok(!JSON.stringify(seen).includes("secret"));
    }, { defaultHeaders: { "X-Own": "1" } });
  } finally {
    process.env = before;
  }
});

test("options are kept, and changed, by withOptions", () => {
  const client = new FusionAI({ baseURL: "http://x/v1/", apiKey: "k", streamTimeout: 5000 });
  assert.deepEqual([client.timeout, client.maxRetries, client.baseURL], [30_000, 3, "http://x/v1"]);
  const other = client.withOptions({ timeout: 1000, maxRetries: 0 });
  assert.ok(other instanceof FusionAI);
  assert.deepEqual([other.timeout, other.maxRetries, other.streamTimeout, other.apiKey], [1000, 0, 5000, "k"]);
  assert.equal(new FusionAI({ baseURL: "http://x", apiKey: "k", timeout: 300_000 }).streamTimeout, 300_000);
});

test("a stream of the Responses API ends with its own last event, or is cut", async () => {
  const delta = 'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n';
  const last = 'event: response.completed\ndata: {"type":"response.completed","response":{}}\n\n';
  const wanted = { model: "m", input: "hi", stream: true };
  await served(() => streaming(delta + last), async (client) => {
    const events = await gathered(await client.responses.create(wanted));
    assert.deepEqual(events.map((event) => event.type), ["response.output_text.delta", "response.completed"]);
  });
  await served(() => streaming(delta), async (client) => {
    assert.ok((await caught(gathered(await client.responses.create(wanted)))) instanceof sdk.StreamCutError);
  });
  const broken = 'event: error\ndata: {"type":"error","code":"unavailable","message":"it stops"}\n\n';
  await served(() => streaming(delta + broken), async (client) => {
    const error = await caught(gathered(await client.responses.create(wanted)));
    assert.ok(error instanceof sdk.StreamError && !(error instanceof sdk.StreamCutError));
    assert.match(error.message, /it stops/);
  });
});

test("a reader who leaves a stream leaves it alone, and the error of a cut says from where to read on", async () => {
  const event = (id) => `id: e-${id}\ndata: {"choices":[{"index":0,"delta":{"content":"${id}"}}]}\n\n`;
  await served(() => streaming(event(1) + event(2)), async (client, seen) => {
    const stream = await client.chat.completions.create({ ...chat, stream: true });
    for await (const chunk of stream) {
      assert.equal(chunk.choices[0].delta.content, "1");
      break;
    }
    const error = await caught(gathered(await client.chat.completions.create({ ...chat, stream: true })));
    assert.equal(error.lastEventID, "e-2");
    assert.equal(seen[0].headers["fusionai-stream-ids"], "true");
    const job = client.jobs.stream("job_1", {}, { maxRetries: 0 });
    for await (const _ of job) break;
    assert.equal(job.lastEventID, "e-1"); // as far as it was read, whatever has come
  });
});

test("a caller's signal ends a wait, and a following of events", async () => {
  const running = { id: "job_1", status: "running", finished_at: null };
  await served(() => ({ body: running }), async (client) => {
    const leaving = new AbortController();
    const waiting = caught(client.jobs.wait("job_1", {}, { signal: leaving.signal }));
    setTimeout(() => leaving.abort(), 50);
    assert.match((await waiting).name + (await waiting).message, /abort/i);
  });
});

test("a stream that the caller's signal ends is no short answer; who aborts the stream itself has its end", async () => {
  const event = 'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n';
  const open = createServer((_, outgoing) => {
    outgoing.writeHead(200, { "content-type": "text/event-stream" });
    outgoing.write(event);
  });
  await new Promise((resolve) => open.listen(0, "127.0.0.1", resolve));
  const client = new FusionAI({ baseURL: `http://127.0.0.1:${open.address().port}/v1`, apiKey: "k" });
  try {
    const signal = AbortSignal.timeout(200);
    const stream = await client.chat.completions.create({ ...chat, stream: true }, { signal });
    const found = [];
    const error = await caught((async () => {
      for await (const chunk of stream) found.push(chunk);
    })());
    assert.ok(error instanceof sdk.APIUserAbortError && found.length === 1);
    const other = await client.chat.completions.create({ ...chat, stream: true });
    for await (const chunk of other) if (chunk) other.controller.abort();
  } finally {
    open.closeAllConnections();
    open.close();
  }
});

test("a wait that is longer than a timer takes is no wait of nothing", async () => {
  const month = 30 * 86_400_000;
  await served(() => ({ body: { available: 1 } }), async (client) => {
    assert.equal((await client.credits.retrieve()).available, 1);
    assert.equal((await client.credits.retrieve({ timeout: month })).available, 1);
  }, { timeout: month });
});

test("what a batch cannot be made with is said before anything is asked", () => {
  const client = new FusionAI({ baseURL: "http://x", apiKey: "k" });
  for (const options of [{ linesPerBatch: 0 }, { linesPerBatch: 50_001 }, { concurrency: 0 }, { concurrency: NaN }, { tier: "x" }]) {
    assert.throws(() => client.batch([], options), RangeError);
  }
});

test("a logged client and its errors have no key", async () => {
  const key = "fusionai_live_a_secret";
  await served(() => failing(400), async (client) => {
    assert.ok(!inspect(client, { depth: 4 }).includes("a_secret"));
    assert.ok(!inspect(await caught(client.credits.retrieve()), { depth: 6 }).includes("a_secret"));
  }, { apiKey: key, maxRetries: 0 });
});

test("events are followed: a page without rows is no end", async () => {
  const pages = [["evt_1"], [], ["evt_2"]];
  const page = (ids) => ({ object: "list", data: ids.map((id) => ({ id })), last_id: ids.at(-1) ?? null, has_more: false });
  await served((_, seen) => ({ body: page(pages[seen.length - 1]) }), async (client, seen) => {
    const found = [];
    for await (const event of client.events.since("evt_0", { followSeconds: 0.01 })) {
      found.push(event.id);
      if (found.length === 2) break;
    }
    assert.deepEqual(found, ["evt_1", "evt_2"]);
    assert.deepEqual(seen.map((request) => request.query.get("after")), ["evt_0", "evt_1", "evt_1"]);
  });
});

test("events are seen once, unless they are forgotten, and the oldest are forgotten", () => {
  const known = new SeenEvents(2);
  assert.deepEqual(["a", "a", "b", "c", "a"].map(known.seen), [false, true, false, false, false]);
  known.forget("a");
  assert.equal(known.seen("a"), false);
});

test("a replayed delivery says so; unwrap is the official SDK's way to verify", async () => {
  const [secret, body] = [`whsec_${Buffer.alloc(32).toString("base64")}`, '{"id":"evt_1","object":"event","type":"x"}'];
  const at = Math.floor(Date.now() / 1000);
  const sign = createHmac("sha256", secret).update(`${at}.${body}`).digest("hex");
  const headers = { "FusionAI-Signature": `t=${at},v1=${sign}` };
  const client = new FusionAI({ baseURL: "http://x", apiKey: "k", webhookSecret: secret });
  const { seen } = new SeenEvents();
  assert.equal(client.webhooks.verify(Buffer.from(body), headers, secret, { seen }).type, "x");
  assert.throws(() => client.webhooks.verify(body, headers, [secret], { seen }), { reason: "replayed" });
  assert.equal((await client.webhooks.unwrap(body, new Headers(headers))).id, "evt_1");
  await assert.rejects(client.webhooks.unwrap(`${body} `, headers), sdk.WebhookVerificationError);
  assert.throws(() => client.webhooks.verify(body, headers, "whsec_"), TypeError);
  assert.throws(() => client.webhooks.verify(body, headers, []), TypeError);
});
