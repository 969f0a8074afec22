// Programs of the documents as they stand there, but for the base URL: each runs in a process of its own.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { baseURL } from "./client.js";

const run = promisify(execFile);
const EUQAI = String.raw`const axios = require('axios');
require('dotenv').config();

const apiKey = process.env.EUQAI_API_KEY;
if (!apiKey) {
    throw new Error("EUQAI_API_KEY environment variable not set");
}

const url = 'https://api.euqai.eu/v1/chat/completions';

const headers = {
    'Authorization': \`Bearer \${apiKey}\`,
    'Content-Type': 'application/json'
};

const data = {
    model: 'euqai-fusion-v1',
    messages: [
        { role: 'user', content: 'Write a short poem about Eindhoven.' }
    ]
};

async function main() {
    try {
        const response = await axios.post(url, data, { headers });
        console.log(JSON.stringify(response.data, null, 2));
    } catch (error) {
        console.error(\`Error: \${error.response.status}\`);
        console.error(error.response.data);
    }
}

main();
`.replaceAll("\\`", "`").replaceAll("\\${", "${");

/** What the program prints, with this key in its environment. */
function euqai(key) {
  const program = EUQAI.replace("https://api.euqai.eu/v1", new URL("/euqai/v1", baseURL).href);
  const env = { ...process.env, EUQAI_API_KEY: key, NO_PROXY: "*" };
  const cwd = fileURLToPath(new URL(".", import.meta.url)); // where axios is
  return run(process.execPath, ["--input-type=commonjs", "-e", program], { cwd, env });
}

test("Euqai's program prints the answer", async () => {
  const { stdout } = await euqai(process.env.FUSIONAI_TEST_LIVE_KEY);
  const answer = JSON.parse(stdout);
  assert.equal(answer.model, "euqai-fusion-v1");
  assert.match(answer.choices[0].message.content, /poem about Eindhoven/);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
});

test("and, when its key is wrong, the status and the body", async () => {
  const { stderr } = await euqai("q-wrong");
  assert.match(stderr, /^Error: 401$/m);
  assert.match(stderr, /UNAUTHORIZED/);
});
