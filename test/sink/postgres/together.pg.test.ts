// Statements that travel together, against a real server: what each answers, whose fault a failure is, and that nothing behind it counts.

import assert from 'node:assert/strict';
import type { EventEmitter } from 'node:events';
import { after, before, test } from 'node:test';
import pg from 'pg';

import { StepFault, watchForLoss } from '../../../src/sink/postgres/fault.ts';
import { together } from '../../../src/sink/postgres/together.ts';
import type { Statement } from '../../../src/sink/postgres/together.ts';
import { startTestServer } from '../../support/postgres.ts';
import type { TestDatabase, TestServer } from '../../support/postgres.ts';

let server: TestServer;
let database: TestDatabase;
before(async () => {
  server = await startTestServer();
  database = await server.createDatabase();
  await withClient((client) => client.query('CREATE TABLE t (a integer)'));
});
after(() => server.stop());

async function withClient<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(database.client);
  await client.connect();
  watchForLoss(client);
  try {
    return await work(client);
  } finally {
    client.connection.stream.destroy();
  }
}

const COMMIT: Statement = { step: 'commit', query: 'COMMIT' };

function insert(text: string, values: unknown[]): Statement {
  return { step: 'positions', query: { name: 'an_insert', text, values } };
}

async function stepOfFault(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => assert.fail('nothing failed'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof StepFault, String(error));
  return `${error.step} ${error.fault.sqlstate}`;
}

test('each answers in its order, twice on one connection, and other statements go on alone', () =>
  withClient(async (client) => {
    for (const value of [1, 2]) {
      await client.query('BEGIN');
      const answers = await together(client, [
        { step: 'checks', query: 'SET CONSTRAINTS ALL IMMEDIATE' },
        insert('INSERT INTO t VALUES ($1)', [value]),
        { step: 'commit', query: 'COMMIT; SELECT 7 AS seven' },
      ]);
      const commands = answers.flat().map((answer) => answer.command);
      assert.deepEqual(commands, ['SET', 'INSERT', 'COMMIT', 'SELECT']);
    }
    assert.deepEqual((await client.query('SELECT a FROM t ORDER BY a')).rows, [{ a: 1 }, { a: 2 }]);
  }));

test('a failure has its own step, and the COMMIT behind it stores nothing', () =>
  withClient(async (client) => {
    const { rows: before } = await client.query('SELECT a FROM t');
    await client.query('BEGIN; INSERT INTO t VALUES (3)');
    const bad = insert('INSERT INTO t VALUES (1 / $1::int)', [0]);
    assert.equal(await stepOfFault(together(client, [bad, COMMIT])), 'positions 22012');
    assert.deepEqual((await client.query('SELECT a FROM t')).rows, before);
  }));

test('a failure has its own step where the server speaks another language', () =>
  withClient(async (client) => {
    const connection = client.connection as unknown as EventEmitter;
    connection.prependListener('errorMessage', (fault: pg.DatabaseError) => (fault.severity = 'FEHLER'));
    await client.query('BEGIN; INSERT INTO t VALUES (4)');
    const bad = insert('INSERT INTO t VALUES (1 / $1::int)', [0]);
    assert.equal(await stepOfFault(together(client, [bad, COMMIT])), 'positions 22012');
    await client.query('BEGIN');
    const checks: Statement = { step: 'checks', query: 'SELECT 1 / 0' };
    const behind: Statement = { step: 'positions', query: 'SELECT 1' };
    assert.equal(await stepOfFault(together(client, [checks, behind])), 'checks 22012');
  }));

test('whatever a lost connection was at, its COMMIT may have been carried out', () =>
  withClient(async (client) => {
    await client.query('BEGIN');
    const ending = together(client, [
      insert("SELECT pg_terminate_backend(pg_backend_pid()), $1 || ''", ['x']),
      COMMIT,
    ]);
    assert.match(await stepOfFault(ending), /^commit (57P01|08006)$/);
  }));
