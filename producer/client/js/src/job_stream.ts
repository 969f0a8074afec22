// Reads a job's stream, and goes on after the last event that was read when its connection is lost.

import type { OpenAI } from 'openai';
import type { Stream } from 'openai/core/streaming';

import { lastEventID } from './bodies.js';
import { StreamCutError, StreamError, StreamTimeoutError } from './errors.js';
import { backoffSeconds, pause } from './waiting.js';

type Chunk = OpenAI.Chat.ChatCompletionChunk;

/** The options of a request, its headers by their names. */
export interface StreamRequestOptions extends Omit<OpenAI.RequestOptions, 'headers'> {
  headers?: Readonly<Record<string, string>>;
}

/** The chunks of a chat job: `for await (const chunk of stream)`. */
export class JobStream implements AsyncIterable<Chunk> {
  /** The id of the last event that was read: from there another reader may go on. */
  lastEventID: string | undefined;
  private readonly query: { include_usage?: boolean };

  constructor(
    private readonly client: OpenAI,
    private readonly path: string,
    params: { lastEventID?: string; includeUsage?: boolean },
    private readonly options: StreamRequestOptions = {},
  ) {
    this.lastEventID = params.lastEventID;
    this.query = params.includeUsage === undefined ? {} : { include_usage: params.includeUsage };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Chunk, void, undefined> {
    const tries = this.options.maxRetries ?? this.client.maxRetries;
    let failed = 0;
    for (;;) {
      const before = this.lastEventID;
      let count = 0;
      try {
        for await (const chunk of this.chunks()) {
          count += 1;
          yield chunk;
        }
        return;
      } catch (error) {
        failed = count ? 1 : failed + 1;
        const goesOn = isBreak(error) && (count === 0 || this.lastEventID !== before);
        if (!goesOn || failed > tries) throw error;
      }
      await pause(backoffSeconds(failed), this.options.signal);
    }
  }

  private async *chunks(): AsyncGenerator<Chunk, void, undefined> {
    const { data, response } = await this.client
      .get<Stream<Chunk>>(this.path, {
        query: this.query,
        ...this.options,
        stream: true,
        headers: { ...this.options.headers, 'Last-Event-ID': this.lastEventID },
      })
      .withResponse();
    let repeated = this.lastEventID; // a server may repeat it when it is asked to go on
    try {
      for await (const chunk of data) {
        this.lastEventID = lastEventID(response) ?? this.lastEventID;
        const known = repeated !== undefined && repeated === lastEventID(response);
        repeated = undefined;
        if (!known) yield chunk;
      }
    } catch (error) {
      if (error instanceof StreamError || error instanceof StreamTimeoutError) error.lastEventID ??= this.lastEventID;
      throw error;
    }
  }
}

/** Whether a stream broke off that can be read on: it was cut, fell silent, or says itself from where. */
function isBreak(error: unknown): boolean {
  if (error instanceof StreamCutError || error instanceof StreamTimeoutError) return true;
  return error instanceof StreamError && typeof error.details['last_event_id'] === 'string';
}
