// `--compare OLD.json`: what changed beyond noise since another report, number by number.

import { readFileSync } from 'node:fs';
import { changeOf } from '../measure/statistics.ts';
import type { Machine } from '../machine.ts';
import type { Metric, Table } from '../outcome.ts';
import { spreadText } from './text.ts';

export type Metrics = Readonly<Record<string, Metric>>;

/** What a comparison needs of a report.json. */
export interface Comparable {
  readonly machine: Machine;
  readonly metrics: Metrics;
  /** `rows`: how many it loaded, where the numbers depend on it. */
  readonly benchmarks: readonly { readonly name: string; readonly rows?: number }[];
}

/** @throws an Error that names the file when it is no report.json */
export function readReport(path: string): Comparable {
  const { metrics, machine, benchmarks } = JSON.parse(readFileSync(path, 'utf8')) as Partial<Comparable>;
  if (metrics === undefined || machine === undefined || benchmarks === undefined)
    throw new Error(`--compare: ${path} is not a report.json of make bench`);
  return { metrics, machine, benchmarks };
}

/** Only what both reports have; what changed comes first. What the two do not share besides stands in the title. */
export function changesOf(earlier: Comparable, current: Comparable): Table {
  const [before, after] = [earlier.metrics, current.metrics];
  const names = Object.keys(after).filter((name) => name in before);
  const judged = names.map((name) => {
    const [old, now] = [before[name]!, after[name]!];
    const change = changeOf(old, now);
    const verdict =
      change === 'higher' || change === 'lower' ? (change === now.better ? 'better' : 'worse') : change;
    const percent = ((now.median / old.median - 1) * 100).toFixed(1);
    const digits = Math.abs(now.median) >= 1000 ? 0 : 2;
    return [name, spreadText(old, digits), spreadText(now, digits), now.unit, `${percent} %`, verdict];
  });
  const isChange = (row: readonly string[]): boolean => row[5] === 'better' || row[5] === 'worse';
  const rows = [...judged.filter(isChange), ...judged.filter((row) => !isChange(row))];
  const others = differencesOf(earlier, current);
  return {
    title:
      others.length === 0 ? 'Changes' : `Changes, and not only of Millrace: before, ${others.join('; ')}`,
    header: ['number', 'before', 'now', 'unit', 'change', 'verdict'],
    rows,
  };
}

/** What else is another in the two reports and moves numbers: "scale rows 1000000, now 10000000". */
function differencesOf(before: Comparable, after: Comparable): string[] {
  const differences: string[] = [];
  const earlier = placeOf(before);
  for (const [name, now] of placeOf(after)) {
    const old = earlier.get(name);
    if (old !== undefined && old !== now) differences.push(`${name} ${old}, now ${now}`);
  }
  return differences;
}

function placeOf({ benchmarks, machine }: Comparable): Map<string, string> {
  const { processor, cores, memoryGiB, node, postgres, server, settings } = machine;
  return new Map([
    ...benchmarks.flatMap(({ name, rows }): [string, string][] =>
      rows === undefined ? [] : [[`${name} rows`, String(rows)]],
    ),
    ['machine', `${processor}, ${cores} cores, ${memoryGiB} GiB`],
    ['Node.js', node],
    ['PostgreSQL', `${postgres}, ${server}`],
    ['settings', JSON.stringify(settings)],
  ]);
}
