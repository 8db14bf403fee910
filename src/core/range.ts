// Parses the records of one byte range: drives the splitter and the two paths over whatever bytes are at hand, and says what it
// needs next. It reads nothing itself; workers/ feeds it.

import { isUtf8 } from 'node:buffer';
import { fastScan, takePlainRecord } from './fast-scan.ts';
import type { QuotedBatch } from './quoted-scan.ts';
import { addQuotedRecord, createQuotedBatch, flushQuoted } from './quoted-scan.ts';
import type { Splitter } from './record.ts';
import { createSplitter, QUOTE, scanRecord } from './record.ts';
import type { ByteFault, StructuralFault } from './reject.ts';
import type { RejectList } from './reject-list.ts';
import { createRejectList, rejectRecord } from './reject-list.ts';
import type { RowBuffer } from './row-buffer.ts';
import type { RowEncoder } from './row-encoder.ts';

/** `bytes`: the byte path where no quote is in sight, else papaparse. `papaparse`: always papaparse, for tests and measurements. */
export type Path = 'bytes' | 'papaparse';

/** One slice while it is being parsed. Positions count within the bytes at hand, whose first byte is at `base` in the file. */
export interface Range {
  readonly encoder: RowEncoder;
  readonly splitter: Splitter;
  readonly rows: RowBuffer;
  readonly rejects: RejectList;
  readonly batch: QuotedBatch;
  readonly path: Path;
  readonly base: number;
  /** Where the slice truly begins, and its nominal end: records that begin before it belong to the slice. */
  readonly start: number;
  readonly end: number;
  /** Where the next record begins. */
  position: number;
  /** Physical lines passed since `start`. */
  line: number;
  blankLines: number;
  /** All bytes before this are known to be UTF-8 without NUL. */
  cleanUntil: number;
}

export interface RangeInput {
  readonly encoder: RowEncoder;
  readonly newline: number;
  readonly rows: RowBuffer;
  readonly rejectsMax: number;
  readonly base: number;
  readonly start: number;
  readonly end: number;
  readonly path: Path;
}

export function createRange(input: RangeInput): Range {
  const { header } = input.encoder;
  return {
    encoder: input.encoder,
    splitter: createSplitter(header.delimiter, input.newline, header.fields),
    rows: input.rows,
    rejects: createRejectList(input.rejectsMax),
    batch: createQuotedBatch(header, input.newline),
    path: input.path,
    base: input.base,
    start: input.start,
    end: input.end,
    position: input.start,
    line: 0,
    blankLines: 0,
    cleanUntil: input.start,
  };
}

/**
 * - `done`: the range's last record is taken, or the bytes at hand are used up to their last one.
 * - `unterminated`, `open_quote`: the record at `position` is not complete within the bytes at hand.
 * - `endless`: so is it, and it is too large already: only the end of its line matters (`finishEndless`).
 */
export type RangeStop = 'done' | 'unterminated' | 'open_quote' | 'endless';

/** Takes all complete records that begin before the range's end. `final`: the file ends where `bytes` end. */
export function parseRecords(range: Range, bytes: Buffer, final: boolean): RangeStop {
  const { splitter } = range;
  checkBytes(range, bytes);
  const isQuoted = range.path === 'papaparse' || bytes.indexOf(QUOTE, range.position) >= 0;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  while (range.position < range.end) {
    if (!isQuoted) fastScan(range, bytes, view);
    if (range.position >= range.end) break;
    const outcome = scanRecord(splitter, bytes, range.position, final);
    if (outcome === 'end') break;
    if (outcome === 'open') {
      flushQuoted(range, bytes);
      if (splitter.endless) return 'endless';
      return splitter.openQuote ? 'open_quote' : 'unterminated';
    }
    if (outcome === 'blank') range.blankLines += 1;
    else if (outcome === 'fault') refuse(range, bytes, splitter.fault);
    else takeRecord(range, bytes, isQuoted);
    range.position = splitter.next;
    range.line += splitter.lines;
  }
  flushQuoted(range, bytes);
  return 'done';
}

/** Refuses the endless line at `position`, whose end was found at `contentEnd` (in the file), beyond the bytes at hand. */
export function finishEndless(range: Range, bytes: Buffer, contentEnd: number): void {
  const offset = range.base + range.position;
  const place = { offset, length: contentEnd - offset, line: range.line };
  rejectRecord(range.rejects, place, 'record_too_large', bytes, range.position);
  range.position = bytes.length;
  range.line += 1;
}

function takeRecord(range: Range, bytes: Buffer, isQuoted: boolean): void {
  const { position, splitter } = range;
  const fault =
    splitter.next <= range.cleanUntil ? null : byteFault(bytes.subarray(position, splitter.contentEnd));
  if (fault !== null) refuse(range, bytes, fault);
  else if (isQuoted) addQuotedRecord(range, bytes);
  else takePlainRecord(range, bytes, splitter.contentEnd);
}

function refuse(range: Range, bytes: Buffer, fault: StructuralFault | ByteFault): void {
  const { position, splitter } = range;
  flushQuoted(range, bytes); // rejects are listed in the order of the file
  const place = { offset: range.base + position, length: splitter.contentEnd - position, line: range.line };
  rejectRecord(range.rejects, place, fault, bytes, position);
}

function byteFault(record: Buffer): ByteFault | null {
  if (record.includes(0)) return 'nul_byte';
  return isUtf8(record) ? null : 'invalid_utf8';
}

/** One check for all complete lines at hand; only when it fails each record is checked by itself. */
function checkBytes(range: Range, bytes: Buffer): void {
  const from = Math.max(range.position, range.cleanUntil);
  const until = bytes.lastIndexOf(range.splitter.newline) + 1;
  if (until <= from || range.cleanUntil < range.position) return;
  if (byteFault(bytes.subarray(from, until)) === null) range.cleanUntil = until;
}
