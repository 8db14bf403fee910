// How a connection is opened: settings, failures and their policy, and that losing it never ends the process.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { MillraceError } from '../../../src/errors.ts';
import { StepFault, during } from '../../../src/sink/postgres/fault.ts';
import { connect, connectFailed, connectPolicy, resolveTarget } from '../../../src/sink/postgres/target.ts';
import { startFaultProxy } from '../../support/fault-proxy.ts';
import { startTestServer } from '../../support/postgres.ts';
import type { TestDatabase, TestServer } from '../../support/postgres.ts';

let server: TestServer;
let database: TestDatabase;

before(async () => {
  server = await startTestServer();
  database = await server.createDatabase();
});
after(() => server.stop());

function target(url = database.url) {
  return resolveTarget({ DATABASE_URL: url }, '/nonexistent', { keepDatabase: false });
}

async function failureOf(url: string, connectMsMax?: number): Promise<unknown> {
  const resolved = await target(url);
  return connect(resolved, connectMsMax).then(
    () => assert.fail('connected'),
    (error: unknown) => error,
  );
}

test("a connection has our settings, whatever the database's own defaults are", async () => {
  const { name: stubborn, url, client: own } = await server.createDatabase();
  const admin = new pg.Client(own);
  await admin.connect();
  for (const [name, value] of Object.entries({
    statement_timeout: '2s',
    lock_timeout: '7s',
    idle_session_timeout: '8s',
    transaction_timeout: '9s',
    TimeZone: 'Asia/Tokyo',
    DateStyle: 'German',
    search_path: 'elsewhere',
  })) {
    await admin.query(`ALTER DATABASE ${stubborn} SET ${name} = '${value}'`);
  }
  await admin.end();
  const client = await connect(await target(url));
  const { rows } = await client.query(
    `SELECT name, setting FROM pg_settings WHERE source = 'session' AND name NOT IN ('client_encoding', 'search_path') ORDER BY name COLLATE "C"`,
  );
  const { rows: paths } = await client.query('SHOW search_path');
  await client.end();
  assert.deepEqual(Object.fromEntries(rows.map((row) => [row.name, row.setting])), {
    DateStyle: 'ISO, DMY',
    TimeZone: 'UTC',
    application_name: 'millrace',
    idle_in_transaction_session_timeout: '60000',
    idle_session_timeout: '0',
    lock_timeout: '0',
    statement_timeout: '0',
    tcp_keepalives_count: '3',
    tcp_keepalives_idle: '10',
    tcp_keepalives_interval: '5',
    tcp_user_timeout: '25000',
    transaction_timeout: '0',
  });
  assert.deepEqual(paths, [{ search_path: 'pg_catalog, pg_temp' }]);
});

test('a terminated backend shows in the next query, not as an uncaught exception', async () => {
  const client = await connect(await target());
  const admin = await connect(await target());
  const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
  const ended = new Promise<void>((resolve) => {
    client.once('end', resolve); // events.once would reject at 'error'
  });
  await admin.query('SELECT pg_terminate_backend($1)', [rows[0].pid]);
  await ended;
  await assert.rejects(client.query('SELECT 1'));
  await admin.end();
});

test('a connection whose server has said goodbye, and has not hung up yet, is lost, not a bug', async () => {
  const proxy = await startFaultProxy(server.port);
  const url = new URL(database.url);
  url.port = String(proxy.port);
  const client = await connect(await target(url.href));
  proxy.shape(300, 0);
  const pid = (await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid;
  const told = once(client, 'error');
  const admin = new pg.Client(database.client);
  await admin.connect();
  await admin.query('SELECT pg_terminate_backend($1)', [pid]);
  await admin.end();
  await told;
  await assert.rejects(
    during('fence', client, () => client.query('SELECT 1')),
    (error) => error instanceof StepFault && error.fault.sqlstate === '08006',
  );
  await proxy.close();
});

test('a wrong password, an unknown database and an unknown user stop with a sentence without the password', async () => {
  const { username, password, port } = new URL(database.url);
  const wrong = [
    `postgresql://${username}:nonsense@127.0.0.1:${port}/${database.name}`,
    `postgresql://${username}:${password}@127.0.0.1:${port}/nosuchdatabase`,
    `postgresql://nobody:nonsense@127.0.0.1:${port}/${database.name}`,
    `postgresql://${username}@127.0.0.1:${port}/${database.name}`,
  ];
  for (const url of wrong) {
    const error = await failureOf(url);
    assert.equal(connectPolicy(error), 'stop', url);
    const sentence = connectFailed(await target(url), error);
    assert.ok(sentence instanceof MillraceError);
    assert.match(sentence.message, /^cannot use postgresql:\/\/\w+@127\.0\.0\.1:\d+\/\w+: ./);
    assert.ok(!sentence.message.includes(password) && !sentence.message.includes('nonsense'));
  }
});

test('a server that is away, or hangs up in the middle, is worth waiting for', async () => {
  const hangUp = createServer((socket: Socket) => socket.destroy());
  hangUp.listen(0, '127.0.0.1');
  await once(hangUp, 'listening');
  const { port } = hangUp.address() as AddressInfo;
  const url = `postgresql://u:p@127.0.0.1:${port}/d`;
  assert.equal(connectPolicy(await failureOf(url)), 'wait');
  hangUp.close();
  await once(hangUp, 'close');
  assert.equal(connectPolicy(await failureOf(url)), 'wait');
});

test(
  'a server that never answers is given up after a while, and worth waiting for',
  { timeout: 30_000 },
  async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket: Socket) => sockets.push(socket));
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const error = await failureOf(`postgresql://u:p@127.0.0.1:${port}/d`, 200);
    for (const socket of sockets) socket.destroy();
    silent.close();
    assert.equal((error as NodeJS.ErrnoException).code, 'ETIMEDOUT');
    assert.equal(connectPolicy(error), 'wait');
  },
);

test('too many connections are worth waiting for', async () => {
  const small = await startTestServer({
    settings: { max_connections: '4', superuser_reserved_connections: '0' },
  });
  try {
    const { url } = await small.createDatabase();
    const resolved = await target(url);
    const clients: pg.Client[] = [];
    let failure: unknown;
    while (failure === undefined) {
      await connect(resolved).then(
        (client) => clients.push(client),
        (error: unknown) => (failure = error),
      );
    }
    assert.equal((failure as pg.DatabaseError).code, '53300');
    assert.equal(connectPolicy(failure), 'wait');
    await Promise.all(clients.map((client) => client.end()));
  } finally {
    await small.stop();
  }
});
