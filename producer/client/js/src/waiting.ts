// How long calls wait, what is tried again, and when.

import { setTimeout } from 'node:timers/promises';

import { askedPause } from './errors.js';

/** The longest pause that a server may ask for and is waited for within a call; the error of a longer one says it. */
const LONGEST_PAUSE_SECONDS = 60;

/** The longest that a timer takes: a longer one would end at once. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** How long the server may take for an answer that is there before a client that waits so long gives up. */
export function answerSeconds(timeoutMS: number): number {
  return Math.max(timeoutMS - 2000, timeoutMS / 2) / 1000;
}

/**
 * Makes plain in an answer's headers what is to be done about it, for the official SDK, which tries every conflict again
 * and obeys every pause: a conflict is none that passes unless it says when, nobody waits for hours within a call, and a
 * pause that is none or cannot be read is left to the client's own.
 */
export function settle(status: number, headers: Headers): void {
  const pause = askedPause(headers);
  const stays = (pause ?? 0) > LONGEST_PAUSE_SECONDS;
  const conflict = status === 409 && !headers.has('retry-after') && !headers.has('x-should-retry');
  if (stays || conflict) headers.set('x-should-retry', 'false');
  headers.delete('retry-after-ms');
  if (pause === undefined) headers.delete('retry-after');
  else headers.set('retry-after', String(pause));
}

/** The pause after a failure, of so many in a row: from half a second on doubled, up to eight, less up to a quarter. */
export function backoffSeconds(failures: number): number {
  return Math.min(0.5 * 2 ** (failures - 1), 8) * (1 - Math.random() / 4);
}

/** Wait for so many seconds, unless the caller leaves (an AbortSignal) first. */
export async function pause(seconds: number, signal?: AbortSignal | null): Promise<void> {
  if (seconds > 0) await setTimeout(Math.min(seconds * 1000, LONGEST_TIMER_MS), undefined, signal ? { signal } : {});
}

/**
 * Do one of many pieces of work that a signal ends, with a signal of its own: the official SDK leaves a listener with the
 * signal of each request, of which a long wait makes thousands.
 */
export async function apart<T>(signal: AbortSignal | null | undefined, work: (own: AbortSignal) => PromiseLike<T>): Promise<T> {
  const own = new AbortController();
  const leave = () => own.abort(signal?.reason);
  if (signal?.aborted) leave();
  signal?.addEventListener('abort', leave);
  try {
    return await work(own.signal);
  } finally {
    signal?.removeEventListener('abort', leave);
  }
}
