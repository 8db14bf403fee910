// Medians with their spread, pair ratios, and what counts as a change beyond noise. Numbers only; no text.

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

/** Throws a RangeError for no numbers at all: a spread of nothing must not look like one. */
export function spreadOf(numbers: readonly number[]): Spread {
  if (numbers.length === 0) throw new RangeError('the spread of no numbers was asked for');
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)!, count: sorted.length };
}

/** The ratio within each round, `theirs[i] / ours[i]`: a slow minute of the machine meets both sides of a pair. */
export function pairRatios(theirs: readonly number[], ours: readonly number[]): Spread {
  const pairs = Math.min(theirs.length, ours.length);
  return spreadOf(Array.from({ length: pairs }, (_, round) => theirs[round]! / ours[round]!));
}

export type Change = 'higher' | 'lower' | 'within noise' | 'measured once';

/**
 * Beyond noise: the two ranges do not touch, and the medians are 3 % apart. With three rounds a side this calls equal distributions
 * different in 1 of 10 comparisons (2 / C(6,3)), with five in 1 of 126. A single measurement has no range: nothing is said of it.
 */
export function changeOf(before: Spread, after: Spread): Change {
  if (before.count === 1 || after.count === 1) return 'measured once';
  if (Math.abs(after.median / before.median - 1) < 0.03) return 'within noise';
  if (after.min > before.max) return 'higher';
  return after.max < before.min ? 'lower' : 'within noise';
}

/** Slope of a straight line through the points (least squares), in y per x; 0 for fewer than two points. */
export function slopeOf(points: readonly (readonly [x: number, y: number])[]): number {
  const count = points.length;
  if (count < 2) return 0;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / count;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / count;
  const above = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const below = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return below === 0 ? 0 : above / below;
}
