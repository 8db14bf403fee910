// The quarantine run again, files parked by their error budget, and files undone: the program as a user runs it, on real files and a real
// PostgreSQL. After each, every record is in exactly one column of the books and the table holds what they say.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { rename, unlink, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

import { millrace, start } from '../support/cli.ts';
import type { Ended } from '../support/cli.ts';
import { HEADER, csv, event, events, invalidEvent } from '../support/events.ts';
import type { TestRecord } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { until, withRoad as withRoadOn } from '../support/road.ts';
import type { Road } from '../support/road.ts';

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

const withRoad = (body: (road: Road) => Promise<void>): Promise<void> => withRoadOn(server, body);

function tell(road: Road, command: string, ...args: readonly string[]): Promise<Ended> {
  return millrace([command, ...args, '--input', road.folder], { env: road.database.env });
}

async function ok(road: Road, command: string, ...args: readonly string[]): Promise<Ended> {
  const ended = await tell(road, command, ...args);
  assert.equal(ended.code, 0, ended.stderr);
  return ended;
}

/** The table and the books agree in one snapshot, and what is booked as rejected lies in quarantine. */
async function assertBalance(road: Road): Promise<void> {
  const [row] = await road.query(
    `SELECT (SELECT count(*)::int FROM events) AS rows, coalesce(sum(inserted), 0)::int AS inserted,
            (SELECT coalesce(sum(records), 0)::int FROM millrace.rejects) AS kept, coalesce(sum(rejected), 0)::int AS rejected
     FROM millrace.slices`,
  );
  assert.deepEqual(
    { rows: row?.['rows'], kept: row?.['kept'] },
    { rows: row?.['inserted'], kept: row?.['rejected'] },
  );
}

async function counts(road: Road, name: string): Promise<number[]> {
  const books = (await road.books()).filter((file) => file.name === name);
  const sum = (of: 'records' | 'inserted' | 'duplicates' | 'rejected'): number =>
    books.reduce((all, file) => all + file[of], 0);
  return [sum('records'), sum('inserted'), sum('duplicates'), sum('rejected')];
}

const CHEAP = 'ALTER TABLE events ADD CONSTRAINT cheap CHECK (price < 500)';

/** `count` records of which every `nth` breaks the constraint. */
function pricey(from: number, count: number, nth: number): TestRecord[] {
  return Array.from({ length: count }, (_, index) => {
    const { key } = event(from + index);
    const price = index % nth === 0 ? '900.00' : '1.00';
    return { key, valid: true, text: `${key},view,p,u,2024-05-06 07:08:09,1,${price}` };
  });
}

describe('rejects', () => {
  test('are listed by file and by code', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv([event(1), invalidEvent(2), { ...event(3), text: 'nonsense' }]));
      await road.put('b.csv', csv([invalidEvent(4)]));
      await road.once();
      const all = await ok(road, 'rejects', '--json');
      const listed = JSON.parse(all.stdout) as { records: number; counts: Record<string, unknown>[] };
      assert.equal(listed.records, 3);
      assert.deepEqual(
        listed.counts.map(({ name, code, records }) => [name, code, records]),
        [
          ['a.csv', 'timestamp_calendar', 1],
          ['a.csv', 'too_few_fields', 1],
          ['b.csv', 'timestamp_calendar', 1],
        ].toSorted((x, y) => String(x[0]).localeCompare(String(y[0]))),
      );
      const some = await ok(road, 'rejects', 'list', 'a.csv', '--code', 'too_few_fields');
      assert.match(some.stdout, /^a\.csv:4:-: too_few_fields: /m);
      assert.doesNotMatch(some.stdout, /timestamp_calendar/);
      assert.equal((await tell(road, 'rejects', 'nobody.csv')).code, 5);
    }));

  test('are exported as they stood, under their header, and can be mended and dropped back in', () =>
    withRoad(async (road) => {
      const bad = `${event(2).key},view,"a, b","=1+1",2024-02-30 00:00:00,1,1.00`;
      const lines = [HEADER, event(1).text, bad, 'short'];
      await road.put('a.csv', lines.map((line) => `${line}\r\n`).join(''));
      await road.once();
      await unlink(road.path('a.csv'));
      const out = await ok(road, 'rejects', 'export');
      assert.equal(out.stdout, [HEADER, bad, 'short'].map((line) => `${line}\r\n`).join(''));
      const neutral = await ok(road, 'rejects', 'export', '--neutralize-formulas');
      assert.match(neutral.stdout, /"a, b","'=1\+1",2024/);
      const folder = road.path('mended'); // sub-folders are not watched
      await ok(road, 'rejects', 'export', '--to', folder);
      const exported = readFileSync(`${folder}/a.csv`, 'utf8');
      assert.equal(exported, out.stdout);
      await road.put('mended.csv', exported.replace('02-30', '02-28').replace('short\r\n', ''));
      assert.equal((await road.once()).inserted, 1);
      await assertBalance(road);
      await ok(road, 'verify');
    }));

  test('are never exported over a file that is there, such as the delivered one', () =>
    withRoad(async (road) => {
      const delivered = csv([event(1), invalidEvent(2)]);
      await road.put('a.csv', delivered);
      await road.once();
      const ended = await tell(road, 'rejects', 'export', '--to', road.folder);
      assert.equal(ended.code, 5);
      assert.match(ended.stderr, /a\.csv is there already/);
      assert.equal(readFileSync(road.path('a.csv'), 'utf8'), delivered);
    }));

  test('of files with different headers are not mixed into one', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv([invalidEvent(1)]));
      await road.put('b.csv', csv([invalidEvent(2)]).replaceAll(',', ';'));
      await road.once();
      const ended = await tell(road, 'rejects', 'export');
      assert.deepEqual([ended.code, ended.stdout], [5, '']);
      assert.match(ended.stderr, /--to DIR/);
      assert.equal(
        (await ok(road, 'rejects', 'export', 'b.csv')).stdout,
        csv([invalidEvent(2)]).replaceAll(',', ';'),
      );
    }));
});

describe('replay', () => {
  test('stores what a dropped constraint lets through, from the stored bytes, and the books follow', () =>
    withRoad(async (road) => {
      await road.once();
      await road.query(CHEAP);
      const records = [...pricey(0, 40, 4), invalidEvent(90)];
      await road.put('a.csv', csv(records));
      await road.once();
      assert.deepEqual(await counts(road, 'a.csv'), [41, 30, 0, 11]);
      await unlink(road.path('a.csv'));

      const again = await tell(road, 'rejects', 'replay', '--json');
      assert.equal(again.code, 1, again.stderr);
      assert.deepEqual(JSON.parse(again.stdout), { inserted: 0, duplicates: 0, rejected: 11, untried: 0 });
      await road.query('ALTER TABLE events DROP CONSTRAINT cheap');
      // One of them came in another way meanwhile.
      await road.put('b.csv', csv([{ ...event(0), text: records[0]?.text ?? '' }]));
      await road.once();
      const done = await tell(road, 'rejects', 'replay', '--json');
      assert.deepEqual(JSON.parse(done.stdout), { inserted: 9, duplicates: 1, rejected: 1, untried: 0 });
      assert.deepEqual(await counts(road, 'a.csv'), [41, 39, 1, 1]);
      await assertBalance(road);
      const rows = await road.query(
        `SELECT count(*)::int AS traced FROM events e JOIN millrace.batches b ON e.xmin = b.xid::xid`,
      );
      assert.deepEqual(rows, [{ traced: 40 }]);
    }));

  test('keeps what repeats a stored event with other values, as the loser of a conflict', () =>
    withRoad(async (road) => {
      await road.once();
      await road.query(CHEAP);
      const records = pricey(0, 6, 2);
      await road.put('a.csv', csv(records));
      await road.once();
      await road.query(
        `ALTER TABLE events DROP CONSTRAINT cheap, ADD CONSTRAINT not_him CHECK (event_id <> '${event(0).key}')`,
      );
      const loser = records[2]?.text ?? '';
      await road.put('b.csv', csv([{ ...event(2), text: loser.replace('900.00', '2.00') }]));
      await road.once();
      const done = await tell(road, 'rejects', 'replay', '--json');
      assert.deepEqual(JSON.parse(done.stdout), { inserted: 1, duplicates: 1, rejected: 1, untried: 0 });
      assert.match(done.stderr, /1 record of the duplicates with other values/);
      assert.deepEqual(await counts(road, 'a.csv'), [6, 4, 1, 1]);
      const kept = await road.query(
        "SELECT convert_from(raw, 'UTF8') AS raw FROM millrace.rejects WHERE code = 'duplicate_conflict'",
      );
      assert.deepEqual(kept, [{ raw: loser }]);
      await ok(road, 'verify');
    }));

  test('gives those that stay the reason of today', () =>
    withRoad(async (road) => {
      await road.once();
      await road.query(CHEAP);
      await road.put('a.csv', csv(pricey(0, 4, 4)));
      await road.once();
      await road.query('ALTER TABLE events DROP CONSTRAINT cheap, ADD CONSTRAINT modest CHECK (price < 600)');
      await tell(road, 'rejects', 'replay');
      const [reject] = await road.query<{ sentence: string }>('SELECT sentence FROM millrace.rejects');
      assert.match(reject?.sentence ?? '', /modest/);
    }));

  test('finds the header in the file where the books of older versions have none, and leaves records without any', () =>
    withRoad(async (road) => {
      await refuseSome(road, 1);
      await road.query('UPDATE millrace.slices SET header = NULL');
      await rename(road.path('a-0.csv'), road.path('hidden'));
      const without = await tell(road, 'rejects', 'replay', '--json');
      assert.equal(without.code, 1);
      assert.match(without.stderr, /header of a-0\.csv/);
      assert.equal((JSON.parse(without.stdout) as { untried: number }).untried, Math.ceil(SOME / 13));
      await rename(road.path('hidden'), road.path('a-0.csv'));
      await ok(road, 'rejects', 'replay');
      assert.deepEqual([await quarantined(road), await road.count()], [0, SOME]);
    }));

  test('killed in its transaction leaves every record in quarantine, and does it all the next time', () =>
    withRoad(async (road) => {
      await refuseSome(road, 1);
      const kept = await quarantined(road);
      const ended = await killWaiting(road, 'millrace.slices', ['rejects', 'replay']);
      assert.equal(ended.signal, 'SIGKILL');
      assert.equal(await quarantined(road), kept);
      await assertBalance(road);
      await ok(road, 'rejects', 'replay');
      assert.deepEqual([await quarantined(road), await road.count()], [0, SOME]);
      await assertBalance(road);
    }));

  test(
    'is exactly once under kill -9 at any moment, beside an instance that runs',
    { timeout: 240_000 },
    () =>
      withRoad(async (road) => {
        await refuseSome(road, 3);
        const run = road.start(['--scan-every', '100ms']);
        // Later after a replay that was caught, sooner after one that got away: the kills gather where a replay ends, on any machine.
        let waitMs = 300;
        let killed = 0;
        for (let round = 0; round < 8; round += 1) {
          await road.put(`b-${round}.csv`, csv(events(200_000 + round * 1_000, 500)));
          const replay = start(['rejects', 'replay', '--input', road.folder], { env: road.database.env });
          await sleep(waitMs);
          replay.child.kill('SIGKILL');
          const caught = (await replay.ended).signal === 'SIGKILL';
          waitMs *= caught ? 1.25 : 0.6;
          if (caught) killed += 1;
          await assertBalance(road);
        }
        assert.ok(killed >= 2, `${killed} kills`);
        await ok(road, 'rejects', 'replay');
        assert.equal(await quarantined(road), 0);
        await until('the last file', async () => (await road.count()) === 3 * SOME + 8 * 500);
        run.child.kill('SIGTERM');
        assert.equal((await run.ended).code, 0);
        await assertBalance(road);
      }),
  );
});

const SOME = 6_000;

/** Files of which one record in 13 was refused by a constraint that is gone now. */
async function refuseSome(road: Road, files: number): Promise<void> {
  await road.once();
  await road.query(CHEAP);
  for (let file = 0; file < files; file += 1) {
    await road.put(`a-${file}.csv`, csv(pricey(file * 10_000, SOME, 13)));
    await road.once();
  }
  assert.equal(await quarantined(road), files * Math.ceil(SOME / 13));
  await road.query('ALTER TABLE events DROP CONSTRAINT cheap');
}

async function quarantined(road: Road): Promise<number> {
  const [row] = await road.query<{ kept: number }>('SELECT count(*)::int AS kept FROM millrace.rejects');
  return row?.kept ?? 0;
}

/** kill -9 of a command that waits, in the middle of its transaction, for rows that somebody else holds. */
async function killWaiting(road: Road, rows: string, args: readonly string[]): Promise<Ended> {
  const holder = new pg.Client(road.database.client);
  await holder.connect();
  await holder.query(`BEGIN; SELECT FROM ${rows} FOR UPDATE`);
  const waiting = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;
  const command = start([...args, '--input', road.folder], { env: road.database.env });
  await until('it waits', async () => (await road.query(waiting)).length > 0);
  command.child.kill('SIGKILL');
  const ended = await command.ended;
  await holder.query('ROLLBACK');
  await holder.end();
  const others = `SELECT FROM pg_stat_activity WHERE application_name = 'millrace' AND datname = current_database()`;
  await until('the server has noticed', async () => (await road.query(others)).length === 0);
  return ended;
}

describe('the error budget', () => {
  test('parks a file before it brings anything, and resume reads on in it', () =>
    withRoad(async (road) => {
      const bad = Array.from({ length: 200 }, (_, index) =>
        index % 10 === 0 ? invalidEvent(index) : event(index),
      );
      await road.put('bad.csv', csv(bad));
      await road.put('good.csv', csv(events(1_000, 300)));
      const first = await road.once(['--rejects-max-share', '5%']);
      assert.deepEqual([first.inserted, first.refusedFiles], [300, 1]);
      const [parked] = (await road.books()).filter(({ state }) => state === 'parked');
      assert.equal(parked?.name, 'bad.csv');
      const said = (await tell(road, 'status')).stdout;
      assert.match(said, /bad\.csv is parked: 20 of the first 200 records .*--rejects-max-share 5%/);
      assert.equal((await road.once(['--rejects-max-share', '5%'])).inserted, 0);
      await ok(road, 'resume', 'bad.csv');
      assert.equal((await road.once(['--rejects-max-share', '5%'])).inserted, 180);
      assert.deepEqual(await counts(road, 'bad.csv'), [200, 180, 0, 20]);
      await assertBalance(road);
      assert.equal((await tell(road, 'resume', 'bad.csv')).code, 1);
    }));

  test('in the middle of a large file leaves what was committed, and a running instance goes on at once', () =>
    withRoad(async (road) => {
      const records = [
        ...events(0, 60_000),
        ...Array.from({ length: 60_000 }, (_, index) =>
          index % 2 === 0 ? invalidEvent(100_000 + index) : event(200_000 + index),
        ),
      ];
      await road.put('large.csv', csv(records));
      const run = road.start(['--rejects-max', '500', '--scan-every', '100ms']);
      await until('it is parked', async () =>
        (await road.books().catch(() => [])).some(({ state }) => state === 'parked'),
      );
      await until('what was accepted is committed', async () => (await road.count()) > 40_000);
      await sleep(300);
      const held = await road.count();
      assert.ok(held < 90_000, String(held));
      await assertBalance(road);
      await ok(road, 'resume', 'large.csv');
      await until('it is done', async () => (await road.books()).every(({ state }) => state === 'done'));
      run.child.kill('SIGTERM');
      await run.ended;
      assert.deepEqual(await counts(road, 'large.csv'), [120_000, 90_000, 0, 30_000]);
      await road.balance(new Map([['large.csv', records]]));
    }));

  test('of one small file among many leaves the others alone', () =>
    withRoad(async (road) => {
      for (let index = 0; index < 40; index += 1)
        await writeFile(
          road.path(`f-${index}.csv`),
          csv([
            ...events(index * 100, 20),
            invalidEvent(index * 100 + 50),
            ...(index === 7 ? [invalidEvent(99_000)] : []),
          ]),
        );
      const done = await road.once(['--rejects-max', '1']);
      assert.deepEqual([done.inserted, done.rejected, done.refusedFiles], [39 * 20, 39, 1]);
      await assertBalance(road);
    }));
});

describe('undo', () => {
  test('removes exactly the rows of a file and its books, also after FREEZE and VACUUM FULL', () =>
    withRoad(async (road) => {
      const [a, b] = [[...events(0, 300), invalidEvent(900)], events(200, 300)];
      await road.put('a.csv', csv(a));
      await road.once();
      await road.put('b.csv', csv(b));
      await road.once();
      await road.query('VACUUM FREEZE events');
      await road.query('VACUUM FULL events');
      const undone = await ok(road, 'undo', 'a.csv', '--yes', '--json');
      assert.equal((JSON.parse(undone.stdout) as { removed: number }).removed, 300);
      assert.deepEqual(await counts(road, 'a.csv'), [0, 0, 0, 0]);
      assert.deepEqual(await counts(road, 'b.csv'), [300, 200, 100, 0]);
      await assertBalance(road);
      assert.equal((await road.query('SELECT FROM millrace.batches WHERE undone_at IS NOT NULL')).length, 1);
      // It is not read again by itself, but when a person says so.
      assert.equal((await road.once()).records, 0);
      await ok(road, 'resume', 'a.csv');
      const again = await road.once();
      assert.deepEqual([again.inserted, again.duplicates, again.rejected], [200 + 100, 0, 1]);
      await assertBalance(road);
    }));

  test('leaves and names a row that somebody changed', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv(events(0, 50)));
      await road.once();
      const { key } = event(7);
      await road.query(`UPDATE events SET quantity = 99 WHERE event_id = '${key}'`);
      await road.query(`DELETE FROM events WHERE event_id = '${event(8).key}'`);
      const undone = await tell(road, 'undo', 'a.csv', '--yes', '--json');
      assert.equal(undone.code, 1);
      const { removed, left, leftKeys } = JSON.parse(undone.stdout) as {
        removed: number;
        left: number;
        leftKeys: string[];
      };
      assert.deepEqual([removed, left, leftKeys], [48, 2, [key]]);
      assert.deepEqual(await road.query('SELECT event_id::text AS key FROM events'), [{ key }]);
    }));

  test('of files that share a transaction takes only the rows of its own', () =>
    withRoad(async (road) => {
      await writeFile(road.path('a.csv'), csv(events(0, 30)));
      await sleep(20);
      await writeFile(road.path('b.csv'), csv(events(20, 30)));
      await road.once();
      assert.equal((await road.query('SELECT FROM millrace.batches')).length, 1, 'one transaction');
      assert.deepEqual(
        [await counts(road, 'a.csv'), await counts(road, 'b.csv')],
        [
          [30, 30, 0, 0],
          [30, 20, 10, 0],
        ],
      );
      await ok(road, 'undo', 'b.csv', '--yes');
      assert.equal(await road.count(), 30);
      await assertBalance(road);
      await ok(road, 'undo', 'a.csv', '--yes');
      assert.equal(await road.count(), 0);
    }));

  test('leaves what it cannot tell from the rows of another file in its transaction, and says so', () =>
    withRoad(async (road) => {
      await writeFile(road.path('a.csv'), csv(events(0, 30)));
      await sleep(20);
      await writeFile(road.path('b.csv'), csv(events(20, 30)));
      await road.once();
      await road.query(`DELETE FROM events WHERE event_id IN ('${event(45).key}', '${event(21).key}')`);
      await unlink(road.path('a.csv'));
      const without = await tell(road, 'undo', 'b.csv', '--yes');
      assert.equal(without.code, 5);
      assert.match(without.stderr, /a\.csv was written in the same transactions as b\.csv/);
      assert.equal(await road.count(), 48);
      await writeFile(road.path('a.csv'), csv(events(0, 30)));
      const undone = await tell(road, 'undo', 'b.csv', '--yes', '--json');
      assert.deepEqual([undone.code, (JSON.parse(undone.stdout) as { removed: number }).removed], [1, 19]);
      const rows = await road.query<{ key: string }>('SELECT event_id::text AS key FROM events');
      const ofA = events(0, 30)
        .map(({ key }) => key)
        .filter((key) => key !== event(21).key);
      assert.deepEqual(new Set(rows.map(({ key }) => key)), new Set(ofA));
    }));

  test('leaves the rows of another file in its transaction also where as many of its own were deleted and brought again by a later file', () =>
    withRoad(async (road) => {
      await writeFile(road.path('a.csv'), csv(events(0, 30)));
      await sleep(20);
      await writeFile(road.path('b.csv'), csv(events(20, 30)));
      await road.once();
      assert.equal((await road.query('SELECT FROM millrace.batches')).length, 1, 'one transaction');
      const brought = events(40, 10).map(({ key }) => key);
      await road.query('DELETE FROM events WHERE event_id = ANY ($1::uuid[])', [brought]);
      await road.put('c.csv', csv(events(40, 10)));
      assert.equal((await road.once()).inserted, 10);
      const undone = await tell(road, 'undo', 'b.csv', '--yes', '--json');
      const { removed, left } = JSON.parse(undone.stdout) as { removed: number; left: number };
      const rows = await road.query<{ key: string }>('SELECT event_id::text AS key FROM events');
      const others = [...events(0, 30), ...events(40, 10)].map(({ key }) => key);
      assert.deepEqual(new Set(rows.map(({ key }) => key)), new Set(others));
      assert.deepEqual([undone.code, removed, left], [1, 10, 10]);
      assert.match(undone.stderr, /10 rows left because a\.csv brought the same keys/);
    }));

  test('says that duplicates of what it took are stored nowhere now, verify names them, and reading that file again stores them', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv(events(0, 5)));
      await road.once();
      await road.put('b.csv', csv(events(3, 5)));
      await road.once();
      const undone = await ok(road, 'undo', 'a.csv', '--yes');
      assert.match(undone.stderr, /other files have duplicates/);
      const verified = await tell(road, 'verify');
      assert.equal(verified.code, 1);
      assert.match(verified.stdout, /b\.csv:2: .* is in no row of the table\n[^]*2 differences found/);
      await ok(road, 'undo', 'b.csv', '--yes');
      await ok(road, 'resume', 'b.csv');
      assert.equal((await road.once()).inserted, 5);
      await ok(road, 'verify');
      await assertBalance(road);
    }));

  test('takes the replayed rows of the file too', () =>
    withRoad(async (road) => {
      await road.once();
      await road.query(CHEAP);
      await road.put('a.csv', csv(pricey(0, 20, 4)));
      await road.once();
      await road.query('ALTER TABLE events DROP CONSTRAINT cheap');
      await ok(road, 'rejects', 'replay');
      assert.equal(await road.count(), 20);
      await ok(road, 'undo', 'a.csv', '--yes');
      assert.equal(await road.count(), 0);
    }));

  test('under an instance that runs: it begins again from the books and goes on', () =>
    withRoad(async (road) => {
      const run = road.start(['--scan-every', '100ms']);
      await road.put('a.csv', csv(events(0, 5_000)));
      await until('a.csv', async () =>
        (await road.books().catch(() => [])).some(({ state }) => state === 'done'),
      );
      await road.put('b.csv', csv(events(10_000, 150_000)));
      await until('some of b.csv', async () => (await road.count()) > 5_000);
      await ok(road, 'undo', 'a.csv', '--yes');
      // Known to the memory before: it must not call them duplicates now.
      await road.put('c.csv', csv(events(0, 5_000)));
      await until('b.csv and c.csv', async () => (await road.count()) === 155_000);
      await until('all are done', async () => (await road.books()).every(({ state }) => state !== 'reading'));
      run.child.kill('SIGTERM');
      const ended = await run.ended;
      assert.equal(ended.code, 0, ended.stderr);
      assert.deepEqual(await counts(road, 'c.csv'), [5_000, 5_000, 0, 0]);
      await assertBalance(road);
    }));

  test('of a file in the middle of being read takes what it brought, and the rest is not read', () =>
    withRoad(async (road) => {
      const run = road.start(['--scan-every', '100ms', '--workers', '1']);
      await road.put('a.csv', csv(events(0, 300_000)));
      await until('some of it', async () => (await road.count()) > 0);
      await ok(road, 'undo', 'a.csv', '--yes');
      await sleep(500);
      assert.equal(await road.count(), 0);
      run.child.kill('SIGTERM');
      await run.ended;
      assert.deepEqual(
        (await road.books()).map(({ state }) => state),
        ['undone'],
      );
    }));

  test('refuses a table that was rewritten, a restored dump, and a file that is not what was read', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv(events(0, 100)));
      await road.once();
      await road.query('CREATE TABLE kept AS SELECT * FROM millrace.batches');
      await road.query('UPDATE millrace.batches SET system_identifier = system_identifier + 1');
      const restored = await tell(road, 'undo', 'a.csv', '--yes');
      assert.equal(restored.code, 5);
      assert.match(restored.stderr, /another server or database/);
      await road.query('UPDATE millrace.batches SET system_identifier = system_identifier - 1');

      await rename(road.path('a.csv'), road.path('hidden'));
      assert.equal((await tell(road, 'undo', 'a.csv', '--yes')).code, 5);
      await writeFile(road.path('a.csv'), csv(events(0, 100, 1)));
      assert.match((await tell(road, 'undo', 'a.csv', '--yes')).stderr, /does not hold what was read then/);
      await rename(road.path('hidden'), road.path('a.csv'));

      await road.query('ALTER TABLE events ALTER COLUMN quantity TYPE bigint');
      await road.query('ALTER TABLE events ALTER COLUMN quantity TYPE integer');
      const rewritten = await tell(road, 'undo', 'a.csv', '--yes');
      assert.equal(rewritten.code, 5);
      assert.match(rewritten.stderr, /rewritten/);
      assert.equal(await road.count(), 100);
      assert.deepEqual(await counts(road, 'a.csv'), [100, 100, 0, 0]);
      await assertBalance(road);
    }));

  test('killed in its transaction has removed nothing, and removes all the next time', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv([...events(0, 2_000), invalidEvent(9_000)]));
      await road.once();
      const ended = await killWaiting(road, 'millrace.files', ['undo', 'a.csv', '--yes']);
      assert.equal(ended.signal, 'SIGKILL');
      assert.deepEqual(await counts(road, 'a.csv'), [2_001, 2_000, 0, 1]);
      await assertBalance(road);
      await ok(road, 'undo', 'a.csv', '--yes');
      assert.equal(await road.count(), 0);
    }));

  test('asks, and without anybody to ask says so', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv(events(0, 3)));
      await road.once();
      const ended = await tell(road, 'undo', 'a.csv');
      assert.equal(ended.code, 2);
      assert.equal(await road.count(), 3);
    }));
});
