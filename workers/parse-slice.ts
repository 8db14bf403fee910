// One slice: from a file's bytes to rows and a ParsedSlice. Finds the header, cuts a speculative start to the first record, reads on
// as far as the last record needs, and proves by CRC and head what it has read. Splitting and encoding are src/core's.

import { hash as digest } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Header, HeaderResult } from '../src/core/header.ts';
import type { Path, Range, RangeStop } from '../src/core/range.ts';
import { createRange, finishEndless, parseRecords } from '../src/core/range.ts';
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
  extendWindow,
  openSliceFile,
  openWindow,
  reachesLimit,
  readExactly,
  stampSliceFile,
  Unreadable,
} from './slice-file.ts';
import { firstHeader, laterHeader } from './slice-header.ts';

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
  const newline = context.task.dialect.newline === 'cr' ? CR : LF;
  const isExact = slice.exact || slice.start === 0;
  const end = Math.min(slice.end, slice.limit);
  const found = slice.start === 0 ? null : laterHeader(context.table, slice, file, newline);
  if (found !== null && found.kind !== 'header') return withoutHeader(slice, found);
  const window = openWindow(file, isExact ? slice.start : slice.start - 1, end, slice.limit);
  const result = found ?? firstHeader(context.table, slice, window, newline);
  if (result.kind === 'none') return blankFile(context, window, result.lines);
  if (result.kind !== 'header') return withoutHeader(slice, result);
  const { header } = result;
  const start = isExact ? 0 : window.bytes.indexOf(newline) + 1;
  // No line end before `end`: no record begins here. Where the one that covers this range ends is its own slice's business.
  if (!isExact && start === 0) return nothing(end, header, 'none');
  const range = createRange({
    encoder: createRowEncoder(context.table, header),
    newline,
    rows: context.rows,
    rejectsMax: context.task.rejectsMax,
    base: window.base,
    start,
    end: end - window.base,
    path: context.path,
  });
  if (slice.start === 0) skipHeader(range, header);
  return finishSlice(context, slice, window, range, header);
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
  let readOn = READ_ON_BYTES_FIRST;
  let stop = parseRecords(range, window.bytes, slice.final && reachesLimit(window));
  while ((stop === 'unterminated' || stop === 'open_quote') && !reachesLimit(window)) {
    extendWindow(window, readOn);
    readOn = Math.min(readOn * 2, READ_ON_BYTES_MAX);
    stop = parseRecords(range, window.bytes, slice.final && reachesLimit(window));
  }
  const start = window.base + range.start;
  const beyond = stop === 'endless' ? passEndless(slice, window, range) : null;
  const end = beyond?.next ?? window.base + range.position;
  context.bytesRead += window.bytes.length + (beyond === null ? 0 : end - window.base - window.bytes.length);
  const own = crc32(window.bytes.subarray(range.start, Math.min(range.position, end - window.base)));
  const rows = context.rows.count - rowsBefore;
  return {
    kind: 'parsed',
    start,
    end,
    lines: range.line,
    crc: beyond === null ? own : crcOfFile(window.file, window.base + window.bytes.length, end, own),
    head: headOf(window, start, end),
    header: start === 0 && end > 0 ? new Uint8Array(window.bytes.subarray(0, header.end)) : null,
    records: rows + range.rejects.count,
    rows,
    rejected: range.rejects.count,
    blankLines: range.blankLines,
    extraColumns: header.extraColumns,
    rejects: finishRejects(range.rejects),
    tail: end < slice.limit && beyond === null ? tailOf(stop) : 'none',
    stamp: null,
  };
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

/**
 * Looks for the end of a line that is longer than a record may be, block by block, and refuses it. Null when the line does not end
 * before the limit of a growing file: it is left alone then.
 */
function passEndless(slice: SliceTask, window: Window, range: Range): { next: number } | null {
  const { newline } = range.splitter;
  const block = Buffer.allocUnsafeSlow(READ_ON_BYTES_MAX);
  let last = window.bytes.at(-1);
  for (let offset = window.base + window.bytes.length; offset < slice.limit;) {
    const length = Math.min(block.length, slice.limit - offset);
    readExactly(window.file, block, 0, length, offset);
    const at = block.subarray(0, length).indexOf(newline);
    if (at >= 0) {
      const isReturn = (at > 0 ? block[at - 1] : last) === CR && newline === LF;
      finishEndless(range, window.bytes, offset + at - (isReturn ? 1 : 0));
      return { next: offset + at + 1 };
    }
    last = block[length - 1];
    offset += length;
  }
  if (!slice.final) return null;
  finishEndless(range, window.bytes, slice.limit - (last === CR && newline === LF ? 1 : 0));
  return { next: slice.limit };
}

function crcOfFile(file: SliceFile, from: number, end: number, before: number): number {
  const block = Buffer.allocUnsafeSlow(READ_ON_BYTES_MAX);
  let crc = before;
  for (let offset = from; offset < end; offset += block.length) {
    const length = Math.min(block.length, end - offset);
    readExactly(file, block, 0, length, offset);
    crc = crc32(block.subarray(0, length), crc);
  }
  return crc;
}

function headOf(window: Window, start: number, end: number): Head | null {
  if (start >= HEAD_BYTES_MAX || end === start) return null;
  const length = Math.min(HEAD_BYTES_MAX, end);
  let bytes = window.bytes.subarray(0, length);
  if (window.base > 0) {
    bytes = Buffer.allocUnsafe(length);
    readExactly(window.file, bytes, 0, length, 0);
  }
  return { length, hash: new Uint8Array(digest('sha256', bytes, 'buffer')) };
}

function skipHeader(range: Range, header: Header): void {
  range.position = header.end;
  range.cleanUntil = header.end;
  range.line = header.lines;
  range.blankLines = header.blankLines;
}

function withoutHeader(slice: SliceTask, result: Exclude<HeaderResult, { kind: 'header' }>): Looked {
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
  const end = window.bytes.length;
  context.bytesRead += end;
  const parsed = { ...nothing(0, null, 'none'), end, lines, blankLines: lines };
  return { ...parsed, crc: crc32(window.bytes), head: headOf(window, 0, end) };
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
