// `make bench` ended by a real signal: nothing of it stays behind.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';

import { SCRATCH_NAME } from '../../bench/scratch.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { until } from '../support/road.ts';

const BENCH = fileURLToPath(new URL('../../bench/main.ts', import.meta.url));

let server: TestServer;
let folder: string;
before(async () => {
  server = await startTestServer();
  folder = mkdtempSync(join(tmpdir(), 'millrace-interrupt-'));
});
after(async () => {
  rmSync(folder, { recursive: true, force: true });
  await server.stop();
});

/** More than the benchmark's own: the program that it measures is at work. */
const BUSY = 3;

/** What the server says: is there a scratch database, and how many sessions are in it? */
async function scratch(): Promise<{ there: boolean; sessions: number }> {
  const client = new pg.Client(server.database('postgres').client);
  await client.connect();
  try {
    const there = await client.query('SELECT FROM pg_database WHERE datname = $1', [SCRATCH_NAME]);
    const { rows } = await client.query('SELECT FROM pg_stat_activity WHERE datname = $1', [SCRATCH_NAME]);
    return { there: there.rows.length > 0, sessions: rows.length };
  } finally {
    await client.end();
  }
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  test(`${signal} leaves no folder, no scratch database and no child`, async () => {
    // Slow enough that no machine is done with it before the signal: parts of 3,000 s each.
    const args = [BENCH, 'latency', '--seconds', '3000', '--output', join(folder, 'report')];
    const child = spawn(process.execPath, args, {
      env: { ...server.database('postgres').env, TMPDIR: folder, NODE_TEST_CONTEXT: undefined },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (part: string) => (said += part));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    try {
      await until(`a run: ${said}`, async () => {
        assert.equal(child.exitCode, null, said);
        return (await scratch()).sessions >= BUSY;
      });
      assert.notDeepEqual(readdirSync(folder), []);
      child.kill(signal);
      child.kill(signal); // as `timeout` does
      assert.equal(await ended, code, said);
      assert.match(said, /interrupted/);
      assert.deepEqual(readdirSync(folder), []);
      assert.deepEqual(await scratch(), { there: false, sessions: 0 });
    } finally {
      child.kill('SIGKILL');
    }
  });
