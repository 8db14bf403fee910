// What the parse room makes of one small file of events, in a form that a line of a test can hold. Every file is read by both paths
// and cut in two at places spread over it; all of these must agree before the test sees anything.

import assert from 'node:assert/strict';
import { decodeTuples } from '../../src/core/copy-binary.ts';
import { events } from '../../src/schema/events.ts';
import { HEADER, uuidOf } from './events.ts';
import type { Flat, ParseOptions } from './parse-harness.ts';
import { flatten, parseCut, run, sliceOf, withFile } from './parse-harness.ts';

export interface Seen {
  /** The code for which the file as a whole is refused, and its sentence. */
  readonly refused: string | null;
  readonly reason: string;
  readonly rows: number;
  /** `code line:offset column`, without the column where the record is at fault. */
  readonly rejects: readonly string[];
  readonly blankLines: number;
  /** The columns' bytes of each row, in the order of the table, in the order of the file. */
  readonly values: readonly (readonly (Buffer | null)[])[];
  readonly flat: Flat | null;
}

const NOTHING = { rows: 0, rejects: [], blankLines: 0, values: [], flat: null };

/** More cuts of a longer file only cost time: the fuzz target cuts everywhere. */
const CUTS_MAX = 64;

export function read(input: string | Uint8Array, options: ParseOptions = {}): Seen {
  const bytes = Buffer.from(input as Uint8Array);
  const ours = { table: events, ...options, dialect: { encoding: 'auto', ...options.dialect } } as const;
  return withFile(bytes, (file) => {
    const chunk = run([sliceOf(file)], ours);
    const [slice] = chunk.slices;
    const other = run([sliceOf(file)], { ...ours, path: 'papaparse' });
    if (slice?.kind === 'refused') {
      assert.deepEqual(other.slices[0], slice, 'both paths refuse alike');
      return { ...NOTHING, refused: slice.code, reason: slice.reason };
    }
    const flat = flatten(chunk);
    assert.equal(flat.end, bytes.length, 'all of the file is accounted for');
    assert.equal(flat.records, flat.rows.length + flat.rejected);
    assert.deepEqual(flatten(other), flat, 'both paths agree');
    const step = Math.max(1, Math.ceil(bytes.length / CUTS_MAX));
    // Less than a byte order mark is never the first slice of a file: slices are megabytes.
    for (let cut = (bytes[0] ?? 0) >= 0xfe ? 4 : 1; cut < bytes.length; cut += step)
      assert.deepEqual(parseCut(file, [cut], ours), flat, `cut at ${cut}`);
    assertRawBytes(bytes, flat);
    return seenOf(flat);
  });
}

/** What is kept of a refused record is what stands in the file at its place. */
export function assertRawBytes(bytes: Buffer, flat: Flat): void {
  for (const { raw, offset } of flat.rejects)
    if (raw !== null) assert.deepEqual(Buffer.from(raw), bytes.subarray(offset, offset + raw.length));
}

function seenOf(flat: Flat): Seen {
  const bytes = Buffer.concat(flat.rows.map((row) => Buffer.from(row.tuple, 'hex')));
  return {
    refused: null,
    reason: '',
    rows: flat.rows.length,
    rejects: flat.rejects.map(({ code, line, offset, column }) =>
      [code, `${line + 1}:${offset}`, column].filter((part) => part !== null).join(' '),
    ),
    blankLines: flat.blankLines,
    values: bytes.length === 0 ? [] : decodeTuples(bytes),
    flat,
  };
}

/** The same for a table of cases: the codes only. */
export function codes(seen: Seen): string[] {
  return seen.rejects.map((reject) => reject.split(' ')[0] ?? '');
}

let number = 0;

/** A record of our columns; every one has a key of its own. */
export function record(change: Readonly<Record<string, string>> = {}): string {
  number += 1;
  const plain: Record<string, string> = {
    event_id: uuidOf(number),
    event_type: 'view',
    product_id: 'p',
    user_id: 'u',
    event_timestamp: '2024-05-06 07:08:09',
    quantity: '1',
    price: '2.50',
    ...change,
  };
  return HEADER.split(',')
    .map((column) => plain[column])
    .join(',');
}

/** A file with our header; each line is ended. */
export function lines(...all: readonly string[]): string {
  return [HEADER, ...all].map((line) => `${line}\n`).join('');
}

/** Reads one file with one record per value of a column; gives the code of each refused value, and 'ok' for the others. */
export function judge(column: string, values: readonly string[]): string[] {
  const seen = read(lines(...values.map((value) => record({ [column]: value }))));
  const byLine = new Map(seen.flat?.rejects.map((reject) => [reject.line, reject]));
  return values.map((_, index) => {
    const reject = byLine.get(index + 1);
    if (reject !== undefined) assert.equal(reject.column, column);
    return reject?.code ?? 'ok';
  });
}

/** The text that a column of the first row was stored as. */
export function textOf(seen: Seen, column: string, row = 0): string | undefined {
  const index = events.columns.findIndex(({ name }) => name === column);
  return seen.values[row]?.[index]?.toString();
}
