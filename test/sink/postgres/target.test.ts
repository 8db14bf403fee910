// Which database is meant: judged from the environment alone, before any I/O, and told without its password.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { test } from 'node:test';
import { inspect } from 'node:util';
import pg from 'pg';
import { MillraceError } from '../../../src/errors.ts';
import { configuredDatabase } from '../../../src/sink/postgres/configured.ts';
import { connectPolicy, resolveTarget } from '../../../src/sink/postgres/target.ts';

const PASSWORD = 'correct%20horse';

/** What every local connection is opened with. */
const HIDDEN = { ssl: false, enableChannelBinding: true };

test('without DATABASE_URL and PGHOST no database is configured, whatever else is set', () => {
  assert.equal(configuredDatabase({}), undefined);
  assert.equal(
    configuredDatabase({ PGPASSWORD: 'x', PGUSER: 'u', PGDATABASE: 'd', PGPORT: '5432' }),
    undefined,
  );
  assert.equal(configuredDatabase({ DATABASE_URL: '', PGHOST: '' }), undefined);
});

test('DATABASE_URL goes before PGHOST, and the description leaves out password and query', () => {
  const url = `postgresql://ann:${PASSWORD}@db.example:6543/shop?sslmode=verify-full&options=-c%20a=b`;
  const found = configuredDatabase({ DATABASE_URL: url, PGHOST: 'other' });
  assert.equal(found?.describe, 'postgresql://ann@db.example:6543/shop');
  const { host, port, user, password, database, options } = found?.client ?? {};
  assert.deepEqual(
    [host, port, user, password, database, options],
    ['db.example', 6543, 'ann', 'correct horse', 'shop', '-c a=b'],
  );
});

test('URLs with sockets, without a user, and with brackets are understood as pg understands them', () => {
  const cases = [
    ['postgresql:///shop?host=/run/pg', 'postgresql:///shop?host=/run/pg', '/run/pg', 'shop'],
    [
      `postgres://ann:${PASSWORD}@/shop?host=/run/pg`,
      'postgresql://ann@/shop?host=/run/pg',
      '/run/pg',
      'shop',
    ],
    ['postgres://[::1]:99/shop', 'postgresql://[::1]:99/shop', '::1', 'shop'],
  ] as const;
  for (const [url, describe, host, database] of cases) {
    const found = configuredDatabase({ DATABASE_URL: url });
    const client = new pg.Client(found?.client);
    assert.deepEqual([found?.describe, client.host, client.database], [describe, host, database]);
  }
});

test('PGHOST takes the other PG variables along, with the defaults of libpq', () => {
  const all = { PGHOST: 'localhost', PGPORT: '77', PGUSER: 'u', PGPASSWORD: 'p', PGDATABASE: 'd' };
  assert.deepEqual(configuredDatabase(all), {
    client: { ...HIDDEN, host: 'localhost', port: 77, user: 'u', password: 'p', database: 'd' },
    describe: 'postgresql://u@localhost:77/d',
    logins: ['scram-sha-256'],
  });
  const { username } = userInfo();
  assert.deepEqual(configuredDatabase({ PGHOST: '/run/pg' }), {
    client: { ...HIDDEN, host: '/run/pg', port: 5432, user: username, database: username },
    describe: `postgresql://${username}@/${username}?host=/run/pg`,
    logins: ['scram-sha-256'],
  });
});

test('a malformed DATABASE_URL is a usage error that names the variable and never shows the password', async () => {
  const malformed = [
    `mysql://ann:${PASSWORD}@db/shop`,
    `postgresql://ann:${PASSWORD}#@db:5432/shop`,
    `postgresql://ann:${PASSWORD}%zz@db/shop`,
    `postgresql://ann:${PASSWORD}@one:1,two:2/shop`,
    `postgresql://ann:${PASSWORD}@db:99999/shop`,
    `postgresql://ann:${PASSWORD}@db/shop?sslmode=perhaps`,
    `host=db password=${PASSWORD}`,
  ];
  const dataFolder = '/nonexistent/millrace';
  for (const url of malformed) {
    const resolved = resolveTarget({ DATABASE_URL: url }, dataFolder, { keepDatabase: false });
    await assert.rejects(resolved, (error: unknown) => {
      assert.ok(error instanceof MillraceError && error.code === 'usage', url);
      assert.match(error.message, /^DATABASE_URL: /);
      assert.doesNotMatch(inspect(error, { depth: 9 }), /correct/);
      return true;
    });
  }
  assert.equal(existsSync(dataFolder), false);
});

test('a wrong PGPORT is a usage error', () => {
  for (const port of ['0', '65536', 'five', '5432x']) {
    assert.throws(
      () => configuredDatabase({ PGHOST: 'h', PGPORT: port }),
      /PGPORT: must be a port from 1 to 65535/,
    );
  }
});

test('network failures pass by waiting, pg and TLS failures do not', () => {
  const failure = (fields: object) => Object.assign(new Error('x'), fields);
  assert.equal(connectPolicy(failure({ code: 'ECONNREFUSED', syscall: 'connect' })), 'wait');
  assert.equal(connectPolicy(failure({ code: 'ENOTFOUND', syscall: 'getaddrinfo' })), 'wait');
  assert.equal(connectPolicy(failure({ code: 'ECONNRESET' })), 'wait');
  assert.equal(connectPolicy(failure({ code: 'SELF_SIGNED_CERT_IN_CHAIN' })), 'stop');
  assert.equal(connectPolicy(failure({})), 'stop');
});
