// The classes of errors of the official SDK, and what it sends again by itself.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import OpenAI from "openai";

import { chat, live, poor, scripted } from "./client.js";

const saying = (content) => ({ ...chat, messages: [{ role: "user", content }] });

/** The error that a promise ends with, of its class and status, in the documented shape. */
async function refused(promise, kind, status) {
  const error = await promise.then(() => assert.fail("it was not refused"), (reason) => reason);
  assert.ok(error instanceof kind, `${error}`);
  assert.equal(error.status, status);
  assert.equal(error.error.code, status);
  assert.match(error.requestID, /^req_/);
  return error;
}

test("each status has its class", async () => {
  const ask = (changes, client = live) => client.chat.completions.create({ ...chat, ...changes });
  const wrong = await refused(ask({ temperature: 3 }), OpenAI.BadRequestError, 400);
  assert.equal(wrong.param, "temperature");
  const unknown = live.withOptions({ apiKey: "fusionai_live_wrong" });
  await refused(ask({}, unknown), OpenAI.AuthenticationError, 401);
  assert.equal((await refused(ask({}, poor), OpenAI.APIError, 402)).type, "insufficient_credits");
  await refused(live.models.retrieve("gpt-99"), OpenAI.NotFoundError, 404);
  await refused(live.batches.retrieve("batch_none"), OpenAI.NotFoundError, 404);
});

test("an idempotency key is for one body", async () => {
  const headers = { "Idempotency-Key": randomUUID() };
  const one = await live.chat.completions.create(chat, { headers });
  const { data, response } = await live.chat.completions.create(chat, { headers }).withResponse();
  assert.equal(response.headers.get("idempotent-replayed"), "true");
  assert.equal(data.id, one.id);
  await refused(live.chat.completions.create(saying("other"), { headers }), OpenAI.UnprocessableEntityError, 422);
});

test("a failure after acceptance is not bought again", async () => {
  await scripted([{ contains: "break down", fault: { status: 500 } }], async () => {
    const failed = live.chat.completions.create(saying("break down"));
    const error = await refused(failed, OpenAI.InternalServerError, 502);
    assert.equal(error.headers.get("x-should-retry"), "false");
    const jobs = await live.get("/jobs", { query: { status: "failed" } });
    assert.deepEqual(jobs.data.map((job) => job.id), [error.headers.get("fusionai-job-id")]);
  });
});

test("a client that gives up, and asks again under its key, finds its job", async () => {
  const headers = { "Idempotency-Key": randomUUID() };
  await scripted([{ contains: "take a while", fault: { latency_seconds: 1.5 } }], async () => {
    const impatient = { headers, timeout: 500, maxRetries: 0 };
    const gone = live.chat.completions.create(saying("take a while"), impatient);
    await assert.rejects(gone, OpenAI.APIConnectionTimeoutError);
    const { data, response } = await live.chat.completions.create(saying("take a while"), { headers }).withResponse();
    assert.ok(data.choices[0].message.content);
    assert.equal(response.headers.get("idempotent-replayed"), "true");
  });
});
