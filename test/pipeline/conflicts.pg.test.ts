// The same event_id with other values: the first one committed stays, the other is a duplicate that is counted apart and kept in quarantine,
// whether the first one is still in memory or only in the table.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { millrace } from '../support/cli.ts';
import { csv, event, events } from '../support/events.ts';
import type { TestRecord } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { Road, until } from '../support/road.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.stop());

interface Totals {
  readonly name: string;
  readonly records: number;
  readonly inserted: number;
  readonly duplicates: number;
  readonly conflicting: number;
  readonly rejected: number;
}

async function withRoad(work: (road: Road) => Promise<void>): Promise<void> {
  const road = new Road(await server.createDatabase());
  try {
    await work(road);
    const { code, stdout } = await millrace(['verify', '--input', road.folder], { env: road.database.env });
    assert.equal(code, 0, stdout);
    assert.doesNotMatch(stdout, /not booked as conflicting/);
  } finally {
    await road.clean();
  }
}

/** [records, inserted, duplicates, conflicting, rejected] by file. */
async function totals(road: Road): Promise<Record<string, number[]>> {
  const rows = await road.query<Totals>(
    `SELECT name, records::float8, inserted::float8, duplicates::float8, conflicting::float8, rejected::float8 FROM millrace.file_totals`,
  );
  return Object.fromEntries(
    rows.map(({ name, ...n }) => [name, [n.records, n.inserted, n.duplicates, n.conflicting, n.rejected]]),
  );
}

async function quarantined(road: Road): Promise<string[]> {
  const rows = await road.query<{ text: string }>(
    `SELECT f.name || ':' || r.line || ' ' || convert_from(r.raw, 'UTF8') AS text FROM millrace.rejects r JOIN millrace.files f USING (generation)
     WHERE r.code = 'duplicate_conflict' AND r.records = 1 ORDER BY f.name, r.line`,
  );
  return rows.map(({ text }) => text);
}

async function priceOf(road: Road, { key }: TestRecord): Promise<string | undefined> {
  const [row] = await road.query<{ text: string }>(
    `SELECT concat_ws(',', event_id, event_type, product_id, user_id, event_timestamp, quantity, price) AS text FROM events WHERE event_id = $1`,
    [key],
  );
  return row?.text;
}

const VARIANT = 9;

test('a conflict that memory knows is counted apart, and the loser is kept', () =>
  withRoad(async (road) => {
    const run = road.start(['--settle', '50ms', '--scan-every', '100ms']);
    await road.put('a.csv', csv(events(0, 10)));
    await until('a.csv is stored', async () => (await road.count()) === 10);
    await until('a.csv is done', async () => (await road.books()).every(({ state }) => state === 'done'));
    await road.put('b.csv', csv([event(3), event(4, VARIANT), event(50)]));
    await until('b.csv is stored', async () => (await road.count()) === 11);
    await road.put('c.csv', csv([event(4), event(4, VARIANT)]));
    await until('c.csv is done', async () => (await totals(road))['c.csv']?.[0] === 2);
    run.child.kill('SIGTERM');
    const ended = await run.ended;
    assert.match(ended.stdout, /2 duplicates have other values than the stored event/);
    assert.deepEqual(await totals(road), {
      'a.csv': [10, 10, 0, 0, 0],
      'b.csv': [3, 1, 2, 1, 0],
      'c.csv': [2, 0, 2, 1, 0],
    });
    assert.equal(await priceOf(road, event(4)), event(4).text);
    assert.deepEqual(await quarantined(road), [
      `b.csv:3 ${event(4, VARIANT).text}`,
      `c.csv:3 ${event(4, VARIANT).text}`,
    ]);
  }));

for (const memory of ['256MiB', '0'])
  test(`a conflict that only the table knows is found there, and does not mislead memory (--dedup-memory ${memory})`, () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv(events(0, 10)));
      await road.once(['--dedup-memory', memory]);
      // Cold: the loser comes first, then the winner's repeat, then the loser again, each in a batch of its own.
      const run = road.start(['--settle', '50ms', '--scan-every', '100ms', '--dedup-memory', memory]);
      for (const [name, variant] of [
        ['b.csv', VARIANT],
        ['c.csv', 0],
        ['d.csv', VARIANT],
      ] as const) {
        await road.put(name, csv([event(5, variant), event(6)]));
        await until(`${name} is booked`, async () => (await totals(road))[name]?.[0] === 2);
      }
      run.child.kill('SIGTERM');
      await run.ended;
      assert.deepEqual(await totals(road), {
        'a.csv': [10, 10, 0, 0, 0],
        'b.csv': [2, 0, 2, 1, 0],
        'c.csv': [2, 0, 2, 0, 0],
        'd.csv': [2, 0, 2, 1, 0],
      });
      assert.equal(await priceOf(road, event(5)), event(5).text);
    }));

test('within one file the first record wins, and spelling is no conflict', () =>
  withRoad(async (road) => {
    const { key, text } = event(1);
    const spelled = {
      key,
      valid: true,
      text: text.replace(key, key.toUpperCase()).replace(/(\.\d)0$/, '$1'),
    };
    await road.put('a.csv', csv([event(1), spelled, event(1, VARIANT), event(2), event(1, VARIANT + 1)]));
    await road.once();
    assert.deepEqual(await totals(road), { 'a.csv': [5, 2, 3, 2, 0] });
    assert.equal(await priceOf(road, event(1)), text);
    assert.deepEqual(
      (await quarantined(road)).map((line) => line.split(' ')[0]),
      ['a.csv:4', 'a.csv:6'],
    );
    const { stdout } = await millrace(['status', '--json', '--input', road.folder], {
      env: road.database.env,
    });
    const status = JSON.parse(stdout) as { total: unknown; files: { duplicatesConflicting: number }[] };
    const counts = { records: 5, inserted: 2, duplicates: 3, duplicatesConflicting: 2, rejected: 0 };
    assert.deepEqual(status.total, counts);
    assert.equal(status.files[0]?.duplicatesConflicting, 2);
  }));

test('a re-sent file in which every value changed fills quarantine up to a bound, and every conflict is counted', () =>
  withRoad(async (road) => {
    const count = 3_000;
    await road.put('a.csv', csv(events(0, count)));
    await road.once();
    await road.put('b.csv', csv(events(0, count, VARIANT)));
    await road.once();
    assert.deepEqual((await totals(road))['b.csv'], [count, 0, count, count, 0]);
    const rows = await road.query<{ kept: number; counted: number }>(
      `SELECT count(*)::int AS kept, sum(records)::int AS counted FROM millrace.rejects WHERE code = 'duplicate_conflict'`,
    );
    assert.deepEqual(rows, [{ kept: 1_001, counted: count }]);
  }));

test('a user who may not read the columns still loads, and is told that conflicts are plain duplicates then', async () => {
  const road = new Road(await server.createDatabase());
  try {
    await road.put('a.csv', csv(events(0, 5)));
    await road.once();
    await road.query(`CREATE ROLE little LOGIN PASSWORD 'little-secret'`);
    await road.query(`GRANT USAGE ON SCHEMA millrace, public TO little`);
    await road.query(`GRANT ALL ON ALL TABLES IN SCHEMA millrace TO little`);
    await road.query(`GRANT INSERT, SELECT (event_id) ON events TO little`);
    await road.query(`GRANT EXECUTE ON FUNCTION pg_control_system() TO little`);
    await road.put('b.csv', csv([event(1, VARIANT), event(2), event(77)]));
    const url = new URL(road.database.url);
    url.username = 'little';
    url.password = 'little-secret';
    const { code, stderr } = await road.start(['--once', '--settle', '100ms'], { DATABASE_URL: url.href })
      .ended;
    assert.equal(code, 0, stderr);
    assert.deepEqual((await totals(road))['b.csv'], [3, 1, 2, 0, 0]);
    assert.match(
      stderr,
      /this user may not read event_type, [^\n]* counts as a plain duplicate[^\n]*; GRANT SELECT \(event_type, [^)]*, price\) ON public\.events to this user, or run what /,
    );
  } finally {
    await road.clean();
  }
});
