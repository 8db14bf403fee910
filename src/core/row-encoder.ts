// From the fields of one record to one row: its COPY tuple, its key and the hash of its other columns, or the fault of its first bad
// value. Both paths (bytes and papaparse) end here, so that there is one meaning. Splitting is done elsewhere.

import type { Column, ColumnType, ValueFault } from '../schema/column.ts';
import type { TableDefinition } from '../schema/table.ts';
import { keyIndex } from '../schema/table.ts';
import { KEY_BYTES } from './chunk.ts';
import { putFieldCount, putNull } from './copy-binary.ts';
import type { Header } from './header.ts';
import type { RowBuffer } from './row-buffer.ts';
import { aligned, reserveRow } from './row-buffer.ts';

/** A table's columns as a file brings them. `starts` and `ends` are filled per record, one entry per field of the header. */
export interface RowEncoder {
  readonly table: TableDefinition;
  readonly header: Header;
  readonly encodes: readonly ColumnType['encode'][];
  readonly required: readonly boolean[];
  readonly keyColumn: number;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
  /** After a fault: the column of the table that it is about. */
  faultColumn: number;
}

/** `nulls`: words that stand for an empty field. */
export function createRowEncoder(
  table: TableDefinition,
  header: Header,
  nulls: readonly string[] = [],
): RowEncoder {
  return {
    table,
    header,
    encodes: table.columns.map((column) =>
      nulls.length === 0 ? column.type.encode : knowingNulls(column, nulls),
    ),
    required: table.columns.map((column) => column.required),
    keyColumn: keyIndex(table),
    starts: new Int32Array(header.fields),
    ends: new Int32Array(header.fields),
    faultColumn: 0,
  };
}

/** Around the type, so that a file that is read without such words pays nothing for them. */
function knowingNulls({ type, required }: Column, nulls: readonly string[]): ColumnType['encode'] {
  const words = nulls.map((word) => Buffer.from(word));
  return (source, start, end, out) => {
    if (!words.some((word) => isWord(source, start, end, word))) return type.encode(source, start, end, out);
    if (required) return 'required';
    out.position = putNull(out.bytes, out.position);
    return null;
  };
}

function isWord(source: Uint8Array, start: number, end: number, word: Uint8Array): boolean {
  if (end - start !== word.length) return false;
  for (let at = 0; at < word.length; at += 1) if (source[start + at] !== word[at]) return false;
  return true;
}

/**
 * Appends the row whose fields `encoder.starts` and `encoder.ends` mark in `source`, or returns the first fault in the order of the
 * table's columns and leaves `rows` as it was. `offset`, `length` and `line` say where its record stands in the slice.
 */
export function encodeRow(
  encoder: RowEncoder,
  source: Uint8Array,
  rows: RowBuffer,
  offset: number,
  length: number,
  line: number,
): ValueFault | null {
  const { encodes, required, keyColumn, starts, ends } = encoder;
  const { fieldOf } = encoder.header;
  const columns = encodes.length;
  reserveRow(rows, length, columns);
  const { writer } = rows;
  const begin = writer.position;
  writer.position = putFieldCount(writer.bytes, begin, columns);
  let keyAt = 0;
  for (let column = 0; column < columns; column += 1) {
    if (column === keyColumn) keyAt = writer.position;
    const field = fieldOf[column]!;
    const start = field < 0 ? 0 : starts[field]!;
    const end = field < 0 ? 0 : ends[field]!;
    let fault: ValueFault | null = null;
    if (start < end) fault = encodes[column]!(source, start, end, writer);
    else if (required[column]!) fault = 'required';
    else writer.position = putNull(writer.bytes, writer.position);
    if (fault !== null) {
      writer.position = begin;
      encoder.faultColumn = column;
      return fault;
    }
  }
  finishRow(rows, begin, keyAt + 4, offset, length, line);
  return null;
}

function finishRow(
  rows: RowBuffer,
  begin: number,
  keyAt: number,
  offset: number,
  length: number,
  line: number,
): void {
  const { view, count } = rows;
  const end = rows.writer.position;
  const { keys } = rows;
  keys[count * 4] = view.getUint32(keyAt);
  keys[count * 4 + 1] = view.getUint32(keyAt + 4);
  keys[count * 4 + 2] = view.getUint32(keyAt + 8);
  keys[count * 4 + 3] = view.getUint32(keyAt + 12);
  rows.payloads[count] = hashAround(view, begin + 2, keyAt, keyAt + KEY_BYTES, end);
  rows.begins[count] = begin;
  rows.ends[count] = end;
  rows.slices[count] = rows.slice;
  rows.recordOffsets[count] = offset;
  rows.recordLengths[count] = length;
  rows.recordLines[count] = line;
  rows.count = count + 1;
  rows.bytes += end - begin;
  rows.writer.position = aligned(end);
}

/** MurmurHash3 (32 bit) over the bytes before and behind the key, field lengths included, so that NULL and neighbours count. */
function hashAround(view: DataView, begin: number, keyBegin: number, keyEnd: number, end: number): number {
  let hash = mixRange(view, begin, keyBegin, 0x9747b28c);
  hash = mixRange(view, keyEnd, end, hash);
  hash ^= end - begin;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function mixRange(view: DataView, from: number, to: number, seed: number): number {
  let hash = seed;
  let position = from;
  for (; position + 4 <= to; position += 4) hash = mixWord(hash, view.getInt32(position));
  let rest = 0;
  for (; position < to; position += 1) rest = (rest << 8) | view.getUint8(position);
  return mixWord(hash, rest);
}

function mixWord(hash: number, word: number): number {
  const scrambled = Math.imul(word, 0xcc9e2d51);
  const mixed = hash ^ Math.imul((scrambled << 15) | (scrambled >>> 17), 0x1b873593);
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}
