// Lost connections, lost answers, commits that vanish, a database that is away: nothing lost, nothing twice, and no wrong belief.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { UNSURE } from '../../../src/core/chunk.ts';
import { testChunk, testFile, testRows } from '../../support/chunks.ts';
import { startCuttingProxy } from '../../support/cutting-proxy.ts';
import { startTestServer } from '../../support/postgres.ts';
import type { TestServer } from '../../support/postgres.ts';
import {
  NEVER,
  assertBooksBalance,
  committed,
  countsOf,
  openSink,
  prepareSink,
  query,
  testBatch,
  untilWaiting,
  withClient,
} from './support.ts';

let server: TestServer;
before(async () => {
  // The WAL writer sleeps, so that an unflushed commit stays unflushed; and a start with recovery.signal restores nothing.
  server = await startTestServer({ settings: { wal_writer_delay: '10s', restore_command: 'false' } });
});
after(() => server.stop());

for (const [side, when] of [
  ['before', 'before COMMIT reached the server'],
  ['after', 'after COMMIT reached the server'],
  ['half', 'on our side only, with the transaction left open,'],
] as const) {
  test(`a connection cut ${when} loses nothing and writes nothing twice`, async () => {
    const database = await server.createDatabase();
    const proxy = await startCuttingProxy(server.port);
    const { sink, told } = await openSink({
      client: { ...database.client, host: '127.0.0.1', port: proxy.port },
    });
    const rows = [...testRows(0, 5), ...testRows(3, 8, UNSURE)];
    proxy.cutNextCommit(side);
    const result = committed(
      await sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows })]), NEVER),
    );
    assert.equal(proxy.cuts, 1);
    assert.deepEqual(countsOf(result.settled), [[8, 2, 0]]);
    assert.equal(told.retried.length, 1);
    const batches = await query(database, 'SELECT number::int FROM millrace.batches');
    assert.deepEqual(batches, [{ number: 1 }]);
    await assertBooksBalance(database);
    await sink.leave();
    await proxy.close();
  });
}

test('a backend terminated in the middle of a COPY costs a retry', async () => {
  const database = await server.createDatabase();
  const { sink, told } = await openSink(database);
  await withClient(database, async (blocker) => {
    await blocker.query('BEGIN; LOCK TABLE events IN SHARE MODE');
    const writing = sink.write(
      0,
      testBatch(1, [testChunk({ file: testFile(), rows: testRows(0, 5) })]),
      NEVER,
    );
    await untilWaiting(database);
    await query(
      database,
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'millrace' AND wait_event_type = 'Lock'`,
    );
    await blocker.query('COMMIT');
    assert.deepEqual(countsOf(committed(await writing).settled), [[5, 0, 0]]);
  });
  assert.deepEqual(told.retried, ['57P01']);
  await assertBooksBalance(database);
  await sink.leave();
});

test('a lane on a network that swallows everything is cut off once its backend is gone', async () => {
  const database = await server.createDatabase();
  const proxy = await startCuttingProxy(server.port);
  const { sink } = await openSink({ client: { ...database.client, host: '127.0.0.1', port: proxy.port } });
  committed(
    await sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows: testRows(0, 5) })]), NEVER),
  );
  proxy.swallow();
  const ending = new AbortController();
  const watching = sink.watch(ending.signal);
  const writing = sink.write(0, testBatch(2, [testChunk({ file: testFile(), rows: testRows(5, 9) })]), NEVER);
  // The server's own keep-alive would end it after 25 s.
  await query(
    database,
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'millrace'`,
  );
  committed(await writing);
  ending.abort();
  assert.equal(await watching, null);
  await assertBooksBalance(database);
  await sink.leave();
  await proxy.close();
});

test('told to abort while it waits, a lane gives its batch up and leaves no trace', async () => {
  const database = await server.createDatabase();
  const { sink } = await openSink(database);
  await withClient(database, async (blocker) => {
    await blocker.query('BEGIN; LOCK TABLE events IN SHARE MODE');
    const ending = new AbortController();
    const writing = sink.write(
      0,
      testBatch(1, [testChunk({ file: testFile(), rows: testRows(0, 5) })]),
      ending.signal,
    );
    await untilWaiting(database);
    ending.abort();
    assert.equal((await writing).kind, 'abandoned');
    await blocker.query('COMMIT');
  });
  await sink.leave();
  await sink.open(NEVER);
  assert.deepEqual(await query(database, 'SELECT FROM events'), []);
  committed(
    await sink.write(0, testBatch(2, [testChunk({ file: testFile(), rows: testRows(0, 5) })]), NEVER),
  );
  await sink.leave();
});

for (const finder of ['the watch', 'the next batch'] as const) {
  test(`a commit that vanished under asynchronous commit is found by ${finder}, and the books agree with the table`, async () => {
    const database = await server.createDatabase();
    const { sink } = await openSink(database, { synchronousCommit: false });
    const file = testFile();
    const chunk = testChunk({ file, rows: testRows(0, 5) });
    committed(await sink.write(0, testBatch(1, [chunk]), NEVER));
    await server.crash();
    await server.start();
    assert.deepEqual(await query(database, 'SELECT FROM events'), [], 'the commit was to vanish');
    const next = testBatch(2, [testChunk({ file: testFile(), rows: testRows(5, 9) })]);
    const reason =
      finder === 'the watch' ? await sink.watch(NEVER) : reasonOf(await sink.write(0, next, NEVER));
    assert.match(reason ?? '', /1 acknowledged commits have vanished/);
    await assertBooksBalance(database);
    await sink.leave();
    const opened = await sink.open(NEVER);
    assert.deepEqual(await opened?.books.find([{ nameBytes: file.nameBytes, ino: file.stamp.ino }]), []);
    committed(await sink.write(1, testBatch(3, [chunk]), NEVER));
    await assertBooksBalance(database);
    await sink.leave();
  });
}

function reasonOf(result: { kind: string; reason?: string }): string {
  assert.equal(result.kind, 'restart');
  return result.reason ?? '';
}

for (const finder of ['the watch', 'the next batch'] as const) {
  test(`a failover or a restore is found by ${finder}, by its timeline, although nothing has vanished`, async () => {
    const database = await server.createDatabase();
    const { sink } = await openSink(database);
    committed(
      await sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows: testRows(0, 5) })]), NEVER),
    );
    await server.end();
    // The end of an archive recovery begins a new timeline, as a promotion does.
    writeFileSync(join(server.cluster, 'recovery.signal'), '', { mode: 0o666 });
    await server.start();
    const next = testBatch(2, [testChunk({ file: testFile(), rows: testRows(5, 9) })]);
    const reason =
      finder === 'the watch' ? await sink.watch(NEVER) : reasonOf(await sink.write(0, next, NEVER));
    assert.match(reason ?? '', /on timeline 0000000\d now, after 0000000\d: a failover or a restore/);
    await sink.leave();
    await sink.open(NEVER);
    committed(await sink.write(0, next, NEVER));
    await assertBooksBalance(database);
    await sink.leave();
  });
}

test('with synchronous commit a crash of the server costs a wait and nothing else', async () => {
  const database = await server.createDatabase();
  const { sink } = await openSink(database);
  committed(
    await sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows: testRows(0, 5) })]), NEVER),
  );
  await server.crash();
  const writing = sink.write(0, testBatch(2, [testChunk({ file: testFile(), rows: testRows(5, 9) })]), NEVER);
  await sleep(100);
  await server.start();
  committed(await writing);
  const [row] = await query(database, 'SELECT count(*)::int AS n FROM events');
  assert.equal(row?.['n'], 9);
  await assertBooksBalance(database);
  await sink.leave();
});

test('a database that is read-only for a while is waited for', async () => {
  const database = await server.createDatabase();
  const { sink, told } = await openSink(database);
  await query(database, `ALTER DATABASE ${database.name} SET default_transaction_read_only = on`);
  // It holds for connections that come: those that the lanes have opened ahead must go.
  await query(
    database,
    'SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
  );
  const writing = sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows: testRows(0, 5) })]), NEVER);
  while (told.waiting.length === 0) await sleep(5);
  await withClient(database, async (client) => {
    await client.query('SET default_transaction_read_only = off');
    await client.query(`ALTER DATABASE ${database.name} RESET default_transaction_read_only`);
  });
  committed(await writing);
  assert.match(told.waiting[0] ?? '', /25006/);
  assert.equal(told.waiting.at(-1), null);
  await sink.leave();
});

test('a server that is away at the start is waited for, and said to be away', async () => {
  const database = await server.createDatabase();
  await server.end();
  const told: (string | null)[] = [];
  const events = {
    waiting: (reason: string | null) => told.push(reason),
    notice: () => {},
    retried: () => {},
  };
  const opening = openSink(database, { events });
  while (told.length === 0) await sleep(5);
  await server.start();
  const { sink } = await opening;
  assert.equal(told.at(-1), null);
  await sink.leave();
});

test('what a person must mend stops the opening at once', async () => {
  const database = await server.createDatabase();
  const wrong = [
    { ...database.client, password: 'wrong', host: '127.0.0.1' },
    { ...database.client, database: 'nowhere' },
  ];
  for (const client of wrong) await assert.rejects(prepareSink({ client }), { code: 'database' });
  await query(
    database,
    `REVOKE TEMPORARY ON DATABASE ${database.name} FROM PUBLIC; CREATE ROLE plain LOGIN PASSWORD 'p'; GRANT CREATE ON DATABASE ${database.name} TO plain`,
  );
  const plain = { ...database.client, user: 'plain', password: 'p' };
  await assert.rejects(prepareSink({ client: plain }), { code: 'database', message: /temporary tables/ });
});
