// Webhooks: where events are sent, what became of it, and whether what comes is genuine.

import type { APIPromise, OpenAI } from 'openai';
import type { PagePromise } from 'openai/core/pagination';
import { Webhooks as OfficialWebhooks, type UnwrapWebhookEvent } from 'openai/resources/webhooks/webhooks';

import type {
  CallbackSecret,
  DeletedWebhook,
  Delivery,
  Event,
  NewCallbackSecret,
  NewSecret,
  RedeliverSpec,
  Redelivery,
  Webhook,
  WebhookChange,
  WebhookSpec,
} from '../objects.js';
import { ListPage, type ListParams } from '../pages.js';
import { verify, type HeadersOfDelivery, type VerifyOptions } from '../webhook_verification.js';

type RequestOptions = OpenAI.RequestOptions;
type OfficialHeaders = Parameters<OfficialWebhooks['unwrap']>[1];

/** How long the secrets before this one remain valid: a day unless it is said; 0 where one has leaked. */
export interface RotateParams {
  overlap_seconds?: number;
}

export class Webhooks extends OfficialWebhooks {
  /** Have events sent to a URL; only this answer has the signing secret. No `events`: all of them. */
  create(body: WebhookSpec, options?: RequestOptions): APIPromise<NewSecret> {
    return this._client.post('/webhooks', { body, ...options });
  }

  retrieve(id: string, options?: RequestOptions): APIPromise<Webhook> {
    return this._client.get(path(id), options);
  }

  /** The webhooks; `for await` goes through all pages. */
  list(query: ListParams = {}, options?: RequestOptions): PagePromise<ListPage<Webhook>, Webhook> {
    return this._client.getAPIList<Webhook, ListPage<Webhook>>('/webhooks', ListPage, { query, ...options });
  }

  /** Change the URL, the events, the description or the status of a webhook. */
  update(id: string, body: WebhookChange, options?: RequestOptions): APIPromise<Webhook> {
    return this._client.patch(path(id), { body, ...options });
  }

  /** Send nothing more to it. */
  delete(id: string, options?: RequestOptions): APIPromise<DeletedWebhook> {
    return this._client.delete(path(id), options);
  }

  /** Give it a new secret, which this answer shows. */
  rotate(id: string, body: RotateParams = {}, options?: RequestOptions): APIPromise<NewSecret> {
    return this._client.post(path(id, 'rotate'), { body, ...options });
  }

  /** Send a `webhook.test` event to it. */
  test(id: string, options?: RequestOptions): APIPromise<Webhook> {
    return this._client.post(path(id, 'test'), { body: {}, ...options });
  }

  /** What was sent to it, the newest first, with every attempt. */
  deliveries(id: string, query: ListParams = {}, options?: RequestOptions): PagePromise<ListPage<Delivery>, Delivery> {
    const place = path(id, 'deliveries');
    return this._client.getAPIList<Delivery, ListPage<Delivery>>(place, ListPage, { query, ...options });
  }

  /** Send to it again what failed, what it is missing, or all, since a time: part by part, as they are asked for. */
  async *redeliver(
    id: string,
    body: RedeliverSpec,
    options?: RequestOptions,
  ): AsyncGenerator<Redelivery, void, undefined> {
    for (let after = body.after; ; ) {
      const wanted = { ...body, ...(after != null && { after }) };
      const part = await this._client.post<Redelivery>(path(id, 'redeliver'), { body: wanted, ...options });
      yield part;
      if (!part.has_more) return;
      after = part.last_id;
    }
  }

  /** What is known of the secret that signs deliveries to the `callback_url` of jobs and batches. */
  secret(options?: RequestOptions): APIPromise<CallbackSecret> {
    return this._client.get('/webhook_secret', options);
  }

  /** Rotate that secret; only this answer shows it. */
  rotateSecret(body: RotateParams = {}, options?: RequestOptions): APIPromise<NewCallbackSecret> {
    return this._client.post('/webhook_secret/rotate', { body, ...options });
  }

  /**
   * The event of a delivery that is genuine; else a `WebhookVerificationError` with its `reason`.
   *
   * `body`: as received, before any parsing. `secret`: one, or several; default: the client's `webhookSecret`.
   */
  verify(
    body: string | Uint8Array,
    headers: HeadersOfDelivery,
    secret: string | readonly string[] | null = this._client.webhookSecret,
    options: VerifyOptions = {},
  ): Event {
    if (secret === null) throw new TypeError('no secret: give one, or the client a `webhookSecret`');
    return verify(body, headers, secret, options);
  }

  /** The same as `verify`, by the name and the arguments of the official SDK's function. */
  override unwrap(
    payload: string | Uint8Array,
    headers: HeadersOfDelivery,
    secret?: string | readonly string[] | null,
    toleranceSeconds?: number,
  ): Promise<Event>;
  override unwrap(
    payload: string,
    headers: OfficialHeaders,
    secret?: string | null,
    tolerance?: number,
  ): Promise<UnwrapWebhookEvent>;
  override async unwrap(
    payload: string | Uint8Array,
    headers: unknown,
    secret?: string | readonly string[] | null,
    toleranceSeconds?: number,
  ): Promise<never> {
    const options = toleranceSeconds === undefined ? {} : { toleranceSeconds };
    const given = secret ?? this._client.webhookSecret;
    return this.verify(payload, headers as HeadersOfDelivery, given, options) as never;
  }
}

function path(id: string, ...rest: string[]): string {
  return ['/webhooks', encodeURIComponent(id), ...rest].join('/');
}
