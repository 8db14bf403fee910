// How the rate holds as the table grows: one long load, its progress noted every half second, beside \copy's own. The first and the last
// tenth of the rows are compared within the same load.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';

import type { Bench } from '../bench.ts';
import { makeLoad } from '../load.ts';
import type { Load } from '../load.ts';
import { boundOfRounds } from '../measure/bound.ts';
import type { Measured, Verification } from '../measure/measure.ts';
import { measureSide } from '../measure/measure.ts';
import { pairRatios, spreadOf } from '../measure/statistics.ts';
import type { Spread } from '../measure/statistics.ts';
import type { Outcome, Series } from '../outcome.ts';
import { rounded, scaled, shareText, spreadText } from '../report/text.ts';
import { orderOf } from '../rounds.ts';
import type { Scratch } from '../scratch.ts';
import { copySide } from '../sides/copy.ts';
import { liveSide } from '../sides/millrace.ts';
import type { Side } from '../sides/side.ts';

const ROWS = 10_000_000;
const LOOK_MS = 500;
const LOOK_MS_SMALL = 20;
const SMALL_ROWS = 100_000;
const PART = 0.1;

/** Rows stored so far, by seconds since the start. */
type Progress = readonly (readonly [seconds: number, rows: number])[];

interface Loads {
  readonly side: Side;
  readonly measured: Measured[];
  readonly progress: Progress[];
}

export async function scale(bench: Bench): Promise<Outcome> {
  const folder = join(bench.folder, 'scale');
  mkdirSync(folder);
  const load = await makeLoad(join(folder, 'inbox'), bench.options.rows ?? ROWS);
  const { against, runArgs } = bench.options;
  const sides = [liveSide(runArgs), ...(against.includes('copy') ? [copySide(folder, 1)] : [])];
  const all = sides.map((side): Loads => ({
    side,
    measured: [],
    progress: [],
  }));
  for (const { side } of all) await side.prepare(load);
  const verification: Verification = { expected: null };
  for (let round = 0; round < bench.options.rounds; round += 1)
    for (const each of orderOf(all, round)) {
      const { side, progress } = watching(each.side, load);
      const measured = await measureSide(bench.server, side, load, verification);
      each.measured.push(measured);
      each.progress.push(progress);
      bench.say(`  round ${round + 1}  ${side.title.padEnd(20)} ${measured.seconds.toFixed(2)} s`);
    }
  return outcomeOf(load, all);
}

/** The side, with somebody beside it who notes how far it is. */
function watching(side: Side, load: Load): { side: Side; progress: [number, number][] } {
  const progress: [number, number][] = [[0, 0]];
  const open: Side['open'] = async (scratch, given) => {
    const inner = await side.open(scratch, given);
    return {
      run: async (sampler) => {
        const ended = new AbortController();
        const begun = performance.now();
        const noting = note(scratch, side, progress, ended.signal, load.rows);
        try {
          await inner.run(sampler);
        } finally {
          ended.abort();
          await noting;
        }
        if (progress.at(-1)?.[1] !== load.rows)
          progress.push([(performance.now() - begun) / 1000, load.rows]);
      },
      close: () => inner.close(),
    };
  };
  return { side: { ...side, open }, progress };
}

/** The books know Millrace's rows; \copy is one transaction, so the server's own progress view must do. */
async function note(
  scratch: Scratch,
  side: Side,
  progress: [number, number][],
  ended: AbortSignal,
  rows: number,
): Promise<void> {
  const client = new pg.Client(scratch.client);
  await client.connect();
  const begun = performance.now();
  const text =
    side.name === 'live'
      ? `SELECT CASE WHEN to_regclass('millrace.slices') IS NULL THEN 0
           ELSE (xpath('/row/n/text()', query_to_xml('SELECT coalesce(sum(inserted), 0) AS n FROM millrace.slices', false, true, '')))[1]::text::numeric END AS rows`
      : 'SELECT coalesce(sum(tuples_processed), 0) AS rows FROM pg_stat_progress_copy';
  while (!ended.aborted) {
    const found = Number((await client.query<{ rows: string }>(text)).rows[0]?.rows ?? 0);
    const last = progress.at(-1)?.[1] ?? 0;
    if (found > last && found <= rows) progress.push([(performance.now() - begun) / 1000, found]);
    await pause(rows > SMALL_ROWS ? LOOK_MS : LOOK_MS_SMALL, ended);
  }
  await client.end();
}

function pause(ms: number, ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    ended.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}

/** Seconds at which so many rows were stored, on the straight line between two looks. */
export function secondsAt(progress: Progress, rows: number): number {
  const after = progress.findIndex(([, stored]) => stored >= rows);
  if (after <= 0) return progress[0]?.[0] ?? 0;
  const [[x0, y0], [x1, y1]] = [progress[after - 1]!, progress[after]!];
  return x0 + ((rows - y0) / (y1 - y0)) * (x1 - x0);
}

/** Rate of the last part of the rows against that of the part that follows the first look, which start-up is not in. */
function keptShare(progress: Progress, rows: number): number {
  const part = rows * PART;
  const from = progress[1]?.[1] ?? 0;
  const first = secondsAt(progress, Math.min(rows, from + part)) - secondsAt(progress, from);
  const last = secondsAt(progress, rows) - secondsAt(progress, rows - part);
  return first / last;
}

function outcomeOf(load: Load, all: readonly Loads[]): Outcome {
  const kept = ({ progress }: Loads) => spreadOf(progress.map((each) => keptShare(each, load.rows)));
  const secondsOf = ({ measured }: Loads) => measured.map(({ seconds }) => seconds);
  const rates = (one: Loads) => spreadOf(secondsOf(one).map((each) => load.rows / each));
  const [live, copy] = all as [Loads, Loads?];
  const ratio = copy === undefined ? null : pairRatios(secondsOf(copy), secondsOf(live));
  const beside =
    copy === undefined || ratio === null
      ? ''
      : `, copy's at ${shareText(kept(copy))}. Millrace is ${spreadText(ratio)} times as fast as copy`;
  const peak = usedOf(live, ({ used }) => used.peakMiB);
  const cpu = usedOf(live, ({ used }) =>
    used.clientCpuSeconds === null ? null : (used.clientCpuSeconds * 1e6) / load.rows,
  );
  return {
    name: 'scale',
    rows: load.rows,
    sentences: [
      `${load.rows} rows: the last tenth of Millrace's rows ran at ${shareText(kept(live))} of the rate of its first${beside}. Every table verified.`,
      ...all.map(
        ({ side, measured }) => `${side.title} is bounded by ${boundOfRounds(measured, side.workers)}.`,
      ),
    ],
    tables: [
      {
        title: 'As the table grows',
        header: [
          'side',
          'seconds',
          'k rows/s',
          'last tenth against the first',
          'client CPU s per 1 M rows',
          'peak MiB',
        ],
        rows: all.map((each) => [
          each.side.title,
          spreadText(spreadOf(secondsOf(each))),
          spreadText(scaled(rates(each), 1e-3), 1),
          shareText(kept(each)),
          each === live && cpu !== null ? spreadText(cpu, 2) : '-',
          each === live && peak !== null ? spreadText(peak, 0) : '-',
        ]),
      },
    ],
    plots: [{ kind: 'time', title: 'Rows stored', unit: 'M', series: all.map(seriesOf) }],
    metrics: {
      'scale.live': { ...rates(live), unit: 'rows/s', better: 'higher' },
      ...(ratio !== null && { 'scale.live/copy': { ...ratio, unit: 'x', better: 'higher' as const } }),
      'scale.kept': { ...kept(live), unit: 'of its first rate', better: 'higher' },
      ...(cpu !== null && { 'scale.cpu': { ...cpu, unit: 's per 1 M rows', better: 'lower' as const } }),
      ...(peak !== null && { 'scale.peak': { ...peak, unit: 'MiB', better: 'lower' as const } }),
    },
    line: {
      scale: {
        rows: load.rows,
        kept: rounded(kept(live).median),
        ...(ratio !== null && { ratio: rounded(ratio.median) }),
        ...(copy !== undefined && { copyKept: rounded(kept(copy).median) }),
      },
    },
    histograms: [],
  };
}

/** Null where the system does not tell. */
function usedOf({ measured }: Loads, pick: (one: Measured) => number | null): Spread | null {
  const known = measured.map(pick).filter((value) => value !== null);
  return known.length === 0 ? null : spreadOf(known);
}

function seriesOf({ side, progress }: Loads): Series {
  return {
    label: side.title,
    points: (progress[0] ?? []).map(([seconds, rows]) => [seconds, rows / 1e6] as const),
  };
}
