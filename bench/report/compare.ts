// `--compare OLD.json`: what changed beyond noise since another report, number by number.

import { readFileSync } from 'node:fs';
import { changeOf } from '../measure/statistics.ts';
import type { Metric, Table } from '../outcome.ts';
import { spreadText } from './text.ts';

export type Metrics = Readonly<Record<string, Metric>>;

/** The numbers of a report.json. @throws an Error that names the file when it is none */
export function readMetrics(path: string): Metrics {
  const report = JSON.parse(readFileSync(path, 'utf8')) as { metrics?: Metrics };
  if (report.metrics === undefined) throw new Error(`--compare: ${path} is not a report.json of make bench`);
  return report.metrics;
}

/** Only what both reports have; what changed comes first. */
export function changesOf(before: Metrics, after: Metrics): Table {
  const names = Object.keys(after).filter((name) => name in before);
  const judged = names.map((name) => {
    const [old, now] = [before[name]!, after[name]!];
    const change = changeOf(old, now);
    const verdict = change === 'within noise' ? change : change === now.better ? 'better' : 'worse';
    const percent = ((now.median / old.median - 1) * 100).toFixed(1);
    const digits = Math.abs(now.median) >= 1000 ? 0 : 2;
    return [name, spreadText(old, digits), spreadText(now, digits), now.unit, `${percent} %`, verdict];
  });
  const rows = [
    ...judged.filter((row) => row[5] !== 'within noise'),
    ...judged.filter((row) => row[5] === 'within noise'),
  ];
  return { title: 'Changes', header: ['number', 'before', 'now', 'unit', 'change', 'verdict'], rows };
}
