// Streams by the official SDK: chunks, tool calls in pieces, the usage at the end, an early goodbye.

import assert from "node:assert/strict";
import { test } from "node:test";

import { chat, live, sandbox, scripted } from "./client.js";

const streamed = { ...chat, stream: true };

test("the chunks add up, and the usage comes last", async () => {
  for (const client of [live, sandbox]) {
    const whole = await client.chat.completions.create(chat);
    const chunks = [];
    const options = { ...streamed, stream_options: { include_usage: true } };
    for await (const chunk of await client.chat.completions.create(options)) chunks.push(chunk);
    assert.ok(chunks.every((chunk) => chunk.object === "chat.completion.chunk" && chunk.id === chunks[0].id));
    const said = chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join("");
    assert.ok(said.length > 0 && chunks.length > 3);
    assert.equal(whole.choices[0].message.content.split(" ").length, said.split(" ").length);
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.ok(chunks.at(-1).usage.total_tokens > 0);
  }
});

test("the SDK's helper gathers a tool call", async () => {
  const tool = { type: "function", function: { name: "get_time", parameters: { type: "object", properties: {} } } };
  const stream = live.chat.completions.stream({ ...chat, tools: [tool], tool_choice: "required" });
  const final = await stream.finalChatCompletion();
  assert.equal(final.choices[0].message.tool_calls[0].function.name, "get_time");
  assert.equal(final.choices[0].finish_reason, "tool_calls");
});

test("a reader who leaves early loses nothing", async () => {
  const { data: stream, response } = await live.chat.completions.create(streamed).withResponse();
  for await (const chunk of stream) if (chunk.choices[0]?.delta?.content) break;
  const job = await live.get(`/jobs/${response.headers.get("fusionai-job-id")}`, { query: { wait: 20 } });
  assert.equal(job.status, "succeeded");
});

test("a provider that is silent for longer than the SDK waits ends nothing", async () => {
  const fault = { latency_seconds: 2.5, kind: "slow_body", seconds: 2 };
  await scripted([{ contains: "thinks first", fault }], async () => {
    const messages = [{ role: "user", content: "thinks first" }];
    for (const headers of [{}, { "FusionAI-Stream-Ids": "true" }]) {
      // The timeout is told only when it is given for the call; it ends with the head of an answer.
      const chunks = [];
      const stream = await live.chat.completions.create({ ...streamed, messages }, { timeout: 1500, headers });
      for await (const chunk of stream) chunks.push(chunk);
      assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
      assert.ok(chunks.every((chunk) => chunk.object === "chat.completion.chunk"));
    }
  });
});

test("a call hears of its job before the SDK gives up", async () => {
  await scripted([{ contains: "takes long", fault: { latency_seconds: 4 } }], async () => {
    const messages = [{ role: "user", content: "takes long" }];
    const call = live.chat.completions.create({ ...chat, messages }, { timeout: 3000 });
    const late = await call.then(assert.fail, (error) => error);
    assert.equal(late.status, 504);
    const job = await live.get(`/jobs/${late.headers.get("fusionai-job-id")}`, { query: { wait: 20 } });
    assert.equal(job.status, "succeeded");
  });
});
