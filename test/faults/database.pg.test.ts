// Single faults of the database, each against the whole program: what a person or an accident does to the server and to the table.

import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

import { csv, events } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { until, withRoad } from '../support/road.ts';
import type { Road } from '../support/road.ts';

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

const COPYING = "SELECT pid FROM pg_stat_progress_copy WHERE relid = to_regclass('events')";
const SLOW = `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.0005); RETURN NEW; END $$;
  CREATE TRIGGER slow BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION slow()`;

/** Nobody else reads or writes the table until the returned function is called. */
async function lockTable(road: Road): Promise<() => Promise<void>> {
  const locker = new pg.Client(road.database.client);
  await locker.connect();
  await locker.query('BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE');
  return () => locker.end();
}

const WAITING =
  "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";

function untilLockIsWaitedFor(road: Road): Promise<void> {
  return until('a backend that waits', async () => (await road.query(WAITING)).length > 0);
}

test('kill -9 of the backend in the middle of a COPY costs a retry', () =>
  withRoad(server, async (road) => {
    await road.put('a.csv', csv(events(0, 10)));
    await road.once();
    await road.query(SLOW);
    const records = events(100, 4_000);
    await road.put('b.csv', csv(records));
    const run = road.start(['--once', '--settle', '100ms']);
    let pid = 0;
    await until('a COPY', async () => (pid = (await road.query<{ pid: number }>(COPYING))[0]?.pid ?? 0) > 0);
    process.kill(pid, 'SIGKILL');
    const { code, stderr } = await run.ended;
    assert.equal(code, 0, stderr);
    await road.balance(
      new Map([
        ['a.csv', events(0, 10)],
        ['b.csv', records],
      ]),
    );
  }));

for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const)
  test(`an orderly end of the server by ${signal} in the middle of the work is waited for`, () =>
    withRoad(server, async (road) => {
      await road.put('a.csv', csv(events(0, 10)));
      await road.once();
      await road.query(SLOW);
      const records = events(100, 4_000);
      await road.put('b.csv', csv(records));
      const run = road.start(['--once', '--settle', '100ms']);
      await until('a COPY', async () => (await road.query(COPYING)).length > 0);
      const ending = server.end(signal);
      // The smart way waits for all clients to leave. This one takes 2 s at least to copy; then it is made fast.
      if (signal === 'SIGTERM') {
        await sleep(300);
        process.kill(server.pid, 'SIGINT');
      }
      await ending;
      await until('it says that it waits', () => /waiting: /.test(run.said()));
      await server.start();
      const { code, stderr } = await run.ended;
      assert.equal(code, 0, stderr);
      await road.balance(
        new Map([
          ['a.csv', events(0, 10)],
          ['b.csv', records],
        ]),
      );
    }));

test('a lock on the table is waited for', () =>
  withRoad(server, async (road) => {
    await road.put('a.csv', csv(events(0, 10)));
    await road.once();
    const unlock = await lockTable(road);
    await road.put('b.csv', csv(events(10, 10)));
    const run = road.start(['--once', '--settle', '100ms']);
    await untilLockIsWaitedFor(road);
    await unlock();
    assert.equal((await run.ended).code, 0);
    await road.balance(
      new Map([
        ['a.csv', events(0, 10)],
        ['b.csv', events(10, 10)],
      ]),
    );
  }));

test('a deadlock that we lose costs a retry', () =>
  withRoad(server, async (road) => {
    await road.put('a.csv', csv(events(0, 10)));
    await road.once();
    // Our lane takes 1, then 2; somebody else 2, then 1. Who has waited for so long is the one who looks, and loses.
    await road.query(`CREATE FUNCTION two_locks() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock(1); PERFORM pg_advisory_xact_lock(2); RETURN NULL; END $$;
      CREATE TRIGGER two_locks BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION two_locks();
      ALTER DATABASE ${road.database.name} SET deadlock_timeout = '5s'`);
    const other = new pg.Client(road.database.client);
    await other.connect();
    await other.query(
      "SET deadlock_timeout = '1h'; SET lock_timeout = '30s'; BEGIN; SELECT pg_advisory_xact_lock(2)",
    );
    await road.put('b.csv', csv(events(10, 10)));
    const run = road.start(['--once', '--settle', '100ms']);
    await untilLockIsWaitedFor(road);
    await other.query('SELECT pg_advisory_xact_lock(1)');
    await other.query('COMMIT');
    await other.end();
    const { code, stdout, stderr } = await run.ended;
    assert.equal(code, 0, stderr);
    assert.match(stdout, /40P01/);
    await road.balance(
      new Map([
        ['a.csv', events(0, 10)],
        ['b.csv', events(10, 10)],
      ]),
    );
  }));

for (const [what, change, mend, pattern] of [
  ['renamed', 'ALTER TABLE events RENAME TO other', 'ALTER TABLE other RENAME TO events', /42P01|events/],
  [
    'robbed of a column',
    'ALTER TABLE events DROP COLUMN price',
    'ALTER TABLE events ADD COLUMN price numeric(12,2)',
    /price/,
  ],
  [
    'given another type',
    'ALTER TABLE events ALTER quantity TYPE text',
    'ALTER TABLE events ALTER quantity TYPE integer USING quantity::integer',
    /22021|22P03/,
  ],
] as const)
  test(`a table that is ${what} while it is written to stops the program with a sentence, and nothing is lost`, () =>
    withRoad(server, async (road) => {
      const run = road.start(['--scan-every', '100ms']);
      await road.put('a.csv', csv(events(0, 10)));
      await until('the first rows', async () => (await road.count()) === 10);
      await road.query(change);
      await road.put('b.csv', csv(events(10, 10)));
      const { code, stderr } = await run.ended;
      assert.equal(code, 5, stderr);
      assert.match(stderr, pattern);
      assert.doesNotMatch(stderr, /should not have happened/);
      await road.query(mend);
      await road.once();
      assert.equal(await road.count(), 20);
      const books = await road.books();
      assert.deepEqual(
        books.map(({ name, inserted }) => [name, inserted]),
        [
          ['a.csv', 10],
          ['b.csv', 10],
        ],
      );
    }));

test('books that vanish (a restore, a TRUNCATE by hand) cost a second reading, and no row is stored twice', () =>
  withRoad(server, async (road) => {
    await road.put('a.csv', csv(events(0, 500)));
    await road.once();
    await road.query('TRUNCATE millrace.files, millrace.slices, millrace.rejects, millrace.batches CASCADE');
    const counts = await road.once();
    assert.deepEqual([counts.inserted, counts.duplicates], [0, 500]);
    assert.equal(await road.count(), 500);
  }));

test('books that vanish under a running program end in a restart in process or in duplicates, never in a loss', () =>
  withRoad(server, async (road) => {
    const run = road.start(['--scan-every', '100ms', '--settle', '200ms']);
    await road.put('a.csv', csv(events(0, 500)));
    await until('the first rows', async () => (await road.count()) === 500);
    await road.query('TRUNCATE millrace.files, millrace.slices, millrace.rejects, millrace.batches CASCADE');
    await road.put('b.csv', csv(events(400, 600)));
    await until('the other rows', async () => (await road.count()) === 1_000);
    run.child.kill('SIGTERM');
    const { code, stderr } = await run.ended;
    assert.equal(code, 0, stderr);
    await road.once();
    assert.equal(await road.count(), 1_000);
  }));

test('a row for which there is no partition is rejected with the words of the database, its neighbours are stored', () =>
  withRoad(server, async (road) => {
    await road.query(`CREATE TABLE events (event_id uuid NOT NULL, event_type varchar NOT NULL, product_id varchar(255), user_id varchar(255),
      event_timestamp timestamp NOT NULL, quantity int, price numeric(12,2), PRIMARY KEY (event_id)) PARTITION BY RANGE (event_id);
      CREATE TABLE low PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('f0000000-0000-0000-0000-000000000000')`);
    const records = events(0, 300);
    const refused = records.filter(({ key }) => key.startsWith('f'));
    assert.ok(refused.length > 5);
    await road.put('a.csv', csv(records));
    const counts = await road.once();
    assert.deepEqual([counts.inserted, counts.rejected], [records.length - refused.length, refused.length]);
    const codes = await road.query<{ code: string }>('SELECT DISTINCT code FROM millrace.rejects');
    assert.deepEqual(codes, [{ code: 'refused_by_database' }]);
  }));

for (const TZ of ['America/New_York', 'Pacific/Kiritimati'])
  test(`the zone ${TZ} changes no row`, () =>
    withRoad(server, async (road) => {
      await road.put('a.csv', csv(events(0, 200)));
      const run = road.start(['--once', '--settle', '100ms'], { TZ, PGTZ: TZ, LANG: 'tr_TR.UTF-8' });
      assert.equal((await run.ended).code, 0);
      await road.balance(new Map([['a.csv', events(0, 200)]]));
    }));

test('a file renamed while its first batch waits for the server stands in the books under its new name', () =>
  withRoad(server, async (road) => {
    await road.put('first.csv', csv(events(0, 10)));
    await road.once();
    const unlock = await lockTable(road);
    await road.put('a.csv', csv(events(10, 10)));
    // Seldom: a rename in the very middle of a scan makes the file a new one, which is as good and not what is meant here.
    const run = road.start(['--scan-every', '3s', '--settle', '200ms']);
    await untilLockIsWaitedFor(road);
    await rename(road.path('a.csv'), road.path('b.csv'));
    await sleep(1_000);
    await unlock();
    const states = async (): Promise<string[]> =>
      (await road.books()).map(({ name, state }) => `${name} ${state}`);
    await until('both to be done', async () => {
      const all = await states();
      return all.length === 2 && all.every((state) => state.endsWith('done'));
    });
    run.child.kill('SIGTERM');
    await run.ended;
    assert.deepEqual(await states(), ['b.csv done', 'first.csv done']);
  }));

test('statistics from a moment when the table was empty do not make a batch read the whole table for each row', () =>
  withRoad(server, async (road) => {
    await road.put('first.csv', csv(events(0, 1)));
    await road.once();
    await road.query(
      `ALTER TABLE events SET (autovacuum_enabled = false);
       INSERT INTO events (event_id, event_type, event_timestamp) SELECT gen_random_uuid(), 'view', now() FROM generate_series(1, 9000);
       DELETE FROM events WHERE quantity IS NULL; ANALYZE events`,
    );
    const looks = async (): Promise<number> => {
      const [row] = await road.query<{ count: number }>(
        "SELECT idx_scan::int AS count FROM pg_stat_user_indexes WHERE indexrelname = 'events_pkey'",
      );
      return row?.count ?? 0;
    };
    const before = await looks();
    // The first record is stored already, so that the whole batch goes through the stage.
    const records = events(0, 9_000);
    await road.put('a.csv', csv(records));
    await road.once(['--dedup-memory', '0']);
    // Each row of the stage is looked for once by ON CONFLICT, and once when the stage is compared with the table.
    await until(
      'two looks into the index for each row',
      async () => (await looks()) - before >= 18_000,
      20_000,
    );
    await road.balance(
      new Map([
        ['first.csv', events(0, 1)],
        ['a.csv', records],
      ]),
    );
  }));
