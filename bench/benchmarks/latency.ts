// Latency: from the time at which a file was meant to arrive to the moment another program sees its rows. Idle, at the load that the
// product was asked for, and at 50 % and 90 % of the maximum rate of this run; beside them the bare 50-row transaction.

import { spawn } from 'node:child_process';
import { mkdirSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bench } from '../bench.ts';
import { environmentOf } from '../environment.ts';
import { makeFiles } from '../load.ts';
import { pairRatios, spreadOf } from '../measure/statistics.ts';
import type { Spread } from '../measure/statistics.ts';
import { PERCENTILES, curveOf, percentileMs, percentileSpread } from '../measure/times.ts';
import { evenly, named, nowMs, runOpenLoop } from '../open-loop.ts';
import type { Metric, NamedHistogram, Outcome } from '../outcome.ts';
import { rounded, spreadText } from '../report/text.ts';
import type { Running } from '../running.ts';
import { startMillrace, until } from '../running.ts';
import type { Scratch } from '../scratch.ts';
import { freshDatabase } from '../scratch.ts';
import { endOf } from '../sides/side.ts';

const BARE = fileURLToPath(new URL('../children/bare-transactions.ts', import.meta.url));

const ROWS_PER_FILE = 50;
const SECONDS = 20;
const FLOODS = 3;
/** So much faster than a burst is read files arrive while the maximum is measured: their queue grows. */
const FLOOD_SHARE = 1.2;
/** The last file is seen a little after it is due, so that the rate is always below that of arrival. */
const KEPT_UP_SHARE_MIN = 1.05;
const ASKED_PER_SECOND = 10;
const BARE_WARM_UP = 5;
const DRAIN_MS_MAX = 120_000;

/** How much of each part; the small mode of the tests makes all of it small. */
export interface LatencySize {
  /** Files for the maximum rate: at once to find the order of it, then three times at more than that. */
  readonly floodFiles: number;
  readonly idleFiles: number;
  readonly idleMs: number;
  readonly seconds: number;
}

function usualSize({ seconds }: { seconds: number | null }): LatencySize {
  return { floodFiles: 1_500, idleFiles: 10, idleMs: 1_500, seconds: seconds ?? SECONDS };
}

interface Stage {
  readonly bench: Bench;
  readonly folder: string;
  readonly inbox: string;
  readonly scratch: Scratch;
  /** Each set of files has its own seed: no row comes twice. */
  seed: number;
  /** So many rows must be stored by the end: by Millrace, and by the bare transactions. */
  rows: number;
  bareRows: number;
}

export async function latency(bench: Bench, size: LatencySize = usualSize(bench.options)): Promise<Outcome> {
  const folder = join(bench.folder, 'latency');
  mkdirSync(folder);
  const scratch = await freshDatabase(bench.server);
  const stage: Stage = {
    bench,
    folder,
    inbox: join(folder, 'inbox'),
    scratch,
    seed: 100,
    rows: 0,
    bareRows: 0,
  };
  const running = await startMillrace(scratch, stage.inbox, bench.options.runArgs);
  try {
    const measured = await measureAll(stage, size);
    await running.stop();
    return outcomeOf(size, measured);
  } finally {
    await stopQuietly(running);
    await scratch.drop();
  }
}

interface AllMeasured {
  readonly maxPerSecond: Spread;
  readonly parts: readonly { readonly title: string; readonly named: NamedHistogram }[];
  readonly pairs: readonly Pair[];
  /** Of all pairs. */
  readonly asked: NamedHistogram;
}

/** The asked load and the bare transactions, one right after the other. */
interface Pair {
  readonly asked: NamedHistogram;
  readonly paced: NamedHistogram;
  readonly backToBack: NamedHistogram;
}

async function measureAll(stage: Stage, size: LatencySize): Promise<AllMeasured> {
  const { say } = stage.bench;
  const idleDue = Array.from({ length: size.idleFiles }, (_, index) => (index + 1) * size.idleMs);
  const idle = await part(stage, 'latency-idle', idleDue);
  say(`  idle, a file every ${size.idleMs} ms: ${percentilesText(idle)}`);
  const pairs: Pair[] = [];
  for (let round = 0; round < stage.bench.options.rounds; round += 1)
    pairs.push(await pair(stage, size, round));
  const maxPerSecond = await maximumRate(stage, size.floodFiles);
  say(`  maximum rate: ${spreadText(maxPerSecond, 0)} files/s of ${ROWS_PER_FILE} rows`);
  const half = await atShare(stage, 'latency-50-percent', maxPerSecond.median * 0.5, size.seconds);
  const most = await atShare(stage, 'latency-90-percent', maxPerSecond.median * 0.9, size.seconds);
  const rate = (share: number): string => `${Math.round(maxPerSecond.median * share)} files/s`;
  await verifyCount(stage);
  const asked = joined(pairs.map((each) => each.asked));
  return {
    maxPerSecond,
    pairs,
    asked,
    parts: [
      { title: `idle, one file every ${size.idleMs / 1000} s`, named: idle },
      { title: '10 files/s', named: asked },
      { title: `50 % of the maximum (${rate(0.5)})`, named: half },
      { title: `90 % of the maximum (${rate(0.9)})`, named: most },
      { title: 'bare 50-row transaction at 10/s', named: joined(pairs.map(({ paced }) => paced)) },
      {
        title: 'bare 50-row transaction, back to back',
        named: joined(pairs.map(({ backToBack }) => backToBack)),
      },
    ],
  };
}

/** Half a part each, in an order that changes from round to round: both meet the same minute of the machine. */
async function pair(stage: Stage, size: LatencySize, round: number): Promise<Pair> {
  const { say } = stage.bench;
  const files = Math.max(1, Math.round((size.seconds / 2) * ASKED_PER_SECOND));
  const dueMs = evenly(files, ASKED_PER_SECOND);
  const before = round % 2 === 1 ? await bareTransactions(stage, dueMs) : null;
  const asked = await part(stage, 'latency-10-per-second', dueMs);
  say(`  10 files/s: ${percentilesText(asked)}`);
  const { paced, backToBack } = before ?? (await bareTransactions(stage, dueMs));
  say(
    `  the bare transaction at 10/s: ${percentilesText(paced)}; back to back: ${percentilesText(backToBack)}`,
  );
  return { asked, paced, backToBack };
}

function joined(each: readonly NamedHistogram[]): NamedHistogram {
  const times = each.flatMap(({ timesMs }) => timesMs);
  return { ...named(each[0]!.name, times, each[0]!.startedMs), endedMs: each.at(-1)!.endedMs };
}

async function part(stage: Stage, name: string, dueMs: readonly number[]): Promise<NamedHistogram> {
  const staged = await stageFiles(stage, dueMs.length);
  stage.rows += staged.length * ROWS_PER_FILE;
  const { inbox, scratch } = stage;
  await scratch.query('CHECKPOINT'); // no part pays for what another has written
  const startedMs = Date.now();
  const times = await runOpenLoop({ url: scratch.url, staged, inbox, dueMs });
  return named(name, times, startedMs);
}

async function atShare(
  stage: Stage,
  name: string,
  perSecond: number,
  seconds: number,
): Promise<NamedHistogram> {
  const histogram = await part(stage, name, evenly(Math.max(1, Math.round(perSecond * seconds)), perSecond));
  stage.bench.say(`  ${perSecond.toFixed(0)} files/s: ${percentilesText(histogram)}`);
  return histogram;
}

async function stageFiles(stage: Stage, files: number): Promise<string[]> {
  stage.seed += 1;
  const folder = join(stage.folder, `staged-${stage.seed}`);
  const made = await makeFiles(folder, files, ROWS_PER_FILE, stage.seed);
  // Names of one set must not be those of another: a file under a known name is a replaced one.
  return made.map((path) => {
    const own = join(folder, `${stage.seed}-${basename(path)}`);
    renameSync(path, own);
    return own;
  });
}

/** A flood that was read as fast as it came says nothing of the maximum: the next ones, as many as are asked for, come faster. */
async function maximumRate(stage: Stage, files: number): Promise<Spread> {
  const rates: number[] = [];
  for (let perSecond = (await burstRate(stage, files)) * FLOOD_SHARE; rates.length < FLOODS;) {
    const rate = await floodRate(stage, files, perSecond);
    if (rate > perSecond / KEPT_UP_SHARE_MIN) perSecond = rate * FLOOD_SHARE * FLOOD_SHARE;
    else rates.push(rate);
  }
  return spreadOf(rates);
}

/** Files per second while more arrive than can be read, and the reader looks as in every other part: from the first one due to the last row. */
async function floodRate(stage: Stage, files: number, perSecond: number): Promise<number> {
  const dueMs = evenly(files, perSecond);
  const { timesMs } = await part(stage, 'latency-flood', dueMs);
  return files / (Math.max(...timesMs.map((ms, index) => dueMs[index]! + ms)) / 1000);
}

/** Files per second when many are there at once, from the first rename to the last row. */
async function burstRate(stage: Stage, files: number): Promise<number> {
  const staged = await stageFiles(stage, files);
  stage.rows += staged.length * ROWS_PER_FILE;
  const before = await countRows(stage.scratch);
  const wanted = before + files * ROWS_PER_FILE;
  const begunMs = nowMs();
  for (const path of staged) renameSync(path, join(stage.inbox, basename(path)));
  await until(async () => (await countRows(stage.scratch)) >= wanted, DRAIN_MS_MAX, `${files} files`);
  return files / ((nowMs() - begunMs) / 1000);
}

/** The books, not the table: their sum is a few rows' work, and a count of the table would slow what it measures. */
async function countRows(scratch: Scratch): Promise<number> {
  const [row] = await scratch.query<{ count: string }>(
    'SELECT coalesce(sum(inserted), 0) AS count FROM millrace.slices',
  );
  return Number(row?.count ?? 0);
}

/** Every file's every row must be in the table, beside those of the bare transactions. */
async function verifyCount({ scratch, bench, rows, bareRows }: Stage): Promise<void> {
  const [row] = await scratch.query<{ stored: string; booked: string; bare: string }>(
    `SELECT (SELECT count(*) FROM events) AS stored, (SELECT sum(inserted) FROM millrace.slices) AS booked,
            (SELECT count(*) FROM bare) AS bare`,
  );
  if (
    row === undefined ||
    row.stored !== row.booked ||
    Number(row.stored) !== rows ||
    Number(row.bare) !== bareRows
  )
    throw new Error(
      `the tables do not hold the ${rows} and ${bareRows} rows that were sent: ${JSON.stringify(row)}`,
    );
  bench.say(
    `  verified: ${row.stored} rows stored, as sent and as booked; ${row.bare} by the bare transactions`,
  );
}

/**
 * Into a table of the same shape and indexes beside the other one: some that are not timed, since a new connection's first ones are slower;
 * as many as there are times; and as many back to back.
 */
async function bareTransactions(
  stage: Stage,
  dueMs: readonly number[],
): Promise<{ paced: NamedHistogram; backToBack: NamedHistogram }> {
  await stage.scratch.query('CREATE TABLE IF NOT EXISTS bare (LIKE events INCLUDING ALL)');
  const files = await stageFiles(stage, BARE_WARM_UP + dueMs.length * 2);
  stage.bareRows += files.length * ROWS_PER_FILE;
  await stage.scratch.query('CHECKPOINT');
  const startedMs = Date.now();
  const child = spawn(process.execPath, [BARE], {
    env: {
      ...environmentOf(stage.scratch.url),
      BARE: JSON.stringify({ files, dueMs, warmUp: BARE_WARM_UP }),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  await endOf(child, 'the bare transactions');
  const times = JSON.parse(said) as { paced: number[]; backToBack: number[] };
  return {
    paced: named('bare-10-per-second', times.paced, startedMs),
    backToBack: named('bare-back-to-back', times.backToBack, startedMs),
  };
}

function outcomeOf(size: LatencySize, measured: AllMeasured): Outcome {
  const { asked, pairs, parts, maxPerSecond } = measured;
  const ratio = (bare: 'paced' | 'backToBack', percentile: number): Spread =>
    ratioSpread(pairs, bare, percentile);
  const rows = parts.map(({ title, named: each }) => [
    title,
    String(each.histogram.totalCount),
    ...PERCENTILES.map((percentile) => spreadText(percentileSpread(each, percentile))),
  ]);
  return {
    name: 'latency',
    sentences: [
      `Files of ${ROWS_PER_FILE} rows, open-loop, 50 % and 90 % for ${size.seconds} s each: a latency counts from the intended time of its file to the moment an independent reader sees its rows, in ms; in parentheses what the three thirds of the part gave.`,
      `Maximum rate of this run: ${spreadText(maxPerSecond, 0)} files/s, measured with ${FLOODS} times ${size.floodFiles} files that arrive faster than they are read.`,
      `At 10 files/s against the bare transaction at 10/s, ${pairs.length} pairs of ${size.seconds / 2} s each: p50 ${spreadText(ratio('paced', 50))} x, p99 ${spreadText(ratio('paced', 99))} x; against it back to back: p50 ${spreadText(ratio('backToBack', 50))} x, p99 ${spreadText(ratio('backToBack', 99))} x.`,
    ],
    tables: [
      { title: 'Latency in ms', header: ['load', 'files', 'p50', 'p90', 'p99', 'p99.9', 'max'], rows },
    ],
    plots: [
      {
        kind: 'percentiles',
        title: 'Latency by percentile',
        series: parts.map((each) => curveOf(each.title, each.named)),
      },
    ],
    metrics: metricsOf(measured),
    line: {
      latency: {
        maxFilesPerSecond: rounded(maxPerSecond.median, 0),
        p50Ms: rounded(percentileMs(asked, 50)),
        p99Ms: rounded(percentileMs(asked, 99)),
        ratioP50: rounded(ratio('paced', 50).median),
        ratioP99: rounded(ratio('paced', 99).median),
        ratioP50BackToBack: rounded(ratio('backToBack', 50).median),
        ratioP99BackToBack: rounded(ratio('backToBack', 99).median),
      },
    },
    histograms: parts.map((each) => each.named),
  };
}

function ratioSpread(pairs: readonly Pair[], bare: 'paced' | 'backToBack', percentile: number): Spread {
  return pairRatios(
    pairs.map(({ asked }) => percentileMs(asked, percentile)),
    pairs.map((each) => percentileMs(each[bare], percentile)),
  );
}

function metricsOf({ parts, pairs, maxPerSecond }: AllMeasured): Record<string, Metric> {
  const percentiles = Object.fromEntries(
    parts.flatMap(({ named: each }) =>
      [50, 99].map((percentile): [string, Metric] => [
        `${each.name}.p${percentile}`,
        { ...percentileSpread(each, percentile), unit: 'ms', better: 'lower' },
      ]),
    ),
  );
  return {
    ...percentiles,
    'latency.pairedP50': { ...ratioSpread(pairs, 'paced', 50), unit: 'x', better: 'lower' },
    'latency.pairedP99': { ...ratioSpread(pairs, 'paced', 99), unit: 'x', better: 'lower' },
    'latency.maximum': { ...maxPerSecond, unit: 'files/s', better: 'higher' },
  };
}

function percentilesText(each: NamedHistogram): string {
  return `p50 ${percentileMs(each, 50).toFixed(2)} ms, p99 ${percentileMs(each, 99).toFixed(2)} ms, max ${percentileMs(each, 100).toFixed(2)} ms`;
}

async function stopQuietly(running: Running): Promise<void> {
  await running.stop().catch(() => undefined); // already stopped, or its own error is on its way up
}
