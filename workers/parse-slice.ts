// One slice: from a file's bytes to rows and a ParsedSlice. Finds the header, cuts a speculative start to the first record, reads on
// as far as the last record needs, and proves by CRC and head what it has read. Splitting and encoding are src/core's.

import { hash as digest } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Encoding } from '../src/core/encoding.ts';
import { unitBytes } from '../src/core/encoding.ts';
import type { Header } from '../src/core/header.ts';
import type { Path, Range, RangeStop } from '../src/core/range.ts';
import { createRange, parseRecords } from '../src/core/range.ts';
import { CR, LF } from '../src/core/record.ts';
import { finishRejects } from '../src/core/reject-list.ts';
import type { RowBuffer } from '../src/core/row-buffer.ts';
import { truncateRows } from '../src/core/row-buffer.ts';
import { createRowEncoder } from '../src/core/row-encoder.ts';
import type { Head, ParsedSlice, ParseTask, SliceTask } from '../src/core/slice.ts';
import { HEAD_BYTES_MAX } from '../src/core/slice.ts';
import type { TableDefinition } from '../src/schema/table.ts';
import type { SliceFile, Window } from './slice-file.ts';
import {
  closeSliceFile,
  decodeWindow,
  endsWithin,
  extendWindow,
  openSliceFile,
  openWindow,
  rawBytes,
  rawLength,
  reachesLimit,
  readExactly,
  readTo,
  stampSliceFile,
  Unreadable,
} from './slice-file.ts';
import type { Beginning } from './slice-header.ts';
import { bytesOfHeader, firstHeader, firstWindow, laterHeader } from './slice-header.ts';
import { crcOfFile, passEndless } from './slice-endless.ts';
import { placeBack } from './slice-places.ts';

/** How far a worker reads on for a record that is cut off: first this much, then twice as much each time. */
const READ_ON_BYTES_FIRST = 64 * 1024;
const READ_ON_BYTES_MAX = 1024 * 1024;

/** Of a slice that was looked at. */
type Looked = Exclude<ParsedSlice, { readonly kind: 'postponed' }>;

/** What all slices of a task share. */
export interface ParseContext {
  readonly table: TableDefinition;
  readonly task: ParseTask;
  readonly rows: RowBuffer;
  readonly path: Path;
  bytesRead: number;
}

/** Parses `task.slices[index]`; its rows are appended to `context.rows`, or none when it is refused or unreadable. */
export function parseSlice(context: ParseContext, index: number): Looked {
  const slice = context.task.slices[index]!;
  const rowsBefore = context.rows.count;
  context.rows.slice = index;
  try {
    const file = openSliceFile(slice);
    try {
      const parsed = parseOpenSlice(context, slice, file);
      const stamp = stampSliceFile(file);
      return parsed.kind === 'unreadable' ? parsed : { ...parsed, stamp };
    } finally {
      closeSliceFile(file);
    }
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    truncateRows(context.rows, rowsBefore);
    return { kind: 'unreadable', code: error.code };
  }
}

function parseOpenSlice(context: ParseContext, slice: SliceTask, file: SliceFile): Looked {
  const { table, task } = context;
  const { dialect } = task;
  const newline = dialect.newline === 'cr' ? CR : LF;
  const isExact = slice.exact || slice.start === 0;
  const end = Math.min(slice.end, slice.limit);
  const found = slice.start === 0 ? null : laterHeader(table, slice, file, dialect);
  if (found !== null && found.kind !== 'header') return withoutHeader(slice, found);
  const window =
    found === null ? firstWindow(slice, file, dialect) : laterWindow(slice, file, found.encoding, isExact);
  if ('kind' in window) return withoutHeader(slice, window);
  const rangeEnd = window.bytes.length + (endsWithin(window) ? 1 : 0);
  const result = found ?? firstHeader(table, slice, window, dialect);
  if (result.kind === 'none') return blankFile(context, window, result.lines);
  if (result.kind !== 'header') return withoutHeader(slice, result);
  const { header } = result;
  const start = isExact ? 0 : window.bytes.indexOf(newline) + 1;
  // No line end before `end`: no record begins here. Where the one that covers this range ends is its own slice's business.
  if (!isExact && start === 0) return nothing(end, header, 'none');
  const range = createRange({
    encoder: createRowEncoder(table, header, dialect.nulls),
    newline,
    rows: context.rows,
    rejectsMax: task.rejectsMax,
    base: window.base,
    start,
    end: rangeEnd,
    path: context.path,
  });
  if (slice.start === 0) skipHeader(range, header);
  return finishSlice(context, slice, window, range, header);
}

/** A guessed start needs the unit before it: the record may begin right there. */
function laterWindow(slice: SliceTask, file: SliceFile, encoding: Encoding, isExact: boolean): Window {
  const before = slice.start - 1;
  const base = isExact ? slice.start : before - (before % unitBytes(encoding));
  const window = openWindow(file, base, Math.min(slice.end, slice.limit), slice.limit);
  return decodeWindow(window, encoding, slice.final);
}

/** Parses on until the range is done, and describes it. */
function finishSlice(
  context: ParseContext,
  slice: SliceTask,
  window: Window,
  range: Range,
  header: Header,
): Looked {
  const rowsBefore = context.rows.count;
  const stop = parseAll(slice, window, range);
  const start = window.base + rawLength(window, range.start);
  const beyond = stop === 'endless' ? passEndless(slice, window, range) : null;
  const end = beyond?.next ?? window.base + rawLength(window, range.position);
  context.bytesRead += rawBytes(window).length + (beyond === null ? 0 : end - readTo(window));
  const own = crc32(
    rawBytes(window).subarray(start - window.base, Math.min(readTo(window), end) - window.base),
  );
  const rows = context.rows.count - rowsBefore;
  const listed = finishRejects(range.rejects);
  const rejects =
    window.decoding === null ? listed : placeBack(window, range, context.rows, rowsBefore, listed);
  return {
    kind: 'parsed',
    start,
    end,
    lines: range.line,
    crc: beyond === null ? own : crcOfFile(window.file, readTo(window), end, own),
    head: headOf(window, start, end),
    header: start === 0 && end > 0 ? bytesOfHeader(window, header) : null,
    records: rows + range.rejects.count,
    rows,
    rejected: range.rejects.count,
    blankLines: range.blankLines,
    extraColumns: header.extraColumns,
    rejects,
    tail: end < slice.limit && beyond === null ? tailOf(stop) : 'none',
    stamp: null,
  };
}

/** Over the bytes at hand, then over more of them as long as the range's last record needs them. */
function parseAll(slice: SliceTask, window: Window, range: Range): RangeStop {
  let readOn = READ_ON_BYTES_FIRST;
  for (;;) {
    const isEnd = reachesLimit(window);
    const stop = parseRecords(range, window.bytes, slice.final && isEnd);
    // A record may begin with the character that the bytes at hand end within.
    const isCut = stop === 'done' && range.position < range.end && endsWithin(window);
    if (stop !== 'unterminated' && stop !== 'open_quote' && !isCut) return stop;
    if (isEnd) return isCut ? 'unterminated' : stop;
    extendWindow(window, readOn);
    readOn = Math.min(readOn * 2, READ_ON_BYTES_MAX);
  }
}

function tailOf(stop: RangeStop): 'none' | 'unterminated' | 'open_quote' {
  switch (stop) {
    case 'done':
      return 'none';
    case 'unterminated':
    case 'endless':
      return 'unterminated';
    case 'open_quote':
      return 'open_quote';
    default:
      return stop satisfies never;
  }
}

function headOf(window: Window, start: number, end: number): Head | null {
  if (start >= HEAD_BYTES_MAX || end === start) return null;
  const length = Math.min(HEAD_BYTES_MAX, end);
  let bytes = rawBytes(window).subarray(0, length);
  if (window.base > 0) {
    bytes = Buffer.allocUnsafe(length);
    readExactly(window.file, bytes, 0, length, 0);
  }
  return { length, hash: digest('sha256', bytes, 'hex') };
}

function skipHeader(range: Range, header: Header): void {
  range.position = header.end;
  range.cleanUntil = header.end;
  range.line = header.lines;
  range.blankLines = header.blankLines;
}

function withoutHeader(slice: SliceTask, result: Exclude<Beginning, { kind: 'header' }>): Looked {
  switch (result.kind) {
    case 'refused':
      return { kind: 'refused', code: result.code, reason: result.reason, stamp: null };
    case 'incomplete':
      return nothing(slice.start, null, slice.start < slice.limit ? 'unterminated' : 'none');
    case 'none':
      return nothing(slice.start, null, 'none');
    default:
      return result satisfies never;
  }
}

/** A final file without a header and without records: all of it is one slice. */
function blankFile(context: ParseContext, window: Window, lines: number): Looked {
  const bytes = rawBytes(window);
  const end = bytes.length;
  context.bytesRead += end;
  const parsed = { ...nothing(0, null, 'none'), end, lines, blankLines: lines };
  return { ...parsed, crc: crc32(bytes), head: headOf(window, 0, end) };
}

function nothing(
  at: number,
  header: Header | null,
  tail: 'none' | 'unterminated',
): Extract<ParsedSlice, { kind: 'parsed' }> {
  return {
    kind: 'parsed',
    start: at,
    end: at,
    lines: 0,
    crc: 0,
    head: null,
    header: null,
    records: 0,
    rows: 0,
    rejected: 0,
    blankLines: 0,
    extraColumns: header?.extraColumns ?? 0,
    rejects: [],
    tail,
    stamp: null,
  };
}
