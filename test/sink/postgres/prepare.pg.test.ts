// A lane that is made ready before it writes: its connection is there, or nothing waits for it. Not for when that is wanted: core/pace.ts.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { startTestServer } from '../../support/postgres.ts';
import type { TestDatabase, TestServer } from '../../support/postgres.ts';
import { openSink } from './support.ts';

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

async function asAdmin<T>(work: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = new pg.Client(server.database('postgres').client);
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.end();
  }
}

const connections = ({ name }: TestDatabase): Promise<number> =>
  asAdmin(async (admin) => {
    const { rows } = await admin.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = $1',
      [name],
    );
    return rows[0]?.count ?? 0;
  });

test('a lane that is made ready has its connection, and loses it when the sink leaves', async () => {
  const database = await server.createDatabase();
  const { sink } = await openSink(database, { lanes: 3 });
  for (const lane of [0, 1]) assert.equal(await sink.prepare(lane), true); // those that are there from the start
  const without = await connections(database);
  assert.equal(await sink.prepare(2), true);
  assert.equal(await sink.prepare(2), true);
  assert.equal(await connections(database), without + 1);
  await sink.leave();
  assert.equal(await sink.prepare(2), false);
  while ((await connections(database)) > 0) await new Promise(setImmediate);
});

test('where the server gives no connection, it says so and nothing fails', async () => {
  const database = await server.createDatabase();
  await asAdmin(async (admin) => {
    await admin.query(`CREATE ROLE few LOGIN PASSWORD 'x' CONNECTION LIMIT 3`);
    await admin.query(`GRANT ALL ON DATABASE ${database.name} TO few`);
  });
  const admin = new pg.Client(database.client);
  await admin.connect();
  await admin.query('GRANT ALL ON SCHEMA public TO few');
  await admin.end();
  const { sink } = await openSink(
    { client: { ...database.client, user: 'few', password: 'x' } },
    { lanes: 3 },
  );
  // Beside the one of the books, with which the source was taken over.
  for (const lane of [0, 1]) assert.equal(await sink.prepare(lane), true);
  assert.equal(await sink.prepare(2), false);
  await sink.leave();
});
