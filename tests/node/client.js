// The clients of the suite, and what the tests share: the simulator's script, and the job behind an answer.

import OpenAI from "openai";

const { FUSIONAI_TEST_URL, FUSIONAI_TEST_SIMULATOR, FUSIONAI_TEST_LIVE_KEY } = process.env;
if (!FUSIONAI_TEST_URL) throw new Error("start the suite with `make test-node`");

export const baseURL = FUSIONAI_TEST_URL;
export const live = new OpenAI({ baseURL, apiKey: FUSIONAI_TEST_LIVE_KEY });
export const sandbox = live.withOptions({ apiKey: process.env.FUSIONAI_TEST_SANDBOX_KEY });
export const poor = live.withOptions({ apiKey: process.env.FUSIONAI_TEST_POOR_KEY });

export const asked = [{ role: "user", content: "Say this is a test." }];
export const chat = { model: "gpt-4", messages: asked, max_tokens: 50 };

/** Run `work` while the providers fail as the rules say. */
export async function scripted(rules, work) {
  const address = `${FUSIONAI_TEST_SIMULATOR}/_simulator/script`;
  const body = JSON.stringify({ rules, record: true });
  const answer = await fetch(address, { method: "POST", body });
  if (!answer.ok) throw new Error(await answer.text());
  try {
    return await work();
  } finally {
    await fetch(address, { method: "DELETE" });
  }
}

/** How many requests with this text a provider got since the script was set. */
export async function received(text) {
  const address = new URL(`${FUSIONAI_TEST_SIMULATOR}/_simulator/calls`);
  address.searchParams.set("contains", text);
  return (await (await fetch(address)).json()).count;
}

/** The first value of `look` that `done` accepts, asked for again until the deadline. */
export async function until(look, done, seconds = 20) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const value = await look();
    if (done(value)) return value;
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
