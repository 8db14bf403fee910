// Runs the parse worker's code on bytes that a test has made: through a real file, whole or cut into slices that are proven and parsed
// again as the main thread does it. Results are flattened to plain values that `deepEqual` can compare.

import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ParsedChunk } from '../../src/core/chunk.ts';
import type { Path } from '../../src/core/range.ts';
import type { Reject } from '../../src/core/reject.ts';
import type { Dialect, GenerationId, ParsedSlice, SliceTask } from '../../src/core/slice.ts';
import type { ColumnType } from '../../src/schema/column.ts';
import { defineTable } from '../../src/schema/table.ts';
import type { TableDefinition } from '../../src/schema/table.ts';
import { integer, text } from '../../src/schema/types.ts';
import { parseTask } from '../../workers/parse.ts';

/** A key of one to sixteen lower-case letters, so that tests can cut short files at every byte. */
const shortKey: ColumnType = {
  rule: { kind: 'uuid' },
  sql: 'uuid',
  grammar: 'letters',
  oid: 2950,
  encode: (source, start, end, out) => {
    if (end - start > 16) return 'uuid';
    for (let at = start; at < end; at += 1) if (source[at]! < 0x61 || source[at]! > 0x7a) return 'uuid';
    out.bytes.writeInt32BE(16, out.position);
    out.bytes.fill(0, out.position + 4, out.position + 20);
    for (let at = start; at < end; at += 1) out.bytes[out.position + 4 + at - start] = source[at]!;
    out.position += 20;
    return null;
  },
  sample: () => 'a',
};

export const smallTable = defineTable({
  name: 'small',
  comment: '',
  key: 'k',
  columns: [
    { name: 'k', type: shortKey, required: true, comment: '' },
    { name: 't', type: text({ max: 8 }), required: true, comment: '' },
    { name: 'n', type: integer({ min: 0 }), required: false, comment: '' },
  ],
  filled: [],
  indexes: [],
});

export interface FlatRow {
  readonly offset: number;
  readonly length: number;
  readonly line: number;
  readonly tuple: string;
}

export interface Flat {
  readonly rows: readonly FlatRow[];
  readonly rejects: readonly Reject[];
  readonly records: number;
  readonly rejected: number;
  readonly lines: number;
  readonly blankLines: number;
  readonly end: number;
}

export type Parsed = Extract<ParsedSlice, { kind: 'parsed' }>;

let generations = 0;

/** A new content. */
export function newGeneration(): GenerationId {
  generations += 1;
  return `generation-${generations}` as GenerationId;
}

export interface Fixture {
  readonly path: string;
  readonly fd: number;
  readonly generation: GenerationId;
  readonly size: number;
}

/** Calls `use` with a file that holds `bytes`. */
export function withFile<T>(bytes: Uint8Array, use: (file: Fixture) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-parse-'));
  const path = join(folder, 'input.csv');
  writeFileSync(path, bytes);
  const fd = openSync(path, 'r');
  try {
    return use({ path, fd, generation: newGeneration(), size: bytes.length });
  } finally {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  }
}

export interface ParseOptions {
  readonly table?: TableDefinition;
  readonly path?: Path;
  readonly rejectsMax?: number;
  readonly newline?: 'lf' | 'cr';
  /** UTF-8 unless it says otherwise: tests of rows do not want files to be refused for what they look like. */
  readonly dialect?: Omit<Dialect, 'newline'>;
}

export function sliceOf(file: Fixture, change: Partial<SliceTask> = {}): SliceTask {
  const { generation, fd, size } = file;
  return {
    generation,
    path: Buffer.from(file.path).toString('latin1'),
    fd,
    start: 0,
    end: size,
    exact: true,
    limit: size,
    final: true,
    ...change,
  };
}

export function run(slices: readonly SliceTask[], options: ParseOptions = {}): ParsedChunk {
  const dialect = { encoding: 'utf-8', ...options.dialect, newline: options.newline ?? 'lf' } as const;
  const task = { slices, dialect, rejectsMax: options.rejectsMax ?? 10_000 };
  return parseTask(task, options.table ?? smallTable, options.path ?? 'bytes');
}

export function expectParsed(slice: ParsedSlice | undefined): Parsed {
  if (slice?.kind !== 'parsed') throw new Error(`not parsed: ${JSON.stringify(slice)}`);
  if (slice.records !== slice.rows + slice.rejected) throw new Error('records <> rows + rejected');
  return slice;
}

/** One slice's answer with offsets and lines of the file. */
export function flatten(chunk: ParsedChunk, lineBase = 0): Flat {
  const slice = expectParsed(chunk.slices[0]);
  const { rows } = chunk;
  if (rows.count !== slice.rows) throw new Error('row count differs');
  const bytes = Buffer.from(rows.bytes.buffer);
  const list = Array.from({ length: rows.count }, (_, row) => ({
    offset: slice.start + rows.recordOffsets[row]!,
    length: rows.recordLengths[row]!,
    line: lineBase + rows.recordLines[row]!,
    tuple: bytes.toString('hex', row === 0 ? 0 : rows.ends[row - 1], rows.ends[row]),
  }));
  return {
    rows: list.toSorted((left, right) => left.offset - right.offset),
    rejects: slice.rejects.map((reject) => ({ ...reject, line: reject.line + lineBase })),
    records: slice.records,
    rejected: slice.rejected,
    lines: slice.lines,
    blankLines: slice.blankLines,
    end: slice.end,
  };
}

export function parseWhole(bytes: Uint8Array, options: ParseOptions = {}): Flat {
  return withFile(bytes, (file) => flatten(run([sliceOf(file)], options)));
}

/** Cuts speculatively, proves each start, parses again where the guess was wrong, and adds everything up. */
export function parseCut(file: Fixture, cuts: readonly number[], options: ParseOptions = {}): Flat {
  const total = emptyFlat();
  const starts = [0, ...cuts];
  starts.forEach((start, index) => {
    const end = starts[index + 1] ?? file.size;
    if (total.end >= end && index > 0) return;
    const guess = run([sliceOf(file, { start, end, exact: start === 0 })], options);
    const isProven = expectParsed(guess.slices[0]).start === total.end;
    const chunk = isProven ? guess : run([sliceOf(file, { start: total.end, end })], options);
    // The main thread takes an answer that falls short of its range for a sign that the file was changed.
    if (expectParsed(chunk.slices[0]).end < end) throw new Error(`the slice to ${end} ends before it`);
    append(total, flatten(chunk, total.lines));
  });
  return total;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export function emptyFlat(): Mutable<Flat> {
  return { rows: [], rejects: [], records: 0, rejected: 0, lines: 0, blankLines: 0, end: 0 };
}

export function append(total: Mutable<Flat>, part: Flat): void {
  total.rows = [...total.rows, ...part.rows];
  total.rejects = [...total.rejects, ...part.rejects];
  total.records += part.records;
  total.rejected += part.rejected;
  total.lines += part.lines;
  total.blankLines += part.blankLines;
  total.end = part.end;
}
