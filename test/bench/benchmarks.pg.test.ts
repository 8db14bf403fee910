// A small mode of every benchmark, so that none can rot: each runs for real, on a server of this file's own, with few rows. No test
// asserts a time or a rate.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import type { Bench } from '../../bench/bench.ts';
import { latency } from '../../bench/benchmarks/latency.ts';
import { joinFiles, makeFiles, makeLoad } from '../../bench/load.ts';
import { measureSide } from '../../bench/measure/measure.ts';
import { readOptions } from '../../bench/options.ts';
import { lineOf } from '../../bench/report/write.ts';
import { runBenchmarks } from '../../bench/run.ts';
import type { Server } from '../../bench/scratch.ts';
import { copySide, cutFile } from '../../bench/sides/copy.ts';
import type { Side } from '../../bench/sides/side.ts';
import type { TestServer } from '../support/postgres.ts';
import { startTestServer } from '../support/postgres.ts';

let database: TestServer;
let server: Server;
let folder: string;

before(async () => {
  database = await startTestServer();
  server = { client: database.database('postgres').client, describe: 'a test server' };
  folder = mkdtempSync(join(tmpdir(), 'millrace-bench-test-'));
});
after(async () => {
  rmSync(folder, { recursive: true, force: true });
  await database.stop();
});

function optionsOf(...argv: string[]) {
  const options = readOptions([...argv, '--rounds', '1', '--output', join(folder, 'report')], 1);
  assert.ok(options !== null);
  return options;
}

async function run(...argv: string[]) {
  const said: string[] = [];
  const report = await runBenchmarks(server, optionsOf(...argv), argv, (line) => said.push(line));
  return { line: lineOf(report.outcomes), said: said.join('\n'), report };
}

test('throughput verifies every side, and its line has the ratios', async () => {
  const { line, said, report } = await run(
    'throughput',
    '--rows',
    '3000',
    '--against',
    'copy,copy2,pgloader',
  );
  assert.match(said, /every table verified: 3000 rows, checksum -?\d+/);
  const { live } = line['ratios'] as { live: Record<string, number> };
  for (const side of ['copy', 'copy2', 'ceiling']) assert.ok(Number(live[side]) > 0, side);
  assert.ok(Number(line['ceilingShare']) > 0);
  assert.equal(
    report.outcomes[0]?.sentences.filter((sentence) => /is bounded by \w/.test(sentence)).length,
    5 + ('pgloader' in live ? 1 : 0),
  );
  const json = JSON.parse(readFileSync(join(folder, 'report', 'report.json'), 'utf8')) as { metrics: object };
  assert.ok('throughput.live/copy' in json.metrics);
});

test('first load is measured, and its table has the same rows and indexes as that of the others', async () => {
  const { said } = await run('first-load', '--rows', '210000'); // fewer would be no first load
  assert.match(said, /Millrace, first load +\d/);
  assert.match(said, /every table verified: 210000 rows, checksum -?\d+, 5 indexes [0-9a-f]{8}/);
});

test('latency measures every file at every load, and leaves its histograms', async () => {
  const own = join(folder, 'latency-run');
  const bench: Bench = { server, folder: mkdtempSync(own), options: optionsOf('latency'), say: () => {} };
  const outcome = await latency(bench, { floodFiles: 20, idleFiles: 2, idleMs: 300, seconds: 2 });
  const counts = outcome.histograms.map(({ name, histogram }) => [name, histogram.totalCount]);
  assert.deepEqual(counts.slice(0, 2), [
    ['latency-idle', 2],
    ['latency-10-per-second', 10],
  ]);
  assert.deepEqual(counts.slice(4), [
    ['bare-10-per-second', 10],
    ['bare-back-to-back', 10],
  ]);
  assert.ok(counts.every(([, count]) => Number(count) > 0));
});

test('small files, a file sent again, parsing and memory run in one go', async () => {
  const { line } = await run('small-files', 'resent', 'parse', 'memory', '--rows', '2000');
  assert.deepEqual(Object.keys(line), ['smallFiles', 'resent', 'parse', 'memory']);
});

test('scale compares the end of a load with its beginning, soak leaves a histogram', async () => {
  const { line } = await run('scale', 'soak', '--rows', '20000', '--seconds', '2');
  assert.deepEqual(Object.keys(line), ['scale', 'soak']);
  assert.ok(readdirSync(join(folder, 'report')).includes('soak.hlog'));
});

test('5,000 files dropped at once are all stored and done, and a new one among them is found after a start', async () => {
  const { line } = await run('many-files', '--rows', '50000');
  const { files, rows } = line['manyFiles'] as { files: number; rows: number };
  assert.deepEqual([files, rows], [5_000, 50_000]);
});

test('a side that stores something else has no number', async () => {
  const load = await makeLoad(join(folder, 'liars'), 100);
  const honest = copySide(folder, 1);
  await honest.prepare(load);
  const lies = (sql: string): Side => ({
    ...honest,
    open: async (scratch, given) => {
      const inner = await honest.open(scratch, given);
      return { run: (sampler) => inner.run(sampler), close: async () => void (await scratch.query(sql)) };
    },
  });
  const verification = { expected: null };
  await measureSide(server, honest, load, verification);
  const missing = lies('DELETE FROM events WHERE ctid = (SELECT min(ctid) FROM events)');
  await assert.rejects(measureSide(server, missing, load, verification), /stored 99 rows.*does not count/);
  const changed = lies("UPDATE events SET user_id = 'x' WHERE ctid = (SELECT min(ctid) FROM events)");
  await assert.rejects(
    measureSide(server, changed, load, verification),
    /stored 100 rows, checksum .*does not count/,
  );
});

test('a file cut by hand and one joined of many have the records of the whole', async () => {
  const load = await makeLoad(join(folder, 'whole'), 101);
  const recordsOf = (path: string): string[] => readFileSync(path, 'utf8').trimEnd().split('\n').slice(1);
  assert.deepEqual(cutFile(load, folder).flatMap(recordsOf), recordsOf(load.file));
  const paths = await makeFiles(join(folder, 'many'), 3, 5);
  const joined = join(folder, 'joined.csv');
  await joinFiles(paths, joined);
  assert.deepEqual(recordsOf(joined), paths.flatMap(recordsOf));
});
