// The runner of tests/sdk's table: reads cases, makes the calls with the installed package, and writes what came of them.

import { createInterface } from "node:readline";

import { FusionAI, toFile } from "@fusionai/sdk";
import * as sdk from "@fusionai/sdk";

/** The classes by the names that the table has for them, the narrower before the wider. */
const CLASSES = [
  "BadRequestError", "AuthenticationError", "InsufficientCreditsError", "PermissionDeniedError", "NotFoundError",
  "MethodNotAllowedError", "ConflictError", "PayloadTooLargeError", "UnsupportedMediaTypeError",
  "IdempotencyMismatchError", "RateLimitError", "UpstreamError", "UnavailableError", "GatewayTimeoutError",
  "InternalServerError", "APIStatusError", "StreamCutError", "StreamError", "APITimeoutError", "APIConnectionError",
  "WaitTimeoutError", "BatchFailedError", "WebhookVerificationError", "UnexpectedAnswerError",
];
const KINDS = {
  StreamCutError: "stream", StreamError: "stream", APITimeoutError: "timeout", WaitTimeoutError: "timeout",
  APIConnectionError: "connection", UnexpectedAnswerError: "unexpected", BatchFailedError: "batch", WebhookVerificationError: "webhook",
};

const ms = (seconds) => (seconds === undefined ? undefined : Math.round(seconds * 1000));
const defined = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null));

const ids = async (items) => {
  const found = [];
  for await (const item of items) found.push(item.id);
  return { value: { ids: found } };
};

/** Read a stream: what it gave until it ended, or failed. */
async function streamed(chunks) {
  const value = {};
  let text = "";
  try {
    for await (const chunk of await chunks) {
      const [choice] = chunk.choices;
      text += choice?.delta?.content ?? "";
      if (choice?.finish_reason) value.finish_reason = choice.finish_reason;
      if (chunk.usage) value.usage = chunk.usage;
    }
  } catch (error) {
    return { text, error: described(error) };
  }
  return { text, value };
}

async function batched(client, { requests, completion_window, poll_seconds, key, tier = "default" }) {
  const [results, progress] = [[], []];
  const onProgress = ({ completed, failed, total }) => progress.push([completed, failed, total]);
  const options = { key, tier, completionWindow: completion_window, pollSeconds: poll_seconds, onProgress };
  for await (const result of client.batch(requests, defined(options))) results.push(result);
  const order = results.map((result) => result.custom_id);
  const named = requests.map((request, at) => request.custom_id ?? `line-${at + 1}`);
  const position = (id) => named.indexOf(id);
  results.sort((one, other) => position(one.custom_id) - position(other.custom_id));
  return { value: { results, order, progress } };
}

const value = async (answer) => ({ value: await answer });

const CALLS = {
  chat: (client, { body }, options) => value(client.chat.completions.create(body, options)),
  chat_stream: (client, { body }, options) => streamed(client.chat.completions.create({ ...body, stream: true }, options)),
  embeddings: (client, { body }, options) => value(client.embeddings.create({ encoding_format: "float", ...body }, options)),
  images: (client, { body }, options) => value(client.images.generate(body, options)),
  job_submit: (client, { body }, options) => value(client.jobs.create(body, options)),
  jobs_submit: async (client, { bodies }, options) => ids(await client.jobs.createMany(bodies, options)),
  job_get: (client, { id }, options) => value(client.jobs.retrieve(id, {}, options)),
  job_cancel: (client, { id }, options) => value(client.jobs.cancel(id, options)),
  job_wait: (client, { id, timeout_seconds }, options) => value(client.jobs.wait(id, { timeoutSeconds: timeout_seconds }, options)),
  job_stream: (client, { id, last_event_id }, options) => streamed(client.jobs.stream(id, { lastEventID: last_event_id }, options)),
  jobs_list: (client, query, options) => ids(client.jobs.list(query, options)),
  events_since: (client, { after, ...query }, options) => ids(client.events.since(after, query, options)),
  usage: (client, query, options) => value(client.usage.retrieve(query, options)),
  usage_rows: (client, query, options) => ids(client.usage.rows(query, options)),
  credits: (client, _, options) => value(client.credits.retrieve(options)),
  transfers_list: (client, query, options) => ids(client.credits.transfers(query, options)),
  thresholds_set: (client, { thresholds }, options) => value(client.credits.setThresholds(thresholds, options)),
  webhook_create: (client, body, options) => value(client.webhooks.create(body, options)),
  webhook_rotate: (client, { id, ...body }, options) => value(client.webhooks.rotate(id, body, options)),
  webhooks_list: (client, query, options) => ids(client.webhooks.list(query, options)),
  webhook_delete: (client, { id }, options) => value(client.webhooks.delete(id, options)),
  webhook_verify: async (client, { body, headers, secrets, now, tolerance_seconds }) =>
    value(client.webhooks.verify(body, headers, secrets, defined({ now, toleranceSeconds: tolerance_seconds }))),
  invoice_create: (client, body, options) => value(client.invoices.create(body, options)),
  invoice_get: (client, { id }, options) => value(client.invoices.retrieve(id, options)),
  invoices_list: (client, query, options) => ids(client.invoices.list(query, options)),
  models_list: (client, _, options) => ids(client.models.list(options)),
  file_upload: async (client, { content, filename }, options) =>
    value(client.files.create({ file: await toFile(Buffer.from(content), filename), purpose: "batch" }, options)),
  batch: (client, args) => batched(client, args),
};

function described(error) {
  const name = CLASSES.find((one) => error instanceof sdk[one]);
  if (name === undefined) return { kind: "other", class: error?.constructor?.name, message: String(error?.message ?? error) };
  const { message, status, type, reason, param, requestID: request_id, jobID: job_id, lastEventID: last_event_id } = error;
  const fields = defined({ status, type, reason, param, request_id, job_id, last_event_id });
  return { kind: KINDS[name] ?? "status", class: name, message, ...fields };
}

async function run({ name, base_url, api_key, client: given = {}, call: { name: call, args = {}, options = {} } }) {
  const { max_retries: maxRetries, timeout, stream_timeout } = given;
  const made = { maxRetries, timeout: ms(timeout), streamTimeout: ms(stream_timeout) };
  const wanted = { idempotencyKey: options.idempotency_key, headers: options.headers, timeout: ms(options.timeout) };
  try {
    const client = new FusionAI({ baseURL: base_url, apiKey: api_key, ...defined(made) });
    return { name, ...(await CALLS[call](client, args, defined(wanted))) };
  } catch (error) {
    return { name, error: described(error) };
  }
}

/** Cases at a time, those that wait for long (the last of the table) first: all at once, short timeouts would be late. */
const AT_ONCE = 24;

const cases = [];
for await (const line of createInterface({ input: process.stdin })) if (line.trim()) cases.push(JSON.parse(line));

async function work() {
  for (let next = cases.pop(); next; next = cases.pop()) process.stdout.write(`${JSON.stringify(await run(next))}\n`);
}

await Promise.all(Array.from({ length: AT_ONCE }, work));
