// How fast one thread turns CSV bytes into rows, on both paths: everything a worker does but the disk (the file is in the page
// cache). The counts are checked before a number is printed. Usage: node bench/parse.ts [--rows 500000]

import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { GenerationId, ParseTask } from '../src/core/slice.ts';
import { SLICE_BYTES } from '../src/core/slice.ts';
import { events } from '../src/schema/events.ts';
import { seededRandom } from '../src/schema/random.ts';
import { parseTask } from '../workers/parse.ts';

const ROUNDS = 5;

const { values } = parseArgs({ options: { rows: { type: 'string', default: '500000' } } });
const rowsWanted = Number(values.rows);

function csvOf(rows: number): Buffer {
  const random = seededRandom(7);
  const hex = (): string => random.next().toString(16).padStart(8, '0');
  const lines = ['event_id,event_type,product_id,user_id,event_timestamp,quantity,price'];
  for (let row = 0; row < rows; row += 1) {
    const word = hex();
    const id = `${hex()}-${word.slice(0, 4)}-4${word.slice(5)}-8${hex().slice(5)}-${hex()}${hex().slice(4)}`;
    const two = (below: number): string => String(random.below(below)).padStart(2, '0');
    lines.push(
      `${id},purchase,prod_${random.below(50)},user_${random.below(500)},` +
        `2024-03-0${1 + random.below(9)} ${two(24)}:${two(60)}:${two(60)},${random.below(9)},${random.below(300)}.${two(100)}`,
    );
  }
  return Buffer.from(`${lines.join('\n')}\n`);
}

function tasksOf(fd: number, size: number): ParseTask[] {
  const tasks: ParseTask[] = [];
  for (let start = 0; start < size; start += SLICE_BYTES) {
    const slice = { generation: 'bench' as GenerationId, path: new Uint8Array(), fd, start };
    const end = Math.min(start + SLICE_BYTES, size);
    tasks.push({
      slices: [{ ...slice, end, exact: start === 0, limit: size, final: true }],
      dialect: { newline: 'lf' },
      rejectsMax: 10_000,
    });
  }
  return tasks;
}

function round(tasks: readonly ParseTask[], path: 'bytes' | 'papaparse'): number {
  const begun = performance.now();
  let rows = 0;
  for (const task of tasks) {
    const chunk = parseTask(task, events, path);
    for (const slice of chunk.slices)
      if (slice.kind !== 'parsed' || slice.rejected > 0)
        throw new Error(`not clean: ${JSON.stringify(slice)}`);
    rows += chunk.rows.count;
  }
  const seconds = (performance.now() - begun) / 1000;
  if (rows !== rowsWanted) throw new Error(`${rows} rows came out of ${rowsWanted}`);
  return rows / seconds;
}

const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-parse-'));
try {
  const path = join(folder, 'rows.csv');
  writeFileSync(path, csvOf(rowsWanted));
  const fd = openSync(path, 'r');
  const tasks = tasksOf(fd, fstatSync(fd).size);
  console.log(`node ${process.version}, ${rowsWanted} rows in ${tasks.length} slices, median of ${ROUNDS}`);
  for (const way of ['bytes', 'papaparse'] as const) {
    const rates = Array.from({ length: ROUNDS }, () => round(tasks, way)).toSorted(
      (left, right) => left - right,
    );
    console.log(`${way.padEnd(10)} ${Math.round(rates[ROUNDS >> 1]!).toLocaleString('en')} rows/s`);
  }
  closeSync(fd);
} finally {
  rmSync(folder, { recursive: true });
}
