// `client.batch`: requests in, results out. Many requests become several batches, which run at the same time.

import type { OpenAI } from 'openai';

import { carryOut, Part, type BatchResult, type Manner } from './batch_work.js';
import type { Batch, BatchSpec, Model } from './objects.js';

/** Requests in the first batch, and in the largest: the first results come soon, and many requests make few batches. */
const FIRST_LINES = 100;
const MOST_LINES = 10_000;
/** Bytes of a batch's file; the server takes more. */
const MOST_BYTES = 50_000_000;
const CONCURRENCY = 8;
/** Requests in a batch, at most. */
const MOST_FIXED = 50_000;
const TIERS: readonly unknown[] = ['auto', 'cheapest', 'default'];
/** A window from which there is time for the tier that answers as there is room, in hours. */
const CALM_HOURS = 4;
const CHEAP_TIER = 'flex';

/** A request: what would be sent to `url`. */
export interface BatchRequest {
  /** By which its result is known; unique. Default: `line-1`, `line-2`, … */
  custom_id?: string;
  /** Default: `/v1/chat/completions`. */
  url?: string;
  body: object;
}

export interface BatchProgress {
  completed: number;
  failed: number;
  /** The requests that have been taken so far. */
  total: number;
}

/** What is the batch's own, and said of each: `metadata`, `priority`, `hold`, `callback_url`, … */
type Extra = Partial<Omit<BatchSpec, 'input_file_id' | 'requests' | 'dry_run' | 'completion_window'>>;

export interface BatchOptions {
  /**
   * Names the work: the same requests under the same key are the same batches, for 8 days, whatever else is asked of them
   * (that is refused, with a 422: nothing is bought twice). Default: the empty one.
   */
  key?: string;
  /** `1h` to `168h`; default `24h`. */
  completionWindow?: string;
  /**
   * `cheapest`: at half price (`service_tier` flex) where a model has that, and the request names no tier; `auto`: the
   * same where the window is four hours or longer; `default`: the requests as they are. Default: `auto`.
   */
  tier?: 'auto' | 'cheapest' | 'default';
  /** Called when the numbers have changed. */
  onProgress?: (progress: BatchProgress) => void;
  /**
   * Requests in each batch, at most 50,000; another number makes other batches. Default: 100 in the first, and twice as
   * many in each after it, up to 10,000.
   */
  linesPerBatch?: number;
  /** How many batches run at the same time. Default: 8. */
  concurrency?: number;
  /** How often each is looked at. Default: soon at first, then every 5 s. */
  pollSeconds?: number;
  /** Leave: the batches that have been made go on. */
  signal?: AbortSignal;
  /** Fields of `POST /batches` beside these. */
  batch?: Extra;
}

type Requests = Iterable<BatchRequest> | AsyncIterable<BatchRequest>;
type Results = AsyncGenerator<BatchResult[], void, undefined>;
type Step =
  | { kind: 'part'; part: Part | undefined }
  | { kind: 'results'; number: number; results: BatchResult[] | undefined };

/** What cannot be is said before anything is asked. */
export function checkOptions({ linesPerBatch, concurrency, tier }: BatchOptions): void {
  for (const [name, value, most] of [
    ['linesPerBatch', linesPerBatch, MOST_FIXED],
    ['concurrency', concurrency, 1000],
  ] as const) {
    const fits = value === undefined || (Number.isInteger(value) && value >= 1 && value <= most);
    if (!fits) throw new RangeError(`${name}: 1 to ${most}, not ${String(value)}`);
  }
  if (tier !== undefined && !TIERS.includes(tier)) throw new RangeError(`tier: one of ${TIERS.join(', ')}, not ${String(tier)}`);
}

/** Results as they come; `BatchFailedError` when a batch fails as a whole. */
export async function* runBatch(
  client: OpenAI,
  requests: Requests,
  options: BatchOptions,
): AsyncGenerator<BatchResult, void, undefined> {
  const leaving = new AbortController();
  const manner = mannerOf(options, leaving.signal);
  const progress = new Progress(options.onProgress);
  const source = parts(client, requests, options);
  const running = new Map<number, { results: Results; next: Promise<Step> }>();
  let reading: Promise<Step> | undefined = read(source);
  let whole = false;
  try {
    for (let number = 0; reading || running.size; ) {
      const next = [...running.values()].map((one) => one.next);
      const step: Step = await Promise.race([...(reading ? [reading] : []), ...next]);
      if (step.kind === 'results') {
        if (step.results) yield* step.results;
        const { results } = running.get(step.number) as { results: Results };
        if (step.results) running.set(step.number, { results, next: advance(step.number, results) });
        else running.delete(step.number);
      } else if (step.part) {
        progress.add(number, step.part.waiting.size);
        const told = number;
        const results = carryOut(client, step.part, manner, (batch) => progress.tell(told, batch));
        running.set(number, { results, next: advance(number, results) });
        number += 1;
      } else whole = true;
      if (step.kind === 'part') reading = undefined;
      if (!whole && !reading && running.size < (options.concurrency ?? CONCURRENCY)) reading = read(source);
    }
  } finally {
    leaving.abort();
    heeded(source.return(undefined));
    for (const { results } of running.values()) heeded(results.return(undefined));
  }
}

function mannerOf(options: BatchOptions, leaving: AbortSignal): Manner {
  const { key = '', completionWindow = '24h', pollSeconds, signal, batch } = options;
  return {
    key,
    body: { completion_window: completionWindow, ...batch },
    pollSeconds,
    signal: signal ? AbortSignal.any([leaving, signal]) : leaving,
  };
}

function read(source: AsyncGenerator<Part, void>): Promise<Step> {
  return heeded(source.next().then(({ done, value }): Step => ({ kind: 'part', part: done ? undefined : value })));
}

function advance(number: number, results: Results): Promise<Step> {
  const next = results.next();
  return heeded(next.then(({ done, value }): Step => ({ kind: 'results', number, results: done ? undefined : value })));
}

/** A promise that may fail before it is looked at, or, where another has failed first, without being looked at. */
function heeded<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** What has become of all requests so far, told when it has changed. */
class Progress {
  private readonly counts = new Map<number, BatchProgress>();
  private told = '';

  constructor(private readonly onProgress: ((progress: BatchProgress) => void) | undefined) {}

  add(number: number, total: number): void {
    this.counts.set(number, { completed: 0, failed: 0, total });
  }

  tell(number: number, batch: Batch): void {
    const { completed, failed } = batch.request_counts;
    this.counts.set(number, { completed, failed, total: this.counts.get(number)?.total ?? batch.request_counts.total });
    const all = { completed: 0, failed: 0, total: 0 };
    for (const one of this.counts.values()) {
      all.completed += one.completed;
      all.failed += one.failed;
      all.total += one.total;
    }
    const text = JSON.stringify(all);
    if (text !== this.told) this.onProgress?.(all);
    this.told = text;
  }
}

/** The requests, as many at a time as make a batch. */
async function* parts(client: OpenAI, requests: Requests, options: BatchOptions): AsyncGenerator<Part, void, undefined> {
  let most = options.linesPerBatch ?? FIRST_LINES;
  const cheap = isCheap(options);
  const seen = new Set<string>();
  let flex: ReadonlySet<string> | undefined;
  let part = new Part();
  let bytes = 0;
  const cut = (): Part => {
    const made = part;
    [part, bytes] = [new Part(), 0];
    most = options.linesPerBatch ?? Math.min(most * 2, MOST_LINES);
    return made;
  };
  for await (const request of requests) {
    if (cheap) flex ??= await flexModels(client);
    const { custom_id, line } = lineOf(request, seen, flex);
    const size = Buffer.byteLength(line);
    if (bytes && bytes + size > MOST_BYTES) yield cut();
    part.add(custom_id, line);
    bytes += size;
    if (part.waiting.size >= most) yield cut();
  }
  if (part.waiting.size) yield part;
}

function isCheap({ tier = 'auto', completionWindow = '24h' }: BatchOptions): boolean {
  return tier === 'cheapest' || (tier === 'auto' && Number.parseInt(completionWindow, 10) >= CALM_HOURS);
}

function lineOf(request: BatchRequest, seen: Set<string>, flex: ReadonlySet<string> | undefined) {
  if (typeof request?.body !== 'object' || request.body === null) {
    throw new TypeError(`request ${seen.size + 1} has no body: { body, custom_id?, url? } is wanted`);
  }
  const custom_id = String(request.custom_id ?? '') || `line-${seen.size + 1}`;
  if (seen.has(custom_id)) throw new TypeError(`custom_id ${JSON.stringify(custom_id)} is there twice`);
  seen.add(custom_id);
  const { model, service_tier } = request.body as { model?: unknown; service_tier?: unknown };
  const cheaper = service_tier === undefined && typeof model === 'string' && flex?.has(model);
  const body = cheaper ? { ...request.body, service_tier: CHEAP_TIER } : request.body;
  const line = { custom_id, method: 'POST', url: request.url ?? '/v1/chat/completions', body };
  return { custom_id, line: `${JSON.stringify(line)}\n` };
}

/** The models that have a cheaper tier for work that can wait. */
async function flexModels(client: OpenAI): Promise<ReadonlySet<string>> {
  const { data } = await client.get<{ data: Model[] }>('/models');
  return new Set(data.filter((model) => model.price.service_tiers?.[CHEAP_TIER]).map((model) => model.id));
}
