// Invoices: statements of what was used, and purchases of credits.

import type { APIPromise, OpenAI } from 'openai';
import type { PagePromise } from 'openai/core/pagination';
import { APIResource } from 'openai/core/resource';

import type { Invoice, InvoiceLinks, PurchaseSpec } from '../objects.js';
import { ListPage, type ListParams } from '../pages.js';

type RequestOptions = OpenAI.RequestOptions;

export interface InvoiceListParams extends ListParams {
  kind?: Invoice['kind'];
  status?: Invoice['status'];
  /** The statement of this calendar month, such as `2026-11`. */
  period?: string;
  batch_id?: string;
  from?: string;
  to?: string;
}

export class Invoices extends APIResource {
  /** Buy credits: an invoice, which is paid at its `checkout_url` where the server takes payments online. */
  create(body: PurchaseSpec, options?: RequestOptions): APIPromise<Invoice> {
    return this._client.post('/invoices', { body, ...options });
  }

  retrieve(id: string, options?: RequestOptions): APIPromise<Invoice> {
    return this._client.get(path(id), options);
  }

  /** Invoices, the newest first; `for await` goes through all pages. */
  list(query: InvoiceListParams = {}, options?: RequestOptions): PagePromise<ListPage<Invoice>, Invoice> {
    return this._client.getAPIList<Invoice, ListPage<Invoice>>('/invoices', ListPage, { query, ...options });
  }

  /** Void an open purchase, so that it is never paid. */
  void(id: string, options?: RequestOptions): APIPromise<Invoice> {
    return this._client.post(path(id, 'void'), { body: {}, ...options });
  }

  /** The invoice as a document: `(await client.invoices.document(id)).arrayBuffer()`. */
  document(id: string, format: 'pdf' | 'html' = 'pdf', options?: RequestOptions): APIPromise<Response> {
    return this._client.get(path(id), { query: { format }, ...options, __binaryResponse: true });
  }

  /** Links to that document that need no key, for a day. */
  links(id: string, options?: RequestOptions): APIPromise<InvoiceLinks> {
    return this._client.get(path(id, 'links'), options);
  }
}

function path(id: string, ...rest: string[]): string {
  return ['/invoices', encodeURIComponent(id), ...rest].join('/');
}
