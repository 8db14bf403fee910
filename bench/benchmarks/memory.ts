// Memory: the peak of a run and its processor time, and what one key costs in the dedup set, in bytes and in time.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { KEY_BYTES } from '../../src/core/chunk.ts';
import type { AcceptedChunk } from '../../src/core/chunk.ts';
import { DedupSet } from '../../src/core/dedup.ts';
import { seededRandom } from '../../src/schema/random.ts';
import type { Bench } from '../bench.ts';
import { makeLoad } from '../load.ts';
import type { Measured, Verification } from '../measure/measure.ts';
import { measureSide } from '../measure/measure.ts';
import { spreadOf } from '../measure/statistics.ts';
import type { Spread } from '../measure/statistics.ts';
import type { Metric, Outcome, Plot } from '../outcome.ts';
import { rounded, scaled, spreadText } from '../report/text.ts';
import { liveSide } from '../sides/millrace.ts';

const ROWS = 1_000_000;
/** Of the run's rows: the dedup set is asked at ten times the size, in a heap of its own making. */
const KEYS_PER_ROW = 10;
const CHUNK_KEYS = 40_000;
const DEDUP_BYTES = 512 * 2 ** 20;

interface KeyCost {
  readonly keys: number;
  readonly bytesPerKey: number;
  readonly microsecondsPerKey: number;
}

export async function memory(bench: Bench): Promise<Outcome> {
  const folder = join(bench.folder, 'memory');
  mkdirSync(folder);
  const load = await makeLoad(join(folder, 'inbox'), bench.options.rows ?? ROWS);
  const side = liveSide(bench.options.runArgs);
  const verification: Verification = { expected: null };
  const runs: Measured[] = [];
  const costs: KeyCost[] = [];
  for (let round = 0; round < bench.options.rounds; round += 1) {
    const run = await measureSide(bench.server, side, load, verification);
    runs.push(run);
    costs.push(keyCost(load.rows * KEYS_PER_ROW, round));
    bench.say(
      `  round ${round + 1}  peak ${run.used.peakMiB?.toFixed(0) ?? '-'} MiB, ${run.used.clientCpuSeconds ?? '-'} s of processor time; ${costText(costs.at(-1)!)}`,
    );
  }
  return outcomeOf(load.rows, runs, costs);
}

/** Looks up and inserts keys that are all new, in chunks of the size that the engine judges. */
function keyCost(keys: number, seed: number): KeyCost {
  const random = seededRandom(seed + 1);
  const dedup = new DedupSet({ memoryBytes: DEDUP_BYTES, seed: 7 });
  let ms = 0;
  for (let done = 0; done < keys; done += CHUNK_KEYS) {
    const chunk = chunkOf(Math.min(CHUNK_KEYS, keys - done), () => random.next());
    const begun = performance.now();
    dedup.judge(chunk, 0n);
    ms += performance.now() - begun;
  }
  return { keys: dedup.size, bytesPerKey: dedup.bytes / dedup.size, microsecondsPerKey: (ms * 1000) / keys };
}

function chunkOf(count: number, word: () => number): AcceptedChunk {
  const keys = new Uint32Array((count * KEY_BYTES) / 4).map(() => word());
  const none = new Uint32Array(count);
  return {
    slices: [],
    rows: {
      count,
      bytes: new Uint8Array(0),
      ends: none,
      keys,
      payloads: none,
      slices: null,
      recordOffsets: none,
      recordLengths: none,
      recordLines: none,
    },
  };
}

function outcomeOf(rows: number, runs: readonly Measured[], costs: readonly KeyCost[]): Outcome {
  const known = (values: readonly (number | null)[]): Spread | null => {
    const numbers = values.filter((value) => value !== null);
    return numbers.length === 0 ? null : spreadOf(numbers);
  };
  const peak = known(runs.map(({ used }) => used.peakMiB));
  const cpu = known(
    runs.map(({ used }) => (used.clientCpuSeconds === null ? null : (used.clientCpuSeconds * 1e6) / rows)),
  );
  const bytes = spreadOf(costs.map((cost) => cost.bytesPerKey));
  const time = spreadOf(costs.map((cost) => cost.microsecondsPerKey));
  const cell = (spread: Spread | null, digits: number): string =>
    spread === null ? '-' : spreadText(spread, digits);
  const numbers: Record<string, [Spread | null, string]> = {
    'memory.peak': [peak, 'MiB'],
    'memory.cpu': [cpu, 's per 1 M rows'],
    'memory.bytesPerKey': [bytes, 'bytes'],
    'memory.timePerKey': [scaled(time, 1000), 'ns'],
  };
  return {
    name: 'memory',
    rows,
    sentences: [
      `A run of ${rows} rows, and the dedup set at ${costs[0]?.keys ?? 0} keys (memory for ${DEDUP_BYTES / 2 ** 20} MiB).`,
    ],
    tables: [
      {
        title: 'Memory and processor time',
        header: ['what', 'value'],
        rows: [
          ['peak resident memory, MiB', cell(peak, 0)],
          [
            'processor time of all threads, s per 1 M rows, start and end of the program included',
            cell(cpu, 2),
          ],
          ['dedup set, bytes per key', cell(bytes, 1)],
          ['dedup set, microseconds per look-up and insert', cell(time, 3)],
        ],
      },
    ],
    plots: memoryPlot(runs),
    metrics: metricsOf(numbers),
    line: {
      memory: {
        peakMiB: peak === null ? null : Math.round(peak.median),
        cpuSecondsPerMillionRows: cpu === null ? null : rounded(cpu.median),
        bytesPerKey: rounded(bytes.median, 1),
        microsecondsPerKey: rounded(time.median),
      },
    },
    histograms: [],
  };
}

function metricsOf(numbers: Record<string, [Spread | null, string]>): Record<string, Metric> {
  return Object.fromEntries(
    Object.entries(numbers).flatMap(([name, [spread, unit]]): [string, Metric][] =>
      spread === null ? [] : [[name, { ...spread, unit, better: 'lower' }]],
    ),
  );
}

function memoryPlot(runs: readonly Measured[]): Plot[] {
  const moments = runs[0]?.used.moments ?? [];
  const points = moments.map((moment) => [moment.atSeconds, moment.clientMiB] as const);
  return points.length === 0
    ? []
    : [{ kind: 'time', title: 'Memory of a run', unit: 'MiB', series: [{ label: 'millrace', points }] }];
}

function costText({ keys, bytesPerKey, microsecondsPerKey }: KeyCost): string {
  return `${keys} keys: ${bytesPerKey.toFixed(1)} bytes and ${microsecondsPerKey.toFixed(3)} us each`;
}
