// One batch of `client.batch`: its lines, the keys under which it is made or found, its end, and its results.

import { createHash } from 'node:crypto';

import { APIConnectionError, APIError, type OpenAI } from 'openai';

import { BatchFailedError, FusionAIError } from './errors.js';
import type { Batch, BatchLineResult, File as FileObject } from './objects.js';
import { apart, backoffSeconds, pause } from './waiting.js';

/** Part of every idempotency key: another way of making lines gets another name. */
const FORMAT = 'sdk-batch-1';
const OVER: ReadonlySet<string> = new Set(['completed', 'failed', 'expired', 'cancelled']);
/** The first pause between two looks at a batch, and the longest; each is a quarter longer than the one before. */
const FIRST_LOOK_SECONDS = 0.25;
const LONGEST_LOOK_SECONDS = 5;

/** A request as a line of a batch's file. */
export interface Line {
  readonly custom_id: string;
  readonly text: string;
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

/** Make a batch of lines, or find the one that they have become, wait for its end, and give a result for each line. */
export async function carryOut(
  client: OpenAI,
  lines: readonly Line[],
  manner: Manner,
  onLook: (batch: Batch) => void,
): Promise<BatchResult[]> {
  const content = lines.map((line) => line.text).join('');
  const batch = await watch(client, await submit(client, content, manner), manner, onLook);
  const found = new Map<string, BatchLineResult>();
  for (const id of [batch.output_file_id, batch.error_file_id]) {
    if (id) for (const result of await read(client, id, manner)) if (result.custom_id) found.set(result.custom_id, result);
  }
  return lines.map(({ custom_id }) => resultOf(custom_id, found.get(custom_id), batch));
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
  const options = JSON.stringify(Object.entries(manner.body).sort());
  const text = [FORMAT, mode, manner.key, parts[1] === 'batch' ? options : '', ...parts].join('\0');
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

/** The batch once it is over. */
async function watch(client: OpenAI, made: Batch, manner: Manner, onLook: (batch: Batch) => void): Promise<Batch> {
  let wait = manner.pollSeconds ?? FIRST_LOOK_SECONDS;
  for (let batch = made; ; batch = await look(client, made.id, manner)) {
    onLook(batch);
    if (batch.status === 'failed') throw new BatchFailedError(batch.id, batch.errors?.data ?? []);
    if (OVER.has(batch.status)) return batch;
    await pause(wait, manner.signal);
    wait = manner.pollSeconds ?? Math.min(wait * 1.25, LONGEST_LOOK_SECONDS);
  }
}

function look(client: OpenAI, id: string, manner: Manner): Promise<Batch> {
  return insist(manner, (signal) => client.get<Batch>(`/batches/${encodeURIComponent(id)}`, { signal }));
}

function read(client: OpenAI, fileID: string, manner: Manner): Promise<BatchLineResult[]> {
  return insist(manner, async (signal) => {
    const text = await (await client.files.content(fileID, { signal })).text();
    const lines = text.split('\n').filter((line) => line.trim());
    return lines.map((line) => JSON.parse(line) as BatchLineResult);
  });
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
  if (error instanceof APIConnectionError) return true;
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
  const { error } = body as { error?: { reason?: string; type?: string; message?: string } };
  return { code: error?.reason ?? error?.type ?? 'unknown', message: error?.message ?? `status ${status_code}` };
}

function missing(batch: Batch): string {
  return `batch ${batch.id} is ${batch.status}, and has no result of this request`;
}
