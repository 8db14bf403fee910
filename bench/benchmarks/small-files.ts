// Many small files against the same rows in one file: what opening, accounting and settling a file costs.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from '../bench.ts';
import type { Load } from '../load.ts';
import { joinFiles, makeFiles } from '../load.ts';
import { boundOfRounds } from '../measure/bound.ts';
import { measureSide } from '../measure/measure.ts';
import type { Measured, Verification } from '../measure/measure.ts';
import { pairRatios, spreadOf } from '../measure/statistics.ts';
import type { Outcome } from '../outcome.ts';
import { rounded, scaled, shareText, spreadText } from '../report/text.ts';
import { orderOf } from '../rounds.ts';
import { liveSide } from '../sides/millrace.ts';

const ROWS = 1_000_000;
const ROWS_PER_FILE = 50;

interface Variant {
  readonly title: string;
  readonly load: Load;
  readonly measured: Measured[];
}

export async function smallFiles(bench: Bench): Promise<Outcome> {
  const folder = join(bench.folder, 'small-files');
  mkdirSync(folder);
  const files = Math.max(1, Math.round((bench.options.rows ?? ROWS) / ROWS_PER_FILE));
  const [many, one] = await variants(folder, files);
  const side = liveSide(bench.options.runArgs);
  const verification: Verification = { expected: null };
  for (let round = 0; round < bench.options.rounds; round += 1)
    for (const { title, load, measured } of orderOf([many, one], round)) {
      const result = await measureSide(bench.server, side, load, verification);
      measured.push(result);
      bench.say(`  round ${round + 1}  ${title.padEnd(28)} ${result.seconds.toFixed(2)} s`);
    }
  return outcomeOf(files, many, one, side.workers);
}

async function variants(folder: string, files: number): Promise<[Variant, Variant]> {
  const inbox = join(folder, 'many');
  const paths = await makeFiles(inbox, files, ROWS_PER_FILE);
  mkdirSync(join(folder, 'one'));
  const file = join(folder, 'one', 'joined.csv');
  const bytes = await joinFiles(paths, file);
  const rows = files * ROWS_PER_FILE;
  return [
    { title: `${files} files`, load: { folder: inbox, file: '', rows, bytes }, measured: [] },
    { title: 'the same rows in one', load: { folder: join(folder, 'one'), file, rows, bytes }, measured: [] },
  ];
}

function outcomeOf(files: number, many: Variant, one: Variant, workers: number): Outcome {
  const seconds = (variant: Variant): number[] => variant.measured.map((each) => each.seconds);
  const share = pairRatios(seconds(one), seconds(many));
  const rates = (variant: Variant): number[] => seconds(variant).map((each) => variant.load.rows / each);
  const fileRates = seconds(many).map((each) => files / each);
  return {
    name: 'small-files',
    rows: many.load.rows,
    sentences: [
      `${files} files of ${ROWS_PER_FILE} rows, rows/s against the same rows in one file: ${shareText(share)}. Every table verified.`,
      ...[many, one].map(
        ({ title, measured }) => `${title}: bounded by ${boundOfRounds(measured, workers)}.`,
      ),
    ],
    tables: [
      {
        title: 'Small files',
        header: ['input', 'seconds', 'k rows/s', 'files/s'],
        rows: [many, one].map((variant) => [
          variant.title,
          spreadText(spreadOf(seconds(variant))),
          spreadText(scaled(spreadOf(rates(variant)), 1e-3), 1),
          variant === many ? spreadText(spreadOf(fileRates), 0) : '-',
        ]),
      },
    ],
    plots: [],
    metrics: {
      'small-files.rate': { ...spreadOf(rates(many)), unit: 'rows/s', better: 'higher' },
      'small-files.share': { ...share, unit: 'of one file', better: 'higher' },
    },
    line: {
      smallFiles: { share: rounded(share.median), filesPerSecond: Math.round(spreadOf(fileRates).median) },
    },
    histograms: [],
  };
}
