// What the meters count, and that neither strange times nor long runs break them.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createRecentTimes, createTimes } from '../../src/telemetry/histogram.ts';
import { createMeters } from '../../src/telemetry/meters.ts';
import { rejectAt, settledChunk } from './support.ts';

describe('times', () => {
  test('percentiles come back in ms, within the promised digits', () => {
    const times = createTimes();
    for (let ms = 1; ms <= 1000; ms += 1) times.record(ms);
    const { count, p50, p90, p99, max } = times.summary();
    assert.equal(count, 1000);
    for (const [value, exact] of [
      [p50, 500],
      [p90, 900],
      [p99, 990],
      [max, 1000],
    ] as const)
      assert.ok(Math.abs(value - exact) / exact < 0.002, `${value} for ${exact}`);
  });

  test('what is no time at all is not counted, and what is out of range is clamped', () => {
    const times = createTimes();
    for (const ms of [NaN, Infinity, -Infinity]) times.record(ms);
    times.record(5, 0);
    times.record(5, NaN);
    assert.equal(times.summary().count, 0);
    times.record(-5);
    times.record(1e15);
    assert.equal(times.summary().count, 2);
    assert.ok(times.summary().max <= 86_400_100);
  });

  test('one time may stand for many records', () => {
    const times = createTimes();
    times.record(1, 99);
    times.record(100, 1);
    assert.equal(times.summary().count, 100);
    assert.ok(times.summary().p50 < 2);
  });

  test('recent times are forgotten after one to two windows', () => {
    let now = 0;
    const times = createRecentTimes(10, () => now);
    times.record(5);
    now = 11;
    times.record(7);
    assert.equal(times.summary().count, 2);
    now = 22;
    assert.equal(times.summary().count, 1);
    now = 100;
    assert.equal(times.summary().count, 0);
  });
});

describe('meters', () => {
  test('a settled chunk counts in all, per file, per reject code and in the latency', () => {
    let now = 0;
    const meters = createMeters({ rejectsShown: 1, now: () => now });
    now = 50;
    const rejects = [rejectAt(3), rejectAt(4, 'uuid'), rejectAt(5, 'more_rejects', 7)];
    meters.settled(
      ...settledChunk(
        { name: 'a.csv', inserted: 5, duplicates: 1, rejected: 9, seenMs: 10, rejects },
        { name: 'b.csv', inserted: 2, seenMs: 40 },
      ),
    );
    now = 80;
    meters.settled(...settledChunk({ name: 'a.csv', inserted: 1, seenMs: 70 }));
    const {
      counts,
      bytes,
      files,
      filesTouched,
      rejects: shown,
      rejectsByCode,
      latency,
      elapsedMs,
    } = meters.snapshot();
    assert.deepEqual(counts, { records: 18, inserted: 8, duplicates: 1, rejected: 9 });
    assert.deepEqual([bytes, filesTouched, elapsedMs], [300, 2, 80]);
    assert.deepEqual(
      files.map(({ name, records, firstMs, lastMs }) => [name, records, firstMs, lastMs]),
      [
        ['b.csv', 2, 40, 50],
        ['a.csv', 16, 10, 80],
      ],
    );
    assert.deepEqual(shown, [
      {
        file: 'a.csv',
        line: 3,
        column: 'price',
        code: 'decimal',
        sentence: rejectAt(3).sentence,
        offset: 30,
      },
    ]);
    assert.deepEqual(
      [...rejectsByCode],
      [
        ['decimal', 1],
        ['uuid', 1],
        ['more_rejects', 7],
      ],
    );
    assert.equal(latency.count, 18);
  });

  test('two generations of one name are two files', () => {
    const meters = createMeters({ rejectsShown: 1 });
    meters.settled(
      ...settledChunk({ name: 'a', id: '1', inserted: 1 }, { name: 'a', id: '2', duplicates: 1 }),
    );
    assert.equal(meters.snapshot().files.length, 2);
  });

  test('a million files need no more memory than a thousand, and those with rejects stay', () => {
    const meters = createMeters({ rejectsShown: 1 });
    meters.settled(...settledChunk({ name: 'bad', rejected: 1 }));
    for (let i = 0; i < 5_000; i += 1) meters.settled(...settledChunk({ name: `f${i}`, inserted: 1 }));
    const { files, filesTouched, counts } = meters.snapshot();
    assert.equal(files.length, 1_000);
    assert.equal(filesTouched, 5_001);
    assert.equal(counts.records, 5_001);
    assert.equal(files[0]?.name, 'bad');
  });

  test('troubles are listed, but only the first of them', () => {
    const meters = createMeters({ rejectsShown: 1 });
    for (let i = 0; i < 300; i += 1) meters.refused(`f${i}`, 'bad header');
    for (let i = 0; i < 300; i += 1) meters.restarted('again');
    meters.parked('too much refused');
    meters.retried('57P01');
    meters.retried('57P01');
    const { refused, parked, retries, restarts } = meters.snapshot();
    assert.deepEqual([refused.count, refused.first.length, restarts.length], [300, 100, 20]);
    assert.deepEqual(parked.first, [{ name: null, reason: 'too much refused' }]);
    assert.deepEqual([...retries], [['57P01', 2]]);
  });

  test('every room has its histogram', () => {
    const meters = createMeters({ rejectsShown: 1 });
    meters.parsed(1000, 20);
    meters.written({ number: 1, chunks: [], allUnsure: false });
    for (const name of ['find', 'dispatch', 'dedup', 'write'] as const) meters.room(name, 2);
    const { rooms, parse, batches } = meters.snapshot();
    assert.deepEqual(
      Object.entries(rooms).map(([name, { count }]) => [name, count]),
      [
        ['find', 1],
        ['dispatch', 1],
        ['parse', 1],
        ['dedup', 1],
        ['batch', 0],
        ['write', 1],
        ['settle', 0],
      ],
    );
    assert.deepEqual([parse, batches], [{ bytes: 1000, ms: 20 }, 1]);
  });
});
