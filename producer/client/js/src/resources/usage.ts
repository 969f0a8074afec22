// Usage: what was used in a period, row by row, in sums, and over time.

import type { APIPromise, OpenAI } from 'openai';
import type { PagePromise } from 'openai/core/pagination';
import { APIResource } from 'openai/core/resource';

import type { UsageGroup, UsageGroups, UsageReport, UsageRow, UsageSeries } from '../objects.js';
import { ListPage, type ListParams } from '../pages.js';

type RequestOptions = OpenAI.RequestOptions;

/** Days are inclusive and in UTC (`2026-11-21`). Default: from the first of this month to today. */
export interface UsageParams extends ListParams {
  from?: string;
  to?: string;
  model?: string;
  batch_id?: string;
}

/** `group_by`: `model`, `key`, `day`, `metadata.NAME`, or several with commas between them. */
export interface UsageGroupParams extends UsageParams {
  group_by: string;
}

export interface UsageSeriesParams {
  interval?: UsageSeries['interval'];
  /** Unix time in seconds. */
  since?: number;
  until?: number;
  model?: string;
  key_id?: string;
}

export class Usage extends APIResource {
  /** The totals of a period, and a page of its rows. */
  retrieve(query: UsageParams = {}, options?: RequestOptions): APIPromise<UsageReport> {
    return this._client.get('/usage', { query, ...options });
  }

  /** The rows of a period; `for await` goes through all pages. */
  rows(query: UsageParams = {}, options?: RequestOptions): PagePromise<ListPage<UsageRow>, UsageRow> {
    return this._client.getAPIList<UsageRow, ListPage<UsageRow>>('/usage', ListPage, { query, ...options });
  }

  /** The sums of a period by something, and a page of its groups. */
  by(query: UsageGroupParams, options?: RequestOptions): APIPromise<UsageGroups> {
    return this._client.get('/usage', { query, ...options });
  }

  /** The groups of a period; `for await` goes through all pages. */
  groups(query: UsageGroupParams, options?: RequestOptions): PagePromise<ListPage<UsageGroup>, UsageGroup> {
    return this._client.getAPIList<UsageGroup, ListPage<UsageGroup>>('/usage', ListPage, { query, ...options });
  }

  /** Jobs, credits and tokens over time. */
  series(query: UsageSeriesParams = {}, options?: RequestOptions): APIPromise<UsageSeries> {
    return this._client.get('/usage/series', { query, ...options });
  }
}
