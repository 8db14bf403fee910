// One file through the real parse path, from its first byte to its last, slice by slice: each begins where the one before really
// ended. The source does this speculatively and in parallel; here the order is the simplest that is right. No output.

import { randomUUID } from 'node:crypto';
import { closeSync, constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { KeyTable } from '../../core/key-table.ts';
import type { ParsedChunk, Rows } from '../../core/chunk.ts';
import { KEY_BYTES } from '../../core/chunk.ts';
import type { Dialect, GenerationId, ParsedSlice } from '../../core/slice.ts';
import { SLICE_BYTES } from '../../core/slice.ts';
import { MillraceError } from '../../errors.ts';
import type { Pool } from '../../pool.ts';
import type { UnpackRule } from '../../source/unpack.ts';
import { isPackedName, unpack } from '../../source/unpack.ts';
import type { Counts, RejectSample } from '../../telemetry/meters.ts';

/** At most so many rejects are listed in all; the rest is counted. */
const REJECTS_LISTED_MAX = 10_000;

export interface CheckedFile extends Counts {
  readonly name: string;
  readonly ms: number;
  /** Why the file as a whole would be refused, or null. */
  readonly refused: string | null;
}

/** What all files of one check share: a key counts as a duplicate wherever it stood before. */
export interface CheckState {
  readonly pool: Pick<Pool, 'parse'>;
  readonly dialect: Dialect;
  readonly unpacking: UnpackRule;
  readonly signal: AbortSignal;
  readonly keys: KeyTable;
  readonly rejects: RejectSample[];
}

type Parsed = Extract<ParsedSlice, { kind: 'parsed' }>;
type Sums = { -readonly [K in keyof CheckedFile]: CheckedFile[K] };

const KEYS_AT_FIRST = 4_096;
/** 13 GB of keys: a file that has more is beyond what one process should check. */
const KEYS_MAX = 2 ** 29;
const KEY_WORDS = KEY_BYTES / 4;

export function createKeys(): KeyTable {
  return new KeyTable(KEYS_AT_FIRST, KEYS_MAX, hashOf);
}

/** @throws {MillraceError} `input` when the file cannot be read */
export async function checkFile(state: CheckState, name: string): Promise<CheckedFile> {
  const beganMs = performance.now();
  const file = await openFile(name);
  try {
    const sums: Sums = { name, ms: 0, refused: null, records: 0, inserted: 0, duplicates: 0, rejected: 0 };
    if (isPackedName(Buffer.from(name))) await readPacked(state, sums);
    else await readSlices(state, file.fd, (await file.stat()).size, sums);
    sums.ms = performance.now() - beganMs;
    return sums;
  } finally {
    await file.close();
  }
}

/** Non-blocking: a FIFO must not hold the program until somebody writes to it. */
async function openFile(name: string): Promise<FileHandle> {
  const file = await open(name, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    throw unreadable(name, (cause as NodeJS.ErrnoException).code ?? String(cause), cause);
  });
  const stats = await file.stat();
  if (stats.isFile()) return file;
  await file.close();
  const wayOut = stats.isDirectory()
    ? `name its files: millrace check ${name}/*.csv`
    : 'copy it to a file first';
  const what = stats.isDirectory() ? 'a folder' : 'no regular file';
  throw new MillraceError('input', `cannot check ${name}: it is ${what}`, { wayOut });
}

/** From an unpacked copy without a name, as run does it. */
async function readPacked(state: CheckState, sums: Sums): Promise<void> {
  const found = await unpack(sums.name, state.unpacking, () => true).catch((cause: unknown) => {
    throw unreadable(sums.name, (cause as NodeJS.ErrnoException).code ?? String(cause), cause);
  });
  switch (found.kind) {
    case 'unpacked':
      try {
        await readSlices(state, found.fd, found.size, sums);
      } finally {
        closeSync(found.fd);
      }
      return;
    case 'refused':
      sums.refused = `the compressed file cannot be read: ${found.reason}`;
      return;
    case 'gone':
      throw unreadable(sums.name, 'ENOENT');
    default:
      found satisfies never;
  }
}

async function readSlices(state: CheckState, fd: number, size: number, sums: Sums): Promise<void> {
  const generation = randomUUID() as string as GenerationId;
  let [start, line] = [0, 1];
  while (start < size && !state.signal.aborted) {
    const range = { start, end: Math.min(size, start + SLICE_BYTES), exact: true, limit: size, final: true };
    const slice = { ...range, generation, path: sums.name, fd };
    const rejectsMax = Math.max(0, REJECTS_LISTED_MAX - state.rejects.length);
    const chunk = await state.pool.parse({ slices: [slice], dialect: state.dialect, rejectsMax });
    const parsed = parsedSlice(chunk, sums);
    if (parsed === null) return;
    if (parsed.start !== start || parsed.end <= start)
      throw new MillraceError(
        'internal',
        `${sums.name}: slice ${start} came back as ${parsed.start}-${parsed.end}`,
      );
    countSlice(state, sums, parsed, chunk.rows, line);
    [start, line] = [parsed.end, line + parsed.lines];
  }
}

/** Null when the file is refused as a whole. */
function parsedSlice(chunk: ParsedChunk, sums: Sums): Parsed | null {
  const [slice] = chunk.slices;
  if (slice === undefined) throw new MillraceError('internal', `${sums.name}: no answer from the parser`);
  switch (slice.kind) {
    case 'parsed':
      return slice;
    case 'refused':
      sums.refused = slice.reason;
      return null;
    case 'unreadable':
      throw unreadable(sums.name, slice.code);
    case 'postponed':
      throw new MillraceError('internal', `${sums.name}: the only slice of a task was postponed`);
    default:
      return slice satisfies never;
  }
}

function countSlice(state: CheckState, sums: Sums, slice: Parsed, rows: Rows, line: number): void {
  const duplicates = countDuplicates(state.keys, rows);
  sums.records += slice.records;
  sums.inserted += slice.rows - duplicates;
  sums.duplicates += duplicates;
  sums.rejected += slice.rejected;
  for (const reject of slice.rejects) {
    if (reject.code === 'more_rejects') continue;
    const { column, code, sentence, offset } = reject;
    state.rejects.push({ file: sums.name, line: line + reject.line, column, code, sentence, offset });
  }
}

/** Remembers every key for good, unlike the dedup set of a run: here there is no index to ask. */
function countDuplicates(known: KeyTable, { keys, count }: Rows): number {
  let duplicates = 0;
  for (let row = 0; row < count; row += 1) {
    const at = row * KEY_WORDS;
    const hash = hashOf(keys, at);
    if (known.find(hash, keys, at) !== -1) duplicates += 1;
    else if (known.full) throw tooManyKeys();
    else known.add(hash, keys, at, 1, 0);
  }
  return duplicates;
}

function tooManyKeys(): MillraceError {
  const wayOut =
    'check fewer files at a time, or load them: run asks the index instead of remembering every key';
  return new MillraceError('input', `there are more than ${KEYS_MAX} different keys in these files`, {
    wayOut,
  });
}

/** All four words count, since the keys of some producers differ in a few bits only. */
function hashOf(keys: Uint32Array, at: number): number {
  let hash = 0;
  for (let i = at; i < at + KEY_WORDS; i += 1) {
    hash = Math.imul(hash ^ (keys[i] ?? 0), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash, 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it is not there',
  EACCES: 'its permissions do not allow it',
  SHRUNK: 'it became shorter while it was read',
  CHANGED: 'it changed while it was read',
  EISDIR: 'it is a folder',
};

function unreadable(name: string, code: string, cause?: unknown): MillraceError {
  return new MillraceError('input', `cannot read ${name}: ${REASONS[code] ?? code}`, { cause });
}
