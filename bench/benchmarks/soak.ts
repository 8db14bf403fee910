// Soak: the load that the product was asked for, for a long time: does latency hold, does memory stay?

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from '../bench.ts';
import { makeFiles } from '../load.ts';
import { timed } from '../measure/measure.ts';
import type { Measured } from '../measure/measure.ts';
import { slopeOf } from '../measure/statistics.ts';
import { curveOf, percentileSpread } from '../measure/times.ts';
import { evenly, named, runOpenLoop } from '../open-loop.ts';
import type { NamedHistogram, Outcome } from '../outcome.ts';
import { rounded, spreadText } from '../report/text.ts';
import { startMillrace } from '../running.ts';
import { freshDatabase } from '../scratch.ts';

const SECONDS = 600;
const PER_SECOND = 10;
const ROWS_PER_FILE = 50;

export async function soak(bench: Bench): Promise<Outcome> {
  const folder = join(bench.folder, 'soak');
  const inbox = join(folder, 'inbox');
  mkdirSync(inbox, { recursive: true });
  const seconds = bench.options.seconds ?? SECONDS;
  const staged = await makeFiles(join(folder, 'staged'), seconds * PER_SECOND, ROWS_PER_FILE);
  const scratch = await freshDatabase(bench.server);
  try {
    const running = await startMillrace(scratch, inbox, bench.options.runArgs);
    const startedMs = Date.now();
    let times: number[] = [];
    const measured = await timed(bench.server, scratch, async (sampler) => {
      sampler.watch(running.pid);
      times = await runOpenLoop({
        url: scratch.url,
        staged,
        inbox,
        dueMs: evenly(staged.length, PER_SECOND),
      });
    });
    await running.stop();
    const [row] = await scratch.query<{ count: string }>('SELECT count(*) AS count FROM events');
    if (Number(row?.count) !== staged.length * ROWS_PER_FILE)
      throw new Error(`the table holds ${row?.count} of ${staged.length * ROWS_PER_FILE} rows`);
    const outcome = outcomeOf(seconds, named('soak', times, startedMs), measured);
    bench.say(`  ${outcome.sentences.join(' ')}`);
    return outcome;
  } finally {
    await scratch.drop();
  }
}

function outcomeOf(seconds: number, latencies: NamedHistogram, { used }: Measured): Outcome {
  const memory = used.moments.map((moment) => [moment.atSeconds, moment.clientMiB] as const);
  // The first fifth is the heap finding its size.
  const later = memory.filter(([atSeconds]) => atSeconds > seconds / 5);
  const mibPerHour = slopeOf(later) * 3600;
  const [p50, p99] = [percentileSpread(latencies, 50), percentileSpread(latencies, 99)];
  const minutes = minutesOf(latencies.timesMs);
  return {
    name: 'soak',
    sentences: [
      `${seconds} s of ${PER_SECOND} files/s with ${ROWS_PER_FILE} rows: p50 ${spreadText(p50)} ms, p99 ${spreadText(p99)} ms (in parentheses: its thirds).`,
      `Memory after the first fifth moved by ${mibPerHour.toFixed(1)} MiB per hour, peak ${used.peakMiB?.toFixed(0) ?? '-'} MiB. Every row counted.`,
    ],
    tables: [
      {
        title: 'Latency by minute, in ms',
        header: ['minute', 'files', 'p50', 'p99', 'max'],
        rows: minutes.map((each, index) => [
          String(index + 1),
          String(each.length),
          ...[0.5, 0.99, 1].map((share) => at(each, share).toFixed(2)),
        ]),
      },
    ],
    plots: [
      { kind: 'time', title: 'Memory', unit: 'MiB', series: [{ label: 'millrace', points: memory }] },
      { kind: 'percentiles', title: 'Latency by percentile', series: [curveOf('10 files/s', latencies)] },
    ],
    metrics: {
      'soak.p50': { ...p50, unit: 'ms', better: 'lower' },
      'soak.p99': { ...p99, unit: 'ms', better: 'lower' },
    },
    line: {
      soak: {
        seconds,
        p50Ms: rounded(p50.median),
        p99Ms: rounded(p99.median),
        mibPerHour: rounded(mibPerHour, 1),
      },
    },
    histograms: [latencies],
  };
}

function minutesOf(timesMs: readonly number[]): number[][] {
  const perMinute = PER_SECOND * 60;
  const count = Math.ceil(timesMs.length / perMinute);
  return Array.from({ length: count }, (_, minute) =>
    timesMs.slice(minute * perMinute, (minute + 1) * perMinute),
  );
}

function at(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}
