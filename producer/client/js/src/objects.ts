// The objects of the API, as its OpenAPI document describes them (api.ts is made from it), and the filters of jobs.

import type { CancelSpec, ChatCompletionJob, EmbeddingJob, ImageJob, Job } from './api.js';
import type { ListParams } from './pages.js';

export type {
  Attempt,
  AutoTopUp,
  Balance,
  Batch,
  BatchSpec,
  CallbackSecret,
  ChatCompletionJob,
  CreditHistory,
  DeletedWebhook,
  Delivery,
  EmbeddingJob,
  Event,
  EventType,
  Fault,
  File,
  ImageJob,
  Invoice,
  InvoiceLinks,
  Job,
  JobCount,
  JobError,
  JobInput,
  JobSummary,
  Jobs,
  JobsCancelled,
  JobsDryRun,
  Model,
  NewCallbackSecret,
  NewSecret,
  PurchaseSpec,
  RedeliverSpec,
  Redelivery,
  Threshold,
  Thresholds,
  Transfer,
  UsageGroup,
  UsageGroups,
  UsageReport,
  UsageRow,
  UsageSeries,
  Webhook,
  WebhookChange,
  WebhookSpec,
} from './api.js';

/** What a job asks: `type`, `model`, the fields of its endpoint, and `metadata`. */
export type JobRequest = ChatCompletionJob | EmbeddingJob | ImageJob;

/** Which jobs: filters can be combined; times are Unix seconds. */
export interface JobFilter {
  status?: Job['status'] | readonly Job['status'][];
  type?: Job['type'];
  model?: string;
  key_id?: string;
  batch_id?: string;
  created_after?: number;
  created_before?: number;
  metadata?: Readonly<Record<string, string>>;
}

export interface JobListParams extends JobFilter, ListParams {
  ids?: readonly string[];
  /** Default: true. Without them `result` of each is null: a page of embeddings or images has megabytes. */
  include_results?: boolean;
}

/** Which jobs are to be cancelled; with `dry_run` they are only counted. */
export type JobCancelParams = CancelSpec;

/** A line of a batch's output or error file. */
export interface BatchLineResult {
  custom_id: string | null;
  response: { status_code: number; request_id: string; body: Record<string, unknown> } | null;
  error: { code: string; message: string } | null;
}
