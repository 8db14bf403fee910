// The bare transaction beside the latency runs: BEGIN, a COPY of one file's rows that were encoded beforehand, COMMIT; on one connection,
// at the intended times (open-loop) and one after the other. A process of its own, as Millrace is one.

import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

import { copyTuples } from '../../src/sink/postgres/copy.ts';
import { rowsOf, tasksOf } from '../encode.ts';
import { COLUMN_LIST } from '../scratch.ts';

const { files, dueMs, warmUp } = JSON.parse(process.env['BARE'] ?? '{}') as {
  files: string[];
  dueMs: number[];
  /** So many of the files go first, untimed. */
  warmUp: number;
};
const client = new pg.Client(process.env['DATABASE_URL']);
await client.connect();
const all = files.map(tuplesOf);
for (const each of all.slice(0, warmUp)) await transaction(each);
const tuples = all.slice(warmUp);
const paced: number[] = [];
const begunMs = performance.now() + 200;
for (const [index, due] of dueMs.entries()) {
  const waitMs = begunMs + due - performance.now();
  if (waitMs > 1) await sleep(waitMs);
  await transaction(tuples[index]!);
  paced.push(performance.now() - begunMs - due);
}
const backToBack: number[] = [];
for (const each of tuples.slice(dueMs.length)) {
  const fromMs = performance.now();
  await transaction(each);
  backToBack.push(performance.now() - fromMs);
}
await client.end();
console.log(JSON.stringify({ paced, backToBack }));

async function transaction(rows: Uint8Array): Promise<void> {
  await client.query('BEGIN');
  await copyTuples(client, `bare (${COLUMN_LIST})`, [rows]);
  await client.query('COMMIT');
}

function tuplesOf(file: string): Uint8Array {
  const fd = openSync(file, 'r');
  try {
    return Buffer.concat(tasksOf(fd).map((task) => rowsOf(task).bytes));
  } finally {
    closeSync(fd);
  }
}
