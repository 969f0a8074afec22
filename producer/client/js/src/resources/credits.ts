// Credits: what there is of them, where they went, and when to be told or to have more bought.

import type { APIPromise, OpenAI } from 'openai';
import type { PagePromise } from 'openai/core/pagination';
import { APIResource } from 'openai/core/resource';

import type { AutoTopUp, Balance, CreditHistory, Threshold, Thresholds, Transfer } from '../objects.js';
import { ListPage, type ListParams } from '../pages.js';

type RequestOptions = OpenAI.RequestOptions;

export class Credits extends APIResource {
  /** What is available and what is held. */
  retrieve(options?: RequestOptions): APIPromise<Balance> {
    return this._client.get('/credits', options);
  }

  /** The movements of credits, the newest first; `for await` goes through all pages. */
  transfers(query: ListParams = {}, options?: RequestOptions): PagePromise<ListPage<Transfer>, Transfer> {
    return this._client.getAPIList<Transfer, ListPage<Transfer>>('/credits/transfers', ListPage, { query, ...options });
  }

  /** What remained at the end of each day, UTC, and what came and went on it. Default: the last 30 days. */
  history(query: { from?: string; to?: string } = {}, options?: RequestOptions): APIPromise<CreditHistory> {
    return this._client.get('/credits/history', { query, ...options });
  }

  /** Replace the levels of credit at which a `credit.threshold` event is sent. */
  setThresholds(thresholds: readonly Threshold[], options?: RequestOptions): APIPromise<Thresholds> {
    return this._client.put('/credits/thresholds', { body: { thresholds }, ...options });
  }

  /** The automatic top-up, and whether it is at work. */
  autoTopUp(options?: RequestOptions): APIPromise<AutoTopUp> {
    return this._client.get('/credits/auto_top_up', options);
  }

  /** Have so many credits bought when fewer than `threshold` are available, up to a limit a month. */
  setAutoTopUp(
    wanted: { threshold: number; credits: number; monthly_limit: number },
    options?: RequestOptions,
  ): APIPromise<AutoTopUp> {
    return this._client.put('/credits/auto_top_up', { body: { enabled: true, ...wanted }, ...options });
  }

  /** Have no credits bought automatically any more. */
  stopAutoTopUp(options?: RequestOptions): APIPromise<AutoTopUp> {
    return this._client.put('/credits/auto_top_up', { body: { enabled: false }, ...options });
  }
}
