// Pages of lists: `await` gives one, `for await` everything on it and on those after it.

import { AbstractPage, type PageRequestOptions } from 'openai/core/pagination';

import { UnexpectedAnswerError } from './errors.js';

type PageArguments = ConstructorParameters<typeof AbstractPage>;

/** What a page of a list is in an answer. */
export interface ListBody<Item> {
  data: Item[];
  has_more: boolean;
  first_id: string | null;
  last_id: string | null;
}

/** How much of a list: `limit` from 1 to 100, `after` an id. */
export interface ListParams {
  limit?: number;
  after?: string;
}

/** A page. One that is narrowed may have fewer rows than asked for, even none, and others after it. */
export class ListPage<Item> extends AbstractPage<Item> implements ListBody<Item> {
  readonly data: Item[];
  readonly has_more: boolean;
  readonly first_id: string | null;
  readonly last_id: string | null;

  constructor(client: PageArguments[0], response: Response, body: ListBody<Item>, options: PageArguments[3]) {
    super(client, response, body, options);
    this.data = body.data ?? [];
    this.has_more = body.has_more ?? false;
    this.first_id = body.first_id ?? null;
    this.last_id = body.last_id ?? null;
  }

  override getPaginatedItems(): Item[] {
    return this.data;
  }

  override hasNextPage(): boolean {
    return this.nextPageRequestOptions() !== null;
  }

  override nextPageRequestOptions(): PageRequestOptions | null {
    if (!this.has_more || !this.last_id) return null;
    const query = this.options.query as { after?: unknown } | null | undefined;
    if (query?.after === this.last_id) {
      throw new UnexpectedAnswerError(undefined, undefined, `the list does not go on after ${this.last_id}`, undefined);
    }
    return { ...this.options, query: { ...query, after: this.last_id } };
  }
}
