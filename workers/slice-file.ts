// The file behind a slice, as a worker sees it: opening, stamping, reading ranges. Every failure of the file is an Unreadable with a
// code; what the bytes mean is none of its business.

import type { BigIntStats } from 'node:fs';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { SLICE_BYTES } from '../src/core/slice.ts';
import type { FileStamp, SliceTask } from '../src/core/slice.ts';

/** A file that cannot be read as it was promised; `code` as in `ParsedSlice`. */
export class Unreadable extends Error {
  readonly code: string;

  constructor(code: string, options?: ErrorOptions) {
    super(`the file cannot be read: ${code}`, options);
    this.name = 'Unreadable';
    this.code = code;
  }
}

/** `before` is null for a descriptor of the main thread, which stamps and closes its files itself. */
export interface SliceFile {
  readonly fd: number;
  readonly before: BigIntStats | null;
}

/** Non-blocking, so that a FIFO cannot hold the thread; no symbolic links, so that nobody leads us out of the folder. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export function openSliceFile(task: SliceTask): SliceFile {
  if (task.fd !== null) return { fd: task.fd, before: null };
  const path = Buffer.from(task.path.buffer, task.path.byteOffset, task.path.byteLength);
  const fd = attempt(() => openSync(path, OPEN_FLAGS));
  try {
    const before = attempt(() => fstatSync(fd, { bigint: true }));
    if (!before.isFile()) throw new Unreadable('NOT_REGULAR');
    return { fd, before };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

export function closeSliceFile(file: SliceFile): void {
  if (file.before !== null) closeSync(file.fd);
}

/** Proves that the file did not change under the reading, and returns its stamp; null for the main thread's descriptors. */
export function stampSliceFile(file: SliceFile): FileStamp | null {
  const { before } = file;
  if (before === null) return null;
  const after = attempt(() => fstatSync(file.fd, { bigint: true }));
  if (after.size < before.size) throw new Unreadable('SHRUNK');
  if (after.mtimeNs !== before.mtimeNs && after.size === before.size) throw new Unreadable('CHANGED');
  return {
    dev: after.dev,
    ino: after.ino,
    birthNs: after.birthtimeNs === 0n || after.birthtimeNs === after.ctimeNs ? null : after.birthtimeNs,
    size: Number(after.size),
    mtimeNs: after.mtimeNs,
    ctimeNs: after.ctimeNs,
  };
}

/** Fills target[from, to) with the file's bytes from `offset` on. */
export function readExactly(file: SliceFile, target: Buffer, from: number, to: number, offset: number): void {
  for (let at = from; at < to;) {
    const wanted = to - at;
    const position = offset + at - from;
    const got = attempt(() => readSync(file.fd, target, at, wanted, position));
    if (got === 0) throw new Unreadable('SHRUNK');
    at += got;
  }
}

/** Turns the error of a system call into an Unreadable; anything else is a bug and passes. */
function attempt<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof Error && 'syscall' in error && 'code' in error)
      throw new Unreadable(String(error.code), { cause: error });
    throw error;
  }
}

/** A worker keeps one read buffer; fresh large buffers in several threads contend on one lock of the process. */
let readBuffer = Buffer.allocUnsafeSlow(SLICE_BYTES + 256 * 1024);

/** What is at hand of a file: `bytes` begin at `base`, nothing at or beyond `limit` is read. Valid until the next `openWindow`. */
export interface Window {
  readonly file: SliceFile;
  readonly base: number;
  readonly limit: number;
  bytes: Buffer;
}

export function openWindow(file: SliceFile, base: number, end: number, limit: number): Window {
  const window: Window = { file, base, limit, bytes: readBuffer.subarray(0, 0) };
  extendWindow(window, end - base);
  return window;
}

/** Reads on by `more` bytes, or up to the limit. */
export function extendWindow(window: Window, more: number): void {
  const from = window.bytes.length;
  const to = Math.min(from + more, window.limit - window.base);
  if (to > readBuffer.length) {
    const larger = Buffer.allocUnsafeSlow(Math.max(to, readBuffer.length + SLICE_BYTES));
    window.bytes.copy(larger);
    readBuffer = larger;
  }
  readExactly(window.file, readBuffer, from, to, window.base + from);
  window.bytes = readBuffer.subarray(0, Math.max(from, to));
}

export function reachesLimit(window: Window): boolean {
  return window.base + window.bytes.length >= window.limit;
}
