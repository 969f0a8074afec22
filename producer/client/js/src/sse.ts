// Reads server-sent events out of bytes, each with the text that it came as (https://html.spec.whatwg.org, 9.2.6).

/** An event; `text` is what to hand on, its empty line included. */
export interface ServerSentEvent {
  readonly text: string;
  readonly event: string | undefined;
  readonly data: string;
  readonly id: string | undefined;
}

const BOUNDARY = /\r\n\r\n|\n\n|\r\r/;

/** Cuts a stream of bytes into its events. */
export class EventReader {
  private readonly decoder = new TextDecoder();
  private text = '';

  /** The events that are whole with these bytes. */
  *take(bytes: Uint8Array): Generator<ServerSentEvent> {
    this.text += this.decoder.decode(bytes, { stream: true });
    for (let end = this.text.match(BOUNDARY); end; end = this.text.match(BOUNDARY)) {
      const at = (end.index ?? 0) + end[0].length;
      const text = this.text.slice(0, at);
      this.text = this.text.slice(at);
      yield read(text);
    }
  }
}

function read(text: string): ServerSentEvent {
  let event: string | undefined;
  let id: string | undefined;
  const data: string[] = [];
  for (const line of text.split(/\r\n|\n|\r/)) {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1));
    if (name === 'event') event = value;
    else if (name === 'data') data.push(value);
    else if (name === 'id') id = value;
  }
  return { text, event, data: data.join('\n'), id };
}
