// The package against a running stack, with the keys of an account: `make test-sdk-js`.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { test } from "node:test";

import * as sdk from "@fusionai/sdk";
import { FusionAI } from "@fusionai/sdk";

import { gathered } from "./server.mjs";

const { FUSIONAI_TEST_SIMULATOR, FUSIONAI_TEST_POOR_KEY, FUSIONAI_TEST_SANDBOX_KEY } = process.env;
const client = new FusionAI();
const sandbox = client.withOptions({ apiKey: FUSIONAI_TEST_SANDBOX_KEY });

const saying = (content) => ({ model: "gpt-4", messages: [{ role: "user", content }], max_tokens: 50 });
const embedding = (input, more) => ({ type: "embedding", model: "text-embedding-3-large", input, dimensions: 4, ...more });
const caught = (promise) => Promise.resolve(promise).then(() => assert.fail("no error"), (error) => error);
const text = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join("");

/** Run `work` while the providers do as a fault says with requests that have this text. */
async function faulty(contains, fault, work) {
  const address = `${FUSIONAI_TEST_SIMULATOR}/_simulator/script`;
  const script = JSON.stringify({ rules: [{ contains, fault }], record: true });
  assert.ok((await fetch(address, { method: "POST", body: script })).ok);
  try {
    return await work();
  } finally {
    await fetch(address, { method: "DELETE" });
  }
}

test("jobs are submitted, waited for, listed, counted and shown", async () => {
  const order = randomUUID();
  const metadata = { order };
  const jobs = await client.jobs.createMany([1, 2, 3].map((n) => embedding(`n ${n}`, { metadata })));
  const ended = await Promise.all(jobs.map((job) => client.jobs.wait(job.id, { timeoutSeconds: 60 })));
  assert.deepEqual(ended.map((job) => job.status), ["succeeded", "succeeded", "succeeded"]);
  assert.equal(ended[0].result.data[0].embedding.length, 4);
  const listed = await gathered(client.jobs.list({ metadata, limit: 1, status: ["succeeded", "failed"] }));
  assert.deepEqual(listed.map((job) => job.id), jobs.map((job) => job.id).reverse());
  assert.equal((await client.jobs.count({ metadata })).count, 3);
  assert.equal((await client.jobs.summary()).object, "jobs.summary");
  assert.equal((await client.jobs.input(jobs[0].id)).body.input, "n 1");
  const quote = await client.jobs.quote(embedding("n"));
  assert.ok(quote.credits_worst_case > 0);
  assert.equal((await client.jobs.list({ ids: [jobs[1].id], include_results: false })).data[0].result, null);
});

test("the same Idempotency-Key gets the same job", async () => {
  const idempotencyKey = randomUUID();
  const [one, other] = [await client.jobs.create(embedding("k"), { idempotencyKey }), await client.jobs.create(embedding("k"), { idempotencyKey })];
  assert.equal(one.id, other.id);
  assert.notEqual((await client.jobs.create(embedding("k"))).id, one.id);
  const error = await caught(client.jobs.create(embedding("other"), { idempotencyKey }));
  assert.ok(error instanceof sdk.IdempotencyMismatchError);
});

test("a job that takes long: the call says which it is, waiting ends, and it is cancelled", async () => {
  await faulty("takes very long", { latency_seconds: 20 }, async () => {
    const late = await caught(client.chat.completions.create(saying("takes very long"), { timeout: 2000 }));
    assert.ok(late instanceof sdk.GatewayTimeoutError, `${late}`);
    const waited = await caught(client.jobs.wait(late.jobID, { timeoutSeconds: 0.3 }));
    assert.ok(waited instanceof sdk.WaitTimeoutError && waited.jobID === late.jobID);
    await client.jobs.cancel(late.jobID);
    assert.equal((await client.jobs.wait(late.jobID, { timeoutSeconds: 30 })).status, "cancelled");
    assert.equal((await client.jobs.cancelMany({ status: ["queued"], dry_run: true })).cancelled, 0);
  });
});

test("a stream is read again, and on from where its reader was", async () => {
  const { data: stream, response } = await client.chat.completions.create({ ...saying("tell me something long"), stream: true }).withResponse();
  const whole = await gathered(stream);
  const id = response.headers.get("fusionai-job-id");
  const again = client.jobs.stream(id);
  const seen = [];
  for await (const chunk of again) if (seen.push(chunk) === 2) break;
  const rest = await gathered(client.jobs.stream(id, { lastEventID: again.lastEventID, includeUsage: false }));
  assert.ok(text(whole).length > 10);
  assert.equal(text(seen) + text(rest), text(whole));
  assert.equal(text(await gathered(client.jobs.stream(id))), text(whole));
});

test("a stream whose provider breaks off, before its head or after it, is an error that names its job", async () => {
  await faulty("break in the middle", { kind: "error_mid_stream" }, async () => {
    const streaming = client.chat.completions.create({ ...saying("break in the middle"), stream: true });
    const error = await caught(streaming.then(gathered));
    assert.ok([sdk.StreamError, sdk.UpstreamError].includes(error.constructor), `${error}`);
    assert.deepEqual([error.status, error.reason, error.jobID.slice(0, 4)], [502, "stream_broken", "job_"]);
    assert.equal((await client.jobs.wait(error.jobID, { timeoutSeconds: 30 })).status, "failed");
  });
});

test("what is OpenAI's: a whole response, its stream, embeddings, a picture", async () => {
  assert.equal((await client.responses.create({ model: "gpt-4", input: "hi" })).status, "completed");
  const events = await gathered(await client.responses.create({ model: "gpt-4", input: "hi", stream: true }));
  assert.equal(events.at(-1).type, "response.completed");
  const vectors = await client.embeddings.create({ model: "text-embedding-3-large", input: ["a", "b"], dimensions: 16 });
  assert.deepEqual(vectors.data.map((row) => row.embedding.length), [16, 16]);
  assert.equal((await client.images.generate({ model: "image-gen-2", prompt: "a lighthouse" })).data.length, 1);
});

test("a batch gives a result for each request, and is found again", async () => {
  const requests = [
    ...[1, 2, 3, 4, 5].map((n) => ({ custom_id: `q-${n}`, body: saying(`${n} times 7?`) })),
    { custom_id: "vector", url: "/v1/embeddings", body: { model: "text-embedding-3-large", input: "a" } },
    { custom_id: "bad", body: saying("the provider refuses this") },
  ];
  const told = [];
  const options = { key: randomUUID(), linesPerBatch: 4, onProgress: (progress) => told.push(progress) };
  await faulty("the provider refuses this", { status: 400 }, async () => {
    const results = new Map((await gathered(client.batch(requests, options))).map((result) => [result.custom_id, result]));
    assert.deepEqual([...results.keys()].sort(), requests.map((request) => request.custom_id).sort());
    assert.match(results.get("q-3").body.choices[0].message.content, /3 times 7/);
    assert.ok(results.get("vector").body.data[0].embedding.length > 0);
    assert.deepEqual([results.get("bad").status_code, typeof results.get("bad").error.message], [400, "string"]);
    assert.deepEqual(told.at(-1), { completed: 6, failed: 1, total: 7 });
    const flex = await client.jobs.retrieve(results.get("q-1").job_id);
    assert.equal(flex.charge.service_tier, "flex");
    const again = await gathered(client.batch(requests, options));
    assert.deepEqual(new Set(again.map((result) => result.batch_id)), new Set([...results.values()].map((result) => result.batch_id)));
  });
});

test("a batch that cannot be says why", async () => {
  const error = await caught(gathered(client.batch([{ body: { ...saying("hi"), model: "no-such" } }])));
  assert.ok(error instanceof sdk.BatchFailedError, `${error}`);
  assert.ok(error.message.includes("no-such") && error.reason);
});

test("a webhook's deliveries are genuine, and the events that it missed are there", async () => {
  const deliveries = [];
  let came;
  const first = new Promise((resolve) => (came = resolve));
  const receiver = createServer(async (request, response) => {
    deliveries.push([Buffer.concat(await request.toArray()), request.headers]);
    response.writeHead(204).end();
    came();
  });
  await new Promise((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  try {
    const url = `http://127.0.0.1:${receiver.address().port}/hook`;
    const { id, secret } = await client.webhooks.create({ url, events: ["job.completed"] });
    const job = await client.jobs.create(embedding("webhook"));
    await first;
    const [body, headers] = deliveries[0];
    const event = client.webhooks.verify(body, headers, ["whsec_AAAA", secret]);
    assert.deepEqual([event.type, event.data.job.id], ["job.completed", job.id]);
    assert.equal((await client.webhooks.unwrap(body.toString(), headers, secret)).id, event.id);
    const { secret: next } = await client.webhooks.rotate(id, { overlap_seconds: 60 });
    assert.throws(() => client.webhooks.verify(body, headers, next), { reason: "signature" });
    assert.equal((await client.webhooks.update(id, { status: "disabled" })).status, "disabled");
    await client.jobs.wait((await client.jobs.create(embedding("missed"))).id, { timeoutSeconds: 60 });
    const missed = await gathered(client.events.since(event.id, { limit: 1, type: ["job.completed", "job.failed"] }));
    assert.ok(missed.length > 0 && missed.every((one) => one.type.startsWith("job.") && one.sequence > event.sequence));
    assert.ok((await gathered(client.webhooks.list())).some((one) => one.id === id));
    assert.equal((await client.webhooks.deliveries(id)).data.at(-1).event_id, event.id);
    assert.equal((await client.webhooks.delete(id)).deleted, true);
  } finally {
    receiver.closeAllConnections();
    receiver.close();
  }
});

test("credits, usage and invoices", async () => {
  const { available, held, remaining } = await client.credits.retrieve();
  assert.ok(Math.abs(available + held - remaining) < 1e-5 && available > 0);
  const kinds = new Set((await gathered(client.credits.transfers({ limit: 100 }))).map((transfer) => transfer.kind));
  assert.ok(kinds.has("grant") && kinds.has("charge"));
  const { thresholds } = await client.credits.setThresholds([{ kind: "remaining", credits: 100 }]);
  assert.deepEqual(thresholds, [{ kind: "remaining", credits: 100 }]);
  assert.ok((await client.credits.history()).data.length > 0);
  const report = await client.usage.retrieve({ limit: 1 });
  const rows = await gathered(client.usage.rows({ limit: 100 }));
  assert.ok(report.data.length === 1 && rows.length > 1 && report.credits_used > 0);
  assert.ok((await gathered(client.usage.groups({ group_by: "model,day" }))).some((group) => group.model === "gpt-4"));
  assert.equal((await client.usage.series({ interval: "minute" })).interval, "minute");
  const bought = await client.invoices.create({ credits: 50, description: "Top-up" });
  assert.equal((await client.invoices.retrieve(bought.id)).status, "open");
  const pdf = Buffer.from(await (await client.invoices.document(bought.id)).arrayBuffer());
  assert.equal(pdf.subarray(0, 5).toString(), "%PDF-");
  assert.equal((await client.invoices.void(bought.id)).status, "void");
  assert.ok((await gathered(client.invoices.list({ kind: "purchase" }))).some((one) => one.id === bought.id));
});

test("refusals have their classes and fields", async () => {
  const poor = client.withOptions({ apiKey: FUSIONAI_TEST_POOR_KEY });
  const short = await caught(poor.jobs.create({ type: "image", model: "image-gen-2", prompt: "a lighthouse" }));
  assert.ok(short instanceof sdk.InsufficientCreditsError && short.details.required_credits > 0, `${short}`);
  const wrong = await caught(client.chat.completions.create({ ...saying("a"), temperature: 3 }));
  assert.deepEqual([wrong.constructor, wrong.param], [sdk.BadRequestError, "temperature"]);
  assert.match(wrong.requestID, /^req_/);
  assert.ok((await caught(client.jobs.retrieve("job_none"))) instanceof sdk.NotFoundError);
  assert.ok((await caught(sandbox.credits.retrieve())) instanceof sdk.PermissionDeniedError);
  const stranger = client.withOptions({ apiKey: "fusionai_live_wrong" });
  assert.ok((await caught(stranger.models.list())) instanceof sdk.AuthenticationError);
  assert.equal((await sandbox.chat.completions.create(saying("hi"))).usage.test, true);
});
