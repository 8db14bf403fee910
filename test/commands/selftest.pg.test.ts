// `selftest` as a person runs it: it kills, verifies, prints the proof, and leaves nothing behind.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { millrace, start } from '../support/cli.ts';
import { csv, events } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestDatabase, TestServer } from '../support/postgres.ts';
import { until } from '../support/road.ts';

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

/** Rows in the scratch database that is there. */
async function storedInScratch(): Promise<number> {
  const [name] = await scratchDatabases();
  if (name === undefined) return 0;
  const client = new pg.Client({ ...database.client, database: name });
  try {
    await client.connect();
    const { rows } = await client.query<{ count: number }>('SELECT count(*)::int AS count FROM events');
    return rows[0]?.count ?? 0;
  } catch {
    return 0; // no table yet, or no database any more
  } finally {
    await client.end().catch(() => {});
  }
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

test('Ctrl-C ends it, and nothing stays behind', { timeout: 240_000 }, async () => {
  const folders = scratchFolders();
  const { child, ended } = start(['selftest', '--minutes', '10', '--seed', '6'], { env: database.env });
  const stored = async (): Promise<boolean> => (await storedInScratch()) > 0;
  await until('a run has stored something', stored, 200_000);
  child.kill('SIGINT');
  const { code, stderr } = await ended;
  assert.equal(code, 130, stderr);
  assert.deepEqual(await scratchDatabases(), []);
  assert.deepEqual(
    scratchFolders().filter((name) => !folders.includes(name)),
    [],
  );
});

test('on the embedded server it leaves the events of its user alone', { timeout: 240_000 }, async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'millrace-own-'));
  const input = join(data, 'in');
  t.after(async () => {
    await millrace(['database-stop', '--data', data]);
    rmSync(data, { recursive: true, force: true });
  });
  mkdirSync(input);
  writeFileSync(join(input, 'a.csv'), csv(events(0, 20)));
  const where = ['--data', data];
  const run = await millrace(['run', '--once', '--input', input, ...where]);
  assert.equal(run.code, 0, run.stderr);
  const { code, stdout, stderr } = await millrace(['selftest', '--minutes', '0.05', '--seed', '8', ...where]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^the promise held\n/);
  const verified = await millrace(['verify', '--input', input, '--json', ...where]);
  assert.equal(verified.code, 0, verified.stderr);
  const { total } = JSON.parse(verified.stdout) as { total: Record<string, number> };
  assert.deepEqual([total['records'], total['inserted']], [20, 20]);
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
