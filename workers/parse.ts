// The task of the parse workers (room 3): a task of slices in, one ParsedChunk out. The row buffers are
// transferred, not copied. Opening and reading is slice-file.ts, one slice is parse-slice.ts.

import { move, transferableSymbol, valueSymbol } from 'piscina';
import type { ParsedChunk } from '../src/core/chunk.ts';
import type { Path } from '../src/core/range.ts';
import { createRowBuffer, truncateRows } from '../src/core/row-buffer.ts';
import type { ParsedSlice, ParseOrder, ParseTask } from '../src/core/slice.ts';
import { takeSortedRows } from '../src/core/sort.ts';
import { expectTransfers } from '../src/core/transfers.ts';
import { failPoint } from '../src/failpoints.ts';
import { events } from '../src/schema/events.ts';
import type { TableDefinition } from '../src/schema/table.ts';
import type { ParseContext } from './parse-slice.ts';
import { parseSlice } from './parse-slice.ts';

/**
 * When the slices of a task have listed so many rejects together, those behind them come again in another task: 256 small files of
 * nothing but bad lines are two million rejects, more than a worker's heap holds.
 */
const LISTED_MAX = 10_000;

expectTransfers();

/** Kept from task to task; a worker does one task at a time. */
const rows = createRowBuffer();

/** Parses, validates, encodes and sorts. Bad content is part of the answer; a throw is a bug. */
export function parse({ spare, ...task }: ParseOrder): ParsedChunk {
  failPoint('parse');
  const chunk = parseTask(task, events, 'bytes', spare);
  const transferable = {
    ...chunk,
    get [transferableSymbol]() {
      return [chunk.rows.bytes.buffer];
    },
    get [valueSymbol]() {
      return chunk;
    },
  };
  move(transferable);
  return transferable;
}

/** The same for any table, and with papaparse forced where `path` says so. */
export function parseTask(
  task: ParseTask,
  table: TableDefinition,
  path: Path,
  spare: ArrayBuffer | null = null,
): ParsedChunk {
  const begun = performance.now();
  truncateRows(rows, 0);
  const context: ParseContext = { table, task, rows, path, bytesRead: 0 };
  const slices: ParsedSlice[] = [];
  let listed = 0;
  for (const index of task.slices.keys()) {
    const slice: ParsedSlice = listed >= LISTED_MAX ? { kind: 'postponed' } : parseSlice(context, index);
    if (slice.kind === 'parsed') listed += slice.rejects.length;
    slices.push(slice);
  }
  const taken = takeSortedRows(rows, task.slices.length > 1, spare);
  return { slices, rows: taken, parseMs: performance.now() - begun, bytesRead: context.bytesRead };
}
