// How a run ends when not everything went well: its exit code, the line of JSON, and each troubled file counted once. The program as a user
// runs it, on a real database.

import assert from 'node:assert/strict';
import { appendFileSync, chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';

import { csv, event, events, invalidEvent } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { until, whyNotOrdinary, withRoad as withRoadOn } from '../support/road.ts';
import type { Ended, RunCounts, Road } from '../support/road.ts';

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

const withRoad = (body: (road: Road) => Promise<void>): Promise<void> => withRoadOn(server, body);

function lastLine({ stdout }: Ended): RunCounts {
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as RunCounts;
}

test('stopped before the database ever answered, a run with --json says so in its line all the same', () =>
  withRoad(async (road) => {
    await road.put('a.csv', csv(events(0, 10)));
    // A port at which nobody listens any more.
    const listener = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => listener.once('listening', resolve));
    const { port } = listener.address() as AddressInfo;
    await new Promise((resolve) => listener.close(resolve));
    const url = `postgres://nobody:nothing@127.0.0.1:${port}/none`;
    const run = road.start(['--once', '--json'], { DATABASE_URL: url });
    await until('it waits for the database', () => run.said().includes('waiting:'));
    run.child.kill('SIGINT');
    const ended = await run.ended;
    assert.equal(ended.code, 0, ended.stderr);
    const { records, inserted, files, refusedFiles } = lastLine(ended);
    assert.deepEqual(
      { records, inserted, files, refusedFiles },
      { records: 0, inserted: 0, files: 0, refusedFiles: 0 },
    );
  }));

test('a refused and a parked file are counted once, however often the run began again from the checkpoint', () =>
  withRoad(async (road) => {
    await road.put('refused.csv', 'nothing,here\n1,2\n');
    await road.put('parked.csv', csv([event(1), invalidEvent(2)]));
    const run = road.start(['--json', '--rejects-max', '0', '--scan-every', '100ms', '--settle', '100ms']);
    const states = async (): Promise<string[]> =>
      (await road.books().catch(() => [])).map(({ state }) => state).toSorted();
    await until('both are written down', async () => (await states()).join() === 'parked,refused');
    for (const name of ['b.csv', 'c.csv']) {
      await road.query('UPDATE millrace.leases SET forget = forget + 1');
      await road.put(name, csv(events(name.charCodeAt(0) * 100, 10)));
      await until(`${name} is done`, async () =>
        (await road.books()).some((file) => file.name === name && file.state === 'done'),
      );
    }
    run.child.kill('SIGINT');
    const ended = await run.ended;
    assert.match(ended.stderr, /began again from the checkpoint/);
    assert.equal(ended.code, 3);
    const { files, refusedFiles, inserted } = lastLine(ended);
    assert.deepEqual({ files, refusedFiles, inserted }, { files: 4, refusedFiles: 2, inserted: 20 });
    assert.match(ended.stderr, /refused\.csv is refused:/);
    assert.match(ended.stderr, /parked\.csv is parked:.*mend it and it is read again; millrace resume/);
  }));

test('a parked file that is mended in place is read by the instance that runs, and so is what is appended then', () =>
  withRoad(async (road) => {
    await road.put('a.csv', csv([event(1), invalidEvent(2)]));
    const run = road.start(['--json', '--rejects-max', '0', '--scan-every', '100ms', '--settle', '100ms']);
    await until('it is parked', async () =>
      (await road.books().catch(() => [])).some(({ state }) => state === 'parked'),
    );
    const mended = csv([event(1), event(2), event(3)]);
    writeFileSync(road.path('a.csv'), mended);
    await until('it is done', async () => (await road.books()).some(({ state }) => state === 'done'));
    assert.equal(await road.count(), 3);
    appendFileSync(
      road.path('a.csv'),
      csv([event(4)])
        .split('\n')
        .slice(1)
        .join('\n'),
    );
    await until('what is appended to the mended file is read', async () => (await road.count()) === 4);
    assert.ok(readFileSync(road.path('a.csv'), 'utf8').startsWith(mended));
    run.child.kill('SIGINT');
    assert.equal((await run.ended).code, 3);
  }));

test(
  'a folder below that may not be read is said, the others are read, and --once ends with 3',
  { skip: whyNotOrdinary() },
  () =>
    withRoad(async (road) => {
      for (const [name, mode] of [
        ['closed', 0o000],
        ['unsearchable', 0o644],
      ] as const) {
        mkdirSync(road.path(name));
        writeFileSync(road.path(`${name}/x.csv`), csv(events(500, 5)));
        chmodSync(road.path(name), mode);
      }
      await road.put('a.csv', csv(events(0, 10)));
      chmodSync(road.path('a.csv'), 0o644);
      const args = ['--once', '--json', '--recursive', '--settle', '100ms'];
      const ended = await road.start(args, {}, 'ordinary').ended;
      assert.equal(ended.code, 3, ended.stderr);
      assert.match(ended.stderr, /the folder closed may not be read \(EACCES\)/);
      assert.match(ended.stderr, /the folder unsearchable may not be read \(EACCES\)/);
      assert.match(ended.stderr, /2 places below the input folder could not be looked at/);
      const { inserted, refusedFiles } = lastLine(ended);
      assert.deepEqual([inserted, refusedFiles], [10, 0]);
      for (const name of ['closed', 'unsearchable']) chmodSync(road.path(name), 0o755);
      for (const name of ['closed', 'unsearchable']) chmodSync(road.path(`${name}/x.csv`), 0o644);
      assert.equal((await road.start(args, {}, 'ordinary').ended).code, 0);
      assert.equal(await road.count(), 15);
    }),
);

test(
  'a file that may not be read is said and waited for, the others are read, and it is read as soon as it may',
  { skip: whyNotOrdinary() },
  () =>
    withRoad(async (road) => {
      const put = async (name: string, first: number, mode: number): Promise<void> => {
        await road.put(`.${name}`, csv(events(first, 10)));
        chmodSync(road.path(`.${name}`), mode);
        renameSync(road.path(`.${name}`), road.path(name));
      };
      await put('closed.csv', 0, 0o000);
      const run = road.start(['--scan-every', '100ms', '--settle', '100ms'], {}, 'ordinary');
      await until('it is said', () => /closed\.csv may not be read \(EACCES\)/.test(run.said()));
      await put('open.csv', 100, 0o644);
      await until('the other is read', async () => (await road.count()) === 10);
      chmodSync(road.path('closed.csv'), 0o644);
      await until('it is read', async () => (await road.count()) === 20);
      run.child.kill('SIGTERM');
      assert.equal((await run.ended).code, 0);
    }),
);
