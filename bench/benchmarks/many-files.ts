// Very many files at once: dropped into the folder of a running program, and a start on a folder where as many are done. Time, memory,
// and how long the first new file waits. Rates of small files against one file are small-files.ts.

import { mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from '../bench.ts';
import { firstKey, makeFiles } from '../load.ts';
import { memoryOf } from '../measure/processes.ts';
import type { Spread } from '../measure/statistics.ts';
import type { Outcome } from '../outcome.ts';
import { booked, startMillrace, until } from '../running.ts';
import type { Scratch } from '../scratch.ts';
import { freshDatabase } from '../scratch.ts';

const ROWS = 1_000_000;
const ROWS_PER_FILE = 10;
const PATIENCE_MS = 1_800_000;
/** Another seed: its keys are no one's else. */
const LATE_SEED = 2;

interface Flood {
  readonly files: number;
  readonly rows: number;
  readonly dropSeconds: number;
  /** From the first rename to the last row visible, and to the last file done in the books. */
  readonly rowsSeconds: number;
  readonly doneSeconds: number;
  readonly peakMiB: number | null;
}

interface Restart {
  /** From the start of the process to the first row of a new file that lay there, among the known ones. */
  readonly firstRowSeconds: number;
  /** Until it was idle: everything known again. */
  readonly peakMiB: number | null;
}

export async function manyFiles(bench: Bench): Promise<Outcome> {
  const folder = join(bench.folder, 'many-files');
  const inbox = join(folder, 'inbox');
  mkdirSync(inbox, { recursive: true });
  const files = Math.max(1, Math.round((bench.options.rows ?? ROWS) / ROWS_PER_FILE));
  const staged = await makeFiles(join(folder, 'staged'), files, ROWS_PER_FILE);
  const late = await makeFiles(join(folder, 'late'), 1, ROWS_PER_FILE, LATE_SEED);
  const scratch = await freshDatabase(bench.server);
  try {
    const flood = await drop(bench, scratch, inbox, staged);
    bench.say(`  ${floodText(flood)}`);
    renameSync(late[0]!, join(inbox, 'late.csv'));
    const restart = await startAgain(bench, scratch, inbox, flood);
    bench.say(`  ${restartText(flood, restart)}`);
    return outcomeOf(flood, restart);
  } finally {
    await scratch.drop();
  }
}

async function drop(
  bench: Bench,
  scratch: Scratch,
  inbox: string,
  staged: readonly string[],
): Promise<Flood> {
  const running = await startMillrace(scratch, inbox, bench.options.runArgs);
  const [files, rows] = [staged.length, staged.length * ROWS_PER_FILE];
  const begunMs = performance.now();
  const since = (): number => (performance.now() - begunMs) / 1000;
  for (const [index, path] of staged.entries()) renameSync(path, join(inbox, `${index}.csv`));
  const dropSeconds = since();
  await until(async () => (await booked(scratch)).inserted >= rows, PATIENCE_MS, 'all rows');
  const rowsSeconds = since();
  await until(async () => (await doneFiles(scratch)) === files, PATIENCE_MS, 'all files to be done');
  const doneSeconds = since();
  const peakMiB = memoryOf(running.pid)?.peakMiB ?? null;
  await running.stop();
  await verify(scratch, rows);
  return { files, rows, dropSeconds, rowsSeconds, doneSeconds, peakMiB };
}

async function startAgain(bench: Bench, scratch: Scratch, inbox: string, flood: Flood): Promise<Restart> {
  const key = firstKey(join(inbox, 'late.csv'));
  const begunMs = performance.now();
  const running = await startMillrace(scratch, inbox, bench.options.runArgs);
  const isThere = async (): Promise<boolean> =>
    (await scratch.query('SELECT FROM events WHERE event_id = $1', [key])).length > 0;
  await until(isThere, PATIENCE_MS, 'the new file among the known ones');
  const firstRowSeconds = (performance.now() - begunMs) / 1000;
  await until(
    async () => (await doneFiles(scratch)) === flood.files + 1,
    PATIENCE_MS,
    'the new file to be done',
  );
  const peakMiB = memoryOf(running.pid)?.peakMiB ?? null;
  await running.stop();
  await verify(scratch, flood.rows + ROWS_PER_FILE);
  const left = readdirSync(inbox).length;
  if (left !== flood.files + 1) throw new Error(`${left} of ${flood.files + 1} files are in the folder`);
  return { firstRowSeconds, peakMiB };
}

async function doneFiles(scratch: Scratch): Promise<number> {
  const [row] = await scratch.query<{ done: number }>(
    "SELECT count(*)::int AS done FROM millrace.files WHERE state = 'done'",
  );
  return row?.done ?? 0;
}

/** Rows, keys and books must all say the same. */
async function verify(scratch: Scratch, rows: number): Promise<void> {
  const { inserted, duplicates } = await booked(scratch);
  const [table] = await scratch.query<{ count: number }>('SELECT count(*)::int AS count FROM events');
  if (inserted !== rows || duplicates !== 0 || table?.count !== rows)
    throw new Error(
      `${rows} rows were written, ${inserted} are booked (and ${duplicates} duplicates), ${table?.count} stored`,
    );
}

function floodText({ files, rows, dropSeconds, rowsSeconds, doneSeconds, peakMiB }: Flood): string {
  const rate = Math.round(rows / rowsSeconds);
  return `${files} files of ${ROWS_PER_FILE} rows dropped within ${dropSeconds.toFixed(1)} s: all rows stored after ${rowsSeconds.toFixed(1)} s (${Math.round(files / rowsSeconds)} files/s, ${rate} rows/s), all files done after ${doneSeconds.toFixed(1)} s, peak memory ${mib(peakMiB)} MiB. Books and table verified.`;
}

function restartText({ files }: Flood, { firstRowSeconds, peakMiB }: Restart): string {
  return `Started again on ${files} files that are done and one that is new: its rows were there ${firstRowSeconds.toFixed(1)} s after the start of the program; peak memory ${mib(peakMiB)} MiB.`;
}

function mib(value: number | null): string {
  return value === null ? '-' : value.toFixed(0);
}

function outcomeOf(flood: Flood, restart: Restart): Outcome {
  const filesPerSecond = flood.files / flood.rowsSeconds;
  return {
    name: 'many-files',
    sentences: [floodText(flood), restartText(flood, restart)],
    tables: [],
    plots: [],
    metrics: {
      'many-files.rate': { ...once(filesPerSecond), unit: 'files/s', better: 'higher' },
      'many-files.restart': { ...once(restart.firstRowSeconds), unit: 's', better: 'lower' },
    },
    line: {
      manyFiles: {
        files: flood.files,
        rows: flood.rows,
        seconds: Number(flood.rowsSeconds.toFixed(2)),
        doneSeconds: Number(flood.doneSeconds.toFixed(2)),
        filesPerSecond: Math.round(filesPerSecond),
        rowsPerSecond: Math.round(flood.rows / flood.rowsSeconds),
        peakMiB: flood.peakMiB === null ? null : Math.round(flood.peakMiB),
        restartSeconds: Number(restart.firstRowSeconds.toFixed(2)),
        restartPeakMiB: restart.peakMiB === null ? null : Math.round(restart.peakMiB),
      },
    },
    histograms: [],
  };
}

/** One run: it says so by its count. */
function once(value: number): Spread {
  return { median: value, min: value, max: value, count: 1 };
}
