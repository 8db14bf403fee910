// Others at the same table: a second instance on the same source, a foreign writer, somebody who takes rows away, a trigger, a key
// in two lanes whose first batch fails.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

import { csv, event, events, uuidOf } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { epochOf, until, withRoad as withRoadOn } from '../support/road.ts';
import type { Road } from '../support/road.ts';

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

const withRoad = (body: (road: Road) => Promise<void>): Promise<void> => withRoadOn(server, body);

describe('two instances on one source', () => {
  test('the younger takes over, the older ends with exit code 4, each row is stored once', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv(events(0, 1_000)));
      const older = road.start(['--scan-every', '100ms']);
      await until('the older to write', async () => (await road.count()) === 1_000);
      const younger = road.start(['--scan-every', '100ms']);
      assert.equal((await older.ended).code, 4, older.said());
      await road.put('b.csv', csv(events(500, 1_000)));
      await until('the younger to write', async () => (await road.count()) === 1_500);
      younger.child.kill('SIGTERM');
      assert.equal((await younger.ended).code, 0);
      await road.balance(
        new Map([
          ['a.csv', events(0, 1_000)],
          ['b.csv', events(500, 1_000)],
        ]),
      );
    }));

  test(
    'the older one stopped in mid-COPY and woken after the take-over changes nothing any more',
    { timeout: 120_000 },
    () =>
      withRoad(async (road) => {
        await road.put('first.csv', csv(events(0, 10)));
        await road.once();
        await road.query(
          'CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END $$',
        );
        await road.query('CREATE TRIGGER slow BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION slow()');
        const records = events(100, 8_000);
        await road.put('a.csv', csv(records));
        const older = road.start();
        const copying = `SELECT 1 FROM pg_stat_progress_copy WHERE relid = 'events'::regclass`;
        await until('the older to stand in COPY', async () => (await road.query(copying)).length > 0);
        older.child.kill('SIGSTOP');
        const younger = road.start(['--once', '--settle', '100ms']);
        const youngerEnd = await younger.ended;
        assert.equal(youngerEnd.code, 0, youngerEnd.stderr);
        older.child.kill('SIGCONT');
        assert.equal((await older.ended).code, 4, older.said());
        await road.balance(
          new Map([
            ['first.csv', events(0, 10)],
            ['a.csv', records],
          ]),
        );
      }),
  );
});

describe('others at the table', () => {
  test('rows of a foreign writer count as stored', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv(events(0, 100)));
      await road.once();
      const foreign = [uuidOf(150), uuidOf(9_999)];
      for (const id of foreign)
        await road.query(
          "INSERT INTO events (event_id, event_type, event_timestamp) VALUES ($1, 'view', now())",
          [id],
        );
      await road.put('b.csv', csv(events(100, 100)));
      const counts = await road.once();
      assert.deepEqual([counts.inserted, counts.duplicates], [99, 1]);
      await road.balance(
        new Map([
          ['a.csv', events(0, 100)],
          ['b.csv', events(100, 100)],
        ]),
        foreign,
      );
    }));

  test('a constraint added by a person costs the refused rows only, each with the words of the database', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv(events(0, 10)));
      await road.once();
      await road.query(
        `ALTER TABLE events ADD CONSTRAINT no_fives CHECK (event_id NOT IN ('${uuidOf(105)}', '${uuidOf(155)}'))`,
      );
      await road.put('b.csv', csv(events(100, 100)));
      const counts = await road.once();
      assert.deepEqual([counts.inserted, counts.rejected], [98, 2]);
      const rejects = await road.query<{ code: string; sentence: string; raw: Buffer; line: string }>(
        'SELECT code, sentence, raw, line FROM millrace.rejects ORDER BY line',
      );
      assert.deepEqual(
        rejects.map(({ code, raw, line }) => [code, raw.toString(), line]),
        [
          ['refused_by_database', event(105).text, '7'],
          ['refused_by_database', event(155).text, '57'],
        ],
      );
      assert.match(rejects[0]?.sentence ?? '', /no_fives/);
    }));

  test('a trigger that swallows rows stops the program with its name', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv(events(0, 10)));
      await road.once();
      await road.query(
        'CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$',
      );
      await road.query(
        'CREATE TRIGGER swallower BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION swallow()',
      );
      await road.put('b.csv', csv(events(10, 10)));
      const ended = await road.start(['--once', '--settle', '100ms']).ended;
      assert.equal(ended.code, 5, ended.stderr);
      assert.match(ended.stderr, /swallower/);
      await road.query('DROP TRIGGER swallower ON events');
      await road.once();
      await road.balance(
        new Map([
          ['a.csv', events(0, 10)],
          ['b.csv', events(10, 10)],
        ]),
      );
    }));

  test('books that only a person can mend stop the program with the sentence of the database', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv(events(0, 10)));
      await road.once();
      await road.query('ALTER TABLE millrace.files RENAME COLUMN blank_lines TO blanks');
      await road.put('b.csv', csv(events(10, 10)));
      const ended = await road.start(['--once', '--settle', '100ms']).ended;
      assert.equal(ended.code, 5, ended.stderr);
      assert.match(ended.stderr, /42703/);
    }));

  test('a file of which the database refuses too much is parked, and counted once', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv(events(0, 10)));
      await road.once();
      await road.query('ALTER TABLE events ADD CONSTRAINT nothing CHECK (false) NOT VALID');
      await road.put('b.csv', csv(events(10, 500)));
      const counts = await road.once();
      assert.deepEqual([counts.files, counts.refusedFiles, counts.records], [2, 1, 0]);
      assert.deepEqual(
        (await road.books()).map(({ name, state }) => [name, state]),
        [
          ['a.csv', 'done'],
          ['b.csv', 'parked'],
        ],
      );
    }));

  test('rows taken away on purpose just before a file is parked mean a restart in process, not the end', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv(events(0, 10)));
      await road.once();
      await road.query(
        `CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           PERFORM pg_sleep(0.005); RAISE EXCEPTION 'not this one'; END $$`,
      );
      await road.query(
        'CREATE TRIGGER slowly BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION slowly()',
      );
      await road.put('b.csv', csv(events(10, 1_000)));
      const run = road.start(['--once', '--settle', '100ms']);
      const trying = `SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SAVEPOINT trial%' AND datname = current_database()`;
      await until('the trial', async () => (await road.query(trying)).length > 0);
      await road.query('UPDATE millrace.leases SET forget = forget + 1');
      const ended = await run.ended;
      assert.equal(ended.code, 3, ended.stderr);
      assert.match(ended.stdout, /began again from the checkpoint/);
    }));

  test('a first Ctrl-C ends the program with 0 although somebody has locked its books', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv(events(0, 10)));
      const run = road.start(['--scan-every', '100ms']);
      await until('the first file', async () => (await road.count()) === 10);
      const locker = new pg.Client(road.database.client);
      locker.on('error', () => {});
      await locker.connect();
      await locker.query('BEGIN; LOCK TABLE millrace.files');
      await road.put('b.csv', csv(events(10, 10)));
      const waiting = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;
      await until('the books to wait', async () => (await road.query(waiting)).length > 0);
      run.child.kill('SIGINT');
      const ended = await run.ended;
      await locker.end();
      assert.equal(ended.code, 0, ended.stderr);
      assert.match(ended.stdout, /a\.csv/);
    }));

  test('Ctrl-C ends it with 0 also while it waits for a locked lease before it began', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv(events(0, 10)));
      await road.once();
      const locker = new pg.Client(road.database.client);
      locker.on('error', () => {});
      await locker.connect();
      await locker.query('BEGIN; LOCK TABLE millrace.leases');
      const run = road.start();
      const waiting = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;
      await until('it to wait', async () => (await road.query(waiting)).length > 0);
      run.child.kill('SIGINT');
      const ended = await run.ended;
      await locker.end();
      assert.equal(ended.code, 0, ended.stderr);
    }));

  test('a read-only database makes it wait and go on', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv(events(0, 10)));
      await road.once();
      const epoch = await epochOf(road);
      const run = road.start(['--scan-every', '100ms']);
      await until('it to begin', async () => (await epochOf(road)) !== epoch);
      await road.query(`ALTER DATABASE ${road.database.name} SET default_transaction_read_only = on`);
      await road.query(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
      );
      await road.put('b.csv', csv(events(10, 10)));
      await until('it says that it waits', () => /waiting: /.test(run.said()));
      await road.query('SET default_transaction_read_only = off').catch(() => []);
      await road.query(
        `BEGIN READ WRITE; ALTER DATABASE ${road.database.name} RESET default_transaction_read_only; COMMIT`,
      );
      await road.query(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
      );
      await until('the new rows', async () => (await road.count()) === 20);
      run.child.kill('SIGTERM');
      assert.equal((await run.ended).code, 0);
      await road.balance(
        new Map([
          ['a.csv', events(0, 10)],
          ['b.csv', events(10, 10)],
        ]),
      );
    }));

  test('backends terminated again and again only cost time', { timeout: 120_000 }, () =>
    withRoad(async (road) => {
      const records = events(0, 400_000);
      await road.put('a.csv', csv(records));
      const run = road.start(['--once', '--settle', '100ms']);
      let ended = false;
      void run.ended.then(() => (ended = true));
      let kills = 0;
      for (let round = 0; kills < 12 && round < 40 && !ended; round += 1) {
        const rows = await road.query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'millrace%' AND datname = current_database()",
        );
        kills += rows.length;
        await sleep(100);
      }
      assert.ok(kills > 3, `${kills} backends`);
      const end = await run.ended;
      assert.equal(end.code, 0, end.stderr);
      await road.balance(new Map([['a.csv', records]]));
    }),
  );

  test('a key in two lanes whose first batch fails is stored by the second', { timeout: 120_000 }, () =>
    withRoad(async (road) => {
      await road.put('first.csv', csv(events(0, 10)));
      await road.once();
      // The first transaction that brings the key is refused that row, late; the second lane waits for it in the index meanwhile.
      await road.query(
        `CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF NEW.quantity = 77 THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$`,
      );
      await road.query('CREATE TRIGGER once BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION once()');
      const key = event(500_000).key;
      const bad = { key, valid: false, text: `${key},view,p,u,2024-05-06 07:08:09,77,1.00` };
      const a = [...events(1_000, 60_000), bad];
      const b = [...events(70_000, 60_000), event(500_000)];
      await road.put('a.csv', csv(a));
      await road.put('b.csv', csv(b));
      const counts = await road.once(['--lanes', '2']);
      assert.equal(counts.rejected, 1);
      assert.equal((await road.query('SELECT 1 FROM events WHERE event_id = $1', [key])).length, 1);
      await road.balance(
        new Map([
          ['first.csv', events(0, 10)],
          ['a.csv', a],
          ['b.csv', b],
        ]),
      );
    }),
  );
});
