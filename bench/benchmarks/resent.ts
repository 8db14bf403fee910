// A file sent again: warm (the same process), and after a restart (a new process with an empty memory), against its first ingest. Each is
// measured from the file's arrival under a new name to the moment the books account for all of its records.

import { copyFileSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from '../bench.ts';
import type { Load } from '../load.ts';
import { makeLoad } from '../load.ts';
import { pairRatios, spreadOf } from '../measure/statistics.ts';
import type { Outcome } from '../outcome.ts';
import { rounded, spreadText } from '../report/text.ts';
import { booked, startMillrace, until } from '../running.ts';
import type { Scratch } from '../scratch.ts';
import { checksum, freshDatabase } from '../scratch.ts';

const ROWS = 1_000_000;
const MS_MAX = 600_000;

const PHASES = ['first', 'warm', 'restarted'] as const;
type Phase = (typeof PHASES)[number];

const TITLES: Readonly<Record<Phase, string>> = {
  first: 'first ingest',
  warm: 'again, warm',
  restarted: 'again, after a restart',
};

export async function resent(bench: Bench): Promise<Outcome> {
  const folder = join(bench.folder, 'resent');
  mkdirSync(folder);
  const load = await makeLoad(join(folder, 'made'), bench.options.rows ?? ROWS);
  const seconds: Record<Phase, number[]> = { first: [], warm: [], restarted: [] };
  for (let round = 0; round < bench.options.rounds; round += 1) {
    const times = await oneRound(bench, load, join(folder, 'inbox'));
    for (const phase of PHASES) seconds[phase].push(times[phase]);
    const told = PHASES.map((phase) => `${TITLES[phase]} ${times[phase].toFixed(2)} s`).join(', ');
    bench.say(`  round ${round + 1}  ${told}`);
  }
  return outcomeOf(load, seconds);
}

async function oneRound(bench: Bench, load: Load, inbox: string): Promise<Record<Phase, number>> {
  const scratch = await freshDatabase(bench.server);
  const args = ['--settle', '50ms', ...bench.options.runArgs];
  try {
    const before = await startMillrace(scratch, inbox, args);
    const first = await send(scratch, load, inbox, 1);
    const stored = await checksum(scratch);
    const warm = await send(scratch, load, inbox, 2);
    await before.stop();
    const after = await startMillrace(scratch, inbox, args);
    const restarted = await send(scratch, load, inbox, 3);
    await after.stop();
    const now = await checksum(scratch);
    if (now !== stored || !stored.startsWith(`${load.rows} rows,`))
      throw new Error(`the table was ${stored}, and is ${now}: a re-sent file must change nothing`);
    return { first, warm, restarted };
  } finally {
    await scratch.drop();
    rmSync(inbox, { recursive: true, force: true });
  }
}

/** The `copy`th time; the copy is made beforehand and arrives by a rename. */
async function send(scratch: Scratch, load: Load, inbox: string, copy: number): Promise<number> {
  const hidden = join(inbox, `.copy-${copy}.tmp`);
  copyFileSync(load.file, hidden);
  await scratch.query('CHECKPOINT');
  const begun = performance.now();
  renameSync(hidden, join(inbox, `copy-${copy}.csv`));
  await until(
    async () => isBooked(await booked(scratch), load.rows, copy),
    MS_MAX,
    `copy ${copy} of the file`,
  );
  return (performance.now() - begun) / 1000;
}

function isBooked(books: { inserted: number; duplicates: number }, rows: number, copy: number): boolean {
  return books.inserted === rows && books.duplicates === rows * (copy - 1);
}

function outcomeOf(load: Load, seconds: Record<Phase, number[]>): Outcome {
  const faster = (phase: Phase) => pairRatios(seconds.first, seconds[phase]);
  return {
    name: 'resent',
    rows: load.rows,
    sentences: [
      `A file of ${load.rows} rows sent again under another name, from its arrival until the books account for every record; the table's checksum did not change.`,
    ],
    tables: [
      {
        title: 'Sent again',
        header: ['what', 'seconds', 'times as fast as the first ingest'],
        rows: PHASES.map((phase) => [
          TITLES[phase],
          spreadText(spreadOf(seconds[phase])),
          phase === 'first' ? '-' : `${spreadText(faster(phase))} x`,
        ]),
      },
    ],
    plots: [],
    metrics: {
      'resent.warm': { ...faster('warm'), unit: 'x', better: 'higher' },
      'resent.restarted': { ...faster('restarted'), unit: 'x', better: 'higher' },
    },
    line: {
      resent: { warm: rounded(faster('warm').median), restarted: rounded(faster('restarted').median) },
    },
    histograms: [],
  };
}
