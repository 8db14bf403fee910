// A COPY that was begun and whose connection is lost before its tuples are sent: a failure of the step, not the end of the program. What
// is written by it is tested in lane.pg.test.ts.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';

import { beginCopy } from '../../../src/sink/postgres/copy.ts';
import { StepFault, during, watchForLoss } from '../../../src/sink/postgres/fault.ts';
import { startTestServer } from '../../support/postgres.ts';
import type { TestServer } from '../../support/postgres.ts';
import { withClient } from './support.ts';

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

const TUPLE = Buffer.from('00010000000400000007', 'hex'); // one field: the integer 7

for (const moment of ['when it says so', 'once the connection is closed'] as const)
  test(`a backend that is terminated before the first tuple of its COPY is a fault of that step, ${moment}`, async () => {
    const database = await server.createDatabase();
    const client = new pg.Client(database.client);
    client.on('error', () => {});
    watchForLoss(client);
    await client.connect();
    await client.query('CREATE TABLE t (n integer)');
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const copy = await beginCopy(client, ['BEGIN', 'SELECT 5 AS five'], 'fence', 't (n)', 'rows');
    assert.deepEqual(copy.row, { five: '5' });
    const over = new Promise<unknown>((resolve) => {
      if (moment === 'when it says so') client.connection.once('errorMessage', resolve);
      else client.once('end', () => resolve(null));
    });
    await withClient(database, (other) =>
      Promise.all([
        assert.rejects(
          over.then(() => during('rows', client, () => copy.send([TUPLE]))),
          (error) => error instanceof StepFault && error.step === 'rows',
        ),
        other.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]),
      ]),
    );
    await withClient(database, async (other) => {
      assert.deepEqual((await other.query('SELECT n FROM t')).rows, []);
    });
  });
