// Times in HDR histograms: fed in milliseconds of the monotonic clock, kept in whole microseconds, read in milliseconds. Guards
// the histogram against what it takes silently (NaN), what poisons it (Infinity) and what throws (negative values).

import type { Histogram } from 'hdr-histogram-js';
// Not the package's index: its WebAssembly and its log format take 30 ms of each start.
import Int32Histogram from 'hdr-histogram-js/dist/Int32Histogram.js';

/** All in ms. */
export interface TimeSummary {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

const EMPTY: TimeSummary = { count: 0, p50: 0, p90: 0, p99: 0, max: 0 };

const US_MAX = 86_400_000_000; // a day: a database that was away over night still counts
const US_PER_MS = 1_000;

export interface Times {
  /** One time, or `count` equal ones. */
  record(ms: number, count?: number): void;
  summary(): TimeSummary;
}

/** Whole microseconds up to `usMax`, three digits: 115 KB for a day, and an error of at most 0.1 %. */
export function emptyHistogram(usMax = US_MAX): Histogram {
  return new Int32Histogram.default(1, usMax, 3);
}

export function createTimes(): Times {
  const histogram = emptyHistogram();
  return {
    record: (ms, count = 1) => recordInto(histogram, ms, count),
    summary: () => summaryOf(histogram),
  };
}

/**
 * Only the last `windowMs` to twice that: two histograms that take turns. An operator wants to know what is, and an old backlog
 * would rule the percentiles of the whole run for hours.
 */
export function createRecentTimes(windowMs: number, now: () => number): Times {
  let [current, previous] = [emptyHistogram(), emptyHistogram()];
  let turnMs = now();
  const turn = (): void => {
    const age = now() - turnMs;
    if (age < windowMs) return;
    [current, previous] = [previous, current];
    current.reset();
    if (age >= 2 * windowMs) previous.reset();
    turnMs = now();
  };
  return {
    record: (ms, count = 1) => {
      turn();
      recordInto(current, ms, count);
    },
    summary: () => {
      turn();
      const both = emptyHistogram();
      both.add(current);
      both.add(previous);
      return summaryOf(both);
    },
  };
}

function recordInto(histogram: Histogram, ms: number, count: number): void {
  if (!Number.isFinite(ms) || !(count > 0)) return;
  const us = Math.min(US_MAX, Math.max(1, Math.round(ms * US_PER_MS)));
  histogram.recordValueWithCount(us, Math.floor(count));
}

function summaryOf(histogram: Histogram): TimeSummary {
  if (histogram.totalCount === 0) return EMPTY;
  const at = (percentile: number): number => histogram.getValueAtPercentile(percentile) / US_PER_MS;
  return {
    count: histogram.totalCount,
    p50: at(50),
    p90: at(90),
    p99: at(99),
    max: histogram.maxValue / US_PER_MS,
  };
}
