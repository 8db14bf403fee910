// Who may write: take-over, the older instance fenced off, restart in process.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { testChunk, testFile, testRows } from '../../support/chunks.ts';
import { startTestServer } from '../../support/postgres.ts';
import type { TestServer } from '../../support/postgres.ts';
import { NEVER, assertBooksBalance, committed, openSink, query, testBatch, withClient } from './support.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.stop());

test('an instance that was taken over can neither write nor keep books', async () => {
  const database = await server.createDatabase();
  const older = await openSink(database);
  committed(
    await older.sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows: testRows(0, 3) })]), NEVER),
  );
  const younger = await openSink(database);
  const chunk = testChunk({ file: testFile(), rows: testRows(3, 6) });
  await assert.rejects(older.sink.write(0, testBatch(2, [chunk]), NEVER), {
    code: 'fenced',
    message: /process \d+\) has taken over \/in/,
  });
  const file = testFile();
  await assert.rejects(older.books.finish([{ info: file, stamp: file.stamp, blankLines: 0 }]), {
    code: 'fenced',
  });
  await assert.rejects(older.sink.watch(NEVER), { code: 'fenced' });
  committed(await younger.sink.write(0, testBatch(1, [chunk]), NEVER));
  await older.sink.leave();
  await assert.rejects(older.sink.open(NEVER), { code: 'fenced' });
  await younger.sink.leave();
  await assertBooksBalance(database);
});

test('a take-over ends an instance that stands in the middle of a COPY', async () => {
  const database = await server.createDatabase();
  const older = await openSink(database);
  // The older one's COPY waits for a lock that this test holds, with the fence in its hands.
  await withClient(database, async (blocker) => {
    await blocker.query('BEGIN; LOCK TABLE events IN SHARE MODE');
    const ending = new AbortController();
    const writing = older.sink.write(
      0,
      testBatch(1, [testChunk({ file: testFile(), rows: testRows(0, 3) })]),
      ending.signal,
    );
    const outcome = writing.then(
      () => 'written',
      (error: unknown) => (error as { code: string }).code,
    );
    const younger = await openSink(database);
    await blocker.query('COMMIT');
    assert.equal(await outcome, 'fenced');
    await younger.sink.leave();
  });
  await older.sink.leave();
  assert.deepEqual(await query(database, 'SELECT event_id FROM events'), []);
});

test('after a restart in process the same instance goes on, with the same epoch', async () => {
  const database = await server.createDatabase();
  const { sink } = await openSink(database);
  await sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows: testRows(0, 3) })]), NEVER);
  await query(database, 'UPDATE millrace.leases SET forget = forget + 1');
  const stale = await sink.write(
    0,
    testBatch(2, [testChunk({ file: testFile(), rows: testRows(3, 6) })]),
    NEVER,
  );
  assert.equal(stale.kind, 'restart');
  assert.match((await sink.watch(NEVER)) ?? '', /on purpose/);
  await sink.leave();
  const opened = await sink.open(NEVER);
  assert.equal(opened?.forget, 1n);
  const judgedBefore = await sink.write(
    0,
    testBatch(3, [testChunk({ file: testFile(), rows: testRows(3, 6) })]),
    NEVER,
  );
  assert.equal(judgedBefore.kind, 'restart');
  committed(
    await sink.write(
      0,
      testBatch(4, [testChunk({ file: testFile(), rows: testRows(3, 6), forget: 1n })]),
      NEVER,
    ),
  );
  const epochs = await query(
    database,
    'SELECT count(DISTINCT epoch)::int AS epochs, count(*)::int AS batches FROM millrace.batches',
  );
  assert.deepEqual(epochs, [{ epochs: 1, batches: 2 }]);
  await sink.leave();
});

test('two sources on one table have leases of their own', async () => {
  const database = await server.createDatabase();
  const [one, two] = [
    await openSink(database, { source: '/one' }),
    await openSink(database, { source: '/two' }),
  ];
  committed(
    await one.sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows: testRows(0, 3) })]), NEVER),
  );
  committed(
    await two.sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows: testRows(3, 6) })]), NEVER),
  );
  await one.sink.leave();
  await two.sink.leave();
  await assertBooksBalance(database);
});
