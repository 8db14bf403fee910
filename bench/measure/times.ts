// Latency histograms of the benchmarks: fed in ms, kept in whole microseconds up to an hour, three digits.

import type { Histogram } from 'hdr-histogram-js';

import { emptyHistogram } from '../../src/telemetry/histogram.ts';
import type { NamedHistogram, Series } from '../outcome.ts';
import type { Spread } from './statistics.ts';

/** Fewer times than this have no thirds worth a percentile. */
const THIRDS_OF_MIN = 9;

const US_MAX = 3_600_000_000;
/** What a curve needs: even steps in nines, so that the tail is drawn as finely as the middle. */
const STEPS_PER_NINE = 20;

export const PERCENTILES = [50, 90, 99, 99.9, 100] as const;

/** @throws a RangeError for a time that is none: a benchmark must not lose one silently */
export function histogramOf(timesMs: readonly number[]): Histogram {
  const histogram = emptyHistogram(US_MAX);
  for (const ms of timesMs) {
    if (!Number.isFinite(ms) || ms < 0) throw new RangeError(`${ms} ms is no latency`);
    histogram.recordValue(Math.min(US_MAX, Math.max(1, Math.round(ms * 1000))));
  }
  return histogram;
}

export function percentileMs({ histogram }: NamedHistogram, percentile: number): number {
  return histogram.getValueAtPercentile(percentile) / 1000;
}

/** The percentile of the whole run, and how far those of its three thirds lie apart; of one measurement when it is too short for that. */
export function percentileSpread(named: NamedHistogram, percentile: number): Spread {
  const { timesMs } = named;
  const median = percentileMs(named, percentile);
  if (timesMs.length < THIRDS_OF_MIN) return { median, min: median, max: median, count: 1 };
  const values = thirdsOf(named, percentile);
  return { median, min: Math.min(median, ...values), max: Math.max(median, ...values), count: 3 };
}

/** The percentile of each third of the run, in ms. */
function thirdsOf({ timesMs }: NamedHistogram, percentile: number): number[] {
  const third = Math.ceil(timesMs.length / 3);
  const parts = [0, 1, 2].map((index) => timesMs.slice(index * third, (index + 1) * third));
  return parts
    .filter((part) => part.length > 0)
    .map((part) => histogramOf(part).getValueAtPercentile(percentile) / 1000);
}

/** Ends at the percentile that one file alone decides. */
export function curveOf(label: string, named: NamedHistogram): Series {
  const nines = Math.log10(Math.max(10, named.histogram.totalCount));
  const steps = Math.ceil(nines * STEPS_PER_NINE);
  const points = Array.from({ length: steps + 1 }, (_, step) => {
    const share = 1 - 10 ** ((-step / steps) * nines);
    return [share, percentileMs(named, share * 100)] as const;
  });
  return { label, points };
}
