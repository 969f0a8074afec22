// Embeddings, pictures, models, files and batches by the official SDK.

import assert from "node:assert/strict";
import { File } from "node:buffer";
import { test } from "node:test";

import { chat, live, sandbox, until } from "./client.js";

globalThis.File ??= File; // Node 18 has it only there

test("embeddings as floats and, as the SDK asks by itself, in base64", async () => {
  const wanted = { model: "text-embedding-3-large", input: ["a", "b"], dimensions: 16 };
  const floats = await live.embeddings.create({ ...wanted, encoding_format: "float" });
  const usual = await live.embeddings.create(wanted);
  assert.deepEqual(floats.data.map((row) => row.embedding.length), [16, 16]);
  floats.data.forEach((row, index) =>
    row.embedding.forEach((value, at) => assert.ok(Math.abs(value - usual.data[index].embedding[at]) < 1e-6)),
  );
  assert.ok(floats.usage.total_tokens > 0 && floats.usage.credits_used > 0);
});

test("pictures as links and in base64", async () => {
  const wanted = { model: "image-gen-2", prompt: "a cat", size: "1024x1024" };
  const linked = await live.images.generate(wanted);
  const picture = await fetch(linked.data[0].url);
  assert.equal(picture.headers.get("content-type"), "image/png");
  const coded = await live.images.generate({ ...wanted, n: 2, response_format: "b64_json" });
  assert.equal(coded.data.length, 2);
  assert.deepEqual(Buffer.from(coded.data[0].b64_json, "base64").subarray(1, 4).toString(), "PNG");
});

test("models are listed and shown", async () => {
  const ids = [];
  for await (const model of live.models.list()) ids.push(model.id);
  assert.ok(ids.includes("claude-3-opus") && ids.includes("gpt-4"));
  assert.equal((await live.models.retrieve("gpt-4")).owned_by, "openai");
});

test("a file becomes a batch, and the batch a file", async () => {
  const lines = [0, 1, 2].map((n) =>
    JSON.stringify({ custom_id: `q-${n}`, method: "POST", url: "/v1/chat/completions", body: chat }),
  );
  const file = await live.files.create({ file: new File([lines.join("\n")], "lines.jsonl"), purpose: "batch" });
  const endpoint = "/v1/chat/completions";
  const made = await live.batches.create({ input_file_id: file.id, endpoint, completion_window: "24h" });
  const over = (batch) => ["completed", "failed", "expired", "cancelled"].includes(batch.status);
  const batch = await until(() => live.batches.retrieve(made.id), over, 40);
  assert.equal(batch.status, "completed");
  assert.deepEqual(batch.request_counts, { total: 3, completed: 3, failed: 0 });
  const content = await (await live.files.content(batch.output_file_id)).text();
  const answers = content.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(answers.map((answer) => answer.custom_id).sort(), ["q-0", "q-1", "q-2"]);
  assert.ok(answers.every((answer) => answer.response.body.choices[0].message.content));
  const listed = [];
  for await (const one of live.batches.list({ limit: 1 })) listed.push(one.id);
  assert.ok(listed.includes(made.id));
  assert.equal((await live.files.delete(file.id)).deleted, true);
});

test("a test key has things of its own", async () => {
  const file = await sandbox.files.create({ file: new File(["{}"], "empty.jsonl"), purpose: "batch" });
  assert.equal((await sandbox.files.retrieve(file.id)).filename, "empty.jsonl");
});
