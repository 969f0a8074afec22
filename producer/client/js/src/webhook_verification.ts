// Verifies what a webhook or a `callback_url` receives: its signature, its age, and whether it has come before.
//
// Deliveries are signed by two conventions, `FusionAI-Signature` and Standard Webhooks (https://www.standardwebhooks.com).
// Each that is there must hold, in constant time, by one of the secrets: during a rotation there are several signatures,
// and a receiver may know several secrets.

import { createHmac, timingSafeEqual } from 'node:crypto';

import type { Event } from './objects.js';

export type VerificationReason = 'missing_header' | 'timestamp' | 'signature' | 'body' | 'replayed';

/** How far a delivery's time may be from now, either way, in seconds; the same as in the official libraries. */
const TOLERANCE_SECONDS = 300;
const STANDARD = ['webhook-id', 'webhook-timestamp', 'webhook-signature'] as const;
const FUSIONAI = 'fusionai-signature';

/** Headers as frameworks have them; names in any case. */
export type HeadersOfDelivery = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

export interface VerifyOptions {
  /** How far the delivery's time may be from now: what makes an old one useless to whoever recorded it. */
  toleranceSeconds?: number;
  /** Another present than the clock's, in Unix seconds. */
  now?: number;
  /** Whether an event has come before; it notes the id: see `SeenEvents`. */
  seen?: (id: string) => boolean;
}

/** A delivery that is not to be acted on. Answer 400 to it, but 200 where it was `replayed`. */
export class WebhookVerificationError extends Error {
  constructor(
    readonly reason: VerificationReason,
    message: string,
  ) {
    super(message);
    this.name = 'WebhookVerificationError';
  }
}

/**
 * The ids of events that have come, in this process: events are delivered at least once. Make one and keep it.
 *
 * An id is noted when its delivery is verified: `forget` it where acting on the event then fails. Where several processes
 * receive, let `seen` be a function of yours that looks in a table.
 */
export class SeenEvents {
  private readonly ids = new Set<string>();

  constructor(private readonly most = 100_000) {}

  /** Note an id; whether it was noted before. Bound, so that it can be handed on as `seen`. */
  readonly seen = (id: string): boolean => {
    const known = this.ids.delete(id);
    this.ids.add(id);
    if (this.ids.size > this.most) this.ids.delete(this.ids.values().next().value as string);
    return known;
  };

  /** Let an event in again, which has not been acted on after all. */
  forget(id: string): void {
    this.ids.delete(id);
  }
}

/**
 * The event of a delivery, once it is known to come from the holder of `secret`; else a `WebhookVerificationError`.
 *
 * `body`: as received, before any parsing. `secret`: `whsec_…`, or several of them; a malformed one is a TypeError.
 */
export function verify(
  body: string | Uint8Array,
  headers: HeadersOfDelivery,
  secret: string | readonly string[],
  options: VerifyOptions = {},
): Event {
  const given = lowered(headers);
  const content = Buffer.from(body as Uint8Array);
  const keys = [secret].flat().map(keysOf);
  if (!keys.length) throw new TypeError('at least one secret is required');
  const { now = Math.floor(Date.now() / 1000), toleranceSeconds = TOLERANCE_SECONDS } = options;
  check(given, content, keys, (text, where) => checkTime(text, where, now, toleranceSeconds));
  const event = eventOf(content);
  const id = given.get(STANDARD[0]);
  if (id !== undefined && id !== event.id) fail('body', 'webhook-id is not the id of the event');
  if (options.seen?.(event.id)) fail('replayed', `event ${event.id} has been received before`);
  return event;
}

/** A secret as the keys of the two conventions: its whole text, and what the base64 after `whsec_` decodes to. */
interface Keys {
  readonly fusionai: Buffer;
  readonly standard: Buffer;
}

type CheckTime = (text: string | undefined, where: string) => void;

function check(given: ReadonlyMap<string, string>, body: Buffer, keys: readonly Keys[], timely: CheckTime): void {
  const standard = STANDARD.some((name) => given.has(name));
  const own = given.get(FUSIONAI);
  if (!standard && own === undefined) fail('missing_header', 'neither webhook-signature nor FusionAI-Signature is there');
  if (standard) checkStandard(given, body, keys, timely);
  if (own !== undefined) checkOwn(own, body, keys, timely);
}

function checkStandard(given: ReadonlyMap<string, string>, body: Buffer, keys: readonly Keys[], timely: CheckTime): void {
  const missing = STANDARD.find((name) => !given.get(name));
  if (missing) fail('missing_header', `${missing} is missing`);
  const [id = '', stamp = '', signatures = ''] = STANDARD.map((name) => given.get(name));
  timely(stamp, STANDARD[1]);
  const entries = signatures.split(' ').filter((entry) => entry.startsWith('v1,'));
  const content = Buffer.concat([Buffer.from(`${id}.${Number(stamp)}.`), body]);
  const expected = keys.map(({ standard }) => createHmac('sha256', standard).update(content).digest('base64'));
  checkSigned(expected, entries.map((entry) => entry.slice(3)), STANDARD[2]);
}

function checkOwn(header: string, body: Buffer, keys: readonly Keys[], timely: CheckTime): void {
  const fields = header.split(',').map((field) => field.trim().split(/=(.*)/s, 2) as [string, string | undefined]);
  const valuesOf = (wanted: string) => fields.filter(([name]) => name === wanted).map(([, value]) => value ?? '');
  const times = valuesOf('t');
  const stamp = times.length === 1 ? times[0] : undefined;
  timely(stamp, 'FusionAI-Signature');
  const content = Buffer.concat([Buffer.from(`${Number(stamp)}.`), body]);
  const expected = keys.map(({ fusionai }) => createHmac('sha256', fusionai).update(content).digest('hex'));
  checkSigned(expected, valuesOf('v1'), 'FusionAI-Signature');
}

function checkTime(text: string | undefined, where: string, now: number, tolerance: number): void {
  if (!text || !/^[0-9]{1,12}$/.test(text)) fail('timestamp', `${where} has no timestamp`);
  const age = now - Number(text);
  if (Math.abs(age) <= tolerance) return;
  const said = age > 0 ? `${age} s old` : `${-age} s in the future`;
  fail('timestamp', `${where} is ${said}; at most ${tolerance} s are tolerated`);
}

/** Compare every one with every other and stop early at none, so that time tells nothing. */
function checkSigned(expected: readonly string[], given: readonly string[], where: string): void {
  const holds = expected.flatMap((one) => given.map((other) => same(one, other)));
  if (!holds.some(Boolean)) fail('signature', `no signature in ${where} matches the body and a secret`);
}

function same(expected: string, given: string): boolean {
  const [one, other] = [Buffer.from(expected), Buffer.from(given)];
  return one.length === other.length && timingSafeEqual(one, other);
}

function keysOf(secret: string): Keys {
  const coded = /^whsec_((?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/.exec(secret)?.[1];
  if (!coded) throw new TypeError('a webhook secret must be whsec_ followed by base64');
  return { fusionai: Buffer.from(secret), standard: Buffer.from(coded, 'base64') };
}

function eventOf(content: Buffer): Event {
  let event: unknown;
  try {
    event = JSON.parse(content.toString());
  } catch {
    event = undefined;
  }
  if (typeof event !== 'object' || event === null || !('id' in event) || typeof event.id !== 'string') {
    fail('body', 'the body is not an event');
  }
  return event as Event;
}

function lowered(headers: HeadersOfDelivery): ReadonlyMap<string, string> {
  const entries = headers instanceof Headers ? [...headers.entries()] : Object.entries(headers);
  const known = entries.filter((entry): entry is [string, string | readonly string[]] => entry[1] !== undefined);
  return new Map(known.map(([name, value]) => [name.toLowerCase(), typeof value === 'string' ? value : value.join(', ')]));
}

function fail(reason: VerificationReason, message: string): never {
  throw new WebhookVerificationError(reason, message);
}
