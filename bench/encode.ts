// A file's rows as the workers hand them on: encoded for COPY, sorted by key per slice, in batches of the size that the engine
// sends. For what is sent without the engine: the ceiling, and the bare transaction.

import { closeSync, fstatSync, openSync } from 'node:fs';
import { BATCH_ROWS_MAX } from '../src/core/batch.ts';
import type { Rows } from '../src/core/chunk.ts';
import type { Path } from '../src/core/range.ts';
import type { RowBuffer } from '../src/core/row-buffer.ts';
import { truncateRows } from '../src/core/row-buffer.ts';
import type { GenerationId, ParsedSlice, ParseTask } from '../src/core/slice.ts';
import { SLICE_BYTES } from '../src/core/slice.ts';
import { events } from '../src/schema/events.ts';
import type { ParseContext } from '../workers/parse-slice.ts';
import { parseSlice } from '../workers/parse-slice.ts';
import { parseTask } from '../workers/parse.ts';

const BATCH_BYTES_MAX = 8 * 1024 * 1024;

/** The tasks that the source would make of one final file: a slice each. */
export function tasksOf(fd: number): ParseTask[] {
  const { size } = fstatSync(fd);
  const tasks: ParseTask[] = [];
  for (let start = 0; start < size; start += SLICE_BYTES) {
    const end = Math.min(start + SLICE_BYTES, size);
    const place = { generation: 'bench' as GenerationId, path: '', fd, start, end };
    tasks.push({
      slices: [{ ...place, exact: start === 0, limit: size, final: true }],
      dialect: { newline: 'lf' },
      rejectsMax: 10_000,
    });
  }
  return tasks;
}

/** `spare`: memory that may be written over. @throws an Error when a record is refused: then it is not the file that we think */
export function rowsOf(task: ParseTask, path: Path = 'bytes', spare: ArrayBuffer | null = null): Rows {
  const chunk = parseTask(task, events, path, spare);
  chunk.slices.forEach(requireClean);
  return chunk.rows;
}

/** Parsed, validated and encoded only: `rows` is filled anew, in the order of the file. @throws as `rowsOf` */
export function encodeTask(task: ParseTask, path: Path, rows: RowBuffer): void {
  truncateRows(rows, 0);
  const context: ParseContext = { table: events, task, rows, path, bytesRead: 0 };
  for (const index of task.slices.keys()) requireClean(parseSlice(context, index));
}

function requireClean(slice: ParsedSlice): void {
  if (slice.kind === 'parsed' && slice.rejected === 0) return;
  throw new Error(`a generated file is not clean: ${JSON.stringify(slice).slice(0, 500)}`);
}

/** Tuples by batch, as room 5 would close them. */
export function* encodedBatches(file: string): Generator<Uint8Array[]> {
  const fd = openSync(file, 'r');
  try {
    let batch: Rows[] = [];
    for (const task of tasksOf(fd)) {
      const rows = rowsOf(task);
      if (batch.length > 0 && !fits([...batch, rows])) {
        yield batch.map((each) => each.bytes);
        batch = [];
      }
      batch.push(rows);
    }
    if (batch.length > 0) yield batch.map((each) => each.bytes);
  } finally {
    closeSync(fd);
  }
}

function fits(rows: readonly Rows[]): boolean {
  const count = rows.reduce((sum, each) => sum + each.count, 0);
  const bytes = rows.reduce((sum, each) => sum + each.bytes.length, 0);
  return count <= BATCH_ROWS_MAX && bytes <= BATCH_BYTES_MAX;
}
