// The file behind a slice, as a worker sees it: opening, stamping, reading ranges. Every failure of the file is an Unreadable with a
// code; what the bytes mean is none of its business.

import type { BigIntStats } from 'node:fs';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { Encoding, PlaceCounter } from '../src/core/encoding.ts';
import { decodedMax, decodeInto, placeOf } from '../src/core/encoding.ts';
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
  const path = /[\u0080-\u00ff]/.test(task.path) ? Buffer.from(task.path, 'latin1') : task.path;
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

/** Room for what a record that is cut off needs, so that decoding does not copy each time. */
const READ_ON_ROOM = 256 * 1024;

/** A worker keeps one read buffer; fresh large buffers in several threads contend on one lock of the process. */
let readBuffer = Buffer.allocUnsafeSlow(SLICE_BYTES + 256 * 1024);

/** What is at hand of a file: `bytes` begin at `base`, nothing at or beyond `limit` is read. Valid until the next `openWindow`. */
export interface Window {
  readonly file: SliceFile;
  readonly base: number;
  readonly limit: number;
  /** UTF-8: the file's own bytes, or what they were decoded to. */
  bytes: Buffer;
  /** Null for a file in UTF-8, whose bytes are seen as they are. */
  readonly decoding: Decoding | null;
}

/** The file's own bytes behind a window, and how far they are decoded. */
interface Decoding {
  readonly encoding: Exclude<Encoding, 'utf-8'>;
  /** What stands at the limit is the end of the file: half a character is decided there. */
  readonly final: boolean;
  readonly counter: PlaceCounter;
  raw: Buffer;
  used: number;
}

export function openWindow(file: SliceFile, base: number, end: number, limit: number): Window {
  const window: Window = { file, base, limit, bytes: readBuffer.subarray(0, 0), decoding: null };
  extendWindow(window, end - base);
  return window;
}

/** The same window through an encoding; takes the place of the one that was given. */
export function decodeWindow(window: Window, encoding: Encoding, final: boolean): Window {
  if (encoding === 'utf-8') return window;
  const counter = { encoding, position: 0, place: 0 };
  const decoding = { encoding, final, counter, raw: window.bytes, used: 0 };
  const decoded = { ...window, bytes: decodeBuffer.subarray(0, 0), decoding };
  decodeOn(decoded, decoding);
  return decoded;
}

/** Reads on by `more` bytes, or up to the limit. */
export function extendWindow(window: Window, more: number): void {
  const { decoding } = window;
  const raw = rawBytes(window);
  const from = raw.length;
  const to = Math.min(from + more, window.limit - window.base);
  if (to > readBuffer.length) {
    const larger = Buffer.allocUnsafeSlow(Math.max(to, readBuffer.length + SLICE_BYTES));
    raw.copy(larger);
    readBuffer = larger;
  }
  readExactly(window.file, readBuffer, from, to, window.base + from);
  const all = readBuffer.subarray(0, Math.max(from, to));
  if (decoding === null) window.bytes = all;
  else {
    decoding.raw = all;
    decodeOn(window, decoding);
  }
}

/** What windows of other encodings decode into; nothing for a program that reads UTF-8 only. */
let decodeBuffer = Buffer.alloc(0);

function decodeOn(window: Window, decoding: Decoding): void {
  const { encoding, raw, used } = decoding;
  const from = window.bytes.length;
  const room = from + decodedMax(encoding, raw.length - used);
  if (room > decodeBuffer.length) {
    const larger = Buffer.allocUnsafeSlow(room + READ_ON_ROOM);
    window.bytes.copy(larger);
    decodeBuffer = larger;
  }
  const isEnd = decoding.final && reachesLimit(window);
  const done = decodeInto(encoding, raw, used, isEnd, decodeBuffer, from);
  decoding.used = done.used;
  window.bytes = decodeBuffer.subarray(0, done.end);
}

export function reachesLimit(window: Window): boolean {
  return window.base + rawBytes(window).length >= window.limit;
}

/** The file's own bytes from `base` on. */
export function rawBytes(window: Window): Buffer {
  return window.decoding === null ? window.bytes : window.decoding.raw;
}

/** How many of the file's own bytes stand before a position in `bytes`. Cheap when asked in ascending order. */
export function rawLength(window: Window, position: number): number {
  const { decoding } = window;
  return decoding === null ? position : placeOf(decoding.counter, window.bytes, position);
}

/** The offset in the file up to which `bytes` hold it. */
export function readTo(window: Window): number {
  return window.base + (window.decoding === null ? window.bytes.length : window.decoding.used);
}

/** Whether the last bytes read are the beginning of a character, which `bytes` do not hold. */
export function endsWithin(window: Window): boolean {
  return window.decoding !== null && window.decoding.used < window.decoding.raw.length;
}
