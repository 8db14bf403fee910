// Writes a report's files into its folder: report.md, report.json, report.html, the main plot of each benchmark as a picture, and a .hlog per
// latency histogram.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HistogramLogWriter } from 'hdr-histogram-js';

import type { NamedHistogram, Outcome, Table } from '../outcome.ts';
import type { Metrics } from './compare.ts';
import { htmlOf } from './html.ts';
import type { ReportHead } from './markdown.ts';
import { markdownOf } from './markdown.ts';
import { svgFileOf } from './svg.ts';

export interface Report {
  readonly head: ReportHead;
  readonly outcomes: readonly Outcome[];
  readonly changes: Table | null;
}

export function writeReport(folder: string, { head, outcomes, changes }: Report): void {
  mkdirSync(folder, { recursive: true });
  const put = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  put('report.md', markdownOf(head, outcomes, changes));
  put('report.html', htmlOf(head, outcomes, changes));
  put('report.json', `${JSON.stringify(jsonOf(head, outcomes), null, 1)}\n`);
  for (const { name, plots } of outcomes) if (plots[0] !== undefined) put(`${name}.svg`, svgFileOf(plots[0]));
  for (const each of outcomes.flatMap(({ histograms }) => histograms)) put(`${each.name}.hlog`, hlogOf(each));
}

export function metricsOf(outcomes: readonly Outcome[]): Metrics {
  return Object.assign({}, ...outcomes.map(({ metrics }) => metrics)) as Metrics;
}

/** What `--json` prints. */
export function lineOf(outcomes: readonly Outcome[]): Record<string, unknown> {
  return Object.assign({}, ...outcomes.map(({ line }) => line)) as Record<string, unknown>;
}

function jsonOf(head: ReportHead, outcomes: readonly Outcome[]): unknown {
  const parts = outcomes.map(({ name, rows, sentences, tables, plots }) => ({
    name,
    rows,
    sentences,
    tables,
    plots,
  }));
  return { version: 1, ...head, ...lineOf(outcomes), metrics: metricsOf(outcomes), benchmarks: parts };
}

/**
 * The log format of HdrHistogram, version 1.3, as its public tools read it: one interval, values in whole microseconds, the
 * interval's maximum in ms.
 */
export function hlogOf({ name, histogram, startedMs, endedMs }: NamedHistogram): string {
  let text = '';
  const writer = new HistogramLogWriter((part) => (text += part));
  writer.outputComment(`[${name}, in microseconds]`);
  writer.outputLogFormatVersion();
  writer.outputStartTime(startedMs);
  writer.outputLegend();
  writer.outputIntervalHistogram(histogram, 0, (endedMs - startedMs) / 1000, 1000);
  return text.replaceAll('\n\n', '\n'); // the writer leaves an empty line, which the Java reader takes for an interval
}
