// The program with too little of something: file descriptors, memory, file events.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { csv, event, events } from '../support/events.ts';
import type { TestRecord } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { until, withRoad } from '../support/road.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

function cannotLimit(): string | false {
  try {
    execFileSync('prlimit', ['--version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'prlimit is not installed';
  }
}

test(
  'with 64 file descriptors every one of 300 files is read',
  { skip: cannotLimit(), timeout: 120_000 },
  () =>
    withRoad(server, async (road) => {
      const all = new Map<string, TestRecord[]>();
      for (let index = 0; index < 300; index += 1) {
        all.set(`${index}.csv`, [event(index)]);
        await road.put(`${index}.csv`, csv([event(index)]));
      }
      const args = [
        '--nofile=64:64',
        process.execPath,
        MAIN,
        'run',
        '--once',
        '--settle',
        '100ms',
        '--input',
        road.folder,
      ];
      const child = spawn('prlimit', args, { env: road.database.env, stdio: ['ignore', 'ignore', 'pipe'] });
      let said = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
      const code = await new Promise((resolve) => {
        child.on('close', resolve);
      });
      assert.equal(code, 0, said);
      await road.balance(all);
    }),
);

test('with a JavaScript heap of 64 MiB a file of 20 MB is read', { timeout: 120_000 }, () =>
  withRoad(server, async (road) => {
    const records = events(0, 200_000);
    await road.put('a.csv', csv(records));
    const run = road.start(['--once', '--settle', '100ms', '--dedup-memory', '1MiB'], {
      NODE_OPTIONS: '--max-old-space-size=64',
    });
    const { code, stderr } = await run.ended;
    assert.equal(code, 0, stderr);
    await road.balance(new Map([['a.csv', records]]));
  }),
);

for (const watch of ['poll', 'off'])
  test(`with --watch ${watch} files that come later are found without events`, () =>
    withRoad(server, async (road) => {
      const run = road.start(['--watch', watch, '--scan-every', '200ms']);
      await road.put('a.csv', csv(events(0, 20)));
      await until('the first rows', async () => (await road.count()) === 20);
      await road.put('b.csv', csv(events(20, 20)));
      await until('the later rows', async () => (await road.count()) === 40);
      run.child.kill('SIGTERM');
      assert.equal((await run.ended).code, 0);
      await road.balance(
        new Map([
          ['a.csv', events(0, 20)],
          ['b.csv', events(20, 20)],
        ]),
      );
    }));
