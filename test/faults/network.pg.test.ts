// Single faults of the network between the program and the server, made by a proxy of the test's own.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startFaultProxy } from '../support/fault-proxy.ts';
import type { FaultProxy } from '../support/fault-proxy.ts';
import { csv, events } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import type { Road } from '../support/road.ts';
import { until, withRoad } from '../support/road.ts';
import { Sight } from './phases.ts';

let server: TestServer;
let proxy: FaultProxy;
const sight = new Sight();
before(async () => {
  server = await startTestServer();
  proxy = await startFaultProxy(server.port, () => sight.open());
});
after(async () => {
  await proxy.close();
  await server.stop();
});

function through(road: Road): NodeJS.ProcessEnv {
  const url = new URL(road.database.url);
  url.port = String(proxy.port);
  return { DATABASE_URL: url.href };
}

test('a network cut again and again costs time only', { timeout: 120_000 }, () =>
  withRoad(server, async (road) => {
    const records = events(0, 60_000);
    await road.put('a.csv', csv(records));
    const run = road.start(['--once', '--settle', '100ms'], through(road));
    const before = proxy.cuts;
    // Each time rows are on their way: they never arrive, so the program is not done before the last cut, however fast it is.
    for (let turn = 0; turn < 6; turn += 1) {
      assert.ok(await sight.next('rows asked', 60_000), `turn ${turn}: no rows on their way\n${run.said()}`);
      proxy.cutAll();
    }
    assert.ok(proxy.cuts - before >= 6, `${proxy.cuts - before} cuts`);
    const { code, stderr } = await run.ended;
    assert.equal(code, 0, stderr);
    await road.balance(new Map([['a.csv', records]]));
  }),
);

test(
  'the answer cut after any number of bytes, in the middle of the work, stores nothing twice',
  { timeout: 240_000 },
  () =>
    withRoad(server, async (road) => {
      const all = new Map([['0.csv', events(0, 10)]]);
      await road.put('0.csv', csv(events(0, 10)));
      const run = road.start(['--scan-every', '100ms', '--lanes', '1'], through(road));
      await until('the first rows', async () => (await road.count()) === 10);
      const before = proxy.cuts;
      for (let turn = 1; turn <= 25; turn += 1) {
        proxy.cutAfterAnswer(turn * 23);
        const records = events(turn * 100, 20);
        all.set(`${turn}.csv`, records);
        await road.put(`${turn}.csv`, csv(records));
        await until(`the rows of turn ${turn}`, async () => (await road.count()) === 10 + turn * 20);
        // Where the batch had fewer bytes of answers, a look at the lease brings the others.
        await until(`the cut of turn ${turn}`, () => proxy.cuts - before >= turn);
      }
      run.child.kill('SIGTERM');
      assert.equal((await run.ended).code, 0);
      await road.balance(all);
    }),
);

test(
  'behind a black hole the program still ends within its deadline, and another one takes the source over',
  { timeout: 120_000 },
  () =>
    withRoad(server, async (road) => {
      const run = road.start(['--scan-every', '100ms'], through(road));
      await road.put('a.csv', csv(events(0, 10)));
      await until('the first rows', async () => (await road.count()) === 10);
      proxy.swallow(true);
      await road.put('b.csv', csv(events(10, 3_000)));
      await until('bytes in the hole', () => proxy.swallowed > 0);
      const other = road.start(['--once', '--settle', '100ms']);
      const { code, stderr } = await other.ended;
      assert.equal(code, 0, stderr);
      const begunMs = performance.now();
      run.child.kill('SIGTERM');
      await run.ended;
      assert.ok(performance.now() - begunMs < 30_000, 'it ends by itself');
      proxy.swallow(false);
      await road.balance(
        new Map([
          ['a.csv', events(0, 10)],
          ['b.csv', events(10, 3_000)],
        ]),
      );
    }),
);

test('a slow network (20 ms a piece, 200 kB a second) ends no healthy work', { timeout: 180_000 }, () =>
  withRoad(server, async (road) => {
    proxy.shape(20, 200_000);
    try {
      const records = events(0, 8_000);
      await road.put('a.csv', csv(records));
      const run = road.start(['--once', '--settle', '100ms'], through(road));
      const { code, stderr } = await run.ended;
      assert.equal(code, 0, stderr);
      assert.doesNotMatch(stderr, /waiting: /);
      await road.balance(new Map([['a.csv', records]]));
    } finally {
      proxy.shape(0, 0);
    }
  }),
);
