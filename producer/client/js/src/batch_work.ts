// One batch of `client.batch`: its lines, the keys under which it is made or found, and its results as they come.

import { createHash } from 'node:crypto';

import { APIConnectionError, APIError, type OpenAI } from 'openai';

import { BatchFailedError, FusionAIError, UnexpectedAnswerError } from './errors.js';
import type { Batch, BatchLineResult, File as FileObject } from './objects.js';
import { linesOf, ResultFile } from './result_file.js';
import { apart, backoffSeconds, pause } from './waiting.js';

/** Part of every idempotency key: another way of making lines gets another name. */
const FORMAT = 'sdk-batch-1';
const OVER: ReadonlySet<string> = new Set(['completed', 'failed', 'expired', 'cancelled']);
/** The first pause between two looks at a batch, and the longest; each is a quarter longer than the one before. */
const FIRST_LOOK_SECONDS = 0.25;
const LONGEST_LOOK_SECONDS = 5;
/** Pages of results that are read in one look, what each has, and results of a file that are given at once. */
const MOST_PAGES = 20;
const PAGE = 100;

/** The requests of a batch: its file, until it is made, and those whose results have not been given, in order. */
export class Part {
  content = '';
  readonly waiting = new Set<string>();
  given = 0;
  /** The place in the list of its results up to which they were read; whether there is such a list. */
  after: string | undefined;
  listed = true;

  add(custom_id: string, line: string): void {
    this.waiting.add(custom_id);
    this.content += line;
  }

  /** The results of lines that have not been given yet. */
  take(lines: readonly BatchLineResult[], batch: Batch): BatchResult[] {
    const found = lines.filter(({ custom_id }) => custom_id !== null && this.waiting.delete(custom_id));
    this.given += found.length;
    return found.map((line) => resultOf(line.custom_id as string, line, batch));
  }
}

/** What became of a request: an answer (`body`), an error, or, of one that a provider refused, both. */
export interface BatchResult {
  readonly custom_id: string;
  /** The HTTP status that a call of its own would have had; null: it was never answered. */
  readonly status_code: number | null;
  /** What the synchronous call would have answered; null: it was never answered. */
  readonly body: Record<string, unknown> | null;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly job_id: string | null;
  readonly batch_id: string;
}

/** How batches are made and watched. */
export interface Manner {
  readonly key: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly pollSeconds: number | undefined;
  readonly signal: AbortSignal;
}

/** Make a batch, or find the one that these requests have become, and give their results as they come. */
export async function* carryOut(
  client: OpenAI,
  part: Part,
  manner: Manner,
  onLook: (batch: Batch) => void,
): AsyncGenerator<BatchResult[], void, undefined> {
  const made = await submit(client, part.content, manner);
  part.content = '';
  let wait = manner.pollSeconds ?? FIRST_LOOK_SECONDS;
  for (let batch = made; ; batch = await look(client, made.id, manner)) {
    onLook(batch);
    if (batch.status === 'failed') throw new BatchFailedError(batch.id, batch.errors?.data ?? []);
    if (OVER.has(batch.status)) {
      yield* rest(client, part, batch, manner);
      return;
    }
    if (yield* early(client, part, batch, manner)) continue;
    await pause(wait, manner.signal);
    wait = manner.pollSeconds ?? Math.min(wait * 1.25, LONGEST_LOOK_SECONDS);
  }
}

/** The results of lines that have ended, as many as the counts say there are; returns whether there are more at once. */
async function* early(
  client: OpenAI,
  part: Part,
  batch: Batch,
  manner: Manner,
): AsyncGenerator<BatchResult[], boolean, undefined> {
  const { completed, failed } = batch.request_counts;
  for (let pages = 0; pages < MOST_PAGES; pages += 1) {
    if (!part.listed || part.given >= completed + failed) return false;
    const page = await pageOf(client, part, batch, manner);
    if (!page) return false;
    const results = part.take(page.data, batch);
    if (results.length) yield results;
    const goesOn = page.has_more && page.last_id !== part.after;
    part.after = page.last_id ?? part.after;
    if (!goesOn) return false;
  }
  return true;
}

type Page = { data: BatchLineResult[]; has_more: boolean; last_id: string | null };

/** A page of the results that are there; undefined: not now or, where the server has no such list, never. */
async function pageOf(client: OpenAI, part: Part, batch: Batch, { signal }: Manner): Promise<Page | undefined> {
  const query = { limit: PAGE, ...(part.after !== undefined && { after: part.after }) };
  const path = `/batches/${encodeURIComponent(batch.id)}/results`;
  try {
    const page = await apart(signal, (own) => client.get<Page>(path, { query, signal: own }));
    return Array.isArray(page.data) ? page : undefined;
  } catch (error) {
    if (signal.aborted || !(error instanceof APIError)) throw error;
    part.listed = isPassing(error);
    return undefined;
  }
}

/** What has not been given of a batch that is over. */
async function* rest(client: OpenAI, part: Part, batch: Batch, manner: Manner): AsyncGenerator<BatchResult[], void> {
  for (const id of [batch.output_file_id, batch.error_file_id]) {
    if (!id || !part.waiting.size) continue;
    const file = await fetched(client, id, manner);
    try {
      for await (const lines of linesOf<BatchLineResult>(file, PAGE)) {
        const results = part.take(lines, batch);
        if (results.length) yield results;
      }
    } finally {
      await file.close();
    }
  }
  if (part.waiting.size) yield [...part.waiting].map((custom_id) => resultOf(custom_id, undefined, batch));
  part.waiting.clear();
}

/**
 * The batch of this content, made or found. One that was found and has failed as a whole cost nothing: another is made.
 * A file that was found and has been deleted since is uploaded again.
 */
async function submit(client: OpenAI, content: string, manner: Manner): Promise<Batch> {
  const hash = createHash('sha256').update(content).digest('hex');
  const name = (purpose: string, number: number) => keyOf(client, manner, [hash, purpose, String(number)]);
  for (let files = 0, batches = 0; ; ) {
    const file = await upload(client, content, name('file', files), manner);
    try {
      for (; ; batches += 1) {
        const { made, replayed } = await create(client, file.id, name('batch', batches), manner);
        const batch = replayed ? await look(client, made.id, manner) : made;
        if (!(replayed && batch.status === 'failed')) return batch;
      }
    } catch (error) {
      if (!(await isGone(client, file.id, error))) throw error;
      files += 1;
    }
  }
}

function keyOf(client: OpenAI, manner: Manner, parts: readonly string[]): string {
  const mode = client.apiKey?.startsWith('fusionai_test_') ? 'test' : 'live';
  const text = [FORMAT, mode, manner.key, ...parts].join('\0');
  return `${FORMAT}-${createHash('sha256').update(text).digest('hex').slice(0, 40)}`;
}

async function upload(client: OpenAI, content: string, key: string, manner: Manner): Promise<FileObject> {
  const file = new File([content], 'batch.jsonl', { type: 'application/jsonl' });
  const made: unknown = await apart(manner.signal, (signal) =>
    client.files.create({ file, purpose: 'batch' }, { idempotencyKey: key, signal }),
  );
  return made as FileObject;
}

async function create(client: OpenAI, fileID: string, key: string, manner: Manner) {
  const body = { input_file_id: fileID, ...manner.body };
  const { data, response } = await apart(manner.signal, (signal) =>
    client.post<Batch>('/batches', { body, idempotencyKey: key, signal }).withResponse(),
  );
  return { made: data, replayed: response.headers.get('idempotent-replayed') === 'true' };
}

/** Whether a batch was refused because its file is not there any more. */
async function isGone(client: OpenAI, fileID: string, error: unknown): Promise<boolean> {
  if (!(error instanceof APIError) || ![400, 404, 422].includes(error.status ?? 0)) return false;
  return client.files.retrieve(fileID).then(
    () => false,
    (missing: unknown) => missing instanceof APIError && missing.status === 404,
  );
}

function look(client: OpenAI, id: string, manner: Manner): Promise<Batch> {
  return insist(manner, (signal) => client.get<Batch>(`/batches/${encodeURIComponent(id)}`, { signal }));
}

/** A file on this machine's disk, whole. */
function fetched(client: OpenAI, fileID: string, manner: Manner): Promise<ResultFile> {
  return insist(manner, async (signal) => ResultFile.of(await client.files.content(fileID, { signal })));
}

/** Read something for as long as it takes: hours of work are not given up for a server that is away for a while. */
async function insist<T>({ signal }: Manner, once: (own: AbortSignal) => PromiseLike<T>): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await apart(signal, once);
    } catch (error) {
      if (!isPassing(error) || signal.aborted) throw error;
    }
    await pause(backoffSeconds(failures), signal);
  }
}

function isPassing(error: unknown): boolean {
  if (error instanceof APIConnectionError || error instanceof UnexpectedAnswerError) return true;
  const status = error instanceof FusionAIError ? error.status : undefined;
  return status === 429 || (status ?? 0) >= 500;
}

function resultOf(custom_id: string, line: BatchLineResult | undefined, batch: Batch): BatchResult {
  const response = line?.response ?? null;
  return {
    custom_id,
    status_code: response?.status_code ?? null,
    body: response?.body ?? null,
    error: line?.error ?? (response ? errorOf(response) : { code: `batch_${batch.status}`, message: missing(batch) }),
    job_id: response?.request_id ?? null,
    batch_id: batch.id,
  };
}

function errorOf({ status_code, body }: NonNullable<BatchLineResult['response']>): BatchResult['error'] {
  if (status_code < 400) return null;
  const { error } = (body ?? {}) as { error?: { reason?: string; type?: string; message?: string } };
  return {
    code: error?.reason ?? error?.type ?? String(status_code),
    message: error?.message ?? 'the line failed without a message',
  };
}

function missing(batch: Batch): string {
  return `batch ${batch.id} is ${batch.status}, and has no result of this request`;
}
