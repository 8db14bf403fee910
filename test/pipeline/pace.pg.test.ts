// What the pace does to a real database, and a real one to the pace: slow commits, a replica that does not keep up, users who may not see
// it, and a stop in the middle of a rest. The program as a user runs it. Not for how numbers are found: that is test/core/pace.test.ts.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { csv, events } from '../support/events.ts';
import type { TestRecord } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { until, withRoad } from '../support/road.ts';
import type { Road, Run } from '../support/road.ts';

const QUICK = ['--settle', '50ms', '--scan-every', '200ms', '--json'];

/** Small files, one after the other, until the run has said something. Returns them all. */
async function feedUntil(
  road: Road,
  run: Run,
  said: RegExp,
  from: number,
): Promise<Map<string, TestRecord[]>> {
  const files = new Map<string, TestRecord[]>();
  for (let file = from; !said.test(run.said()); file += 1) {
    assert.ok(files.size < 2_000, `never said ${said}\n${run.said()}`);
    const records = events(file * 10, 10);
    await road.put(`${file}.csv`, csv(records));
    files.set(`${file}.csv`, records);
    await sleep(20);
  }
  return files;
}

/** Ctrl-C, and what was committed by then is what must be there. */
async function stop(run: Run): Promise<{ restedSeconds: number }> {
  run.child.kill('SIGINT');
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as { restedSeconds: number };
}

/** Whatever it is, settings among it are in force afterwards. */
async function onServer(server: TestServer, statements: readonly string[]): Promise<void> {
  const client = new pg.Client(server.database('postgres').client);
  await client.connect();
  try {
    for (const statement of [...statements, 'SELECT pg_reload_conf()']) await client.query(statement);
  } finally {
    await client.end();
  }
}

describe('where each commit takes a tenth of a second', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ durable: true });
    // The server itself waits before it flushes, however many others are at work.
    await onServer(server, [
      'ALTER SYSTEM SET commit_delay = 100000',
      'ALTER SYSTEM SET commit_siblings = 0',
    ]);
  });
  after(() => server.stop());

  test('a run slows down and says so, is fast again when they are, and stores everything', () =>
    withRoad(server, async (road) => {
      const run = road.start([...QUICK, '--commit-max', '80ms']);
      const slow = await feedUntil(road, run, /slowing down: COMMIT takes \d+ ms .* --commit-max 80 ms/, 1);
      await onServer(server, ['ALTER SYSTEM SET commit_delay = 0']);
      const quick = await feedUntil(road, run, /full speed again: COMMIT takes/, 10_000);
      const files = new Map([...slow, ...quick]);
      await until('all is stored', async () => (await road.count()) === files.size * 10);
      assert.ok((await stop(run)).restedSeconds > 0);
      await road.balance(files);
    }));
});

describe('with a replica', () => {
  let server: TestServer;
  let standby: TestServer;
  before(async () => {
    server = await startTestServer();
    standby = await server.startStandby();
  });
  after(async () => {
    await standby.stop();
    await server.stop();
  });
  const replay = (word: 'pause' | 'resume'): Promise<void> =>
    onServer(standby, [`SELECT pg_wal_replay_${word}()`]);

  test('that does not replay, a run slows down and says so, and is fast again when it does', () =>
    withRoad(server, async (road) => {
      await replay('pause');
      const run = road.start([...QUICK, '--replica-lag-max', '64KiB']);
      const slow = await feedUntil(road, run, /slowing down: a replica is .* --replica-lag-max 64.0 KiB/, 1);
      await replay('resume');
      const quick = await feedUntil(road, run, /full speed again: replicas are at most/, 10_000);
      const files = new Map([...slow, ...quick]);
      await until('all is stored', async () => (await road.count()) === files.size * 10);
      await stop(run);
      await road.balance(files);
    }));

  test('a run of a user who may not see it goes on, and says once what would show it', () =>
    withRoad(server, async (road) => {
      await replay('pause');
      await road.query(`CREATE ROLE blind_${road.database.name} LOGIN PASSWORD 'x'`);
      await road.query(
        `GRANT CREATE, CONNECT, TEMPORARY ON DATABASE ${road.database.name} TO blind_${road.database.name}`,
      );
      await road.query(`GRANT ALL ON SCHEMA public TO blind_${road.database.name}`);
      const url = new URL(road.database.url);
      [url.username, url.password] = [`blind_${road.database.name}`, 'x'];
      const run = road.start([...QUICK, '--replica-lag-max', '1B'], { DATABASE_URL: url.href });
      const files = await feedUntil(road, run, /GRANT pg_read_all_stats/, 1);
      await until('all is stored', async () => (await road.count()) === files.size * 10);
      assert.equal((await stop(run)).restedSeconds, 0);
      assert.doesNotMatch(run.said(), /slowing down/);
      await replay('resume');
    }));

  test('--throttle off asks nothing and slows nothing', () =>
    withRoad(server, async (road) => {
      await replay('pause');
      const files = new Map([['a.csv', events(0, 500)]]);
      await road.put('a.csv', csv(events(0, 500)));
      const bounds = ['--replica-lag-max', '1B', '--commit-max', '1ms'];
      const run = road.start([...QUICK, ...bounds, '--throttle', 'off', '--once']);
      const { code, stderr } = await run.ended;
      assert.equal(code, 0, stderr);
      assert.doesNotMatch(stderr, /slowing down/);
      await road.balance(files);
      await replay('resume');
    }));
});
