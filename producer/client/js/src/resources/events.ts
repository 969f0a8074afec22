// Events: everything that happened, in order; whoever reads them after the last one that was seen misses none.

import type { APIPromise, OpenAI } from 'openai';
import type { PagePromise } from 'openai/core/pagination';
import { APIResource } from 'openai/core/resource';

import type { Delivery, Event, EventType } from '../objects.js';
import { ListPage, type ListParams } from '../pages.js';
import { pause } from '../waiting.js';

type RequestOptions = OpenAI.RequestOptions;

export interface EventListParams extends ListParams {
  /** Only events of this type, or of one of several. */
  type?: string | readonly string[];
  /** Default: the oldest first. */
  order?: 'asc' | 'desc';
}

export interface SinceParams {
  /** How many are fetched at a time, from 1 to 100. */
  limit?: number;
  type?: string | readonly string[];
  /** Go on for ever, looking for new events every so many seconds. Default: end with the last event that there is. */
  followSeconds?: number;
}

export class Events extends APIResource {
  /** Events, the oldest first; `for await` goes through all pages. */
  list({ type, ...rest }: EventListParams = {}, options?: RequestOptions): PagePromise<ListPage<Event>, Event> {
    const query = { ...rest, ...(type !== undefined && { type: [type].flat().join(',') }) };
    return this._client.getAPIList<Event, ListPage<Event>>('/events', ListPage, { query, ...options });
  }

  /** Every event after the one with this id (none: from the first on), in order. */
  async *since(after?: string, params: SinceParams = {}, options?: RequestOptions): AsyncGenerator<Event, void, undefined> {
    const { followSeconds, ...query } = { limit: 100, ...params };
    for (let last = after; ; ) {
      const page: ListPage<Event> = await this.list({ ...query, ...(last !== undefined && { after: last }) }, options);
      yield* page.data;
      const more = page.hasNextPage();
      last = page.last_id ?? last;
      if (more) continue;
      if (followSeconds === undefined) return;
      await pause(followSeconds, options?.signal);
    }
  }

  retrieve(id: string, options?: RequestOptions): APIPromise<Event> {
    return this._client.get(path(id), options);
  }

  /** The types of events, each with when it is sent and an example. */
  types(query: ListParams = {}, options?: RequestOptions): PagePromise<ListPage<EventType>, EventType> {
    return this._client.getAPIList<EventType, ListPage<EventType>>('/events/types', ListPage, { query, ...options });
  }

  /** Send an event again, to its callback and to the webhooks that had it. */
  redeliver(id: string, options?: RequestOptions): APIPromise<Event> {
    return this._client.post(path(id, 'redeliver'), { body: {}, ...options });
  }

  /** Where an event was sent, and what came of it. */
  deliveries(id: string, query: ListParams = {}, options?: RequestOptions): PagePromise<ListPage<Delivery>, Delivery> {
    const place = path(id, 'deliveries');
    return this._client.getAPIList<Delivery, ListPage<Delivery>>(place, ListPage, { query, ...options });
  }
}

function path(id: string, ...rest: string[]): string {
  return ['/events', encodeURIComponent(id), ...rest].join('/');
}
