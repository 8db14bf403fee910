// Numbers for people: each with its spread, in as few digits as it deserves.

import type { Spread } from '../measure/statistics.ts';

/** "8.21 (8.05 to 8.60)" */
export function spreadText(spread: Spread, digits = 2): string {
  const [median, min, max] = [spread.median, spread.min, spread.max].map((value) => value.toFixed(digits));
  return spread.count === 1 ? `${median} (one measurement)` : `${median} (${min} to ${max})`;
}

export function shareText(spread: Spread): string {
  const [median, min, max] = [spread.median, spread.min, spread.max].map((value) => Math.round(value * 100));
  return spread.count === 1 ? `${median} % (one measurement)` : `${median} % (${min} to ${max})`;
}

export function scaled(spread: Spread, factor: number): Spread {
  const { median, min, max, count } = spread;
  return { median: median * factor, min: min * factor, max: max * factor, count };
}

export function rounded(value: number, digits = 3): number {
  return Number(value.toFixed(digits));
}
