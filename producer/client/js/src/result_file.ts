// A file of results on disk while it is read: those of embeddings are many megabytes, more than a text can have.

import { open, unlink, mkdtemp, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const NEWLINE = 0x0a;
const READ_BYTES = 1 << 20;

/** A file that is gone once it is closed. */
export class ResultFile {
  private constructor(
    private readonly handle: FileHandle,
    private readonly folder: string,
  ) {}

  /** The body of an answer, once all of it is there. */
  static async of(response: Response): Promise<ResultFile> {
    const folder = await mkdtemp(join(tmpdir(), 'fusionai-'));
    const path = join(folder, 'results.jsonl');
    const file = new ResultFile(await open(path, 'wx+', 0o600), folder);
    try {
      await unlink(path).catch(() => undefined); // where an open file cannot be unlinked, it is once it is closed
      if (response.body) for await (const piece of response.body) await file.handle.write(piece);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** The bytes from the beginning on. */
  async *pieces(): AsyncGenerator<Buffer, void, undefined> {
    for (let at = 0; ; ) {
      const { bytesRead, buffer } = await this.handle.read(Buffer.alloc(READ_BYTES), 0, READ_BYTES, at);
      if (!bytesRead) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async close(): Promise<void> {
    await this.handle.close().catch(() => undefined);
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** The values of the file's lines, some at a time. */
export async function* linesOf<Line>(file: ResultFile, most: number): AsyncGenerator<Line[], void, undefined> {
  let found: Line[] = [];
  for await (const line of texts(file)) {
    if (line.trim()) found.push(JSON.parse(line) as Line);
    if (found.length >= most) {
      yield found;
      found = [];
    }
  }
  if (found.length) yield found;
}

async function* texts(file: ResultFile): AsyncGenerator<string, void, undefined> {
  let open: Buffer[] = [];
  for await (const piece of file.pieces()) {
    let start = 0;
    for (let end = piece.indexOf(NEWLINE); end >= 0; end = piece.indexOf(NEWLINE, start)) {
      yield Buffer.concat([...open, piece.subarray(start, end)]).toString();
      open = [];
      start = end + 1;
    }
    open.push(piece.subarray(start));
  }
  yield Buffer.concat(open).toString();
}
