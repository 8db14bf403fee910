// The program killed at random moments, the server killed under it, the network gone: after each the books balance and the table
// is what a Map says. The moments are seeded by the round, the proof that the fault happened is the exit signal.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { seededRandom } from '../../src/schema/random.ts';
import type { TestRecord } from '../support/events.ts';
import { csv, event, events, invalidEvent } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { Road, epochOf, until } from '../support/road.ts';

const ROUNDS = 22;

/** Records of round `round`: new ones, repeats of earlier rounds, and a few bad ones. */
function roundOf(round: number, count: number): TestRecord[] {
  const random = seededRandom(round, 5);
  return Array.from({ length: count }, (_, index) => {
    const number = round * 1_000_000 + index;
    if (random.below(20) === 0)
      return event(Math.max(0, random.below(round + 1)) * 1_000_000 + random.below(count));
    return random.below(50) === 0 ? invalidEvent(number + 500_000) : event(number);
  });
}

describe('kill -9 of the program', () => {
  let server: TestServer;
  before(async () => (server = await startTestServer()));
  after(() => server.stop());

  test(
    `at ${ROUNDS} random moments loses nothing and stores nothing twice`,
    { timeout: 300_000 },
    async () => {
      const road = new Road(await server.createDatabase());
      try {
        const all = new Map<string, TestRecord[]>();
        const random = seededRandom(42);
        let killed = 0;
        for (let round = 0; round < ROUNDS; round += 1) {
          const records = roundOf(round, round % 3 === 0 ? 60_000 : 400);
          all.set(`round-${round}.csv`, records);
          await road.put(`round-${round}.csv`, csv(records));
          const run = road.start(['--scan-every', '100ms', '--workers', '1']);
          const reached = await road.count();
          if (random.below(4) > 0)
            await until('progress', async () => (await road.count()) > reached, 30_000);
          await sleep(random.below(250));
          run.child.kill('SIGKILL');
          if ((await run.ended).signal === 'SIGKILL') killed += 1;
        }
        assert.ok(killed >= 20, `${killed} kills`);
        await road.once();
        await road.balance(all);
      } finally {
        await road.clean();
      }
    },
  );

  test('again during the recovery from the first kill', async () => {
    const road = new Road(await server.createDatabase());
    try {
      const records = roundOf(0, 100_000);
      await road.put('a.csv', csv(records));
      await road.once(['--pattern', '*.none']); // makes the lease
      for (const delayMs of [300, 0, 20, 150, 60]) {
        const epoch = await epochOf(road);
        const run = road.start();
        await until('it has taken the source over', async () => (await epochOf(road)) !== epoch);
        await sleep(delayMs);
        run.child.kill('SIGKILL');
        assert.equal((await run.ended).signal, 'SIGKILL');
      }
      await road.once();
      await road.balance(new Map([['a.csv', records]]));
    } finally {
      await road.clean();
    }
  });
});

describe('kill -9 of the server', () => {
  for (const synchronousCommit of ['on', 'off']) {
    test(
      `under synchronous_commit=${synchronousCommit}: the program waits, goes on, and nothing is lost`,
      { timeout: 300_000 },
      async () => {
        const server = await startTestServer({ durable: true });
        const road = new Road(await server.createDatabase());
        try {
          const all = new Map<string, TestRecord[]>();
          const run = road.start(['--scan-every', '100ms', '--synchronous-commit', synchronousCommit]);
          for (let round = 0; round < 4; round += 1) {
            const records = roundOf(round, 30_000);
            all.set(`round-${round}.csv`, records);
            await road.put(`round-${round}.csv`, csv(records));
            await until('progress', async () => (await road.count().catch(() => 0)) > round * 20_000);
            await server.crash();
            await sleep(200);
            await server.start();
          }
          const valid = new Set(
            [...all.values()]
              .flat()
              .filter((record) => record.valid)
              .map((record) => record.key),
          );
          await until('all rows', async () => (await road.count()) === valid.size);
          await until('all books', async () => (await road.books()).every((file) => file.state === 'done'));
          run.child.kill('SIGTERM');
          const ended = await run.ended;
          assert.equal(ended.code, 0, ended.stderr);
          await road.balance(all);
        } finally {
          await road.clean();
          await server.stop();
        }
      },
    );
  }

  test('before the program starts: it waits until the server is there', async () => {
    const server = await startTestServer();
    const database = await server.createDatabase();
    const road = new Road(database);
    try {
      await server.crash();
      await road.put('a.csv', csv(events(0, 10)));
      const run = road.start(['--once', '--settle', '100ms']);
      await until('it says that it waits', () => /waiting: /.test(run.said()));
      await server.start();
      assert.equal((await run.ended).code, 0);
      await road.balance(new Map([['a.csv', events(0, 10)]]));
    } finally {
      await road.clean();
      await server.stop();
    }
  });
});
