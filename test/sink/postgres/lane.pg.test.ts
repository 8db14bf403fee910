// One batch, one transaction: what is written when nothing goes wrong, and what the index decides.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DUPLICATE, UNSURE } from '../../../src/core/chunk.ts';
import type { TestRow } from '../../support/chunks.ts';
import { joinChunks, testChunk, testFile, testReject, testRows } from '../../support/chunks.ts';
import { startTestServer } from '../../support/postgres.ts';
import type { TestServer } from '../../support/postgres.ts';
import {
  NEVER,
  assertBooksBalance,
  committed,
  countsOf,
  openSink,
  query,
  testBatch,
  untilWaiting,
  withClient,
} from './support.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.stop());

test('a committed batch writes rows, rejects and positions together', async () => {
  const database = await server.createDatabase();
  const { sink } = await openSink(database);
  const file = testFile();
  const chunk = testChunk({ file, rows: testRows(0, 3), rejects: [testReject(300, 4)] });
  const result = committed(await sink.write(0, testBatch(1, [chunk]), NEVER));
  assert.deepEqual(countsOf(result.settled), [[3, 0, 1]]);
  assert.equal(result.violated, false);
  const [slice] = await query(
    database,
    'SELECT generation, start_offset::int, end_offset::int, batch::int FROM millrace.slices',
  );
  assert.deepEqual(slice, { generation: file.id, start_offset: 0, end_offset: 400, batch: 1 });
  const [reject] = await query(
    database,
    'SELECT code, line::int, column_name, raw, batch::int FROM millrace.rejects',
  );
  assert.deepEqual(reject, {
    code: 'integer',
    line: 4,
    column_name: 'quantity',
    raw: Buffer.from('bad,row\0x'),
    batch: 1,
  });
  const [traced] = await query(
    database,
    'SELECT count(*)::int AS n FROM events e JOIN millrace.batches b ON e.xmin = b.xid::xid',
  );
  assert.equal(traced?.['n'], 3);
  await assertBooksBalance(database);
  await sink.leave();
});

test('large and interleaved runs arrive whole', async () => {
  const database = await server.createDatabase();
  const { sink } = await openSink(database);
  const text = 'ü'.repeat(255);
  const mixed = [
    ...testRows(0, 9_000, UNSURE, { product_id: text }),
    ...testRows(9_000, 20_000, undefined, { user_id: text }),
  ];
  const verdict: TestRow['verdict'] = UNSURE;
  const even = mixed.map((row, index) => (index % 3 === 0 ? { ...row, verdict } : row));
  const result = committed(
    await sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows: even })]), NEVER),
  );
  assert.deepEqual(countsOf(result.settled), [[20_000, 0, 0]]);
  await assertBooksBalance(database);
  await sink.leave();
});

test('of unsure rows the index stores what is new, and a key belongs to the first row that brings it', async () => {
  const database = await server.createDatabase();
  const { sink } = await openSink(database);
  await sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows: testRows(0, 5) })]), NEVER);
  const first = testChunk({ file: testFile(), rows: [...testRows(3, 8, UNSURE), ...testRows(7, 9, UNSURE)] });
  const second = testChunk({
    file: testFile(),
    rows: [...testRows(8, 11, UNSURE), ...testRows(0, 2, DUPLICATE)],
  });
  const result = committed(await sink.write(0, testBatch(2, [first, second]), NEVER));
  assert.deepEqual(countsOf(result.settled), [
    [4, 3, 0],
    [2, 3, 0],
  ]);
  await assertBooksBalance(database);
  await sink.leave();
});

test('the books are kept per slice when small files travel in one chunk', async () => {
  const database = await server.createDatabase();
  const { sink } = await openSink(database);
  const parts = [
    testChunk({ file: testFile(), rows: testRows(10, 14) }),
    testChunk({ file: testFile(), rows: testRows(0, 3, UNSURE) }),
    testChunk({ file: testFile(), rows: testRows(2, 6, UNSURE), rejects: [testReject(400, 5)] }),
  ];
  const result = committed(await sink.write(1, testBatch(1, [joinChunks(parts)]), NEVER));
  assert.deepEqual(countsOf(result.settled), [
    [4, 0, 0],
    [3, 0, 0],
    [3, 1, 1],
  ]);
  await assertBooksBalance(database);
  await sink.leave();
});

test('a stored key under a fresh row sends the whole batch through the index, once', async () => {
  const database = await server.createDatabase();
  const { sink, told } = await openSink(database);
  await query(
    database,
    `INSERT INTO events (event_id, event_type, event_timestamp) VALUES ('00000000-0000-4000-8000-000000000002', 'view', now())`,
  );
  const result = committed(
    await sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows: testRows(0, 5) })]), NEVER),
  );
  assert.deepEqual(countsOf(result.settled), [[4, 1, 0]]);
  assert.equal(result.violated, true);
  assert.deepEqual(told.retried, ['23505']);
  await sink.leave();
});

test('a lane waits for the other one, and takes its key when that one rolls back', async () => {
  const database = await server.createDatabase();
  const { sink } = await openSink(database);
  await withClient(database, async (other) => {
    await other.query('BEGIN');
    await other.query(
      `INSERT INTO events (event_id, event_type, event_timestamp) VALUES ('00000000-0000-4000-8000-000000000002', 'view', now())`,
    );
    const writing = sink.write(
      0,
      testBatch(1, [testChunk({ file: testFile(), rows: testRows(0, 5, UNSURE) })]),
      NEVER,
    );
    await untilWaiting(database);
    await other.query('ROLLBACK');
    assert.deepEqual(countsOf(committed(await writing).settled), [[5, 0, 0]]);
  });
  await assertBooksBalance(database);
  await sink.leave();
});

test('two lanes register the same new file without an error', async () => {
  const database = await server.createDatabase();
  const { sink, told } = await openSink(database);
  const file = testFile();
  const chunks = [0, 1, 2, 3].map((index) =>
    testChunk({ file, start: index * 1000, rows: testRows(index * 10, index * 10 + 10) }),
  );
  await Promise.all([
    (async () => [
      await sink.write(0, testBatch(1, [chunks[0]!]), NEVER),
      await sink.write(0, testBatch(3, [chunks[2]!]), NEVER),
    ])(),
    (async () => [
      await sink.write(1, testBatch(2, [chunks[1]!]), NEVER),
      await sink.write(1, testBatch(4, [chunks[3]!]), NEVER),
    ])(),
  ]);
  assert.deepEqual(told.retried, []);
  const [totals] = await query(
    database,
    'SELECT position::int, records::int, inserted::int FROM millrace.file_totals',
  );
  assert.deepEqual(totals, { position: 4000, records: 40, inserted: 40 });
  await sink.leave();
});
