// Is what was committed still what stands in the file? Reads bytes and compares them with head hashes and CRCs; decides nothing.

import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, read, readSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';

import type { Head } from '../core/slice.ts';
import { HEAD_BYTES_MAX } from '../core/slice.ts';

/** Never through a symlink, and never waiting for the other end of a FIFO. */
export const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

const readFrom = promisify(read);

/** Large enough for the disk, small enough to leave the event loop to others. */
const BLOCK_BYTES = 1024 * 1024;

/** A committed range as the books or the memory keep it. */
export interface Sealed {
  readonly start: number;
  readonly end: number;
  readonly crc: number;
  readonly head: Head | null;
}

/** 'gone': the path means another file now, or none, or one that cannot be read. */
export type Compared = 'same' | 'other' | 'gone';

/** The ranges that a comparison of the ends reads: the newest head of the contiguous prefix, and the last range. */
function endsOf(ranges: readonly Sealed[]): {
  readonly head: Head | null;
  readonly last: Sealed | null;
} {
  let head: Head | null = null;
  let position = 0;
  for (const range of ranges) {
    if (range.start !== position) break;
    position = range.end;
    if (range.head !== null) head = range.head;
  }
  return { head, last: ranges.at(-1) ?? null };
}

/** Compares in blocks, off the hot path. `fits` judges the opened file's stat before a byte is read. Throws what `open` and `read` throw. */
export async function compare(
  path: Buffer,
  ranges: readonly Sealed[],
  what: 'ends' | 'all',
  fits: (stats: BigIntStats) => boolean,
): Promise<Compared> {
  const file = await openQuietly(path);
  if (file === null) return 'gone';
  try {
    if (!fits(await file.stat({ bigint: true }))) return 'gone';
    return await compareOpen(file.fd, ranges, what);
  } finally {
    await file.close();
  }
}

/** The same for an open descriptor, which the caller keeps open. */
export async function compareOpen(
  fd: number,
  ranges: readonly Sealed[],
  what: 'ends' | 'all',
): Promise<'same' | 'other'> {
  const { head, last } = endsOf(ranges);
  const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  if (head !== null && !(await headAgrees(fd, head, block))) return 'other';
  for (const range of what === 'all' ? ranges : last === null ? [] : [last]) {
    if (!(await rangeAgrees(fd, range, block))) return 'other';
  }
  return 'same';
}

async function openQuietly(path: Buffer): Promise<FileHandle | null> {
  try {
    return await open(path, OPEN_FLAGS);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ELOOP' || code === 'ENXIO' || code === 'ENOTDIR') return null;
    throw error;
  }
}

async function headAgrees(fd: number, head: Head, block: Buffer): Promise<boolean> {
  const length = await fill(fd, block, 0, Math.min(head.length, HEAD_BYTES_MAX));
  return length === head.length && hashAgrees(head, block.subarray(0, length));
}

async function rangeAgrees(fd: number, range: Sealed, block: Buffer): Promise<boolean> {
  let crc = 0;
  for (let at = range.start; at < range.end;) {
    const wanted = Math.min(BLOCK_BYTES, range.end - at);
    const length = await fill(fd, block, at, wanted);
    if (length < wanted) return false;
    crc = crc32(block.subarray(0, length), crc);
    at += length;
  }
  return crc === range.crc;
}

async function fill(fd: number, block: Buffer, at: number, wanted: number): Promise<number> {
  let filled = 0;
  while (filled < wanted) {
    const { bytesRead } = await readFrom(fd, block, filled, wanted - filled, at + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

/** The same for an open descriptor and at once, when a slice that is about to be accepted must not wait. */
export function endsAgreeSync(fd: number, ranges: readonly Sealed[]): boolean {
  const { head, last } = endsOf(ranges);
  if (head !== null) {
    const bytes = readRangeSync(fd, 0, head.length);
    if (bytes === null || !hashAgrees(head, bytes)) return false;
  }
  return last === null || rangeAgreesSync(fd, last);
}

export function rangeAgreesSync(fd: number, range: Sealed): boolean {
  let crc = 0;
  for (let at = range.start; at < range.end;) {
    const bytes = readRangeSync(fd, at, Math.min(BLOCK_BYTES, range.end - at));
    if (bytes === null) return false;
    crc = crc32(bytes, crc);
    at += bytes.length;
  }
  return crc === range.crc;
}

/** Exactly `length` bytes, or null when the file ends before. */
export function readRangeSync(fd: number, start: number, length: number): Buffer | null {
  const bytes = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  while (filled < length) {
    const got = readSync(fd, bytes, filled, length - filled, start + filled);
    if (got === 0) return null;
    filled += got;
  }
  return bytes;
}

/** Opens a path for a moment; null when it is not the file that `fits` accepts, or cannot be opened. Throws what `use` throws. */
export function withFileSync<T>(
  path: Buffer,
  fits: (stats: BigIntStats) => boolean,
  use: (fd: number) => T,
): T | null {
  let fd: number;
  try {
    fd = openSync(path, OPEN_FLAGS);
  } catch {
    return null; // the caller treats a file that cannot be opened as gone, and the next scan says why
  }
  try {
    const stats = statOpen(fd);
    return stats !== null && fits(stats) ? use(fd) : null;
  } finally {
    closeSync(fd);
  }
}

/** Null for an I/O error: the caller treats the file as one that cannot be opened. */
function statOpen(fd: number): BigIntStats | null {
  try {
    return fstatSync(fd, { bigint: true });
  } catch {
    return null;
  }
}

function hashAgrees(head: Head, bytes: Uint8Array): boolean {
  return createHash('sha256').update(bytes).digest('hex') === head.hash;
}

/** The errno name of a failed call, or 'UNKNOWN'. */
export function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : 'UNKNOWN';
}
