// Millrace itself, as a user runs it: the whole program, from the start of the process to its end, counts.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { OPTIONS, optionsOf } from '../../src/options.ts';
import { environmentOf } from '../environment.ts';
import { MAIN } from '../load.ts';
import type { Scratch } from '../scratch.ts';
import type { OpenSide, Side } from './side.ts';
import { endOf } from './side.ts';

/** The files lie still before the program starts, so the shortest settling is honest. */
const ARGS = ['run', '--once', '--quiet', '--settle', '50ms'];

/** Known from the option table, so that this file need not change when the option comes. */
export function hasFirstLoad(): boolean {
  return optionsOf('run').some(([, spec]) => spec.flag === 'first-load');
}

export function liveSide(more: readonly string[]): Side {
  const mode = hasFirstLoad() ? ['--first-load', 'never'] : [];
  return millraceSide('live', 'Millrace, live', [...mode, ...more], null);
}

export function firstLoadSide(more: readonly string[]): Side {
  const missing = hasFirstLoad() ? null : 'this Millrace has no option --first-load yet';
  return millraceSide('firstLoad', 'Millrace, first load', ['--first-load', 'auto', ...more], missing);
}

/** Another checkout of Millrace, with the defaults of its own: what a change has cost or won is the ratio to it. */
export function checkoutSide(folder: string): Side {
  const main = resolve(folder, 'src/main.ts');
  const missing = existsSync(main) ? null : `there is no ${main}`;
  return millraceSide('checkout', `Millrace in ${folder}`, [], missing, main);
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
    run: async (sampler) => {
      const child = spawn(process.execPath, args, {
        env: environmentOf(scratch.url),
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      if (child.pid !== undefined) sampler.watch(child.pid);
      await endOf(child, 'millrace');
    },
    close: async () => {},
  };
}

function workersOf(args: readonly string[]): number {
  const at = args.indexOf('--workers');
  return at >= 0 ? Number(args[at + 1]) : OPTIONS.workers.default.value();
}

export function lanesOf(args: readonly string[]): number {
  const at = args.indexOf('--lanes');
  return Number(at >= 0 ? args[at + 1] : OPTIONS.lanes.default);
}
