// Unpacks a gzip file into a file without a name, which is then read like any other: positions are those of the unpacked stream, slices
// run in parallel, and nothing of a damaged file is ever stored. Memory is that of a few blocks, whatever is in the file.

import { randomUUID } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { closeSync, openSync, read, unlinkSync, write } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createGunzip } from 'node:zlib';

import { codeOf, OPEN_FLAGS } from './content.ts';

const readFrom = promisify(read);
const writeTo = promisify(write);

/** Deflate reaches 1032 to 1. Text of a generator that repeats itself may come to 100; beyond this nobody has written events. */
const RATIO_MAX = 400;

/** Below this size no ratio is suspicious: a small file of one repeated line is harmless. */
const RATIO_BYTES_MIN = 64 * 1024 * 1024;

const BLOCK_BYTES = 256 * 1024;

export interface UnpackRule {
  /** Where the unpacked bytes lie while they are read. */
  readonly folder: string;
  readonly bytesMax: number;
}

/** `fd` is the caller's to close. 'gone': the path means another file now, or none. */
export type Unpacked =
  | { readonly kind: 'unpacked'; readonly fd: number; readonly size: number }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'gone' };

/** Whether files of this name are unpacked first. */
export function isPackedName(name: Uint8Array): boolean {
  return /\.gz$/i.test(Buffer.from(name.subarray(-3)).toString('latin1'));
}

/** Throws what `open`, `read` and `write` throw; AbortError when the signal fires. */
export async function unpack(
  path: Buffer | string,
  rule: UnpackRule,
  fits: (stats: BigIntStats) => boolean,
  signal?: AbortSignal,
): Promise<Unpacked> {
  const file = await openQuietly(path);
  if (file === null) return { kind: 'gone' };
  try {
    const stats = await file.stat({ bigint: true });
    if (!stats.isFile() || !fits(stats)) return { kind: 'gone' };
    return await unpackOpen(file, Number(stats.size), rule, signal);
  } finally {
    await file.close();
  }
}

async function openQuietly(path: Buffer | string): Promise<FileHandle | null> {
  try {
    return await open(path, OPEN_FLAGS);
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ELOOP') return null;
    throw error;
  }
}

async function unpackOpen(
  file: FileHandle,
  size: number,
  rule: UnpackRule,
  signal: AbortSignal | undefined,
): Promise<Unpacked> {
  const fd = nameless(rule.folder);
  let isKept = false;
  try {
    const result = await inflate(file.fd, size, fd, rule, signal);
    isKept = result.kind === 'unpacked';
    return result;
  } finally {
    if (!isKept) closeSync(fd);
  }
}

/** A file for us alone that goes away with its descriptor, also when we are killed. */
function nameless(folder: string): number {
  const path = join(folder, `.millrace-${randomUUID()}`);
  const fd = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  return fd;
}

/** What the stream is stopped with when too much comes out of it. */
class TooMuch extends Error {}

async function inflate(
  from: number,
  size: number,
  to: number,
  rule: UnpackRule,
  signal: AbortSignal | undefined,
): Promise<Unpacked> {
  if (size === 0) return { kind: 'refused', reason: 'it is empty: a gzip file has at least a header' };
  const gunzip = createGunzip({ chunkSize: BLOCK_BYTES });
  let written = 0;
  try {
    await pipeline(
      blocksOf(from, 0),
      gunzip,
      async (blocks: AsyncIterable<Buffer>) => {
        for await (const block of blocks) {
          written += block.length;
          judgeAmount(written, gunzip.bytesWritten, rule);
          await writeAll(to, block);
        }
      },
      { ...(signal !== undefined && { signal }) },
    );
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === null) throw error;
    return { kind: 'refused', reason };
  }
  if (!(await isPadding(from, gunzip.bytesWritten, size)))
    return {
      kind: 'refused',
      reason: `it is damaged: behind byte ${gunzip.bytesWritten} there is something that is no gzip member`,
    };
  return { kind: 'unpacked', fd: to, size: written };
}

function judgeAmount(written: number, packed: number, rule: UnpackRule): void {
  if (written > rule.bytesMax)
    throw new TooMuch(
      `it unpacks to more than ${rule.bytesMax} bytes: raise --unpacked-max if it is meant to`,
    );
  if (written > RATIO_BYTES_MIN && written > packed * RATIO_MAX)
    throw new TooMuch(
      `it unpacks to more than ${RATIO_MAX} times its size, as bombs do: deliver it unpacked if it is meant to`,
    );
}

async function writeAll(fd: number, block: Buffer): Promise<void> {
  for (let at = 0; at < block.length;) {
    const { bytesWritten } = await writeTo(fd, block, at, block.length - at, null);
    at += bytesWritten;
  }
}

/** A sentence for what is wrong with the file; null for what is wrong with the machine. */
function reasonOf(error: unknown): string | null {
  if (error instanceof TooMuch) return error.message;
  switch (codeOf(error)) {
    case 'Z_BUF_ERROR':
      return 'it is cut off: the gzip stream ends in the middle; nothing of it was stored, deliver it whole';
    case 'Z_DATA_ERROR':
      return 'it is damaged or no gzip file at all; nothing of it was stored';
    case 'Z_NEED_DICT':
      return 'it needs a dictionary that is not in it; nothing of it was stored';
    default:
      return null;
  }
}

/** Zeros behind the last member are padding of tapes and block devices; anything else would be lost without a word. */
async function isPadding(fd: number, from: number, size: number): Promise<boolean> {
  if (from >= size) return true;
  for await (const block of blocksOf(fd, from)) if (block.some((byte) => byte !== 0)) return false;
  return true;
}

/** No read stream: a pipeline that fails would close our descriptor. Each block is a buffer of its own. */
async function* blocksOf(fd: number, from: number): AsyncGenerator<Buffer> {
  for (let at = from; ;) {
    const block = Buffer.allocUnsafe(BLOCK_BYTES);
    const { bytesRead } = await readFrom(fd, block, 0, block.length, at);
    if (bytesRead === 0) return;
    yield block.subarray(0, bytesRead);
    at += bytesRead;
  }
}
