// The header behind a slice: read at the beginning of the file and remembered while the file is read in several slices.

import { findHeader } from '../src/core/dialect.ts';
import type { Encoding } from '../src/core/encoding.ts';
import { ENCODING_BYTES_MAX, encodingOf, judgeEncoding } from '../src/core/encoding.ts';
import type { Header, HeaderResult } from '../src/core/header.ts';
import type { Dialect, GenerationId, SliceTask } from '../src/core/slice.ts';
import { LF, QUOTE } from '../src/core/record.ts';
import { RECORD_BYTES_MAX } from '../src/core/slice.ts';
import type { TableDefinition } from '../src/schema/table.ts';
import type { SliceFile, Window } from './slice-file.ts';
import {
  decodeWindow,
  extendWindow,
  openWindow,
  rawBytes,
  rawLength,
  reachesLimit,
  readExactly,
} from './slice-file.ts';

/** A header is read in blocks of this size; nearly all need one. */
const BLOCK_BYTES = 64 * 1024;

/** Headers of the files that are being read in several slices; there are never many of them. */
const HEADERS_MAX = 64;
const headers = new Map<GenerationId, Remembered>();

interface Remembered {
  readonly header: Header;
  readonly encoding: Encoding;
  /** The bytes of the file up to the end of the header. */
  readonly raw: Buffer;
}

/** A header, with the encoding that the file is read in; or why there is none. */
export type Beginning =
  | { readonly kind: 'header'; readonly header: Header; readonly encoding: Encoding }
  | Exclude<HeaderResult, { kind: 'header' }>;

/** The window of a slice that begins the file, in the encoding that the file's first bytes and the option say; or why it is refused. */
export function firstWindow(
  slice: SliceTask,
  file: SliceFile,
  dialect: Dialect,
): Window | Extract<HeaderResult, { kind: 'refused' }> {
  const window = openWindow(file, 0, Math.min(slice.end, slice.limit), slice.limit);
  const judged = judgeEncoding(window.bytes.subarray(0, ENCODING_BYTES_MAX), dialect.encoding ?? 'auto');
  if (judged.kind === 'refused') return judged;
  return decodeWindow(window, judged.encoding, slice.final);
}

/** The header of a slice that begins the file: within its own bytes, reading on where they are too few. */
export function firstHeader(
  table: TableDefinition,
  slice: SliceTask,
  window: Window,
  dialect: Dialect,
): Beginning {
  const result = headerOfWindow(table, slice, window, dialect);
  if (result.kind !== 'header') return result;
  const encoding: Encoding = window.decoding?.encoding ?? 'utf-8';
  if (slice.end < slice.limit) remember(slice.generation, result.header, encoding, window);
  return { kind: 'header', header: result.header, encoding };
}

/** The header of a slice further on: from memory, or read from the beginning of the file. */
export function laterHeader(
  table: TableDefinition,
  slice: SliceTask,
  file: SliceFile,
  dialect: Dialect,
): Beginning {
  const known = headers.get(slice.generation);
  if (known !== undefined && beginsWith(file, slice, known.raw)) {
    headers.delete(slice.generation);
    headers.set(slice.generation, known);
    return { kind: 'header', header: known.header, encoding: known.encoding };
  }
  const plain = openWindow(file, 0, Math.min(BLOCK_BYTES, slice.limit), slice.limit);
  // Whether to read it at all was decided with its first slice.
  const encoding = encodingOf(plain.bytes, dialect.encoding ?? 'auto');
  const window = decodeWindow(plain, encoding, slice.final);
  const result = headerOfWindow(table, slice, window, dialect);
  if (result.kind !== 'header') return result;
  remember(slice.generation, result.header, encoding, window);
  return { kind: 'header', header: result.header, encoding };
}

function headerOfWindow(
  table: TableDefinition,
  slice: SliceTask,
  window: Window,
  dialect: Dialect,
): HeaderResult {
  if (last !== null && isLast(last, window.bytes, table, dialect))
    return { kind: 'header', header: last.header };
  for (;;) {
    const isEnd = reachesLimit(window);
    const result = findHeader(window.bytes, slice.final && isEnd, table, dialect);
    if (result.kind === 'header' && dependsOnItsLineOnly(window.bytes, result.header, dialect)) {
      const line = new Uint8Array(window.bytes.subarray(0, result.header.end));
      last = { line, header: result.header, table, delimiter: dialect.delimiter };
    }
    if (result.kind !== 'incomplete' || isEnd) return result;
    extendWindow(window, Math.max(BLOCK_BYTES, Math.min(window.bytes.length, RECORD_BYTES_MAX)));
  }
}

/**
 * The header of the last file, whose bytes the next one most likely begins with: finding it took a seventh of a worker's time with
 * files of 50 records.
 */
let last: {
  readonly line: Uint8Array;
  readonly header: Header;
  readonly table: TableDefinition;
  readonly delimiter: Dialect['delimiter'];
} | null = null;

/**
 * The file's own bytes up to the end of its header. Files of one task that begin with the same line share one array: it crosses threads
 * once, where 256 small ones were 256 buffers for the collectors of two threads.
 */
export function bytesOfHeader(window: Window, header: Header): Uint8Array {
  if (window.decoding === null && last?.header === header) return last.line;
  return new Uint8Array(rawBytes(window).subarray(0, rawLength(window, header.end)));
}

function isLast(
  known: NonNullable<typeof last>,
  bytes: Buffer,
  table: TableDefinition,
  dialect: Dialect,
): boolean {
  const { line } = known;
  return (
    dialect.newline === 'lf' &&
    known.table === table &&
    known.delimiter === dialect.delimiter &&
    bytes.length >= line.length &&
    bytes.compare(line, 0, line.length, 0, line.length) === 0
  );
}

/** One line, whole, and without quotes: then no byte behind it decides what it is, whichever delimiter is tried. */
function dependsOnItsLineOnly(bytes: Buffer, header: Header, dialect: Dialect): boolean {
  const line = bytes.subarray(0, header.end);
  return dialect.newline === 'lf' && line.indexOf(LF) === line.length - 1 && !line.includes(QUOTE);
}

/** Until something of it is accepted, a file that is written anew keeps its generation, and may have its columns in another order. */
function beginsWith(file: SliceFile, slice: SliceTask, raw: Buffer): boolean {
  if (slice.limit < raw.length) return false;
  const bytes = Buffer.allocUnsafe(raw.length);
  readExactly(file, bytes, 0, raw.length, 0);
  return bytes.equals(raw);
}

/** Only complete headers are remembered: an incomplete one may still change. `window`: the one that it was found in, at the beginning of the file. */
function remember(generation: GenerationId, header: Header, encoding: Encoding, window: Window): void {
  const raw = Buffer.from(rawBytes(window).subarray(0, rawLength(window, header.end)));
  headers.set(generation, { header, encoding, raw });
  if (headers.size > HEADERS_MAX) headers.delete(headers.keys().next().value!);
}
