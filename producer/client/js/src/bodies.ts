// Watches the bodies of answers: silence is a timeout, a stream that lacks its terminal event is an error, and so is the
// page of a proxy in the place of an answer.
//
// The official SDK stops its clock at the head of an answer, and takes the end of a connection for the end of a stream.

import { APIConnectionError, APIConnectionTimeoutError, APIUserAbortError } from 'openai';

import { StreamCutError, StreamError, StreamTimeoutError, UnexpectedAnswerError } from './errors.js';
import { DONE, EventReader, written, type ServerSentEvent } from './sse.js';
import { LONGEST_TIMER_MS } from './waiting.js';

/** The events that end a stream of the Responses API, and of Anthropic's; others end with the data `[DONE]`. */
const TERMINAL: ReadonlySet<string | undefined> = new Set([
  'message_stop',
  'response.completed',
  'response.failed',
  'response.incomplete',
  'response.cancelled',
]);

const lastEventIDs = new WeakMap<Response, () => string | undefined>();

/** The id of the last event that was read of an answer's stream, where its events have ids. */
export function lastEventID(response: Response): string | undefined {
  return lastEventIDs.get(response)?.();
}

/** What an answer is to be. */
export type Expected = 'json' | 'stream' | 'anything';

/** How an answer is watched. */
export interface Watched {
  /** So long without a byte is a timeout. */
  readonly silenceMS: number;
  readonly expected: Expected;
  /** The caller's. */
  readonly signal: AbortSignal | null | undefined;
}

/** The types in which an object may come, and those of pages that are none; what else comes was asked for by name. */
const ASKED = /^$|json$|^text\/(html|plain)$/;

const unexpected = new WeakMap<Headers, UnexpectedAnswerError>();

/** The error of an answer that was a success, and not one of this API. */
export function unexpectedOf(headers: Headers): UnexpectedAnswerError | undefined {
  return unexpected.get(headers);
}

/** The answer, its body watched. JSON is here as a whole. */
export async function watched(response: Response, how: Watched): Promise<Response> {
  const type = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase() ?? '';
  const expected = !response.ok || (how.expected === 'json' && !ASKED.test(type)) ? 'anything' : how.expected;
  if (expected === 'stream' && type !== 'text/event-stream') return refused(response, `is not a stream but ${quoted(type)}`);
  if (!response.body) return expected === 'json' ? refused(response, 'is empty') : remade(response, null);
  if (type === 'text/event-stream') return watchedStream(response, response.body, how);
  const reader = response.body.getReader();
  const source = pieces(reader, how);
  if (expected !== 'json' && type !== 'application/json') return remade(response, bodyOf(source, reader));
  const bytes = await whole(source);
  if (expected === 'json' && !isObject(bytes)) return refused(response, `is not this API's but ${quoted(type)}`);
  const made = remade(response, bytes);
  if (expected === 'json') made.headers.set('content-type', 'application/json');
  return made;
}

/** Whether bytes look like a JSON object that is whole. */
function isObject(bytes: Uint8Array): boolean {
  const [open, close] = [0x7b, 0x7d];
  const isBlank = (byte: number | undefined) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
  let [first, last] = [0, bytes.length - 1];
  while (isBlank(bytes[first])) first += 1;
  while (isBlank(bytes[last])) last -= 1;
  return bytes[first] === open && bytes[last] === close && last > first;
}

function quoted(type: string): string {
  return JSON.stringify(type.slice(0, 100));
}

/** An answer that the official SDK takes for a refusal: it makes the error of it. */
function refused(response: Response, what: string): Response {
  response.body?.cancel().catch(() => undefined);
  const headers = new Headers(response.headers);
  headers.set('x-should-retry', 'false');
  const made = new Response(null, { status: 502, headers });
  const error = new UnexpectedAnswerError(response.status, undefined, `the answer ${what}`, response.headers);
  unexpected.set(made.headers, error);
  return made;
}

function watchedStream(response: Response, body: ReadableStream<Uint8Array>, how: Watched): Response {
  const watch = new StreamWatch(response.headers);
  const reader = body.getReader();
  const made = remade(response, bodyOf(watch.events(pieces(reader, how)), reader));
  lastEventIDs.set(made, () => watch.lastEventID);
  return made;
}

/** Hands on a stream's events one by one, and knows which was the last. */
class StreamWatch {
  lastEventID: string | undefined;
  private readonly encoder = new TextEncoder();
  private ended = false;

  constructor(private readonly headers: Headers) {}

  async *events(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const reader = new EventReader();
    try {
      for await (const bytes of source) for (const event of reader.take(bytes)) yield this.passed(event);
      for (const event of reader.end()) yield this.passed(event);
    } catch (error) {
      if (this.ended && error instanceof APIConnectionError) return;
      throw this.named(error);
    }
    if (!this.ended) throw new StreamCutError(this.headers, this.lastEventID);
  }

  private named(error: unknown): unknown {
    if (error instanceof APIConnectionTimeoutError) {
      return new StreamTimeoutError(error.message, this.headers, this.lastEventID);
    }
    return error instanceof APIConnectionError ? new StreamCutError(this.headers, this.lastEventID, error) : error;
  }

  private passed(event: ServerSentEvent): Uint8Array {
    const done = event.data.startsWith(DONE);
    const fault = done ? undefined : this.faultOf(event);
    if (fault) throw new StreamError(fault, 'the stream broke off', this.headers, this.lastEventID);
    if (event.id !== undefined) this.lastEventID = event.id;
    this.ended ||= done || TERMINAL.has(event.event);
    return this.encoder.encode(written(event));
  }

  /** The error that an event tells of: `{"error": {…}}`, or the `error` event of the Responses API. */
  private faultOf({ event, data }: ServerSentEvent): object | undefined {
    const said = parsed(data);
    if (typeof said !== 'object' || said === null || Array.isArray(said)) {
      throw new StreamCutError(this.headers, this.lastEventID, { message: 'an event of the stream is not a JSON object' });
    }
    const error: unknown = 'error' in said ? said.error : event === 'error' ? said : undefined;
    if (typeof error === 'string' && error) return { message: error };
    return typeof error === 'object' && error !== null ? error : undefined;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a reader gives, as long as it does not fall silent; it is let go of however that ends. */
async function* pieces(reader: ReadableStreamDefaultReader<Uint8Array>, how: Watched): AsyncGenerator<Uint8Array> {
  let over = false;
  try {
    for (;;) {
      const part = await within(how.silenceMS, reader.read());
      if (part.done) break;
      yield part.value;
    }
    over = true;
  } catch (error) {
    throw connectionError(error, how.signal);
  } finally {
    if (!over) reader.cancel().catch(() => undefined);
  }
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new APIConnectionTimeoutError({ message: `timed out: ${ms / 1000} s of silence` })), Math.min(ms, LONGEST_TIMER_MS));
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * A lost connection as the SDK's error. That the caller has left is one too, where a signal said so, which the official
 * SDK would take for the end of a stream; `stream.controller.abort()` ends it as it does there.
 */
function connectionError(error: unknown, signal: AbortSignal | null | undefined): unknown {
  if (isAbort(error) && signal?.aborted) return new APIUserAbortError();
  if (error instanceof APIConnectionError || isAbort(error)) return error;
  return new APIConnectionError({ cause: error instanceof Error ? error : new Error(String(error)) });
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

async function whole(source: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of source) size += parts.push(part) && part.length;
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A body that is read as it is asked for, and never ahead. */
function bodyOf(
  source: AsyncGenerator<Uint8Array>,
  reader: ReadableStreamDefaultReader<Uint8Array>,
): ReadableStream<Uint8Array> {
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
    const next = await source.next();
    if (next.done) controller.close();
    else controller.enqueue(next.value);
  };
  return new ReadableStream({ pull, cancel: (reason) => reader.cancel(reason) }, { highWaterMark: 0 });
}

/** The same answer with another body. */
function remade(response: Response, body: BodyInit | null): Response {
  const made = new Response(body, { status: response.status, statusText: response.statusText, headers: response.headers });
  Object.defineProperty(made, 'url', { value: response.url });
  return made;
}
