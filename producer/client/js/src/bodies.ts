// Watches the bodies of answers: silence is a timeout, and a stream that lacks its terminal event is an error.
//
// The official SDK stops its clock at the head of an answer, and takes the end of a connection for the end of a stream.

import { APIConnectionError, APIConnectionTimeoutError } from 'openai';

import { StreamCutError, StreamError, StreamTimeoutError } from './errors.js';
import { EventReader, type ServerSentEvent } from './sse.js';

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

/** The answer, its body watched: `silenceMS` without a byte of it is a timeout. JSON is here as a whole. */
export async function watched(response: Response, silenceMS: number): Promise<Response> {
  const type = response.headers.get('content-type')?.split(';')[0]?.trim();
  if (!response.body) return remade(response, null);
  if (type === 'text/event-stream') return watchedStream(response, response.body, silenceMS);
  const reader = response.body.getReader();
  const source = pieces(reader, silenceMS);
  if (type === 'application/json') return remade(response, await whole(source));
  return remade(response, bodyOf(source, reader));
}

function watchedStream(response: Response, body: ReadableStream<Uint8Array>, silenceMS: number): Response {
  const watch = new StreamWatch(response.headers);
  const reader = body.getReader();
  const made = remade(response, bodyOf(watch.events(pieces(reader, silenceMS)), reader));
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
    const fault = faultOf(event);
    if (fault) throw new StreamError(fault, 'the stream broke off', this.headers, this.lastEventID);
    if (event.id !== undefined) this.lastEventID = event.id;
    this.ended ||= event.data === '[DONE]' || TERMINAL.has(event.event);
    return this.encoder.encode(event.text);
  }
}

/** The error that an event tells of: `{"error": {…}}`, or the `error` event of the Responses API. */
function faultOf(event: ServerSentEvent): object | undefined {
  if (event.event !== 'error' && !/^\s*{\s*"error"\s*:/.test(event.data)) return undefined;
  const said: unknown = parsed(event.data);
  if (typeof said !== 'object' || said === null) return { message: event.data };
  const error: unknown = 'error' in said ? said.error : said;
  return typeof error === 'object' && error !== null ? error : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a reader gives, as long as it does not fall silent; it is let go of however that ends. */
async function* pieces(reader: ReadableStreamDefaultReader<Uint8Array>, silenceMS: number): AsyncGenerator<Uint8Array> {
  let over = false;
  try {
    for (;;) {
      const part = await within(silenceMS, reader.read());
      if (part.done) break;
      yield part.value;
    }
    over = true;
  } catch (error) {
    throw connectionError(error);
  } finally {
    if (!over) reader.cancel().catch(() => undefined);
  }
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new APIConnectionTimeoutError({ message: `timed out: ${ms / 1000} s of silence` })), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A lost connection as the SDK's error; that the caller has gone away stays what it is. */
function connectionError(error: unknown): unknown {
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
