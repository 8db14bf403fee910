// Rows that the database refuses: exactly the bad ones are found, and their neighbours are stored.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FRESH, UNSURE } from '../../../src/core/chunk.ts';
import { refusalsAllowed } from '../../../src/sink/postgres/bisect.ts';
import { joinChunks, testChunk, testFile, testKey, testRows } from '../../support/chunks.ts';
import type { TestRow } from '../../support/chunks.ts';
import { startTestServer } from '../../support/postgres.ts';
import type { TestDatabase, TestServer } from '../../support/postgres.ts';
import { NEVER, assertBooksBalance, committed, countsOf, openSink, query, testBatch } from './support.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.stop());

/** Rows with quantity 666 at these indexes. */
function rowsWithBad(count: number, bad: readonly number[], from = 0): TestRow[] {
  return testRows(from, from + count).map((row, index) =>
    bad.includes(index) ? { ...row, fields: { ...row.fields, quantity: '666' } } : row,
  );
}

async function storedKeys(database: TestDatabase): Promise<string[]> {
  return (await query<{ event_id: string }>(database, 'SELECT event_id FROM events ORDER BY 1')).map(
    (row) => row.event_id,
  );
}

test('a CHECK that was added isolates exactly the rows that it refuses', async () => {
  const database = await server.createDatabase();
  const { sink, told } = await openSink(database);
  await query(database, 'ALTER TABLE events ADD CONSTRAINT no_devil CHECK (quantity <> 666)');
  const bad = [0, 17, 18, 99];
  const result = committed(
    await sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows: rowsWithBad(100, bad) })]), NEVER),
  );
  assert.deepEqual(countsOf(result.settled), [[96, 0, 4]]);
  assert.deepEqual([...result.settled[0]!.refusedRows], bad);
  assert.deepEqual(told.retried, ['23514']);
  const rejects = await query(
    database,
    'SELECT byte_offset::int AS at, line::int, code, raw, sentence FROM millrace.rejects ORDER BY 1',
  );
  assert.deepEqual(
    rejects.map(({ at, line, code, raw }) => [at, line, code, String(raw)]),
    bad.map((index) => [index * 100, index + 1, 'refused_by_database', `${index * 100}+99`]),
  );
  assert.match(String(rejects[0]?.['sentence']), /no_devil.*666/);
  assert.equal((await storedKeys(database)).includes(testKey(17)), false);
  await assertBooksBalance(database);
  await sink.leave();
});

test('a stored key is a duplicate, not a refusal, also in a trial', async () => {
  const database = await server.createDatabase();
  const { sink } = await openSink(database);
  await sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows: testRows(0, 5) })]), NEVER);
  await query(database, 'ALTER TABLE events ADD CONSTRAINT no_devil CHECK (quantity <> 666)');
  const result = committed(
    await sink.write(0, testBatch(2, [testChunk({ file: testFile(), rows: rowsWithBad(10, [7]) })]), NEVER),
  );
  assert.deepEqual(countsOf(result.settled), [[4, 5, 1]]);
  await assertBooksBalance(database);
  await sink.leave();
});

test('rows that clash only with each other on another unique index are found', async () => {
  const database = await server.createDatabase();
  const { sink } = await openSink(database);
  await query(database, 'CREATE UNIQUE INDEX one_each ON events (user_id)');
  const rows = testRows(0, 8).map((row, index) => ({
    ...row,
    fields: { ...row.fields, user_id: `U-${index % 6}` },
  }));
  const result = committed(await sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows })]), NEVER));
  assert.deepEqual(countsOf(result.settled), [[6, 0, 2]]);
  assert.deepEqual([...result.settled[0]!.refusedRows], [6, 7]);
  await assertBooksBalance(database);
  await sink.leave();
});

test('a constraint that is checked late is checked before COMMIT', async () => {
  const database = await server.createDatabase();
  const { sink } = await openSink(database);
  await query(database, 'CREATE TABLE users (id varchar PRIMARY KEY)');
  await query(database, `INSERT INTO users VALUES ('U-1')`);
  await query(
    database,
    'ALTER TABLE events ADD FOREIGN KEY (user_id) REFERENCES users DEFERRABLE INITIALLY DEFERRED',
  );
  const rows = [...testRows(0, 3), ...testRows(3, 4, undefined, { user_id: 'nobody' })];
  const result = committed(await sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows })]), NEVER));
  assert.deepEqual(countsOf(result.settled), [[3, 0, 1]]);
  await assertBooksBalance(database);
  await sink.leave();
});

test('a trigger that raises refuses single rows; one that returns NULL stops the engine by name', async () => {
  const database = await server.createDatabase();
  const { sink } = await openSink(database);
  await query(
    database,
    `CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       IF NEW.quantity = 666 THEN RAISE EXCEPTION 'no %', NEW.quantity; END IF;
       IF NEW.quantity = 13 THEN RETURN NULL; END IF;
       RETURN NEW; END $$;
     CREATE TRIGGER the_judge BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION judge()`,
  );
  const first = committed(
    await sink.write(0, testBatch(1, [testChunk({ file: testFile(), rows: rowsWithBad(10, [3]) })]), NEVER),
  );
  assert.deepEqual(countsOf(first.settled), [[9, 0, 1]]);
  for (const verdict of [FRESH, UNSURE] as const) {
    const chunk = testChunk({ file: testFile(), rows: testRows(20, 22, verdict, { quantity: '13' }) });
    await assert.rejects(sink.write(0, testBatch(2, [chunk]), NEVER), {
      code: 'database',
      message: /2 rows.*trigger the_judge/,
    });
  }
  await assertBooksBalance(database);
  await sink.leave();
});

test('a file of which too much is refused is parked, and its neighbours are written', async () => {
  const database = await server.createDatabase();
  const { sink } = await openSink(database);
  await query(database, 'ALTER TABLE events ADD CONSTRAINT no_devil CHECK (quantity <> 666)');
  const [good, bad, companion] = [testFile(), testFile(), testFile()];
  const chunks = [
    testChunk({ file: good, rows: testRows(0, 50) }),
    joinChunks([
      testChunk({ file: bad, rows: testRows(100, 300, undefined, { quantity: '666' }) }),
      testChunk({ file: companion, rows: testRows(300, 310) }),
    ]),
  ];
  const result = committed(await sink.write(0, testBatch(1, chunks), NEVER));
  assert.deepEqual(countsOf(result.settled), [[50, 0, 0]]);
  assert.deepEqual(
    result.parked.map((file) => file.generation),
    [bad.id],
  );
  assert.deepEqual(result.returned, [chunks[1]]);
  const files = await query(database, 'SELECT generation, state FROM millrace.files ORDER BY state');
  assert.deepEqual(files, [
    { generation: bad.id, state: 'parked' },
    { generation: good.id, state: 'reading' },
  ]);
  await assertBooksBalance(database);
  await sink.leave();
});

test('what was parked is written down as it stood when its slice was accepted', async () => {
  const database = await server.createDatabase();
  const { sink, books } = await openSink(database);
  await query(database, 'ALTER TABLE events ADD CONSTRAINT no_devil CHECK (quantity <> 666)');
  const file = testFile();
  const grown = { ...file, stamp: { ...file.stamp, size: 12_345, mtimeNs: 77n, ctimeNs: 78n } };
  const rows = testRows(0, 300, undefined, { quantity: '666' });
  committed(await sink.write(0, testBatch(1, [testChunk({ file: grown, rows })]), NEVER));
  const [known] = await books.find([{ nameBytes: file.nameBytes, ino: file.stamp.ino }]);
  assert.equal(known?.state, 'parked');
  assert.deepEqual(known.ended, { size: 12_345, mtimeNs: 77n, ctimeNs: 78n });
  assert.match(known.reason ?? '', /refuses too many rows.*mend it.*millrace resume.*millrace undo/);
  await sink.leave();
});

test('a batch whose refused rows are others at every try is given up after five trials, and its file parked', async () => {
  const database = await server.createDatabase();
  const { sink, told } = await openSink(database);
  // It lets every row pass in a trial, and none when the batch is written.
  await query(
    database,
    `CREATE FUNCTION moody() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       IF current_query() NOT LIKE '%SAVEPOINT trial%' THEN RAISE EXCEPTION 'not now'; END IF;
       RETURN NEW; END $$;
     CREATE TRIGGER moody BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION moody()`,
  );
  const file = testFile();
  const chunk = testChunk({ file, rows: testRows(0, 10) });
  const result = committed(await sink.write(0, testBatch(1, [chunk]), NEVER));
  assert.deepEqual(
    [result.settled, result.parked.map(({ generation }) => generation), result.returned],
    [[], [file.id], [chunk]],
  );
  assert.match(result.parked[0]?.reason ?? '', /in another way at every try \(5 tries\)/);
  assert.deepEqual(
    told.retried,
    Array.from({ length: 6 }, () => 'P0001'),
  );
  assert.deepEqual(await query(database, 'SELECT FROM events'), []);
  await query(database, 'DROP TRIGGER moody ON events');
  const other = testBatch(2, [testChunk({ file: testFile(), rows: testRows(20, 25) })]);
  assert.deepEqual(countsOf(committed(await sink.write(0, other, NEVER)).settled), [[5, 0, 0]]);
  await assertBooksBalance(database);
  await sink.leave();
});

test('a statement that is cancelled ten times in a row stops the engine', async () => {
  const database = await server.createDatabase();
  const { sink, told } = await openSink(database);
  await query(
    database,
    `CREATE FUNCTION cancel() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       RAISE EXCEPTION 'too long' USING ERRCODE = 'query_canceled'; END $$;
     CREATE TRIGGER cancel BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION cancel()`,
  );
  const chunk = testChunk({ file: testFile(), rows: testRows(0, 5) });
  await assert.rejects(sink.write(0, testBatch(1, [chunk]), NEVER), {
    code: 'database',
    message: /57014: too long/,
    wayOut: /raise the time-out/,
  });
  assert.deepEqual(
    told.retried,
    Array.from({ length: 10 }, () => '57014'),
  );
  assert.deepEqual(await query(database, 'SELECT FROM events'), []);
  await sink.leave();
});

test('the bound of refusals is one of a usual batch, and of a long slice that of the batches it would have been', () => {
  assert.deepEqual(
    [20, 5_000, 50_000, 50_001, 180_000].map(refusalsAllowed),
    [100, 500, 1_000, 2_000, 4_000],
  );
});
