// Reads server-sent events out of bytes (https://html.spec.whatwg.org/multipage/server-sent-events.html).
//
// Lines end in LF, CRLF or CR, wherever the pieces are cut. An event without its empty line is dropped at the end, unless
// it is `[DONE]`: nothing but that line can be lacking.

export const DONE = '[DONE]';

export interface ServerSentEvent {
  readonly event: string | undefined;
  readonly data: string;
  readonly id: string | undefined;
}

/** Cuts a stream of bytes into its events. */
export class EventReader {
  private readonly decoder = new TextDecoder(); // it leaves out a byte order mark at the beginning
  private open = '';
  private afterCR = false;
  private event: string | undefined;
  private id: string | undefined;
  private data: string[] = [];

  /** The events that are whole with these bytes. */
  *take(bytes: Uint8Array): Generator<ServerSentEvent> {
    for (const line of this.lines(this.decoder.decode(bytes, { stream: true }))) {
      if (line) this.field(line);
      else yield* this.whole();
    }
  }

  /** What there is at the end of the stream. */
  *end(): Generator<ServerSentEvent> {
    this.field(this.open);
    if (this.data.length === 1 && this.data[0] === DONE) yield* this.whole();
  }

  private *lines(text: string): Generator<string> {
    let start = this.afterCR && text.startsWith('\n') ? 1 : 0;
    if (text) this.afterCR = text.endsWith('\r');
    const ends = /\r\n|\n|\r/g;
    ends.lastIndex = start;
    for (let end = ends.exec(text); end; end = ends.exec(text)) {
      const line = this.open + text.slice(start, end.index);
      this.open = '';
      start = ends.lastIndex;
      yield line;
    }
    this.open += text.slice(start);
  }

  private field(line: string): void {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1));
    if (name === 'event') this.event = value;
    else if (name === 'data') this.data.push(value);
    else if (name === 'id' && !value.includes('\0')) this.id = value;
  }

  private *whole(): Generator<ServerSentEvent> {
    const { event, id, data } = this;
    [this.event, this.id, this.data] = [undefined, undefined, []];
    if (data.length) yield { event: event || undefined, data: data.join('\n'), id };
  }
}

/** An event as it is written. */
export function written({ event, id, data }: ServerSentEvent): string {
  const lines = data.split('\n').map((line) => `data: ${line}\n`);
  return `${event === undefined ? '' : `event: ${event}\n`}${id === undefined ? '' : `id: ${id}\n`}${lines.join('')}\n`;
}
