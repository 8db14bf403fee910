// The closing line of a soak: what was done, what it did to memory and open files, and whether every row is there once.

import type { Soaked } from './soak.ts';
import { perSecond } from './soak.ts';
import { grownUp, longestLife, quarterText, quartersOf, spanOf } from './soak-samples.ts';

/** `ageMsMin`: a process has found its size by then (its heap, and the memory of keys, which fills once). */
export function evidenceOf(soaked: Soaked, ageMsMin: number): string {
  const { fullSpeed, rate, beganMs, endedMs, produced, evils, counts, restMs, violations } = soaked;
  const during = soaked.samples.filter(({ atMs }) => atMs >= beganMs && atMs < endedMs);
  const grown = grownUp(during, ageMsMin);
  const longest = grownUp(longestLife(during), ageMsMin);
  const [first, last] = [longest[0]?.atMs ?? 0, longest.at(-1)?.atMs ?? 0];
  const lost = produced.count - soaked.stored.count;
  return [
    `${seconds(endedMs - beganMs)} at ${perSecond(rate)}, ${Math.round((rate / fullSpeed) * 100)} % of full speed (${perSecond(fullSpeed)}); the generator was late by ${produced.lateMsMax.toFixed(0)} ms at most`,
    `${produced.count} rows in ${produced.files} files; ${Object.entries(evils)
      .map(([name, times]) => `${times} x ${name}`)
      .join(', ')}; ${counts.starts} lives of the program`,
    `first -> last quarter, processes older than ${seconds(ageMsMin)}: ${quarterText(...quartersOf(grown, beganMs, endedMs))}`,
    `longest life, ${seconds(spanOf(longest))} of it: ${quarterText(...quartersOf(longest, first, last))}`,
    `waiting files at most ${Math.max(0, ...during.map(({ filesWaiting }) => filesWaiting))}, ${seconds(restMs)} after the last one all were done; database and its log at most ${soaked.databaseMiBMax.toFixed(0)} MiB`,
    `${lost === 0 ? 'no row lost or stored twice' : `${lost} rows LOST (negative: twice)`}, books balance with ${produced.files} duplicates and ${produced.files} rejects: ${violations.length} violations`,
  ].join('; ');
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}
