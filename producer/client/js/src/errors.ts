// The errors of this package: one class for each kind of refusal, under those of the official OpenAI SDK.
//
//   OpenAIError                          the official SDK's
//   ├── APIError                         its; `FusionAIError` is each of ours under it
//   │   ├── APIStatusError               the server answered with an error, of a status without a class of its own
//   │   ├── BadRequestError … GatewayTimeoutError      by status
//   │   ├── APIConnectionError           no answer came (its)
//   │   │   └── APITimeoutError          nothing came for as long as the client waits (its APIConnectionTimeoutError)
//   │   │       └── StreamTimeoutError   in the middle of a stream
//   │   ├── UnexpectedAnswerError        something between here and the server answered in its place
//   │   └── StreamError                  the stream said that it ends without the rest
//   │       └── StreamCutError           the stream ended, or was lost, without its terminal event
//   ├── WaitTimeoutError                 a job is not over after as long as the caller waits
//   └── BatchFailedError                 a batch failed as a whole
//   WebhookVerificationError             a delivery that is not to be acted on (see webhook_verification.ts)

import * as official from 'openai';
import { APIConnectionTimeoutError, APIError, OpenAIError } from 'openai';

export { APIConnectionError, APIError, APIUserAbortError, OpenAIError } from 'openai';
export { APIConnectionTimeoutError as APITimeoutError } from 'openai';

/** What every error of the API says beside OpenAI's `status`, `type`, `param` and `requestID`. */
export interface ErrorDetails {
  /** The cause, for programs, such as `context_length_exceeded`. */
  readonly reason: string | undefined;
  /** The job behind the request: it may go on, and can be asked for at `client.jobs`. */
  readonly jobID: string | undefined;
  /** After how many seconds the server wants to be asked again. */
  readonly retryAfter: number | undefined;
  /** The whole error object of the answer: a 402 has in it what is needed, available and held. */
  readonly details: Readonly<Record<string, unknown>>;
}

// A mixin's constructor has to take anything (TS2545).
type Constructor<T> = new (...args: any[]) => T; // eslint-disable-line @typescript-eslint/no-explicit-any
const OURS = Symbol.for('fusionai.error');

/** A class of the official SDK's, with our details beside its own. */
function detailed<Base extends Constructor<APIError>>(Base: Base) {
  return class extends Base implements ErrorDetails {
    readonly reason: string | undefined;
    readonly jobID: string | undefined;
    readonly retryAfter: number | undefined;
    readonly details: Readonly<Record<string, unknown>>;

    constructor(...args: any[]) {
      super(...args);
      this.name = new.target.name;
      this.details = objectOf(this.error);
      this.reason = textOf(this.details['reason']);
      this.jobID = this.headers?.get('fusionai-job-id') ?? textOf(this.details['job_id']);
      this.retryAfter = askedPause(this.headers);
      Object.defineProperty(this, OURS, { value: true });
      const said = textOf(this.details['request_id']);
      if (said) Object.assign(this, { requestID: said });
    }
  };
}

/** Every error that the API answered with, whatever its class: `error instanceof FusionAIError`. */
export abstract class FusionAIError extends detailed(APIError) {
  static override [Symbol.hasInstance](value: unknown): value is FusionAIError {
    return typeof value === 'object' && value !== null && OURS in value;
  }
}

export class APIStatusError extends detailed(APIError) {}
export class BadRequestError extends detailed(official.BadRequestError) {}
export class AuthenticationError extends detailed(official.AuthenticationError) {}
/** 402: nothing was accepted; `details` says what is needed, what is there, and what would do. */
export class InsufficientCreditsError extends detailed(APIError) {}
export class PermissionDeniedError extends detailed(official.PermissionDeniedError) {}
export class NotFoundError extends detailed(official.NotFoundError) {}
export class MethodNotAllowedError extends detailed(APIError) {}
export class ConflictError extends detailed(official.ConflictError) {}
export class PayloadTooLargeError extends detailed(APIError) {}
export class UnsupportedMediaTypeError extends detailed(APIError) {}
/** 422: the Idempotency-Key was used with another request. */
export class IdempotencyMismatchError extends detailed(official.UnprocessableEntityError) {}
export class RateLimitError extends detailed(official.RateLimitError) {}
export class InternalServerError extends detailed(official.InternalServerError) {}
/** 502: the provider failed, after all retries and fallbacks. */
export class UpstreamError extends detailed(official.InternalServerError) {}
export class UnavailableError extends detailed(official.InternalServerError) {}
/** 504: the job goes on; wait for it with `client.jobs.wait(error.jobID)`. */
export class GatewayTimeoutError extends detailed(official.InternalServerError) {}

/** The answer is a success, and not one of this API; or a list that does not go on. */
export class UnexpectedAnswerError extends detailed(APIError) {}

/**
 * An `error` event ended the stream without the rest; its fields are those of the event.
 *
 * `lastEventID`: from where `client.jobs.stream(error.jobID, { lastEventID })` has the rest.
 */
export class StreamError extends detailed(APIError) {
  lastEventID: string | undefined;

  constructor(error: object | undefined, message: string, headers: Headers | undefined, lastEventID?: string) {
    const { code } = objectOf(error);
    super(typeof code === 'number' ? code : undefined, error, message, headers);
    this.lastEventID = textOf(this.details['last_event_id']) ?? lastEventID;
  }
}

/** The stream ended, or its connection was lost, without its terminal event: what came is not the whole answer. */
export class StreamCutError extends StreamError {
  constructor(
    headers: Headers | undefined,
    lastEventID: string | undefined,
    options?: { cause?: unknown; message?: string },
  ) {
    const usual = 'the stream ended without its last event: what came of the answer is not all of it';
    super(undefined, options?.message ?? usual, headers, lastEventID);
    if (options?.cause !== undefined) this.cause = options.cause;
  }
}

/** So long nothing came of a stream that the client gave up; its job may go on. */
export class StreamTimeoutError extends APIConnectionTimeoutError {
  readonly jobID: string | undefined;

  constructor(
    message: string,
    headers: Headers,
    public lastEventID: string | undefined,
  ) {
    super({ message });
    this.jobID = headers.get('fusionai-job-id') ?? undefined;
  }
}

/** A job is not over after as long as its caller waits. It goes on. */
export class WaitTimeoutError extends OpenAIError {
  constructor(
    readonly jobID: string,
    readonly seconds: number,
  ) {
    super(`job ${jobID} is not over after ${seconds} s, and goes on`);
    this.name = 'WaitTimeoutError';
  }
}

/** A batch failed as a whole: nothing of it was bought. `errors` says which lines are wrong, and how. */
export class BatchFailedError extends OpenAIError {
  constructor(
    readonly batchID: string,
    readonly errors: readonly { code?: string; line?: number | null; message?: string; param?: string | null }[],
  ) {
    const first = errors[0];
    const place = typeof first?.line === 'number' ? `line ${first.line}: ` : '';
    super(`batch ${batchID} failed: ${first ? `${place}${first.message}` : 'no reason was given'}`);
    this.name = 'BatchFailedError';
  }

  /** The code of the first error. */
  get reason(): string | undefined {
    return this.errors[0]?.code;
  }
}

type StatusClass = new (...args: any[]) => APIError & ErrorDetails;

const BY_STATUS: Readonly<Record<number, StatusClass>> = {
  400: BadRequestError,
  401: AuthenticationError,
  402: InsufficientCreditsError,
  403: PermissionDeniedError,
  404: NotFoundError,
  405: MethodNotAllowedError,
  409: ConflictError,
  413: PayloadTooLargeError,
  415: UnsupportedMediaTypeError,
  422: IdempotencyMismatchError,
  429: RateLimitError,
  500: InternalServerError,
  502: UpstreamError,
  503: UnavailableError,
  504: GatewayTimeoutError,
};

/** The error of an answer; `body`: its JSON, if it was any, else `text` has what came. */
export function errorOf(status: number, body: unknown, text: string | undefined, headers: Headers): APIError & ErrorDetails {
  const Kind = BY_STATUS[status] ?? APIStatusError;
  const said = objectOf(body)['error'];
  const error = typeof said === 'string' ? { message: said } : (said ?? body);
  return new Kind(status, error as object | undefined, redirected(status, headers) ?? text, headers);
}

function redirected(status: number, headers: Headers): string | undefined {
  const place = headers.get('location');
  if (!place || status < 300 || status >= 400) return undefined;
  return `it is at ${place.slice(0, 200)}, and redirects are not followed`;
}

/** The seconds that an answer asks to wait for: as a number, a date, or in milliseconds; undefined: it asks for none. */
export function askedPause(headers: Headers | undefined): number | undefined {
  const [ms, text] = [headers?.get('retry-after-ms'), headers?.get('retry-after')];
  const stated = isNumber(ms) ? Number(ms) / 1000 : isNumber(text) ? Number(text) : dateSeconds(text);
  return stated !== undefined && stated > 0 && Number.isFinite(stated) ? stated : undefined;
}

function isNumber(text: string | null | undefined): boolean {
  return /^\s*[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?\s*$/.test(text ?? '');
}

/** The seconds until a date as HTTP has them; what else `Date.parse` takes for one is none. */
function dateSeconds(text: string | null | undefined): number | undefined {
  if (!text || !/^\s*[A-Za-z]{3,9},? /.test(text)) return undefined;
  const seconds = (Date.parse(text) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? undefined : seconds;
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value ? value : undefined;
}
