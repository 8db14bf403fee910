// Millrace itself, as a user runs it: the whole program, from the start of the process to its end, counts.

import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { LANES_START } from '../../src/commands/pacing.ts';
import { workersRange } from '../../src/pool.ts';
import { MAIN } from '../load.ts';
import type { Scratch } from '../scratch.ts';
import type { OpenSide, Side } from './side.ts';
import { runWhole } from './side.ts';

/** The files lie still before the program starts, so the shortest settling is honest. */
const ARGS = ['run', '--once', '--quiet', '--settle', '50ms'];

/** What a run into a table that keeps its indexes is given. */
export const LIVE_ARGS: readonly string[] = ['--first-load', 'never'];
/** Below it a first load is none, see the README. */
const FIRST_LOAD_BYTES_MIN = 200_000 * 96;

export function liveSide(more: readonly string[]): Side {
  return millraceSide('live', 'Millrace, live', [...LIVE_ARGS, ...more], null);
}

/** Its time holds the building of the indexes and ANALYZE: the program ends after both. */
export function firstLoadSide(more: readonly string[]): Side {
  const side = millraceSide('firstLoad', 'Millrace, first load', ['--first-load', 'auto', ...more], null);
  const open: Side['open'] = async (scratch, load) => ({
    ...(await side.open(scratch, load)),
    close: async () => {
      if (load.bytes >= FIRST_LOAD_BYTES_MIN) await requireFirstLoad(scratch);
    },
  });
  return { ...side, open };
}

/** The indexes are younger than the tables of the run that made them, and the planner has been told how many rows there are. */
async function requireFirstLoad(scratch: Scratch): Promise<void> {
  const [row] = await scratch.query<{ rebuilt: boolean; analyzed: boolean }>(
    `SELECT bool_and(x.indexrelid > 'millrace.deferred_indexes'::regclass::oid) AS rebuilt, bool_and(c.reltuples > 0) AS analyzed
     FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid WHERE x.indrelid = 'events'::regclass AND NOT x.indisprimary`,
  );
  if (row?.rebuilt !== true || !row.analyzed)
    throw new Error('the first load of Millrace was none: its number does not count');
}

/** Another checkout of Millrace, with the defaults of its own, but no first load: what a change has cost or won is the ratio to it. */
export function checkoutSide(folder: string): Side {
  const main = resolve(folder, 'src/main.ts');
  const missing = existsSync(main) ? null : `there is no ${main}`;
  const options = resolve(folder, 'src/options.ts');
  const knows = existsSync(options) && readFileSync(options, 'utf8').includes("flag: 'first-load'");
  return millraceSide('checkout', `Millrace in ${folder}`, knows ? LIVE_ARGS : [], missing, main);
}

function millraceSide(
  name: 'live' | 'firstLoad' | 'checkout',
  title: string,
  more: readonly string[],
  missing: string | null,
  main: string = MAIN,
): Side {
  return {
    name,
    title,
    workers: workersOf(more),
    absent: async () => missing,
    prepare: async () => {},
    open: async (scratch, load) => openRun(scratch, [main, ...ARGS, '--input', load.folder, ...more]),
  };
}

function openRun(scratch: Scratch, args: readonly string[]): OpenSide {
  return {
    run: (sampler) => runWhole('millrace', [process.execPath, ...args], scratch, sampler),
    close: async () => {},
  };
}

function workersOf(args: readonly string[]): number {
  return workersRange(numberOf('workers', args)).max;
}

export function lanesOf(args: readonly string[]): number {
  return numberOf('lanes', args) ?? LANES_START;
}

/** Null when the option is not there, or `auto`. */
function numberOf(flag: 'lanes' | 'workers', args: readonly string[]): number | null {
  const { values } = parseArgs({ args: [...args], options: { [flag]: { type: 'string' } }, strict: false });
  const value = values[flag];
  return typeof value !== 'string' || value === 'auto' ? null : Number(value);
}
