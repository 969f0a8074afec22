// The package `@fusionai/sdk`: the official OpenAI SDK's client, with what FusionAI has beside it.

export { FusionAI, FusionAI as default, type ClientOptions } from './client.js';
export type { BatchOptions, BatchProgress, BatchRequest } from './batch.js';
export type { BatchResult } from './batch_work.js';
export * from './errors.js';
export type { ChatExtras, EmbeddingExtras, ImageExtras, UsageExtras } from './extras.js';
export { JobStream, type StreamRequestOptions } from './job_stream.js';
export { ListPage, type ListBody, type ListParams } from './pages.js';
export type { Credits } from './resources/credits.js';
export type { EventListParams, Events, SinceParams } from './resources/events.js';
export type { InvoiceListParams, Invoices } from './resources/invoices.js';
export type { Jobs, StreamParams, WaitParams } from './resources/jobs.js';
export type { Usage, UsageGroupParams, UsageParams, UsageSeriesParams } from './resources/usage.js';
export type { RotateParams, Webhooks } from './resources/webhooks.js';
export * from './webhook_verification.js';
export type * as objects from './objects.js';
export { toFile } from 'openai';
