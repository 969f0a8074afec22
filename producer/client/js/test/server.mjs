// A server of a test's own: answers what its function says, and keeps what it has seen.

import { createServer } from "node:http";

import { FusionAI } from "@fusionai/sdk";

/** Serve while `work` runs: `answer(request)` gives `{ status, headers, body }`; a body that is no text is JSON. */
export async function served(answer, work, options = {}) {
  const seen = [];
  const server = createServer(async (incoming, outgoing) => {
    const body = Buffer.concat(await incoming.toArray()).toString();
    const url = new URL(incoming.url, "http://server");
    const request = { method: incoming.method, path: url.pathname, query: url.searchParams, headers: incoming.headers, body };
    seen.push(request);
    const { status = 200, headers = {}, body: said = {} } = await answer(request, seen);
    const text = typeof said === "string" ? said : JSON.stringify(said);
    outgoing.writeHead(status, { "content-type": "application/json", ...headers }).end(text);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const baseURL = `http://127.0.0.1:${server.address().port}/v1`;
  try {
    return await work(new FusionAI({ baseURL, apiKey: "fusionai_live_x", ...options }), seen);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** All that an iterable gives. */
export async function gathered(items) {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
}
