// What a benchmark hands to the reports: sentences, tables, plots, numbers with their spread, histograms. One form for all, so that a
// report knows nothing of any benchmark.

import type { Histogram } from 'hdr-histogram-js';
import type { Spread } from './measure/statistics.ts';

export interface Metric extends Spread {
  readonly unit: string;
  readonly better: 'higher' | 'lower';
}

export interface Table {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface Bar extends Spread {
  readonly label: string;
}

/** A line through points in the order of x. */
export interface Series {
  readonly label: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export type Plot =
  | { readonly kind: 'bars'; readonly title: string; readonly unit: string; readonly bars: readonly Bar[] }
  /** x: the share of files that were at least as fast, 0 to 1; y: ms. */
  | { readonly kind: 'percentiles'; readonly title: string; readonly series: readonly Series[] }
  /** x: seconds. */
  | {
      readonly kind: 'time';
      readonly title: string;
      readonly unit: string;
      readonly series: readonly Series[];
    };

/** A latency histogram in whole microseconds; becomes `<name>.hlog`. */
export interface NamedHistogram {
  readonly name: string;
  readonly startedMs: number;
  readonly endedMs: number;
  readonly histogram: Histogram;
  /** The same in ms, in the order of the files: the thirds of a run give its spread. */
  readonly timesMs: readonly number[];
}

export interface Outcome {
  readonly name: string;
  /** How many it loaded or parsed, where the numbers depend on it. */
  readonly rows?: number;
  readonly sentences: readonly string[];
  readonly tables: readonly Table[];
  readonly plots: readonly Plot[];
  readonly metrics: Readonly<Record<string, Metric>>;
  /** What this benchmark adds to the line that `--json` prints. */
  readonly line: Readonly<Record<string, unknown>>;
  readonly histograms: readonly NamedHistogram[];
}
