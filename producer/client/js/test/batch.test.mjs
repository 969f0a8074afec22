// `client.batch` beyond the table: many batches at once, coming back, leaving, and what is wrong.

import assert from "node:assert/strict";
import { test } from "node:test";

import { BatchFailedError } from "@fusionai/sdk";

import { gathered, served } from "./server.mjs";

/** A server of files and batches: each batch is over at once; `ends(number)` may say otherwise of it. */
function hub(ends = () => ({ status: "completed" })) {
  const [files, batches, keys] = [new Map(), new Map(), new Map()];
  const once = (request, make) => {
    const key = request.headers["idempotency-key"];
    const replayed = keys.has(key);
    if (!replayed) keys.set(key, make());
    return { body: keys.get(key), headers: replayed ? { "idempotent-replayed": "true" } : {} };
  };
  const upload = ({ body }) => {
    const made = { id: `file_${files.size}` };
    files.set(made.id, body.split(/\r?\n/).filter((line) => line.startsWith("{")).map((line) => JSON.parse(line)));
    return made;
  };
  const create = ({ body }) => {
    const made = { id: `batch_${batches.size}`, status: "validating", request_counts: { total: 0, completed: 0, failed: 0 } };
    const { input_file_id: file } = JSON.parse(body);
    const total = files.get(file).length;
    const counts = { total, completed: total, failed: 0 };
    batches.set(made.id, { ...made, request_counts: counts, output_file_id: file, ...ends(batches.size) });
    return made;
  };
  const answer = (line) => JSON.stringify({ ...line, response: { status_code: 200, request_id: "job", body: line.body }, error: null });
  const respond = (request) => {
    const [, , kind, id, part] = request.path.split("/");
    if (request.method === "POST") return once(request, () => (kind === "files" ? upload(request) : create(request)));
    if (kind === "batches") return { body: batches.get(id) };
    if (part) return { headers: { "content-type": "application/jsonl" }, body: files.get(id).map(answer).join("\n") };
    return files.has(id) ? { body: { id } } : { status: 404, body: {} };
  };
  return { respond, batches, files };
}

const requests = (count) => Array.from({ length: count }, (_, n) => ({ custom_id: `q-${n}`, body: { model: "m", n } }));
const quick = { pollSeconds: 0.01, tier: "default" };

test("many requests are several batches; each result is there once, and the numbers add up", async () => {
  const { respond, batches } = hub();
  await served(respond, async (client) => {
    const told = [];
    const options = { ...quick, linesPerBatch: 4, concurrency: 2, onProgress: (progress) => told.push(progress) };
    async function* slowly() {
      yield* requests(10);
    }
    const results = await gathered(client.batch(slowly(), options));
    assert.equal(batches.size, 3);
    assert.deepEqual(results.map((result) => result.custom_id).sort(), requests(10).map((one) => one.custom_id).sort());
    assert.ok(results.every((result) => result.error === null && `q-${result.body.n}` === result.custom_id));
    assert.deepEqual(told.at(-1), { completed: 10, failed: 0, total: 10 });
  });
});

test("the first batch is small and those after it grow; with time for it, the cheaper tier is asked for", async () => {
  const { respond, batches, files } = hub();
  const models = { data: [{ id: "m", price: { service_tiers: { flex: {} } } }, { id: "other", price: {} }] };
  const answer = (request) => (request.path.endsWith("/models") ? { body: models } : respond(request));
  await served(answer, async (client) => {
    const { tier, ...usual } = quick;
    assert.equal((await gathered(client.batch(requests(301), usual))).length, 301);
    assert.deepEqual([...batches.values()].map((batch) => batch.request_counts.total), [100, 200, 1]);
    assert.ok([...files.values()].flat().every((line) => line.body.service_tier === "flex"));
    const [hurried] = await gathered(client.batch(requests(1), { ...usual, completionWindow: "3h" }));
    assert.equal(hurried.body.service_tier, undefined);
  });
});

test("results of a batch that is over come while the requests are still being made", async () => {
  const { respond } = hub();
  await served(respond, async (client) => {
    let release;
    const held = new Promise((resolve) => (release = resolve));
    async function* held_back() {
      yield* requests(3);
      await held;
      yield { custom_id: "last", body: {} };
    }
    const found = [];
    for await (const result of client.batch(held_back(), { ...quick, linesPerBatch: 2 })) {
      found.push(result.custom_id);
      if (found.length === 2) release();
    }
    assert.deepEqual(found, ["q-0", "q-1", "q-2", "last"]);
  });
});

test("the same requests under the same key find their batches; another key makes others", async () => {
  const { respond, batches, files } = hub();
  await served(respond, async (client) => {
    for (const options of [{}, {}, { key: "b" }]) {
      assert.equal((await gathered(client.batch(requests(3), { ...quick, linesPerBatch: 2, ...options }))).length, 3);
    }
    assert.deepEqual([batches.size, files.size], [4, 4]);
  });
});

test("a batch that failed is an error, and one that was found failed is made anew", async () => {
  const errors = { data: [{ code: "insufficient_credits", line: null, message: "too little" }] };
  const { respond, batches } = hub((number) => (number ? { status: "completed" } : { status: "failed", errors }));
  await served(respond, async (client) => {
    const failed = await gathered(client.batch(requests(1), quick)).then(assert.fail, (error) => error);
    assert.ok(failed instanceof BatchFailedError);
    assert.deepEqual([failed.batchID, failed.reason], ["batch_0", "insufficient_credits"]);
    const [result] = await gathered(client.batch(requests(1), quick));
    assert.deepEqual([result.batch_id, batches.size], ["batch_1", 2]);
  });
});

test("a file that is gone is uploaded again", async () => {
  const { respond, files } = hub();
  let refused = 0;
  const answer = (request) => {
    const gone = request.path.endsWith("/batches") && request.method === "POST" && !refused;
    if (!gone) return respond(request);
    refused += 1;
    files.delete("file_0");
    return { status: 404, body: { error: { message: "no file" } } };
  };
  await served(answer, async (client) => {
    assert.equal((await gathered(client.batch(requests(2), quick))).length, 2);
  });
});

test("a custom_id that is there twice, and requests that fail, are errors of the caller's", async () => {
  await served(hub().respond, async (client) => {
    await assert.rejects(gathered(client.batch([...requests(1), ...requests(1)], quick)), /q-0.*twice/);
    async function* failing() {
      yield* requests(1);
      throw new Error("no more");
    }
    await assert.rejects(gathered(client.batch(failing(), quick)), /no more/);
  });
});

test("who leaves is asked no more", async () => {
  const { respond } = hub((number) => (number ? { status: "in_progress" } : { status: "completed" }));
  await served(respond, async (client, seen) => {
    for await (const result of client.batch(requests(4), { ...quick, linesPerBatch: 2 })) if (result) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
    const count = seen.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(seen.length, count);
    const signal = AbortSignal.timeout(60);
    await assert.rejects(gathered(client.batch(requests(4), { ...quick, linesPerBatch: 2, signal })), /abort/i);
  });
});
