// What a soak sees of the program, second by second, and what that says: is memory flat, do open files stay? Compared at equal age, since
// the program is killed now and then; and over the longest life.

import { readdirSync } from 'node:fs';

import { memoryOf } from '../../bench/measure/processes.ts';

export interface Sample {
  readonly atMs: number;
  /** Which start of the program, and how old it is. */
  readonly life: number;
  readonly ageMs: number;
  readonly rssMiB: number;
  readonly openFiles: number;
  readonly filesWaiting: number;
}

/** Null where the system does not tell (no /proc), or the program is just not there. */
export function lookAt(pid: number): Pick<Sample, 'rssMiB' | 'openFiles'> | null {
  try {
    const memory = memoryOf(pid);
    return memory === null
      ? null
      : { rssMiB: memory.nowMiB, openFiles: readdirSync(`/proc/${pid}/fd`).length };
  } catch {
    return null; // it ended between two looks
  }
}

export interface Quarter {
  readonly samples: number;
  readonly rssMiB: number;
  readonly rssMiBMax: number;
  readonly openFiles: number;
  readonly openFilesMax: number;
}

/** First and last quarter of the samples by time; medians, and the largest. NaN where there is none. */
export function quartersOf(samples: readonly Sample[], fromMs: number, toMs: number): [Quarter, Quarter] {
  const quarterMs = (toMs - fromMs) / 4;
  return [
    summaryOf(samples.filter(({ atMs }) => atMs < fromMs + quarterMs)),
    summaryOf(samples.filter(({ atMs }) => atMs >= toMs - quarterMs)),
  ];
}

function summaryOf(samples: readonly Sample[]): Quarter {
  const [rss, open] = [samples.map(({ rssMiB }) => rssMiB), samples.map(({ openFiles }) => openFiles)];
  return {
    samples: samples.length,
    rssMiB: median(rss),
    rssMiBMax: Math.max(...rss, 0),
    openFiles: median(open),
    openFilesMax: Math.max(...open, 0),
  };
}

/** Only samples of processes that have found their size. */
export function grownUp(samples: readonly Sample[], ageMsMin: number): Sample[] {
  return samples.filter(({ ageMs }) => ageMs >= ageMsMin);
}

/** The samples of the life that was longest. */
export function longestLife(samples: readonly Sample[]): Sample[] {
  const lives = Map.groupBy(samples, ({ life }) => life);
  return [...lives.values()].reduce((best, each) => (spanOf(each) > spanOf(best) ? each : best), []);
}

export function spanOf(samples: readonly Sample[]): number {
  return (samples.at(-1)?.atMs ?? 0) - (samples[0]?.atMs ?? 0);
}

export function quarterText(first: Quarter, last: Quarter): string {
  const change = (a: number, b: number, unit: string): string => `${figure(a)} -> ${figure(b)}${unit}`;
  return `memory ${change(first.rssMiB, last.rssMiB, ' MiB')} (at most ${change(first.rssMiBMax, last.rssMiBMax, '')}), open files ${change(first.openFiles, last.openFiles, '')} (at most ${change(first.openFilesMax, last.openFilesMax, '')})`;
}

function figure(value: number): string {
  return Number.isNaN(value) ? '-' : value.toFixed(0);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? NaN;
}
