// The papaparse path, for bytes with quotes: records that the splitter found well-formed are decoded by papaparse, many per call,
// and written back as bytes for the same row encoder. papaparse never sees a malformed record, and never decides what a record is.

import Papa from 'papaparse';
import type { Header } from './header.ts';
import type { Range } from './range.ts';
import { CR } from './record.ts';
import { rejectValue } from './reject-list.ts';
import { encodeRow } from './row-encoder.ts';
import { unquoteRecord } from './unquote.ts';

/** Enough to spread a call's cost, little enough to keep its strings in the young generation. */
const BATCH_RECORDS_MAX = 512;
const BATCH_BYTES_MAX = 128 * 1024;

/** Of the records that wait. Shared by all ranges: none has records waiting when `parseRecords` returns, and a small file pays for no arrays. */
const WAITING = {
  froms: new Float64Array(BATCH_RECORDS_MAX),
  contentEnds: new Float64Array(BATCH_RECORDS_MAX),
  lines: new Float64Array(BATCH_RECORDS_MAX),
};

/** Well-formed records that wait for the next call of papaparse; arrays and scratch are reused. */
export interface QuotedBatch {
  readonly delimiter: string;
  readonly newline: '\n' | '\r';
  /** The fields that some column takes, ascending; only these are written back. */
  readonly fields: Int32Array;
  readonly froms: Float64Array;
  readonly contentEnds: Float64Array;
  readonly lines: Float64Array;
  count: number;
  bytes: number;
  /** No line end but the newline itself, no gap: the records can be decoded where they stand. */
  isContiguous: boolean;
  scratch: Buffer;
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function createQuotedBatch(header: Header, newline: number): QuotedBatch {
  return {
    delimiter: String.fromCharCode(header.delimiter),
    newline: newline === CR ? '\r' : '\n',
    fields: header.fieldOf.filter((field) => field >= 0).toSorted(),
    ...WAITING,
    count: 0,
    bytes: 0,
    isContiguous: true,
    scratch: Buffer.alloc(0),
  };
}

/** Adds the record at `range.position` that the splitter has just found well-formed. */
export function addQuotedRecord(range: Range, bytes: Buffer): void {
  const { batch, position } = range;
  const { contentEnd } = range.splitter;
  const length = contentEnd - position;
  if (batch.count === BATCH_RECORDS_MAX || batch.bytes + length > BATCH_BYTES_MAX) flushQuoted(range, bytes);
  const { count } = batch;
  if (count > 0 && batch.contentEnds[count - 1]! + 1 !== position) batch.isContiguous = false;
  batch.froms[count] = position;
  batch.contentEnds[count] = contentEnd;
  batch.lines[count] = range.line;
  batch.bytes += length + 1;
  batch.count = count + 1;
}

/** Encodes the records that wait. */
export function flushQuoted(range: Range, bytes: Buffer): void {
  const { batch } = range;
  const { count } = batch;
  if (count === 0) return;
  const rows = parseText(range, batchText(batch, bytes), count);
  if (rows !== null) encodeFields(range, bytes, rows, 0);
  else for (let record = 0; record < count; record += 1) takeSingle(range, bytes, record);
  batch.count = 0;
  batch.bytes = 0;
  batch.isContiguous = true;
}

/** papaparse, held to what the splitter found: null when it sees another number of records or fields, or reports anything. */
function parseText(range: Range, text: string, count: number): string[][] | null {
  const { batch, encoder } = range;
  // The parser itself: Papa.parse would drop U+FEFF at the start of every text, which is data here.
  const parser = new Papa.Parser({ delimiter: batch.delimiter, newline: batch.newline, quoteChar: '"' });
  const result: { data: string[][]; errors: unknown[] } = parser.parse(text, 0, false);
  const { data } = result;
  if (result.errors.length > 0 || data.length !== count) return null;
  for (let row = 0; row < count; row += 1) if (data[row]!.length !== encoder.header.fields) return null;
  return data;
}

function batchText(batch: QuotedBatch, bytes: Buffer): string {
  const { count, froms, contentEnds } = batch;
  if (batch.isContiguous) return decoder.decode(bytes.subarray(froms[0], contentEnds[count - 1]));
  const scratch = scratchOf(batch, batch.bytes);
  let length = 0;
  for (let record = 0; record < count; record += 1) {
    if (record > 0) length += scratch.write(batch.newline, length, 'latin1');
    length += bytes.copy(scratch, length, froms[record], contentEnds[record]);
  }
  return decoder.decode(scratch.subarray(0, length));
}

function scratchOf(batch: QuotedBatch, bytesMin: number): Buffer {
  if (batch.scratch.length < bytesMin)
    batch.scratch = Buffer.allocUnsafeSlow(Math.max(bytesMin, BATCH_BYTES_MAX * 2));
  return batch.scratch;
}

/** A record by itself; where papaparse still sees it otherwise, the splitter's reading holds. */
function takeSingle(range: Range, bytes: Buffer, record: number): void {
  const { batch, encoder } = range;
  const from = batch.froms[record]!;
  const contentEnd = batch.contentEnds[record]!;
  const rows = parseText(range, decoder.decode(bytes.subarray(from, contentEnd)), 1);
  if (rows !== null) {
    encodeFields(range, bytes, rows, record);
    return;
  }
  const scratch = scratchOf(batch, contentEnd - from);
  const { delimiter } = range.splitter;
  unquoteRecord(bytes, from, contentEnd, delimiter, scratch, encoder.starts, encoder.ends);
  encodeRecord(range, bytes, scratch, record);
}

/** Writes the fields of rows (of the records from `recordFirst` on) back as bytes, all in one go, and encodes row by row. */
function encodeFields(range: Range, bytes: Buffer, rows: string[][], recordFirst: number): void {
  const { batch, encoder } = range;
  const { fields } = batch;
  const { starts, ends } = encoder;
  let joined = '';
  for (const row of rows)
    for (let index = 0; index < fields.length; index += 1) joined += row[fields[index]!]!;
  const scratch = scratchOf(batch, joined.length * 3);
  const isAscii = scratch.write(joined, 0, 'utf8') === joined.length;
  let position = 0;
  for (let row = 0; row < rows.length; row += 1) {
    const values = rows[row]!;
    for (let index = 0; index < fields.length; index += 1) {
      const field = fields[index]!;
      const value = values[field]!;
      starts[field] = position;
      position += isAscii ? value.length : Buffer.byteLength(value);
      ends[field] = position;
    }
    encodeRecord(range, bytes, scratch, recordFirst + row);
  }
}

function encodeRecord(range: Range, bytes: Buffer, source: Buffer, record: number): void {
  const { batch, encoder } = range;
  const from = batch.froms[record]!;
  const length = batch.contentEnds[record]! - from;
  const line = batch.lines[record]!;
  const fault = encodeRow(encoder, source, range.rows, from - range.start, length, line);
  if (fault === null) return;
  const place = { offset: range.base + from, length, line };
  rejectValue(range.rejects, place, fault, encoder, source, bytes, from);
}
