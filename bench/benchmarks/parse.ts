// How fast one thread turns CSV bytes into rows, on both paths: everything a worker does but the disk (the file is in the page cache).

import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Path } from '../../src/core/range.ts';
import type { ParseTask } from '../../src/core/slice.ts';
import type { Bench } from '../bench.ts';
import { rowsOf, tasksOf } from '../encode.ts';
import { makeLoad } from '../load.ts';
import { spreadOf } from '../measure/statistics.ts';
import type { Spread } from '../measure/statistics.ts';
import type { Outcome } from '../outcome.ts';
import { scaled, spreadText } from '../report/text.ts';

const ROWS = 500_000;
/** Beyond the rounds asked for: the first ones run while the code is still being compiled. */
const WARM_UP_ROUNDS = 2;

export async function parse(bench: Bench): Promise<Outcome> {
  const folder = join(bench.folder, 'parse');
  mkdirSync(folder);
  const load = await makeLoad(join(folder, 'inbox'), bench.options.rows ?? ROWS);
  const fd = openSync(load.file, 'r');
  try {
    const tasks = tasksOf(fd);
    const rounds = Math.max(5, bench.options.rounds);
    const rates = {
      bytes: ratesOf(tasks, load.rows, 'bytes', rounds),
      papaparse: ratesOf(tasks, load.rows, 'papaparse', rounds),
    };
    for (const [path, rate] of Object.entries(rates))
      bench.say(`  ${path.padEnd(10)} ${spreadText(scaled(rate, 1e-3), 0)} k rows/s`);
    return outcomeOf(load.rows, rounds, rates);
  } finally {
    closeSync(fd);
  }
}

function ratesOf(tasks: readonly ParseTask[], rows: number, path: Path, rounds: number): Spread {
  const rates = Array.from({ length: rounds + WARM_UP_ROUNDS }, () => {
    const begun = performance.now();
    const found = tasks.reduce((sum, task) => sum + rowsOf(task, path).count, 0);
    if (found !== rows) throw new Error(`${found} rows came out of ${rows}`);
    return (rows / (performance.now() - begun)) * 1000;
  });
  return spreadOf(rates.slice(WARM_UP_ROUNDS));
}

function outcomeOf(rows: number, rounds: number, rates: Record<'bytes' | 'papaparse', Spread>): Outcome {
  const { bytes, papaparse } = rates;
  return {
    name: 'parse',
    sentences: [
      `${rows} rows, one thread: parse, validate, encode, sort; ${rounds} rounds after ${WARM_UP_ROUNDS} to warm up.`,
    ],
    tables: [
      {
        title: 'One worker',
        header: ['path', 'k rows/s'],
        rows: [
          ['bytes (slices without quotes)', spreadText(scaled(bytes, 1e-3), 0)],
          ['papaparse (slices with quotes)', spreadText(scaled(papaparse, 1e-3), 0)],
        ],
      },
    ],
    plots: [],
    metrics: {
      'parse.bytes': { ...bytes, unit: 'rows/s', better: 'higher' },
      'parse.papaparse': { ...papaparse, unit: 'rows/s', better: 'higher' },
    },
    line: { parse: { bytes: Math.round(bytes.median), papaparse: Math.round(papaparse.median) } },
    histograms: [],
  };
}
