// How fast one thread turns CSV bytes into rows, on both paths, and how fast with sorting: a worker's work without the disk (the file is
// in the page cache) and without handing over.

import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Path } from '../../src/core/range.ts';
import { createRowBuffer } from '../../src/core/row-buffer.ts';
import type { ParseTask } from '../../src/core/slice.ts';
import type { Bench } from '../bench.ts';
import { encodeTask, rowsOf, tasksOf } from '../encode.ts';
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
    for (const [path, { encoded, handedOver }] of Object.entries(rates)) {
      bench.say(
        `  ${path.padEnd(10)} ${spreadText(scaled(encoded, 1e-3), 0)} k rows/s, sorted too ${spreadText(scaled(handedOver, 1e-3), 0)}`,
      );
    }
    return outcomeOf(load.rows, rounds, rates);
  } finally {
    closeSync(fd);
  }
}

/** Rows per second. */
interface Rates {
  /** Parsed, validated and encoded for COPY. */
  readonly encoded: Spread;
  /** And sorted into what goes to the main thread. */
  readonly handedOver: Spread;
}

/** Both in turn, round by round. */
function ratesOf(tasks: readonly ParseTask[], rows: number, path: Path, rounds: number): Rates {
  const buffer = createRowBuffer();
  const encode = (task: ParseTask): number => {
    encodeTask(task, path, buffer);
    return buffer.count;
  };
  // As in a long run, where memory comes back from the batches that have committed.
  let spare: ArrayBuffer | null = null;
  const handOver = (task: ParseTask): number => {
    const taken = rowsOf(task, path, spare);
    spare = taken.bytes.buffer;
    return taken.count;
  };
  const all = Array.from({ length: rounds + WARM_UP_ROUNDS }, () => ({
    encoded: rateOf(tasks, rows, encode),
    handedOver: rateOf(tasks, rows, handOver),
  })).slice(WARM_UP_ROUNDS);
  return {
    encoded: spreadOf(all.map(({ encoded }) => encoded)),
    handedOver: spreadOf(all.map(({ handedOver }) => handedOver)),
  };
}

function rateOf(tasks: readonly ParseTask[], rows: number, work: (task: ParseTask) => number): number {
  const begun = performance.now();
  const found = tasks.reduce((sum, task) => sum + work(task), 0);
  if (found !== rows) throw new Error(`${found} rows came out of ${rows}`);
  return (rows / (performance.now() - begun)) * 1000;
}

function outcomeOf(rows: number, rounds: number, rates: Record<'bytes' | 'papaparse', Rates>): Outcome {
  const { bytes, papaparse } = rates;
  return {
    name: 'parse',
    rows,
    sentences: [
      `${rows} rows, one thread, from the page cache; ${rounds} rounds after ${WARM_UP_ROUNDS} to warm up.`,
    ],
    tables: [
      {
        title: 'One worker',
        header: ['path', 'parse + validate + encode, k rows/s', 'and sort, k rows/s'],
        rows: [
          ['bytes (slices without quotes)', ...ratesText(bytes)],
          ['papaparse (slices with quotes)', ...ratesText(papaparse)],
        ],
      },
    ],
    plots: [],
    metrics: {
      'parse.bytesEncoded': { ...bytes.encoded, unit: 'rows/s', better: 'higher' },
      'parse.bytesSorted': { ...bytes.handedOver, unit: 'rows/s', better: 'higher' },
      'parse.papaparseEncoded': { ...papaparse.encoded, unit: 'rows/s', better: 'higher' },
      'parse.papaparseSorted': { ...papaparse.handedOver, unit: 'rows/s', better: 'higher' },
    },
    line: {
      parse: {
        bytes: Math.round(bytes.encoded.median),
        papaparse: Math.round(papaparse.encoded.median),
        bytesSorted: Math.round(bytes.handedOver.median),
        papaparseSorted: Math.round(papaparse.handedOver.median),
      },
    },
    histograms: [],
  };
}

function ratesText({ encoded, handedOver }: Rates): string[] {
  return [encoded, handedOver].map((rate) => spreadText(scaled(rate, 1e-3), 0));
}
