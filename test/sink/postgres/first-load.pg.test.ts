// The first load on a real PostgreSQL, driven by the sink's own calls: what is dropped and what never is, that it comes back exactly, and
// everything that can come between. Whole programs and their deaths are in test/pipeline/first-load.pg.test.ts.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { MillraceError } from '../../../src/errors.ts';
import type { PostgresSink } from '../../../src/sink/postgres/postgres.ts';
import type { FirstLoadOptions } from '../../../src/sink/postgres/first-load.ts';
import { testChunk, testFile, testRows } from '../../support/chunks.ts';
import {
  OWN_INDEXES,
  deferredNames,
  holdBuilds,
  indexNames,
  indexShapes,
  isHeld,
  makeHoldable,
} from '../../support/indexes.ts';
import { startCuttingProxy } from '../../support/cutting-proxy.ts';
import type { Ask } from '../../support/indexes.ts';
import { startTestServer } from '../../support/postgres.ts';
import type { TestDatabase, TestServer } from '../../support/postgres.ts';
import { until } from '../../support/road.ts';
import {
  NEVER,
  assertBooksBalance,
  committed,
  prepareSink,
  query,
  testBatch,
  withClient,
} from './support.ts';

const MUCH = 1e9;

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

interface Scene {
  readonly database: TestDatabase;
  readonly ask: Ask;
  /** What the sink said: log lines, what lanes wait for, warnings. */
  readonly told: string[];
  readonly building: (string | null)[];
  readonly notices: string[];
  readonly backlog: { bytes: number; isWhole: boolean };
  readonly stop: AbortController;
  /** A prepared sink; the table is there. */
  readonly sink: (mode?: 'auto' | 'never', client?: pg.ClientConfig) => Promise<PostgresSink>;
}

async function scene(): Promise<Scene> {
  const database = await server.createDatabase();
  const ask: Ask = (text) => query(database, text);
  const [told, building, notices]: [string[], (string | null)[], string[]] = [[], [], []];
  const [backlog, stop] = [{ bytes: MUCH, isWhole: true }, new AbortController()];
  const sink: Scene['sink'] = async (mode = 'auto', client = database.client) => {
    const firstLoad: FirstLoadOptions = {
      mode,
      backlogBytes: () => backlog.bytes,
      backlogIsWhole: () => backlog.isWhole,
      stop: stop.signal,
      told: (text) => told.push(text),
      building: (text) => building.push(text),
    };
    const events = {
      waiting: () => {},
      notice: (text: string) => notices.push(text),
      retried: () => {},
    };
    return (await prepareSink({ client }, { firstLoad, events })).sink;
  };
  return { database, ask, told, building, notices, backlog, stop, sink };
}

let batches = 0;

/** One batch of 20 new rows. */
async function write(sink: PostgresSink): Promise<void> {
  batches += 1;
  const rows = testRows(batches * 100, batches * 100 + 20);
  committed(await sink.write(0, testBatch(batches, [testChunk({ file: testFile(), rows })]), NEVER));
}

test('the first batch of a large backlog drops the indexes, and the end of the input brings them back exactly', async () => {
  const { database, ask, told, building, sink } = await scene();
  const one = await sink();
  await ask('ALTER INDEX events_user_id_idx SET (fillfactor = 70, deduplicate_items = off)');
  const shapes = await indexShapes(ask);
  await one.open(NEVER);
  assert.equal((await indexNames(ask)).length, 5);
  await write(one);
  assert.deepEqual(await indexNames(ask), ['events_pkey']);
  assert.deepEqual(await deferredNames(ask), OWN_INDEXES);
  await write(one);
  assert.equal(await one.finish(), null);
  await one.leave();
  assert.deepEqual(await indexShapes(ask), shapes);
  assert.deepEqual(await deferredNames(ask), []);
  const [row] = await ask<{ rows: number }>(
    "SELECT reltuples::int AS rows FROM pg_class WHERE oid = 'events'::regclass",
  );
  assert.equal(row?.rows, 40, 'ANALYZE');
  await assertBooksBalance(database);
  assert.match(told.join('\n'), /4 indexes of public\.events dropped[^]*building 4[^]*built 4 indexes/);
  assert.deepEqual(building.filter((text) => !text?.includes(': ')).slice(0, 3), [
    'ANALYZE of public.events',
    null,
    'building indexes, 0 of 4 done',
  ]);
  assert.equal(building.at(-1), null);
});

test('a backlog of many small files is judged when so much is seen, or all of it', async () => {
  const { ask, backlog, sink } = await scene();
  Object.assign(backlog, { bytes: 1_000, isWhole: false });
  const one = await sink();
  await one.open(NEVER);
  const writing = write(one);
  await sleep(300);
  assert.deepEqual(await ask('SELECT FROM events LIMIT 1'), [], 'it waits');
  assert.equal((await indexNames(ask)).length, 5);
  backlog.bytes = MUCH;
  await writing;
  assert.deepEqual(await indexNames(ask), ['events_pkey']);
  backlog.bytes = 0;
  await write(one);
  assert.deepEqual(await indexNames(ask), ['events_pkey'], 'there is more that nobody has seen yet');
  backlog.isWhole = true;
  await write(one);
  await until('the indexes are back', async () => (await indexNames(ask)).length === 5);
  await one.finish();
  await one.leave();
});

test("event triggers and indexed functions of the user's run in the user's own path", async () => {
  const { ask, notices, sink } = await scene();
  const one = await sink();
  await ask(`CREATE TABLE public.changes (tag text);
    CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO changes VALUES (tg_tag); END $$;
    CREATE FUNCTION one() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1';
    CREATE FUNCTION more(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1 + one(); END $$;
    CREATE INDEX expression ON events (more(quantity));
    CREATE EVENT TRIGGER note ON ddl_command_end WHEN TAG IN ('CREATE INDEX', 'DROP INDEX') EXECUTE FUNCTION note()`);
  await one.open(NEVER);
  await write(one);
  await one.finish();
  await one.leave();
  assert.deepEqual(await ask('SELECT tag, count(*)::int AS times FROM changes GROUP BY 1 ORDER BY 1'), [
    { tag: 'CREATE INDEX', times: 4 },
    { tag: 'DROP INDEX', times: 1 },
  ]);
  assert.equal((await indexNames(ask)).length, 6);
  // From version 17 on the server itself refuses such functions in ANALYZE; then it is said, and nothing else suffers.
  assert.ok(
    notices.every((text) => text.startsWith('ANALYZE of public.events failed')),
    notices.join(),
  );
});

test('what a person made or touched is never dropped', async () => {
  const { ask, sink } = await scene();
  const one = await sink();
  await ask(`
    CREATE INDEX by_hand ON events (user_id);
    CREATE INDEX part ON events (user_id) WHERE quantity > 1;
    CREATE INDEX expression ON events (lower(user_id));
    ALTER INDEX expression ALTER COLUMN 1 SET STATISTICS 500;
    CREATE INDEX several ON events (user_id, product_id);
    CREATE INDEX hashed ON events USING hash (product_id);
    CREATE UNIQUE INDEX single ON events (product_id, event_id);
    ALTER TABLE events ADD CONSTRAINT once UNIQUE (user_id, event_id);
    COMMENT ON INDEX events_user_id_idx IS 'for the report';
    ALTER TABLE events CLUSTER ON events_product_id_idx;
    DROP INDEX events_event_type_idx;
    CREATE INDEX events_event_type_idx ON events (event_type DESC)`);
  const shapes = await indexShapes(ask);
  await one.open(NEVER);
  await write(one);
  assert.deepEqual(await deferredNames(ask), ['events_event_timestamp_idx']);
  const left = await indexShapes(ask);
  assert.deepEqual(
    left,
    shapes.filter(({ name }) => name !== 'events_event_timestamp_idx'),
  );
  await one.finish();
  await one.leave();
  assert.deepEqual(await indexShapes(ask), shapes);
});

test('an index in another tablespace comes back there, whatever the default of the session is', async () => {
  const { database, ask, sink } = await scene();
  const one = await sink();
  await withClient(database, async (client) => {
    await client.query('SET allow_in_place_tablespaces = on');
    await client.query("CREATE TABLESPACE elsewhere LOCATION ''");
    await client.query('ALTER INDEX events_user_id_idx SET TABLESPACE elsewhere');
    await client.query(
      `ALTER ROLE CURRENT_USER IN DATABASE ${database.name} SET default_tablespace = elsewhere`,
    );
  });
  const shapes = await indexShapes(ask);
  await one.open(NEVER);
  await write(one);
  assert.deepEqual(await deferredNames(ask), OWN_INDEXES);
  await one.finish();
  await one.leave();
  assert.deepEqual(await indexShapes(ask), shapes);
});

describe('no index is dropped', () => {
  async function assertKept(
    { ask, sink, told }: Scene,
    mode: 'auto' | 'never' = 'auto',
    client?: pg.ClientConfig,
  ): Promise<string> {
    const one = await sink(mode, client);
    const names = await indexNames(ask);
    await one.open(NEVER);
    await write(one);
    assert.deepEqual(await indexNames(ask), names);
    assert.deepEqual(await deferredNames(ask), []);
    await one.finish();
    await one.leave();
    assert.deepEqual(await indexNames(ask), names);
    return told.join('\n');
  }

  test('with --first-load never', async () => {
    assert.equal(await assertKept(await scene(), 'never'), '');
  });

  test('for a small backlog', async () => {
    const one = await scene();
    one.backlog.bytes = 1e6;
    assert.equal(await assertKept(one), '');
  });

  test('when the table holds a row', async () => {
    const one = await scene();
    await (await one.sink()).leave();
    await one.ask(
      "INSERT INTO events (event_id, event_type, event_timestamp) VALUES (gen_random_uuid(), 'view', now())",
    );
    assert.equal(await assertKept(one), '');
  });

  test('when a row came between the look and the lock', async () => {
    const one = await scene();
    const sink = await one.sink();
    await withClient(one.database, async (client) => {
      await sink.open(NEVER);
      await client.query('BEGIN');
      await client.query(
        "INSERT INTO events (event_id, event_type, event_timestamp) VALUES (gen_random_uuid(), 'view', now())",
      );
      const writing = write(sink);
      await until('it waits for the lock', async () => {
        const waits = await one.ask(
          `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
        );
        return waits.length > 0 || (await deferredNames(one.ask)).length > 0 || one.told.length > 0;
      });
      await client.query('COMMIT');
      await writing;
    });
    assert.equal((await indexNames(one.ask)).length, 5);
    await sink.leave();
  });

  test('when somebody reads the table for long: nobody waits behind our lock', async () => {
    const one = await scene();
    await (await one.sink()).leave();
    await withClient(one.database, async (client) => {
      await client.query('BEGIN; SELECT FROM events');
      assert.match(await assertKept(one), /no first load: somebody else is using public\.events/);
    });
  });

  test('when the user does not own the table', async () => {
    const one = await scene();
    await (await one.sink()).leave();
    await one.ask(`CREATE ROLE loader LOGIN PASSWORD 'loader'; GRANT ALL ON SCHEMA public, millrace TO loader;
      GRANT ALL ON ALL TABLES IN SCHEMA public, millrace TO loader; GRANT pg_read_all_stats TO loader`);
    const client = { ...one.database.client, user: 'loader', password: 'loader' };
    assert.match(
      await assertKept(one, 'auto', client),
      /no first load: this user does not own public\.events/,
    );
  });

  test('when an event trigger forbids it', async () => {
    const one = await scene();
    await (await one.sink()).leave();
    await one.ask(`CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not on my watch'; END $$;
      CREATE EVENT TRIGGER no ON ddl_command_start WHEN TAG IN ('DROP INDEX') EXECUTE FUNCTION no()`);
    assert.match(await assertKept(one), /no first load: .*not on my watch/);
  });
});

/** A first load that ended before its indexes were built: the sink is left, the records are there. */
async function interrupted(one: Scene): Promise<void> {
  const sink = await one.sink();
  await sink.open(NEVER);
  await write(sink);
  await sink.leave();
  assert.deepEqual(await deferredNames(one.ask), OWN_INDEXES);
  one.told.length = 0;
}

describe('a first load that was interrupted', () => {
  test('is ended by the next start, also with --first-load never and nothing to read', async () => {
    const one = await scene();
    await interrupted(one);
    one.backlog.bytes = 0;
    const next = await one.sink('never');
    await next.open(NEVER);
    await next.finish();
    await next.leave();
    assert.deepEqual(await deferredNames(one.ask), []);
    assert.equal((await indexNames(one.ask)).length, 5);
  });

  test('is ended by a program that watches on and finds nothing', async () => {
    const one = await scene();
    await interrupted(one);
    one.backlog.bytes = 0;
    const next = await one.sink();
    await next.open(NEVER);
    await until('the indexes are back', async () => (await indexNames(one.ask)).length === 5);
    await next.leave();
  });

  test('goes on where there is still much to load', async () => {
    const one = await scene();
    await interrupted(one);
    const next = await one.sink();
    await next.open(NEVER);
    await write(next);
    assert.deepEqual(await indexNames(one.ask), ['events_pkey']);
    one.backlog.bytes = 0; // all of it is committed
    await until('the indexes are back', async () => (await indexNames(one.ask)).length === 5);
    await write(next);
    await next.leave();
    await assertBooksBalance(one.database);
  });

  test('builds at once, before anything is written, with --first-load never', async () => {
    const one = await scene();
    await interrupted(one);
    const next = await one.sink('never');
    await next.open(NEVER);
    await write(next);
    assert.equal((await indexNames(one.ask)).length, 5);
    await next.leave();
  });

  test('leaves the index that a person has made by hand meanwhile, and builds the others', async () => {
    const one = await scene();
    await interrupted(one);
    await one.ask('CREATE INDEX events_user_id_idx ON events (user_id)');
    const [before] = await one.ask<{ oid: number }>("SELECT 'events_user_id_idx'::regclass::oid::int AS oid");
    const next = await one.sink();
    await next.open(NEVER);
    await next.finish();
    await next.leave();
    const [now] = await one.ask<{ oid: number }>("SELECT 'events_user_id_idx'::regclass::oid::int AS oid");
    assert.deepEqual(now, before);
    assert.deepEqual(await deferredNames(one.ask), []);
    assert.equal((await indexNames(one.ask)).length, 5);
    assert.deepEqual(one.notices, []);
  });

  test('says so where something else has the name, keeps the record, and builds it once the name is free', async () => {
    const one = await scene();
    await interrupted(one);
    await one.ask('CREATE INDEX events_user_id_idx ON events (user_id, product_id)');
    const next = await one.sink();
    await next.open(NEVER);
    await next.finish();
    await next.leave();
    assert.match(
      one.notices.join(),
      /without its index events_user_id_idx .* cannot be built: something else has its name/,
    );
    assert.deepEqual(await deferredNames(one.ask), ['events_user_id_idx']);
    await one.ask('ALTER INDEX events_user_id_idx RENAME TO mine');
    const last = await one.sink();
    await last.open(NEVER);
    await last.finish();
    await last.leave();
    assert.equal((await indexNames(one.ask)).length, 6);
    const analyzed = one.building.filter((text) => text === 'ANALYZE of public.events');
    assert.equal(analyzed.length, 1, 'a start that finds statistics and loads nothing makes none');
  });

  test('leaves ANALYZE out when a person cancels it again and again, and builds all the same', async () => {
    const one = await scene();
    await interrupted(one);
    const next = await one.sink();
    await withClient(one.database, async (holder) => {
      await holder.query('BEGIN; LOCK TABLE events IN SHARE UPDATE EXCLUSIVE MODE');
      await next.open(NEVER);
      const finished = next.finish();
      await until('ANALYZE is given up', async () => {
        await one.ask(
          `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%; ANALYZE %' AND wait_event_type = 'Lock'`,
        );
        return one.notices.length > 0;
      });
      await holder.query('COMMIT');
      await finished;
    });
    await next.leave();
    assert.match(one.notices.join(), /^ANALYZE of public\.events failed: .*somebody cancels every try/);
    assert.deepEqual(await deferredNames(one.ask), []);
  });

  test('survives that the table itself was dropped', async () => {
    const one = await scene();
    await interrupted(one);
    await one.ask('DROP TABLE events');
    one.backlog.bytes = 0;
    const next = await one.sink();
    await next.open(NEVER);
    await next.finish();
    await next.leave();
    assert.deepEqual(await deferredNames(one.ask), []);
    assert.equal((await indexNames(one.ask)).length, 5);
  });

  test('says what is missing where the user may not build it, and loads all the same', async () => {
    const one = await scene();
    await interrupted(one);
    await one.ask(`CREATE ROLE reader_${process.pid} LOGIN PASSWORD 'x'; GRANT ALL ON SCHEMA public, millrace TO reader_${process.pid};
      GRANT ALL ON ALL TABLES IN SCHEMA public, millrace TO reader_${process.pid}; GRANT pg_read_all_stats TO reader_${process.pid}`);
    const next = await one.sink('auto', {
      ...one.database.client,
      user: `reader_${process.pid}`,
      password: 'x',
    });
    one.backlog.bytes = 0;
    await next.open(NEVER);
    await write(next);
    assert.equal(await next.finish(), null);
    await next.leave();
    assert.equal(one.notices.length, 4);
    assert.match(one.notices[0] ?? '', /must be owner of table events/);
    assert.deepEqual(await deferredNames(one.ask), OWN_INDEXES);
  });

  test('runs no statement that is not one CREATE INDEX', async () => {
    const one = await scene();
    await interrupted(one);
    await one.ask(`UPDATE millrace.deferred_indexes SET definition = CASE name WHEN 'events_user_id_idx' THEN 'DROP TABLE events'
      WHEN 'events_product_id_idx' THEN definition || '; DROP TABLE events' ELSE definition END`);
    const next = await one.sink();
    await next.open(NEVER);
    await next.finish();
    await next.leave();
    assert.equal(one.notices.length, 2);
    assert.deepEqual(await deferredNames(one.ask), ['events_product_id_idx', 'events_user_id_idx']);
    assert.equal((await indexNames(one.ask)).length, 3);
  });
});

describe('while the indexes are built', () => {
  /** Two builds are held; `end` lets them go and ends everything. */
  async function held(
    one: Scene,
    body: (
      sink: PostgresSink,
      finished: Promise<string | null>,
      release: () => Promise<void>,
    ) => Promise<void>,
  ): Promise<void> {
    await interrupted(one);
    await makeHoldable(one.ask);
    await withClient(one.database, async (holder) => {
      const release = await holdBuilds(holder);
      const sink = await one.sink();
      await sink.open(NEVER);
      const finished = sink.finish();
      finished.catch(() => undefined); // judged by the body
      await until('the builds are held', () => isHeld(one.ask));
      await body(sink, finished, release);
      await sink.leave();
    });
  }

  test('the table can be read, lanes wait, and it is said how far they are', async () => {
    const one = await scene();
    await held(one, async (sink, finished, release) => {
      assert.deepEqual(await one.ask("SELECT count(*)::int AS n FROM events WHERE user_id = 'U-1'"), [
        { n: 20 },
      ]);
      let written = false;
      const writing = write(sink).then(() => (written = true));
      await until('the progress is told', () =>
        one.building.some((text) => /0 of 4 done: events_\w+_idx /.test(text ?? '')),
      );
      assert.equal(written, false);
      await release();
      await writing;
      assert.equal(await finished, null);
      assert.equal((await indexNames(one.ask)).length, 5);
      await assertBooksBalance(one.database);
    });
  });

  test('their connections may be ended: they are built by others', async () => {
    const one = await scene();
    await held(one, async (_, finished, release) => {
      const ended = await one.ask(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'millrace builds %'`,
      );
      assert.ok(ended.length > 0);
      await release();
      assert.equal(await finished, null);
      assert.deepEqual(await deferredNames(one.ask), []);
      assert.equal((await indexNames(one.ask)).length, 5);
    });
  });

  test('a person who cancels them again and again is obeyed', async () => {
    const one = await scene();
    await held(one, async (_, finished) => {
      const cancelling = setInterval(() => {
        void one.ask(
          `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'millrace builds %'`,
        );
      }, 50);
      assert.equal(await finished, null);
      clearInterval(cancelling);
      assert.equal(one.notices.length, 4);
      assert.match(one.notices[0] ?? '', /somebody cancels every try/);
      assert.deepEqual(await deferredNames(one.ask), OWN_INDEXES);
    });
  });

  test('a stop gives them up at once, ends their backends, and says loudly that they are missing', async () => {
    const one = await scene();
    await held(one, async (_, finished) => {
      one.stop.abort();
      assert.equal(await finished, null);
      assert.equal(await isHeld(one.ask), false);
      assert.deepEqual(await indexNames(one.ask), ['events_pkey']);
      assert.deepEqual(await deferredNames(one.ask), OWN_INDEXES);
      assert.match(one.notices.join(), /stopped before 4 indexes of public\.events could be built again/);
    });
  });

  test('another instance takes over, the older one is fenced off, and the younger one builds them', async () => {
    const one = await scene();
    await held(one, async (_, finished, release) => {
      const younger = await one.sink();
      await younger.open(NEVER); // ends the builds that hold the fence
      await assert.rejects(finished, (error) => error instanceof MillraceError && error.code === 'fenced');
      await release();
      assert.equal(await younger.finish(), null);
      await younger.leave();
      assert.deepEqual(await deferredNames(one.ask), []);
      assert.equal((await indexNames(one.ask)).length, 5);
    });
  });

  test('rows taken away on purpose mean a restart in process, after which they are built', async () => {
    const one = await scene();
    await interrupted(one);
    const sink = await one.sink();
    await sink.open(NEVER);
    await one.ask('UPDATE millrace.leases SET forget = forget + 1');
    assert.match((await sink.finish()) ?? '', /taken away on purpose/);
    await sink.leave();
    await sink.open(NEVER);
    assert.equal(await sink.finish(), null);
    await sink.leave();
    assert.equal((await indexNames(one.ask)).length, 5);
  });
});

describe('a connection that is lost at COMMIT', () => {
  for (const side of ['before', 'after', 'half'] as const)
    for (const what of ['drops', 'builds'] as const)
      test(`${side} the server hears or answers it, when it ${what} indexes, costs a look`, async () => {
        const one = await scene();
        const proxy = await startCuttingProxy(server.port);
        const client = { ...one.database.client, host: '127.0.0.1', port: proxy.port };
        const sink = await one.sink('auto', client);
        const shapes = await indexShapes(one.ask);
        await sink.open(NEVER);
        if (what === 'drops') proxy.cutNextCommit(side);
        await write(sink);
        assert.deepEqual(await indexNames(one.ask), ['events_pkey']);
        assert.deepEqual(await deferredNames(one.ask), OWN_INDEXES);
        if (what === 'builds') proxy.cutNextCommit(side);
        assert.equal(await sink.finish(), null);
        await sink.leave();
        assert.equal(proxy.cuts, 1);
        await proxy.close();
        assert.deepEqual(await indexShapes(one.ask), shapes);
        assert.deepEqual(await deferredNames(one.ask), []);
        await assertBooksBalance(one.database);
      });
});

test('the end of the backlog builds them while files keep coming', async () => {
  const one = await scene();
  const sink = await one.sink();
  await sink.open(NEVER);
  await write(sink);
  assert.deepEqual(await indexNames(one.ask), ['events_pkey']);
  one.backlog.bytes = 5e5;
  await until('the indexes are back', async () => (await indexNames(one.ask)).length === 5);
  one.backlog.bytes = MUCH; // no first load again: the table is not empty
  await write(sink);
  assert.equal((await indexNames(one.ask)).length, 5);
  await sink.leave();
});
