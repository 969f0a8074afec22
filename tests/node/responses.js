// OpenAI's Responses API by the official SDK: whole, streamed, in the background, taken up again, and its webhooks.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import OpenAI from "openai";

import { live, sandbox, scripted, until } from "./client.js";

const long = "a question with a good many words in it, so that its answer comes in a good many pieces";
const asked = { model: "gpt-4", input: long };
const tool = { type: "function", name: "get_time", parameters: { type: "object", properties: {} }, strict: false };
const over = ({ status }) => status !== "queued" && status !== "in_progress";

/** All that an iterable has. */
async function gathered(events) {
  const found = [];
  for await (const event of events) found.push(event);
  return found;
}

test("a response is made, retrieved, gone on from and deleted", async () => {
  for (const client of [live, sandbox]) {
    const made = await client.responses.create({ ...asked, instructions: "Be brief.", max_output_tokens: 300 });
    assert.equal(made.status, "completed");
    assert.ok(made.output_text.length > 0 && made.usage.total_tokens > 0);
    assert.deepEqual((await client.responses.retrieve(made.id)).output, made.output);
    const next = await client.responses.create({ model: "gpt-4", input: "And?", previous_response_id: made.id });
    assert.equal(next.previous_response_id, made.id);
    const items = await gathered(client.responses.inputItems.list(next.id, { order: "asc", limit: 1 }));
    assert.deepEqual(items.map((item) => item.role), ["user", "assistant", "user"]);
    await client.responses.delete(made.id);
    await assert.rejects(client.responses.retrieve(made.id), OpenAI.NotFoundError);
  }
});

test("a function is called, and its answer answered", async () => {
  const ask = { model: "gpt-4", tools: [tool] };
  const made = await live.responses.create({ ...ask, input: "What time is it?", tool_choice: "required" });
  const call = made.output.find((item) => item.type === "function_call");
  assert.equal(call.name, "get_time");
  const input = [{ role: "user", content: "What time is it?" }, ...made.output];
  input.push({ type: "function_call_output", call_id: call.call_id, output: "noon" });
  assert.equal((await live.responses.create({ ...ask, input })).status, "completed");
});

test("the typed events add up", async () => {
  const events = await gathered(await live.responses.create({ ...asked, stream: true }));
  assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
  assert.deepEqual([events[0].type, events.at(-1).type], ["response.created", "response.completed"]);
  const said = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
  const whole = events.at(-1).response;
  const text = whole.output.find((item) => item.type === "message").content[0].text;
  assert.ok(said.length > 3);
  assert.equal(said.join(""), text);
  const final = await live.responses.stream(asked).finalResponse();
  assert.equal(final.output_text.split(" ").length, text.split(" ").length);
});

test("in the background it is polled, and cancelled", async () => {
  const made = await live.responses.create({ ...asked, background: true });
  assert.ok(!over(made) && made.background);
  const done = await until(() => live.responses.retrieve(made.id), over);
  assert.ok(done.status === "completed" && done.output_text);
  await scripted([{ contains: "never mind", fault: { latency_seconds: 30 } }], async () => {
    const { id } = await live.responses.create({ model: "gpt-4", input: "never mind", background: true });
    assert.equal((await live.responses.cancel(id)).status, "cancelled");
    assert.equal((await live.responses.retrieve(id)).status, "cancelled");
  });
});

test("a stream that broke off is taken up after the last event", async () => {
  await scripted([{ contains: "come back", fault: { kind: "slow_body", seconds: 1.5 } }], async () => {
    const ask = { model: "gpt-4", input: `come back: ${long}`, background: true, stream: true };
    const read = [];
    for await (const event of await live.responses.create(ask)) {
      read.push(event);
      if (event.type === "response.output_text.delta") break;
    }
    const { id } = read[0].response;
    const after = { stream: true, starting_after: read.at(-1).sequence_number };
    const rest = await gathered(await live.responses.retrieve(id, after));
    const whole = await gathered(await live.responses.retrieve(id, { stream: true }));
    assert.deepEqual([...read, ...rest], whole);
    assert.equal(rest.at(-1).type, "response.completed");
  });
});

test("the SDK unwraps the webhook of a response in the background", async () => {
  const received = [];
  const server = createServer(async (request, response) => {
    const parts = await gathered(request);
    received.push({ body: Buffer.concat(parts).toString(), headers: request.headers });
    response.end();
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const body = { url: `http://127.0.0.1:${server.address().port}/`, events: ["response.completed"] };
  const webhook = await live.post("/webhooks", { body });
  try {
    const made = await live.responses.create({ ...asked, background: true });
    await until(async () => received.length, (count) => count > 0);
    const [{ body: payload, headers }] = received;
    const event = await live.webhooks.unwrap(payload, headers, webhook.secret);
    assert.deepEqual([event.object, event.type, event.data], ["event", "response.completed", { id: made.id }]);
    await assert.rejects(live.webhooks.unwrap(`${payload} `, headers, webhook.secret));
  } finally {
    await live.delete(`/webhooks/${webhook.id}`);
    server.close();
  }
});
