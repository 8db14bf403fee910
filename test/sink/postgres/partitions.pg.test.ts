// A table of partitions: the key's index has another name in each of them, and a key that is stored already must be found all the same.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { createTableSql } from '../../../src/schema/ddl.ts';
import { eventsTable } from '../../../src/schema/events.ts';
import { testChunk, testFile, testRows } from '../../support/chunks.ts';
import { startTestServer } from '../../support/postgres.ts';
import type { TestDatabase, TestServer } from '../../support/postgres.ts';
import { NEVER, assertBooksBalance, committed, countsOf, openSink, query, testBatch } from './support.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.stop());

/** The table that Millrace makes, but in three partitions by the hash of its key. */
async function makePartitioned(database: TestDatabase): Promise<void> {
  const [create = ''] = createTableSql(eventsTable, { schema: 'public', name: 'events' });
  await query(database, `${create.trimEnd().replace(/;$/, '')} PARTITION BY HASH (event_id)`);
  for (let part = 0; part < 3; part += 1)
    await query(
      database,
      `CREATE TABLE part_${part} PARTITION OF events FOR VALUES WITH (MODULUS 3, REMAINDER ${part})`,
    );
}

test('a stored key in a partition sends the batch through the stage, and refuses no row', async () => {
  const database = await server.createDatabase();
  await makePartitioned(database);
  const { sink, told } = await openSink(database);
  committed(
    await sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows: testRows(0, 50) })]), NEVER),
  );
  const again = testBatch(2, [testChunk({ file: testFile(), rows: testRows(20, 80) })]);
  const result = committed(await sink.write(0, again, NEVER));
  assert.deepEqual(countsOf(result.settled), [[30, 30, 0]]);
  // Not bisected: one try more, after which its files are known to bring stored keys.
  assert.deepEqual([told.retried, result.violated], [['23505'], true]);
  await assertBooksBalance(database);
  await sink.leave();
});

test('in a partition too, rows that clash on another unique index are refused, and stored keys are not', async () => {
  const database = await server.createDatabase();
  await makePartitioned(database);
  const { sink } = await openSink(database);
  for (let part = 0; part < 3; part += 1)
    await query(database, `CREATE UNIQUE INDEX ON part_${part} (user_id)`);
  const user = (id: string) => testRows(0, 1, undefined, { user_id: id });
  committed(await sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows: user('U-1') })]), NEVER));
  const rows = [...user('U-1'), ...testRows(1, 100, undefined, { user_id: 'U-2' })];
  const result = committed(await sink.write(0, testBatch(2, [testChunk({ file: testFile(), rows })]), NEVER));
  // One row a partition holds U-2; the repeat of the stored key is a duplicate.
  assert.deepEqual(countsOf(result.settled), [[3, 1, 96]]);
  await assertBooksBalance(database);
  await sink.leave();
});
