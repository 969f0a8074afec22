// The client: the official OpenAI SDK, with what FusionAI has beside it, and its rules of waiting and of trying again.

import { OpenAI, type ClientOptions as OpenAIOptions } from 'openai';

import { checkOptions, runBatch, type BatchOptions, type BatchRequest } from './batch.js';
import type { BatchResult } from './batch_work.js';
import { unexpectedOf, watched, type Expected } from './bodies.js';
import { errorOf } from './errors.js';
import { Credits } from './resources/credits.js';
import { Events } from './resources/events.js';
import { Invoices } from './resources/invoices.js';
import { Jobs } from './resources/jobs.js';
import { Usage } from './resources/usage.js';
import { Webhooks } from './resources/webhooks.js';
import { answerSeconds, LONGEST_TIMER_MS, settle } from './waiting.js';
import { addressOf, fromEnvironment, keyOf } from './whereabouts.js';

/** How long a call waits, in milliseconds: for its answer, between two pieces of a stream, and for a file to be taken. */
const TIMEOUT_MS = 30_000;
const STREAM_TIMEOUT_MS = 120_000;
const UPLOAD_TIMEOUT_MS = 600_000;
const MAX_RETRIES = 3;

/** Asks for an id with each event of a stream, from which it can be read on. */
const STREAM_IDS = 'FusionAI-Stream-Ids';
/** What the official SDK would take from OpenAI's variables of the environment: none of it is for this server. */
const NOT_OURS = { organization: null, project: null, adminAPIKey: null } as const;

export interface ClientOptions extends OpenAIOptions {
  /** The API key; default: the environment's `FUSIONAI_API_KEY`. */
  apiKey?: OpenAIOptions['apiKey'];
  /** The server's address, with `/v1`; default: the environment's `FUSIONAI_BASE_URL`, else the server of this machine. */
  baseURL?: OpenAIOptions['baseURL'];
  /** The secret of a webhook, `whsec_…`; default: the environment's `FUSIONAI_WEBHOOK_SECRET`. */
  webhookSecret?: OpenAIOptions['webhookSecret'];
  /** How long a call waits for its answer. Default: 30 s. @unit milliseconds */
  timeout?: number | undefined;
  /** How long a stream may be silent. Default: 120 s, or `timeout` where that is longer. @unit milliseconds */
  streamTimeout?: number | undefined;
  /** How often a 429, a 5xx or a lost connection is tried again. Default: 3. */
  maxRetries?: number | undefined;
}

type RequestOptions = Awaited<Parameters<OpenAI['request']>[0]>;

/** A client of FusionAI. Its retries never buy the same work twice. */
export class FusionAI extends OpenAI {
  /** How long a stream may be silent, in milliseconds. */
  readonly streamTimeout: number;

  readonly jobs = new Jobs(this);
  readonly credits = new Credits(this);
  readonly usage = new Usage(this);
  readonly events = new Events(this);
  readonly invoices = new Invoices(this);
  override webhooks: Webhooks = new Webhooks(this);

  /** What the answers of requests are to be. */
  private readonly expected = new WeakMap<RequestInit, Expected>();

  /** On every request that is no GET; the retries of a request keep it, and the caller's own wins. */
  protected override idempotencyHeader = 'Idempotency-Key';

  constructor(options: ClientOptions = {}) {
    super({
      ...options,
      apiKey: keyOf(options.apiKey),
      baseURL: addressOf(options.baseURL),
      webhookSecret: options.webhookSecret ?? fromEnvironment('FUSIONAI_WEBHOOK_SECRET') ?? null,
      timeout: options.timeout ?? TIMEOUT_MS,
      maxRetries: options.maxRetries ?? MAX_RETRIES,
      ...NOT_OURS,
    });
    this._options.defaultHeaders = options.defaultHeaders; // without those of OPENAI_CUSTOM_HEADERS
    this.streamTimeout = options.streamTimeout ?? Math.max(STREAM_TIMEOUT_MS, this.timeout);
  }

  /**
   * Send many requests as batches, and take their results as the batches end.
   *
   *     for await (const result of client.batch(requests, { key: 'nightly-1815' })) …
   *
   * The same requests with the same `key` find the batches that they have become, also after a crash.
   */
  batch(
    requests: Iterable<BatchRequest> | AsyncIterable<BatchRequest>,
    options: BatchOptions = {},
  ): AsyncGenerator<BatchResult, void, undefined> {
    checkOptions(options);
    return runBatch(this, requests, options);
  }

  /** What `console.log` shows: the server, and not the key. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `FusionAI(${this.baseURL})`;
  }

  protected override async prepareOptions(options: RequestOptions): Promise<void> {
    await super.prepareOptions(options);
    options.timeout = Math.min(options.timeout ?? this.patience(options), LONGEST_TIMER_MS);
  }

  protected override async prepareRequest(
    request: RequestInit,
    context: { url: string; options: RequestOptions },
  ): Promise<void> {
    await super.prepareRequest(request, context);
    const { options } = context;
    const headers = request.headers as Headers;
    request.redirect ??= 'manual'; // no other server is sent the key, nor what was asked
    this.expected.set(request, options.__binaryResponse ? 'anything' : options.stream ? 'stream' : 'json');
    const waits = options.method !== 'get' || options.stream || 'wait' in (options.query ?? {});
    if (waits && options.timeout && !headers.has('Prefer')) headers.set('Prefer', `wait=${answerSeconds(options.timeout)}`);
    if (options.stream && options.method === 'post' && !headers.has(STREAM_IDS)) headers.set(STREAM_IDS, 'true');
  }

  override async fetchWithTimeout(
    url: RequestInfo,
    init: RequestInit | undefined,
    ms: number,
    controller: AbortController,
  ): Promise<Response> {
    const expected = (init && this.expected.get(init)) ?? 'anything';
    const came = await super.fetchWithTimeout(url, init, ms, controller);
    const response = await watched(came, { silenceMS: ms, expected, signal: init?.signal });
    settle(response.status, response.headers);
    return response;
  }

  protected override makeStatusError(status: number, error: object, message: string | undefined, headers: Headers) {
    return unexpectedOf(headers) ?? errorOf(status, error, message, headers);
  }

  protected override defaultIdempotencyKey(): string {
    return `js-${crypto.randomUUID()}`;
  }

  private patience(options: RequestOptions): number {
    if (options.stream) return this.streamTimeout;
    return options.body instanceof FormData ? Math.max(UPLOAD_TIMEOUT_MS, this.timeout) : this.timeout;
  }
}
