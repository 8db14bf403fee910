// The program killed at every named place of the road, and its worker threads failing in every way: each time the next start ends with
// balanced books. The proof that the place was reached is its line on standard error.

import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { FAIL_ACTIONS, FAIL_POINTS, armedBy } from '../../src/failpoints.ts';
import type { FailPoint } from '../../src/failpoints.ts';
import type { TestRecord } from '../support/events.ts';
import { csv, events, invalidEvent, wideCsv } from '../support/events.ts';
import { OWN_INDEXES, deferredNames, indexNames } from '../support/indexes.ts';
import type { Ask } from '../support/indexes.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { Road } from '../support/road.ts';

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

const RECORDS: readonly TestRecord[] = [...events(0, 400), ...events(0, 30), invalidEvent(900)];

async function withRoad(body: (road: Road, archive: string) => Promise<void>): Promise<void> {
  const road = new Road(await server.createDatabase());
  const archive = `${road.folder}-archive`;
  try {
    await body(road, archive);
  } finally {
    await road.clean();
    rmSync(archive, { recursive: true, force: true });
  }
}

/** What makes the program pass this place. */
function argsFor(place: FailPoint, archive: string): string[] {
  if (place === 'hidden') return ['--after', 'delete'];
  return place === 'archiving' || place === 'archived'
    ? ['--after', 'archive', '--archive-dir', archive]
    : [];
}

describe('kill -9 at a named place', () => {
  for (const place of FAIL_POINTS)
    test(`${place}: the next start goes on, and nothing is lost or stored twice`, () =>
      withRoad(async (road, archive) => {
        const args = ['--once', '--settle', '100ms', ...argsFor(place, archive)];
        const all = new Map<string, readonly TestRecord[]>([['a.csv', RECORDS]]);
        const isOfFirstLoad = place.startsWith('index');
        await road.put('a.csv', isOfFirstLoad ? wideCsv(RECORDS) : csv(RECORDS));
        const run = road.start(args, { MILLRACE_FAILPOINT: `${place}:kill` });
        assert.equal((await run.ended).signal, 'SIGKILL');
        assert.match(run.said(), new RegExp(`fail-point ${place}: kill`));
        const more = events(1_000, 50);
        await road.put('b.csv', csv(more));
        await road.once(args.slice(3));
        await road.balance(all.set('b.csv', more));
        if (isOfFirstLoad) {
          const ask: Ask = (text) => road.query(text);
          assert.deepEqual(await deferredNames(ask), []);
          assert.deepEqual(await indexNames(ask), [...OWN_INDEXES, 'events_pkey'].toSorted());
        }
        if (args.includes('--after')) assert.deepEqual(readdirSync(road.folder), []);
        if (args.includes('archive')) assert.deepEqual(readdirSync(archive).toSorted(), ['a.csv', 'b.csv']);
      }));
});

describe('a worker thread that fails', () => {
  for (const action of ['throw', 'exit', 'stall'] as const)
    test(`by ${action} costs a try and no record`, () =>
      withRoad(async (road) => {
        await road.put('a.csv', csv(RECORDS));
        const run = road.start(['--once', '--settle', '100ms'], { MILLRACE_FAILPOINT: `parse:${action}` });
        // A thread that was replaced starts with a fresh count, and fails as well: then the file is parked with a sentence.
        const { code, stderr } = await run.ended;
        assert.match(stderr, new RegExp(`fail-point parse: ${action}`));
        assert.ok(code === 0 || code === 3, stderr);
        if (code === 0) await road.balance(new Map([['a.csv', RECORDS]]));
        else
          assert.deepEqual(
            (await road.books()).map(({ state, records }) => [state, records]),
            [['parked', 0]],
          );
      }));
});

test('the main thread stalled for seconds between COMMIT and settling changes nothing', () =>
  withRoad(async (road) => {
    await road.put('a.csv', csv(RECORDS));
    const run = road.start(['--once', '--settle', '100ms'], { MILLRACE_FAILPOINT: 'committed:stall' });
    const { code, stderr } = await run.ended;
    assert.match(stderr, /fail-point committed: stall/);
    assert.equal(code, 0, stderr);
    await road.balance(new Map([['a.csv', RECORDS]]));
  }));

test('SIGTERM in the middle of a transaction finishes or rolls back, and exits 0', () =>
  withRoad(async (road) => {
    await road.put('a.csv', csv(RECORDS));
    const run = road.start(['--scan-every', '100ms'], { MILLRACE_FAILPOINT: 'rows-sent:stall' });
    while (!run.said().includes('fail-point')) await new Promise((resolve) => setTimeout(resolve, 20));
    run.child.kill('SIGTERM');
    const { code, stderr } = await run.ended;
    assert.equal(code, 0, stderr);
    await road.once();
    await road.balance(new Map([['a.csv', RECORDS]]));
  }));

describe('fail-points', () => {
  test('are refused in production, and nothing is begun', () =>
    withRoad(async (road) => {
      const run = road.start(['--once'], { MILLRACE_FAILPOINT: 'committed:kill', NODE_ENV: 'production' });
      const { code, stderr } = await run.ended;
      assert.equal(code, 2, stderr);
      assert.match(stderr, /MILLRACE_FAILPOINT.*production/);
    }));

  test('are a closed list', () => {
    assert.equal(armedBy({}), null);
    assert.equal(armedBy({ MILLRACE_FAILPOINT: '' }), null);
    for (const place of FAIL_POINTS)
      for (const action of FAIL_ACTIONS)
        assert.deepEqual(armedBy({ MILLRACE_FAILPOINT: `${place}:${action}:2` }), {
          point: place,
          action,
          left: 2,
        });
    for (const wrong of ['x', 'x:kill', 'committed:x', 'committed:kill:0', 'committed:kill:-1'])
      assert.throws(() => armedBy({ MILLRACE_FAILPOINT: wrong }), { code: 'usage' });
  });
});
