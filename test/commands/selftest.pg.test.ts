// `selftest` as a person runs it: it kills, verifies, prints the proof, and leaves nothing behind.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { millrace } from '../support/cli.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestDatabase, TestServer } from '../support/postgres.ts';

let server: TestServer;
let database: TestDatabase;
before(async () => {
  server = await startTestServer();
  database = await server.createDatabase();
});
after(() => server.stop());

async function scratchDatabases(): Promise<string[]> {
  const client = new pg.Client(database.client);
  await client.connect();
  const { rows } = await client.query<{ datname: string }>(
    `SELECT datname FROM pg_database WHERE datname LIKE 'millrace_selftest_%'`,
  );
  await client.end();
  return rows.map(({ datname }) => datname);
}

const scratchFolders = (): string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith('millrace-selftest-'));

test('kills runs, finds that the promise held, and leaves nothing behind', { timeout: 240_000 }, async () => {
  const folders = scratchFolders();
  const { code, stdout, stderr } = await millrace(['selftest', '--minutes', '0.2', '--seed', '5', '--json'], {
    env: database.env,
  });
  assert.equal(code, 0, stderr);
  const said = JSON.parse(stdout) as Record<string, number | boolean>;
  assert.equal(said['held'], true);
  assert.equal(said['differences'], 0);
  assert.ok(Number(said['kills']) >= 1);
  assert.ok(Number(said['records']) >= 2_000);
  assert.match(stderr, /the promise held\n {2}killed +\d+ runs? with SIGKILL/);
  assert.deepEqual(await scratchDatabases(), []);
  assert.deepEqual(
    scratchFolders().filter((name) => !folders.includes(name)),
    [],
  );
});

test('a user who may not make databases is told so', async () => {
  const admin = new pg.Client(database.client);
  await admin.connect();
  await admin.query(`CREATE ROLE modest LOGIN PASSWORD 'modest-secret'`);
  await admin.end();
  const url = new URL(database.url);
  url.username = 'modest';
  url.password = 'modest-secret';
  const { code, stderr } = await millrace(['selftest', '--minutes', '0.1'], {
    env: { ...database.env, DATABASE_URL: url.href },
  });
  assert.equal(code, 5);
  assert.match(stderr, /cannot make a scratch database: .*\n {2}ALTER ROLE \.\.\. CREATEDB/);
  assert.doesNotMatch(stderr, /modest-secret/);
});
