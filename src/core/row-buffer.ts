// Where encoded rows gather in the order of the file before they are sorted: flat arrays that are kept from task to task, so that a
// worker allocates only what it hands over. Sorting and handing over is sort.ts.

import type { FieldWriter } from '../schema/column.ts';

/** What `FieldWriter` promises to column types: `row bytes * 2 + 32 per column`. */
const FIELD_BYTES_SPARE = 32;

/**
 * Enough for a slice of usual rows: memory that is not touched costs nothing but its place in V8's accounts, growing copies it, and a field
 * of `RowBuffer` that changes for the first time makes V8 throw away what it has compiled for rows. Long slices grow it, once.
 */
const ROWS_FIRST = 65_536;
const BYTES_FIRST = 8 * 1024 * 1024;

/** One entry per row, `keys` four; see `Rows` in chunk.ts for their meaning. */
export interface RowBuffer {
  readonly writer: FieldWriter;
  /** Over the same memory as `writer.bytes`. */
  view: DataView;
  words: Int32Array;
  /** Sum of the tuples' bytes. */
  bytes: number;
  count: number;
  /** Index of the slice that rows are being added for. */
  slice: number;
  /** Where the row's tuple stands in `writer.bytes`; each begins at a multiple of 4, so that sorting can move words. */
  begins: Uint32Array;
  ends: Uint32Array;
  keys: Uint32Array;
  payloads: Uint32Array;
  slices: Uint16Array;
  recordOffsets: Uint32Array;
  recordLengths: Uint32Array;
  recordLines: Uint32Array;
  /** Of no meaning: without a use of what sorting loads ahead, the compiler would leave the loads out. */
  touched: number;
}

/** With room for so much at first; it grows. */
export function createRowBuffer(rowsFirst = ROWS_FIRST, bytesFirst = BYTES_FIRST): RowBuffer {
  const bytes = Buffer.allocUnsafeSlow(bytesFirst);
  return {
    writer: { bytes, position: 0 },
    view: new DataView(bytes.buffer),
    words: new Int32Array(bytes.buffer),
    bytes: 0,
    count: 0,
    slice: 0,
    begins: new Uint32Array(rowsFirst),
    ends: new Uint32Array(rowsFirst),
    keys: new Uint32Array(rowsFirst * 4),
    payloads: new Uint32Array(rowsFirst),
    slices: new Uint16Array(rowsFirst),
    recordOffsets: new Uint32Array(rowsFirst),
    recordLengths: new Uint32Array(rowsFirst),
    recordLines: new Uint32Array(rowsFirst),
    touched: 0,
  };
}

/** Forgets all rows behind the first `count`; used to begin a task, and when a slice turns out to be void. */
export function truncateRows(rows: RowBuffer, count: number): void {
  for (let row = count; row < rows.count; row += 1) rows.bytes -= rows.ends[row]! - rows.begins[row]!;
  rows.count = count;
  rows.writer.position = count === 0 ? 0 : aligned(rows.ends[count - 1]!);
}

/** The next multiple of 4. */
export function aligned(position: number): number {
  return (position + 3) & ~3;
}

/** Makes room for one more row that is encoded from at most `recordBytes` bytes. */
export function reserveRow(rows: RowBuffer, recordBytes: number, columns: number): void {
  if (rows.count === rows.ends.length) growRows(rows);
  const needed = rows.writer.position + recordBytes * 2 + FIELD_BYTES_SPARE * (columns + 1);
  if (needed > rows.writer.bytes.length) growBytes(rows, needed);
}

function growBytes(rows: RowBuffer, needed: number): void {
  const bytes = Buffer.allocUnsafeSlow(Math.max(aligned(needed), rows.writer.bytes.length * 2));
  bytes.set(rows.writer.bytes.subarray(0, rows.writer.position));
  rows.writer.bytes = bytes;
  rows.view = new DataView(bytes.buffer);
  rows.words = new Int32Array(bytes.buffer);
}

function growRows(rows: RowBuffer): void {
  rows.begins = grown(rows.begins);
  rows.ends = grown(rows.ends);
  rows.keys = grown(rows.keys);
  rows.payloads = grown(rows.payloads);
  rows.recordOffsets = grown(rows.recordOffsets);
  rows.recordLengths = grown(rows.recordLengths);
  rows.recordLines = grown(rows.recordLines);
  const slices = new Uint16Array(rows.slices.length * 2);
  slices.set(rows.slices);
  rows.slices = slices;
}

function grown(array: Uint32Array): Uint32Array {
  const larger = new Uint32Array(array.length * 2);
  larger.set(array);
  return larger;
}
