// The reports: what is written can be read by others, and says the same in every form.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { HistogramLogReader } from 'hdr-histogram-js';
import type { Histogram } from 'hdr-histogram-js';

import type { Machine } from '../../bench/machine.ts';
import { boundOf } from '../../bench/measure/bound.ts';
import type { Utilization } from '../../bench/measure/sampler.ts';
import { spreadOf } from '../../bench/measure/statistics.ts';
import { curveOf, histogramOf, percentileSpread } from '../../bench/measure/times.ts';
import { named } from '../../bench/open-loop.ts';
import type { Metric, Outcome } from '../../bench/outcome.ts';
import { changesOf, readReport } from '../../bench/report/compare.ts';
import { svgOf } from '../../bench/report/svg.ts';
import { hlogOf, writeReport } from '../../bench/report/write.ts';

const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-report-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const TIMES = Array.from({ length: 1000 }, (_, index) => 1 + index / 100);
const latencies = named('latency-<idle>', TIMES, 1_700_000_000_000);
const rate: Metric = { ...spreadOf([90, 100, 110]), unit: 'rows/s', better: 'higher' };

const MACHINE: Machine = {
  processor: 'a <processor>',
  cores: 2,
  memoryGiB: 8,
  kernel: 'Linux 6',
  fileSystems: { files: 'ext4', database: 'xfs' },
  node: 'v24.21.0',
  postgres: '18.4',
  server: 'the embedded PostgreSQL',
  settings: { fsync: 'on' },
  commit: 'abc',
  dirty: true,
  loadBefore: 2,
};

const OUTCOME: Outcome = {
  name: 'throughput',
  rows: 1000,
  sentences: ['Copy is bounded by <something>.'],
  tables: [{ title: 'Rates', header: ['side', 'k rows/s'], rows: [['a | b', '1']] }],
  plots: [
    { kind: 'bars', title: 'Bars', unit: 'k', bars: [{ label: 'a & b', ...rate }] },
    { kind: 'percentiles', title: 'Curve', series: [curveOf('idle', { ...latencies })] },
    {
      kind: 'time',
      title: 'Cores',
      unit: 'cores',
      series: [
        {
          label: 'client',
          points: [
            [0, 1],
            [1, 2],
          ],
        },
      ],
    },
  ],
  metrics: { 'throughput.live': rate },
  line: { ratios: { live: { copy: 1.6 } }, ceilingShare: 0.9 },
  histograms: [{ ...latencies, name: 'latency-idle' }],
};

const head = { startedAt: '2026-01-01T00:00:00Z', arguments: ['throughput'], machine: MACHINE };

test('a .hlog holds the histogram, and a reader of the format finds it whole', () => {
  const reader = new HistogramLogReader(hlogOf(latencies));
  const found = reader.nextIntervalHistogram() as Histogram;
  assert.equal(found.totalCount, 1000);
  for (const percentile of [50, 99, 100])
    assert.equal(
      found.getValueAtPercentile(percentile),
      latencies.histogram.getValueAtPercentile(percentile),
    );
  assert.equal(reader.nextIntervalHistogram(), null);
});

test('a time that is none is refused by the histogram', () => {
  for (const ms of [NaN, Infinity, -1]) assert.throws(() => histogramOf([ms]), RangeError);
});

test('a percentile of a run carries how far its thirds lie apart', () => {
  const { median, min, max, count } = percentileSpread(latencies, 50);
  assert.ok(min < median && median < max && count === 3);
  assert.ok(Math.abs(median - 6) < 0.02, `${median}`);
});

test('a report folder has every form, and the page needs nothing from elsewhere', () => {
  writeReport(folder, { head, outcomes: [OUTCOME], changes: null });
  assert.deepEqual(readdirSync(folder).toSorted(), [
    'latency-idle.hlog',
    'report.html',
    'report.json',
    'report.md',
    'throughput.svg',
  ]);
  assert.match(
    readFileSync(join(folder, 'throughput.svg'), 'utf8'),
    /^<svg xmlns="[^"]+".*a &amp; b.*<\/svg>\n$/,
  );
  const html = readFileSync(join(folder, 'report.html'), 'utf8');
  assert.equal(html.split('<svg ').length - 1, 3);
  assert.ok(
    html.includes('a &lt;processor&gt;') && !html.includes('<processor>') && html.includes('a &amp; b'),
  );
  assert.doesNotMatch(html, /(?:src|href)=|@import|url\(/);
  const markdown = readFileSync(join(folder, 'report.md'), 'utf8');
  assert.match(markdown, /with changes that are not committed/);
  assert.match(markdown, /something else was running/);
  assert.ok(markdown.includes('a \\| b'));
});

test('no coordinate of a plot is lost to a number that is none', () => {
  for (const plot of OUTCOME.plots) assert.doesNotMatch(svgOf(plot), /NaN|Infinity|undefined/);
});

test('a comparison says what changed beyond noise, better or worse by what is better for that number', () => {
  writeReport(folder, { head, outcomes: [OUTCOME], changes: null });
  const before = readReport(join(folder, 'report.json'));
  const verdictOf = (metric: Metric): string | undefined =>
    changesOf(before, { ...before, metrics: { 'throughput.live': metric, new: rate } })
      .rows.map((row) => row.at(-1))
      .join();
  assert.equal(verdictOf(rate), 'within noise');
  assert.equal(verdictOf({ ...rate, ...spreadOf([120, 130, 140]) }), 'better');
  assert.equal(verdictOf({ ...rate, ...spreadOf([50, 60, 70]) }), 'worse');
  assert.equal(verdictOf({ ...rate, ...spreadOf([50]) }), 'measured once');
});

test('a comparison names what else is another: rows, machine, settings', () => {
  writeReport(folder, { head, outcomes: [OUTCOME], changes: null });
  const before = readReport(join(folder, 'report.json'));
  assert.equal(changesOf(before, before).title, 'Changes');
  const machine = { ...before.machine, cores: before.machine.cores + 2 };
  const benchmarks = [
    { name: 'throughput', rows: 7 },
    { name: 'scale', rows: 8 },
  ];
  const changes = changesOf(before, { ...before, machine, benchmarks });
  const { title } = changes;
  assert.match(
    title,
    /: before, throughput rows 1000, now 7; machine a <processor>, \d+ cores, \d+ GiB, now a <processor>, \d+ cores/,
  );
  assert.doesNotMatch(title, /Node|settings|scale/);
  writeReport(folder, { head, outcomes: [OUTCOME], changes });
  for (const name of ['report.md', 'report.html'])
    assert.match(readFileSync(join(folder, name), 'utf8'), /Changes, and not only of Millrace: before/);
});

const QUIET: Utilization = {
  clientCpuSeconds: 1,
  databaseCpuSeconds: 2,
  machineCpuSeconds: 3,
  mainThreadSeconds: 0.5,
  workerSeconds: 0.5,
  peakMiB: 100,
  doings: { running: 0.4, client: 0.3, wal: 0, disk: 0.1, lock: 0.1, other: 0.1 },
  connections: 2,
  moments: [],
};

test('what bounds a side comes from what was measured', () => {
  assert.match(
    boundOf(QUIET, 10, 1),
    /^nothing that was measured: 0\.20 by the database, 0\.10 by the client$/,
  );
  assert.match(boundOf({ ...QUIET, mainThreadSeconds: 9.5 }, 10, 1), /^the main thread, 95 % busy$/);
  assert.match(boundOf({ ...QUIET, workerSeconds: 18 }, 10, 2), /^the workers \(2\), 90 % busy$/);
  assert.match(boundOf({ ...QUIET, machineCpuSeconds: 15 }, 10, 1), /OTHER PROGRAMS, which used 1\.20 cores/);
  const wal = { ...QUIET, doings: { ...QUIET.doings, wal: 0.6 } };
  assert.match(boundOf(wal, 10, 1), /^the WAL: its 2\.0 connections waited 60 %/);
  const disk = { ...QUIET, doings: { ...QUIET.doings, disk: 0.6 } };
  assert.match(boundOf(disk, 10, 1), /^the disk: its 2\.0 connections waited 60 %/);
  const client = { ...QUIET, doings: { ...QUIET.doings, client: 0.6 } };
  assert.match(boundOf(client, 10, 1), /^the client: its 2\.0 connections waited 60 %/);
});
