// Jobs: the durable thing behind every call. Create one or many, wait for them, read their streams on after a break.

import type { APIPromise, OpenAI } from 'openai';
import { APIResource } from 'openai/core/resource';
import type { PagePromise } from 'openai/core/pagination';

import { WaitTimeoutError } from '../errors.js';
import { JobStream, type StreamRequestOptions } from '../job_stream.js';
import type {
  Delivery,
  Job,
  JobCancelParams,
  JobCount,
  JobFilter,
  JobInput,
  JobListParams,
  JobRequest,
  JobSummary,
  Jobs as JobList,
  JobsCancelled,
  JobsDryRun,
} from '../objects.js';
import { ListPage, type ListParams } from '../pages.js';
import { answerSeconds, apart, pause } from '../waiting.js';

type RequestOptions = OpenAI.RequestOptions;

/** A server that answers a long poll at once is asked again after so long, in seconds. */
const BETWEEN_POLLS_SECONDS = 0.5;

/** How a job is waited for. */
export interface WaitParams {
  /** Give up after so many seconds, with a `WaitTimeoutError`; the job goes on. Default: never. */
  timeoutSeconds?: number;
}

/** How a job's stream is read. */
export interface StreamParams {
  /** Go on after this event, which an earlier reader had last (`stream.lastEventID`, `error.lastEventID`). */
  lastEventID?: string;
  /** Whether the last chunk has the usage. Default: true. */
  includeUsage?: boolean;
}

export class Jobs extends APIResource {
  /** Accept a job; it is there, `queued`, when this returns. */
  create(job: JobRequest, options?: RequestOptions): APIPromise<Job> {
    return this._client.post('/jobs', { body: job, ...options });
  }

  /** Accept up to 1,000 jobs, all or none; they come back in the same order. */
  async createMany(jobs: readonly JobRequest[], options?: RequestOptions): Promise<Job[]> {
    const made = await this._client.post<JobList>('/jobs', { body: { jobs }, ...options });
    return made.data;
  }

  /** What jobs would cost; nothing is made. */
  quote(jobs: JobRequest | readonly JobRequest[], options?: RequestOptions): APIPromise<JobsDryRun> {
    const body = Array.isArray(jobs) ? { jobs, dry_run: true } : { ...jobs, dry_run: true };
    return this._client.post('/jobs', { body, ...options });
  }

  /** The job now; with `wait` once it is over, or after that many seconds. */
  retrieve(id: string, query: { wait?: number } = {}, options?: RequestOptions): APIPromise<Job> {
    return this._client.get(path(id), { query, ...options });
  }

  /** What a job asked, as it can be sent again. */
  input(id: string, options?: RequestOptions): APIPromise<JobInput> {
    return this._client.get(path(id, 'input'), options);
  }

  /** The job once it is over, however it ended: look at its `status`. */
  async wait(id: string, params: WaitParams = {}, options?: RequestOptions): Promise<Job> {
    const { timeoutSeconds } = params;
    const deadline = timeoutSeconds === undefined ? Infinity : Date.now() + timeoutSeconds * 1000;
    for (;;) {
      const began = Date.now();
      const left = Math.max(0, (deadline - began) / 1000);
      const wait = Math.min(answerSeconds(options?.timeout ?? this._client.timeout), left);
      const job = await apart(options?.signal, (signal) =>
        this.retrieve(id, { wait: Number(wait.toFixed(3)) }, { ...options, signal }),
      );
      if (job.finished_at !== null) return job;
      if (Date.now() >= deadline) throw new WaitTimeoutError(id, timeoutSeconds ?? 0);
      const early = Math.min(BETWEEN_POLLS_SECONDS, left) - (Date.now() - began) / 1000;
      await pause(early, options?.signal);
    }
  }

  /** The chunks of a chat job, from the first one, whether it runs or is over; a lost connection is taken up again. */
  stream(id: string, params: StreamParams = {}, options?: StreamRequestOptions): JobStream {
    return new JobStream(this._client, path(id, 'stream'), params, options);
  }

  /** Jobs, the newest first; `for await` goes through all pages. */
  list(query: JobListParams = {}, options?: RequestOptions): PagePromise<ListPage<Job>, Job> {
    return this._client.getAPIList<Job, ListPage<Job>>('/jobs', ListPage, { query: filter(query), ...options });
  }

  /** How many jobs there are, up to 10,000. */
  count(query: JobFilter = {}, options?: RequestOptions): APIPromise<JobCount> {
    return this._client.get('/jobs/count', { query: filter(query), ...options });
  }

  /** How many are queued and running, and how many ended of late. */
  summary(options?: RequestOptions): APIPromise<JobSummary> {
    return this._client.get('/jobs/summary', options);
  }

  /** Ask that a job end; one that has ended stays as it is. */
  cancel(id: string, options?: RequestOptions): APIPromise<Job> {
    return this._client.post(path(id, 'cancel'), { body: {}, ...options });
  }

  /** Cancel the jobs that meet a filter, up to 2,000 in a call: while `has_more`, go on with `after: last_id`. */
  cancelMany(body: JobCancelParams, options?: RequestOptions): APIPromise<JobsCancelled> {
    return this._client.post('/jobs/cancel', { body, ...options });
  }

  /** The deliveries of the event of a job's end. */
  deliveries(id: string, query: ListParams = {}, options?: RequestOptions): PagePromise<ListPage<Delivery>, Delivery> {
    const place = path(id, 'deliveries');
    return this._client.getAPIList<Delivery, ListPage<Delivery>>(place, ListPage, { query, ...options });
  }
}

function path(id: string, ...rest: string[]): string {
  return ['/jobs', encodeURIComponent(id), ...rest].join('/');
}

/** The query of a filter: labels by their names, several statuses with commas between them. */
function filter({ metadata, status, ids, ...query }: JobListParams): Record<string, unknown> {
  const labels = Object.entries(metadata ?? {}).map(([name, value]) => [`metadata.${name}`, value]);
  const listed = { ...(status && { status: [status].flat().join(',') }), ...(ids && { ids: ids.join(',') }) };
  return { ...query, ...listed, ...Object.fromEntries(labels) };
}
