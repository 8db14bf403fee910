// A first load by the whole program: killed, ended, taken over and crashed under it while it loads and while it builds. At the end the
// table, the books and the indexes are what they are without one. Single steps of it are in test/sink/postgres/first-load.pg.test.ts.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';

import { millrace } from '../support/cli.ts';
import type { TestRecord } from '../support/events.ts';
import { csv, event, events, invalidEvent, wideCsv } from '../support/events.ts';
import {
  OWN_INDEXES,
  deferredNames,
  holdBuilds,
  indexNames,
  indexShapes,
  isHeld,
  makeHoldable,
} from '../support/indexes.ts';
import type { Ask, Shape } from '../support/indexes.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { Road, until } from '../support/road.ts';
import { cannotMount } from '../faults/support.ts';

const ONCE = ['--once', '--json', '--settle', '100ms'];

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

const RECORDS: readonly TestRecord[] = [...events(0, 400), ...events(0, 30), event(5, 1), invalidEvent(900)];

interface Scene {
  readonly road: Road;
  readonly ask: Ask;
  /** The indexes as they were before. */
  readonly shapes: readonly Shape[];
  /** From now on, builds stand still until the returned function is called. */
  readonly hold: () => Promise<() => Promise<void>>;
}

/**
 * A table that `migrate` has made, and one file of 24 MB. At the end everything must be as it should be, whatever came between; `body` may
 * return further files that it has put there.
 */
async function withScene(
  body: (scene: Scene) => Promise<void | ReadonlyMap<string, readonly TestRecord[]>>,
): Promise<void> {
  const road = new Road(await server.createDatabase());
  const ask: Ask = (text) => road.query(text);
  const holders: pg.Client[] = [];
  try {
    const made = await millrace(['migrate'], { env: road.database.env });
    assert.equal(made.code, 0, made.stderr);
    const shapes = await indexShapes(ask);
    assert.equal(shapes.length, 5);
    await road.put('a.csv', wideCsv(RECORDS));
    const hold: Scene['hold'] = async () => {
      await makeHoldable(ask);
      const holder = new pg.Client(road.database.client);
      holder.on('error', () => {});
      await holder.connect();
      holders.push(holder);
      return holdBuilds(holder);
    };
    const more = (await body({ road, ask, shapes, hold })) ?? [];
    await road.balance(new Map([['a.csv', RECORDS], ...more]));
    assert.deepEqual(await indexShapes(ask), shapes);
    assert.deepEqual(await deferredNames(ask), []);
  } finally {
    for (const holder of holders) await holder.end().catch(() => undefined);
    await road.clean();
  }
}

test('one that nothing disturbs ends with the same table, books, indexes, and fresh statistics', () =>
  withScene(async ({ road, ask }) => {
    const run = road.start(ONCE);
    const { code, stderr } = await run.ended;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /first load: 4 indexes of public\.events dropped/);
    assert.match(stderr, /built 4 indexes of public\.events in /);
    const [row] = await ask<{ rows: number }>(
      "SELECT reltuples::int AS rows FROM pg_class WHERE oid = 'events'::regclass",
    );
    assert.equal(row?.rows, 400);
  }));

test('a program that watches on builds them as soon as the backlog is committed', () =>
  withScene(async ({ road, ask }) => {
    const run = road.start(['--settle', '100ms']);
    await until('they are built', () => run.said().includes('built 4 indexes'));
    assert.equal(run.child.exitCode, null);
    const more = events(5_000, 100);
    await road.put('b.csv', csv(more));
    await until('the next file is done', async () => (await road.count()) === 500);
    assert.equal((await indexNames(ask)).length, 5);
    run.child.kill('SIGTERM');
    assert.equal((await run.ended).code, 0);
    return new Map([['b.csv', more]]);
  }));

test('--first-load never leaves the indexes in place', () =>
  withScene(async ({ road, ask }) => {
    const { code, stderr } = await road.start([...ONCE, '--first-load', 'never']).ended;
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stderr, /first load/);
    assert.equal((await indexNames(ask)).length, 5);
  }));

describe('killed', () => {
  test('while the indexes are built: status shows them, readers read, and the next start builds them', () =>
    withScene(async ({ road, ask, hold }) => {
      const release = await hold();
      const run = road.start(ONCE);
      await until('the builds are held', () => isHeld(ask));
      assert.deepEqual(await ask("SELECT count(*)::int AS n FROM events WHERE event_type <> ''"), [
        { n: 400 },
      ]);
      const status = await millrace(['status', '--json', '--input', road.folder], { env: road.database.env });
      const { deferredIndexes } = JSON.parse(status.stdout) as {
        deferredIndexes: { table: string; name: string; building: unknown }[];
      };
      assert.deepEqual(
        deferredIndexes.map(({ table, name }) => `${table} ${name}`),
        OWN_INDEXES.map((name) => `public.events ${name}`),
      );
      assert.ok(deferredIndexes.some(({ building }) => building !== null));
      run.child.kill('SIGKILL');
      assert.equal((await run.ended).signal, 'SIGKILL');
      assert.deepEqual(await indexNames(ask), ['events_pkey']);
      const next = road.start(ONCE);
      await until('it goes on', () => next.said().includes('dropped by an earlier first load'));
      await release();
      const { code, stderr } = await next.ended;
      assert.equal(code, 0, stderr);
    }));

  for (const place of ['indexes-dropped', 'rows-sent', 'index-built:kill:3'])
    test(`at ${place}, the next start with --first-load never builds them all the same`, () =>
      withScene(async ({ road }) => {
        const point = place.includes(':') ? place : `${place}:kill`;
        assert.equal((await road.start(ONCE, { MILLRACE_FAILPOINT: point }).ended).signal, 'SIGKILL');
        const { code, stderr } = await road.start([...ONCE, '--first-load', 'never']).ended;
        assert.equal(code, 0, stderr);
        assert.match(stderr, /dropped by an earlier first load: building them now/);
      }));

  test('after the last index: nothing is left to do, the statistics are there', () =>
    withScene(async ({ road, ask }) => {
      const { signal } = await road.start(ONCE, { MILLRACE_FAILPOINT: 'indexes-done:kill' }).ended;
      assert.equal(signal, 'SIGKILL');
      assert.equal((await indexNames(ask)).length, 5);
      assert.deepEqual(await deferredNames(ask), []);
      assert.deepEqual(await ask("SELECT count(*) > 0 AS known FROM pg_stats WHERE tablename = 'events'"), [
        { known: true },
      ]);
    }));

  test('again and again, at every step of it', () =>
    withScene(async ({ road }) => {
      const places = [
        'indexes-dropped',
        'committed',
        'indexes-analyzed',
        'index-building',
        'index-built',
        'index-built:kill:2',
      ];
      for (const place of places) {
        const point = place.includes(':') ? place : `${place}:kill`;
        const { signal, stderr } = await road.start(ONCE, { MILLRACE_FAILPOINT: point }).ended;
        assert.equal(signal, 'SIGKILL', `${place}: ${stderr}`);
      }
      await road.once();
    }));
});

describe('ended', () => {
  test('by SIGTERM while the indexes are built: at once, loudly, and the next start builds them', () =>
    withScene(async ({ road, ask, hold }) => {
      const release = await hold();
      const run = road.start(ONCE);
      await until('the builds are held', () => isHeld(ask));
      run.child.kill('SIGTERM');
      const { code, stderr } = await run.ended;
      assert.equal(code, 0, stderr);
      assert.match(stderr, /stopped before 4 indexes of public\.events could be built again/);
      assert.equal(await isHeld(ask), false);
      assert.deepEqual(await deferredNames(ask), OWN_INDEXES);
      await release();
      await road.once();
    }));

  test('by SIGTERM while it loads: what is in flight commits, no index is built, the next start goes on', () =>
    withScene(async ({ road, ask, hold }) => {
      const release = await hold(); // were the machine so slow that the stall is over, it would build now
      const run = road.start(ONCE, { MILLRACE_FAILPOINT: 'indexes-dropped:stall' });
      await until('they are dropped', async () => (await deferredNames(ask)).length === 4);
      run.child.kill('SIGTERM');
      const { code, stderr } = await run.ended;
      assert.equal(code, 0, stderr);
      assert.match(stderr, /stopped before 4 indexes/);
      assert.deepEqual(await indexNames(ask), ['events_pkey']);
      await release();
      await road.once();
    }));
});

test('taken over while the indexes are built: the older ends with code 4, the younger builds them', () =>
  withScene(async ({ road, ask, hold }) => {
    const release = await hold();
    const older = road.start(ONCE);
    await until('the builds are held', () => isHeld(ask));
    const younger = road.start(ONCE);
    assert.equal((await older.ended).code, 4);
    await release();
    const { code, stderr } = await younger.ended;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /dropped by an earlier first load/);
  }));

test('taken over while it loads: the younger goes on with it', () =>
  withScene(async ({ road, ask, hold }) => {
    const release = await hold();
    const older = road.start(ONCE, { MILLRACE_FAILPOINT: 'indexes-dropped:stall' });
    await until('they are dropped', async () => (await deferredNames(ask)).length === 4);
    const younger = road.start(ONCE);
    assert.equal((await older.ended).code, 4);
    await release();
    const { code, stderr } = await younger.ended;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /4 indexes of public\.events dropped by an earlier first load/);
  }));

test(
  'a full disk while an index is built is waited for',
  { skip: cannotMount(), timeout: 120_000 },
  async () => {
    const disk = mkdtempSync(join(tmpdir(), 'millrace-small-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1024k', 'tmpfs', disk]);
    const place = `narrow_${process.pid}`;
    try {
      const { uid, gid } = statSync(server.cluster);
      chownSync(disk, uid, gid);
      chmodSync(disk, 0o700);
      await withScene(async ({ road, ask, shapes, hold }) => {
        const release = await hold(); // builders take them by name: this one comes last
        await ask(`CREATE TABLESPACE ${place} LOCATION '${disk}'`);
        await ask(`ALTER INDEX events_user_id_idx SET TABLESPACE ${place}`);
        const ballast = join(disk, 'ballast');
        const run = road.start(ONCE);
        await until('the builds are held', () => isHeld(ask));
        const free = Number(
          execFileSync('df', ['--output=avail', disk], { encoding: 'utf8' }).split('\n')[1],
        );
        writeFileSync(ballast, Buffer.alloc(free * 1024));
        await release();
        await until('it says that it waits', () => run.said().includes('53100'));
        assert.ok((await deferredNames(ask)).includes('events_user_id_idx'));
        unlinkSync(ballast);
        const { code, stderr } = await run.ended;
        assert.equal(code, 0, stderr);
        await ask('ALTER INDEX events_user_id_idx SET TABLESPACE pg_default');
        await ask(`DROP TABLESPACE ${place}`);
        assert.equal((await indexShapes(ask)).length, shapes.length);
      });
    } finally {
      execFileSync('umount', ['-l', disk]);
      rmSync(disk, { recursive: true, force: true });
    }
  },
);

// Last: it takes the server of the whole file down.
test('the server killed while the indexes are built, and back: the same program builds them', () =>
  withScene(async ({ road, ask, hold }) => {
    await hold();
    const run = road.start(ONCE);
    await until('the builds are held', () => isHeld(ask));
    await server.crash();
    await until('it says that it waits', () => run.said().includes('waiting:'));
    await server.start(); // nobody holds anything any more
    const { code, stderr } = await run.ended;
    assert.equal(code, 0, stderr);
  }));
