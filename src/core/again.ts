// Single records read again, each under the header of its file: the splitter, the two paths and the row encoder of the road, fed one
// record at a time. For what lies in quarantine; files are read by workers/.

import type { TableDefinition } from '../schema/table.ts';
import type { Header } from './header.ts';
import { createRange, parseRecords } from './range.ts';
import { LF } from './record.ts';
import type { Reject } from './reject.ts';
import { createRowBuffer } from './row-buffer.ts';
import { createRowEncoder } from './row-encoder.ts';

export interface RecordBytes {
  /** Where it began in its file. */
  readonly offset: number;
  /** The whole record in UTF-8, without its line end. */
  readonly raw: Uint8Array;
}

/** `untold`: the bytes are not one record any more, as when the newline or the delimiter is read in another way today. */
export type ReadAgain =
  | { readonly kind: 'row'; readonly tuple: Uint8Array; readonly key: string }
  | { readonly kind: 'rejected'; readonly reject: Reject }
  | { readonly kind: 'untold' };

const LINE_END = Buffer.from('\r\n');
const RETURN = Buffer.from('\r');

/** How the records of a file are read. */
export interface Reading {
  readonly header: Header;
  readonly newline: number;
  /** Words that mean NULL. */
  readonly nulls: readonly string[];
}

/** One answer per record. */
export function readAgain(
  records: readonly RecordBytes[],
  { header, newline, nulls }: Reading,
  table: TableDefinition,
): ReadAgain[] {
  const rows = createRowBuffer(records.length || 1, 64 * 1024);
  const encoder = createRowEncoder(table, header, nulls);
  // One CR before LF is dropped, so a CR that belongs to the record survives.
  const lineEnd = newline === LF ? LINE_END : RETURN;
  return records.map(({ offset, raw }) => {
    const bytes = Buffer.concat([raw, lineEnd]);
    const before = rows.count;
    const input = { encoder, newline, rows, rejectsMax: 1, base: offset, start: 0, end: bytes.length };
    const range = createRange({ ...input, path: 'bytes' });
    const stop = parseRecords(range, bytes, true);
    const { count, listed } = range.rejects;
    const added = rows.count - before;
    if (stop !== 'done' || range.position !== bytes.length || added + count !== 1) return { kind: 'untold' };
    const [reject] = listed;
    if (reject !== undefined) return { kind: 'rejected', reject };
    const tuple = Uint8Array.prototype.slice.call(rows.writer.bytes, rows.begins[before], rows.ends[before]);
    return { kind: 'row', tuple, key: keyText(rows.keys, before) };
  });
}

/** 32 hexadecimal digits. */
function keyText(keys: Uint32Array, row: number): string {
  const words = keys.subarray(row * 4, row * 4 + 4);
  return Array.from(words, (word) => word.toString(16).padStart(8, '0')).join('');
}
