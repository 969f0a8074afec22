// Chat by the official SDK: whole, many at once, with tools, pictures and JSON of a schema.

import assert from "node:assert/strict";
import { test } from "node:test";

import { asked, chat, live, received, sandbox, scripted } from "./client.js";

const weather = {
  type: "function",
  function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
};
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

test("a chat is answered, charged and kept as a job", async () => {
  const { data, response, request_id } = await live.chat.completions.create(chat).withResponse();
  assert.equal(data.object, "chat.completion");
  assert.equal(data.model, "gpt-4");
  assert.ok(data.choices[0].message.content);
  assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
  assert.ok(data.usage.credits_used > 0);
  assert.match(request_id, /^req_/);
  assert.equal(data._request_id, request_id);
  const job = await live.get(`/jobs/${response.headers.get("fusionai-job-id")}`);
  assert.equal(job.status, "succeeded");
  assert.deepEqual(job.result.choices, data.choices);
});

test("a test key is served by the sandbox for nothing", async () => {
  const answer = await sandbox.chat.completions.create(chat);
  assert.equal(answer.usage.test, true);
  assert.equal(answer.usage.credits_used, 0);
});

test("twenty at once", async () => {
  const answers = await Promise.all(Array.from({ length: 20 }, () => live.chat.completions.create(chat)));
  assert.ok(answers.every((answer) => answer.choices[0].message.content));
});

test("respond-async takes the job instead of waiting", async () => {
  const { data, response } = await live.chat.completions
    .create(chat, { headers: { Prefer: "respond-async" } })
    .withResponse();
  assert.equal(response.status, 202);
  assert.equal(data.object, "job");
  const job = await live.get(`/jobs/${data.id}`, { query: { wait: 20 } });
  assert.equal(job.status, "succeeded");
});

test("a tool is called and its answer taken", async () => {
  const wanted = { ...chat, tools: [weather], tool_choice: { type: "function", function: { name: "get_weather" } } };
  const first = await live.chat.completions.create(wanted);
  assert.equal(first.choices[0].finish_reason, "tool_calls");
  const [call] = first.choices[0].message.tool_calls;
  assert.ok("city" in JSON.parse(call.function.arguments));
  const messages = [...asked, first.choices[0].message, { role: "tool", tool_call_id: call.id, content: "sunny" }];
  const last = await live.chat.completions.create({ ...chat, messages, tools: [weather] });
  assert.equal(last.choices[0].finish_reason, "stop");
});

test("the SDK's own loop runs the tools", async () => {
  const cities = [];
  const tool = {
    type: "function",
    function: { ...weather.function, parse: JSON.parse, function: ({ city }) => cities.push(city) && "sunny" },
  };
  const messages = [{ role: "user", content: "get_weather, please" }];
  const runner = live.chat.completions.runTools({ ...chat, messages, tools: [tool] });
  assert.ok(await runner.finalContent());
  assert.equal(cities.length, 1);
});

test("pictures by address and by data", async () => {
  const url = "https://pictures.example/cat.png";
  const parts = [url, `data:image/png;base64,${pixel}`].map((url) => ({ type: "image_url", image_url: { url } }));
  const messages = [{ role: "user", content: [{ type: "text", text: "What is this?" }, ...parts] }];
  await scripted([], async () => {
    const answer = await live.chat.completions.create({ ...chat, messages });
    assert.ok(answer.choices[0].message.content);
    assert.equal(await received(`"url":"${url}"`), 1);
    assert.equal(await received(pixel), 1);
  });
});

test("JSON of a schema is parsed", async () => {
  const schema = { type: "object", properties: { answer: { type: "string" } }, required: ["answer"] };
  const response_format = { type: "json_schema", json_schema: { name: "reply", schema, strict: true } };
  for (const client of [live, sandbox]) {
    const answer = await client.chat.completions.parse({ ...chat, max_tokens: 500, response_format });
    assert.equal(typeof JSON.parse(answer.choices[0].message.content).answer, "string");
  }
});
