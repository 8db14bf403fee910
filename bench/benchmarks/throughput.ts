// Throughput: every side loads the same file into the same fresh indexed table. Also `first-load`, which is the same with fewer sides.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from '../bench.ts';
import type { Load } from '../load.ts';
import { makeLoad } from '../load.ts';
import { boundOfRounds } from '../measure/bound.ts';
import type { Doing } from '../measure/sampler.ts';
import { pairRatios, spreadOf } from '../measure/statistics.ts';
import type { Spread } from '../measure/statistics.ts';
import type { Metric, Outcome, Plot, Table } from '../outcome.ts';
import { rounded, scaled, shareText, spreadText } from '../report/text.ts';
import type { SideRounds } from '../rounds.ts';
import { presentSides, runRounds } from '../rounds.ts';
import { ceilingSide } from '../sides/ceiling.ts';
import { copySide } from '../sides/copy.ts';
import { checkoutSide, firstLoadSide, lanesOf, liveSide } from '../sides/millrace.ts';
import { pgloaderSide } from '../sides/pgloader.ts';
import type { Side, SideName } from '../sides/side.ts';
import { sparkSide } from '../sides/spark.ts';

const ROWS = 1_000_000;

type Measurements = ReadonlyMap<SideName, SideRounds>;

export async function throughput(bench: Bench, name: 'throughput' | 'first-load'): Promise<Outcome> {
  const folder = join(bench.folder, name);
  mkdirSync(folder);
  const load = await makeLoad(join(folder, 'inbox'), bench.options.rows ?? ROWS);
  const wanted = name === 'throughput' ? allSides(bench, folder) : firstLoadSides(bench, folder);
  const { present, sentences } = await presentSides(wanted);
  for (const sentence of sentences) bench.say(`  ${sentence}`);
  const measured = await runRounds(bench, present, load);
  return outcomeOf(name, load, measured, sentences);
}

function allSides({ options: { against, checkout, runArgs } }: Bench, folder: string): Side[] {
  const peers = against.flatMap((peer): Side[] => {
    switch (peer) {
      case 'copy':
        return [copySide(folder, 1)];
      case 'copy2':
        return [copySide(folder, 2)];
      case 'pgloader':
        return [pgloaderSide(folder)];
      case 'spark':
        return [sparkSide(folder, 'usual'), sparkSide(folder, 'tuned')];
      default:
        return peer satisfies never;
    }
  });
  const other = checkout === null ? [] : [checkoutSide(checkout)];
  return [
    liveSide(runArgs),
    firstLoadSide(runArgs),
    ...other,
    ...peers,
    ceilingSide(folder, lanesOf(runArgs)),
  ];
}

function firstLoadSides({ options: { runArgs } }: Bench, folder: string): Side[] {
  return [firstLoadSide(runArgs), liveSide(runArgs), copySide(folder, 1)];
}

function outcomeOf(name: string, load: Load, measured: Measurements, absent: readonly string[]): Outcome {
  const all = [...measured.values()];
  const share = ceilingShare(measured);
  const sentences = [
    `${load.rows} rows, ${load.bytes} bytes in one file; ${all[0]?.rounds.length ?? 0} rounds, order rotated, CHECKPOINT before each; every table verified by count and checksum over all columns.`,
    'The clock of every side runs from the start of its program to its end; only that of Spark begins when its session is up.',
    ...absent,
    ...roadSentence(measured),
    ...checkoutSentence(measured),
    ...all.map(({ side, rounds }) => `${side.title} is bounded by ${boundOfRounds(rounds, side.workers)}.`),
  ];
  return {
    name,
    rows: load.rows,
    sentences,
    tables: [rateTable(load, measured), resourceTable(load, all), ratioTable(measured)],
    plots: [barsOf(load, all), ...momentPlots(all)],
    metrics: metricsOf(name, load, measured),
    line: lineOf(name, load, measured, share),
    histograms: [],
  };
}

function roadSentence(measured: Measurements): string[] {
  const [share, road] = [ceilingShare(measured), ceilingShareOfRoad(measured)];
  if (share === null || road === null) return [];
  const both = `${shareText(share)} of the ceiling from start to end, and ${shareText(road)} from the first transaction of each on`;
  return [`Millrace reaches ${both}.`];
}

function checkoutSentence(measured: Measurements): string[] {
  const [time, cpu] = [ratioOf(measured, 'live', 'checkout'), cpuRatioOf(measured, 'live', 'checkout')];
  if (time === null || cpu === null) return [];
  const speed = `${spreadText(time)} times as fast as ${measured.get('checkout')?.side.title}`;
  return [`This checkout is ${speed}, and takes ${spreadText(cpu)} times its processor time.`];
}

/** Ours by theirs, pair by pair. Null where the processor time cannot be read. */
function cpuRatioOf(measured: Measurements, ours: SideName, theirs: SideName): Spread | null {
  const cpuOf = (name: SideName): number[] =>
    (measured.get(name)?.rounds ?? []).flatMap(({ used }) => used.clientCpuSeconds ?? []);
  const [a, b] = [cpuOf(ours), cpuOf(theirs)];
  return a.length === 0 || a.length !== b.length ? null : pairRatios(a, b);
}

function secondsOf(measured: Measurements, name: SideName): number[] | null {
  return measured.get(name)?.rounds.map((round) => round.seconds) ?? null;
}

function ratioOf(measured: Measurements, ours: SideName, theirs: SideName): Spread | null {
  const [a, b] = [secondsOf(measured, ours), secondsOf(measured, theirs)];
  return a === null || b === null ? null : pairRatios(b, a);
}

function ceilingShare(measured: Measurements): Spread | null {
  return ratioOf(measured, 'live', 'ceiling');
}

/** Without the start of either program: what the road itself reaches. */
function ceilingShareOfRoad(measured: Measurements): Spread | null {
  const roadOf = (name: SideName): number[] | undefined =>
    measured.get(name)?.rounds.map(({ seconds, firstRowSeconds }) => seconds - firstRowSeconds);
  const [live, ceiling] = [roadOf('live'), roadOf('ceiling')];
  return live === undefined || ceiling === undefined ? null : pairRatios(ceiling, live);
}

function ratesOf(load: Load, { rounds }: SideRounds): Spread {
  return spreadOf(rounds.map((round) => load.rows / round.seconds));
}

function rateTable(load: Load, measured: Measurements): Table {
  const rows = [...measured.values()].map((each) => {
    const share = ratioOf(measured, each.side.name, 'ceiling');
    const toCopy = ratioOf(measured, each.side.name, 'copy');
    return [
      each.side.title,
      spreadText(spreadOf(each.rounds.map((round) => round.seconds))),
      spreadText(scaled(ratesOf(load, each), 1e-3), 1),
      toCopy === null ? '-' : `${spreadText(toCopy)} x`,
      share === null ? '-' : shareText(share),
      boundOfRounds(each.rounds, each.side.workers),
    ];
  });
  const header = ['side', 'seconds', 'k rows/s', 'against copy', 'share of the ceiling', 'bounded by'];
  return { title: 'Throughput', header, rows };
}

function resourceTable(load: Load, all: readonly SideRounds[]): Table {
  const perMillion = 1_000_000 / load.rows;
  const rows = all.map(({ side, rounds }) => {
    const of = (value: (round: (typeof rounds)[number]) => number | null): Spread | null =>
      medianOf(rounds.map(value));
    const seconds = of((round) => round.used.clientCpuSeconds);
    const database = of((round) => round.used.databaseCpuSeconds);
    const busy = (pick: 'mainThreadSeconds' | 'workerSeconds', threads: number): string => {
      const share = of((round) =>
        round.used[pick] === null ? null : round.used[pick] / round.seconds / threads,
      );
      return side.workers === 0 || share === null ? '-' : shareText(share);
    };
    const cell = (spread: Spread | null, factor: number, digits: number): string =>
      spread === null ? '-' : spreadText(scaled(spread, factor), digits);
    return [
      side.title,
      cell(seconds, perMillion, 2),
      cell(database, perMillion, 2),
      busy('mainThreadSeconds', 1),
      busy('workerSeconds', Math.max(1, side.workers)),
      lookText(rounds),
      cell(
        of((round) => round.walBytes),
        perMillion / 2 ** 20,
        0,
      ),
      cell(
        of((round) => round.used.peakMiB),
        1,
        0,
      ),
      cell(
        of((round) => round.firstRowSeconds),
        1,
        2,
      ),
    ];
  });
  const header = [
    'side',
    'client CPU s per 1 M rows',
    'database CPU s per 1 M rows',
    'main thread busy',
    'workers busy',
    'its connections: running / waiting for client, WAL, disk, locks',
    'WAL MiB per 1 M rows',
    'peak MiB',
    's to the first transaction',
  ];
  return { title: 'What each side used', header, rows };
}

function lookText(rounds: SideRounds['rounds']): string {
  const share = (pick: Doing): string => {
    const spread = medianOf(rounds.map(({ used }) => used.doings[pick]));
    return spread === null ? '-' : `${Math.round(spread.median * 100)} %`;
  };
  return `${share('running')} / ${share('client')}, ${share('wal')}, ${share('disk')}, ${share('lock')}`;
}

function medianOf(values: readonly (number | null)[]): Spread | null {
  const known = values.filter((value) => value !== null && Number.isFinite(value));
  return known.length === 0 ? null : spreadOf(known as number[]);
}

function ratioTable(measured: Measurements): Table {
  const ours = (['live', 'firstLoad'] as const).filter((name) => measured.has(name));
  const rows = [...measured.values()]
    .filter(({ side }) => !ours.includes(side.name as 'live'))
    .map(({ side }) => [
      side.title,
      ...ours.map((name) => {
        const ratio = ratioOf(measured, name, side.name);
        return ratio === null ? '-' : `${spreadText(ratio)} x`;
      }),
    ]);
  const titles = ours.map((name) => measured.get(name)?.side.title ?? name);
  return { title: 'Times as fast as (median of pair ratios)', header: ['against', ...titles], rows };
}

function barsOf(load: Load, all: readonly SideRounds[]): Plot {
  const bars = all.map((each) => ({ label: each.side.title, ...scaled(ratesOf(load, each), 1e-3) }));
  return { kind: 'bars', title: 'Throughput by side', unit: 'k rows/s', bars };
}

/** Of the first round of each side: what it used, second by second. */
function momentPlots(all: readonly SideRounds[]): Plot[] {
  return all.flatMap(({ side, rounds }): Plot[] => {
    const moments = rounds[0]?.used.moments ?? [];
    if (moments.length === 0) return [];
    const line = (label: string, pick: 'clientCores' | 'databaseCores' | 'clientMiB') => ({
      label,
      points: moments.map((moment) => [moment.atSeconds, moment[pick]] as const),
    });
    const cores = [line('client', 'clientCores'), line('database', 'databaseCores')];
    return [
      { kind: 'time', title: `${side.title}: processor`, unit: 'cores', series: cores },
      {
        kind: 'time',
        title: `${side.title}: memory of the client`,
        unit: 'MiB',
        series: [line('client', 'clientMiB')],
      },
    ];
  });
}

function metricsOf(name: string, load: Load, measured: Measurements): Record<string, Metric> {
  const metrics: Record<string, Metric> = {};
  for (const each of measured.values()) {
    metrics[`${name}.${each.side.name}`] = { ...ratesOf(load, each), unit: 'rows/s', better: 'higher' };
    const cpu = medianOf(each.rounds.map(({ used }) => used.clientCpuSeconds));
    if (cpu !== null)
      metrics[`${name}.${each.side.name}.cpu`] = {
        ...scaled(cpu, 1e6 / load.rows),
        unit: 's per 1 M rows',
        better: 'lower',
      };
    for (const ours of ['live', 'firstLoad'] as const) {
      const ratio = ours === each.side.name ? null : ratioOf(measured, ours, each.side.name);
      if (ratio !== null && measured.has(ours))
        metrics[`${name}.${ours}/${each.side.name}`] = { ...ratio, unit: 'x', better: 'higher' };
    }
  }
  return metrics;
}

function lineOf(
  name: string,
  load: Load,
  measured: Measurements,
  share: Spread | null,
): Record<string, unknown> {
  const ratios = (ours: 'live' | 'firstLoad'): Record<string, number> =>
    Object.fromEntries(
      [...measured.keys()].flatMap((theirs) => {
        const ratio = theirs === ours ? null : ratioOf(measured, ours, theirs);
        return ratio === null ? [] : [[theirs, rounded(ratio.median)]];
      }),
    );
  const road = ceilingShareOfRoad(measured);
  const rates = [...measured.values()].map((each) => [
    each.side.name,
    Math.round(ratesOf(load, each).median),
  ]);
  const line = {
    rows: load.rows,
    rowsPerSecond: Object.fromEntries(rates),
    ratios: {
      ...(measured.has('live') && { live: ratios('live') }),
      ...(measured.has('firstLoad') && { firstLoad: ratios('firstLoad') }),
    },
    ceilingShare: share === null ? null : rounded(share.median),
    ceilingShareOfRoad: road === null ? null : rounded(road.median),
  };
  return name === 'throughput' ? line : { [name]: line };
}
