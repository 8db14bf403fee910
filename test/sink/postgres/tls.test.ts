// What the words about TLS mean, before anything is connected; and that a password is shown to nobody who asks for it the wrong way.

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';

import { MillraceError } from '../../../src/errors.ts';
import { configuredDatabase } from '../../../src/sink/postgres/configured.ts';
import type { Environment } from '../../../src/sink/postgres/configured.ts';
import { connect, resolveTarget } from '../../../src/sink/postgres/target.ts';
import { isLocal } from '../../../src/sink/postgres/tls.ts';

function sslOf(url: string, env: Environment = {}): unknown {
  return configuredDatabase({ ...env, DATABASE_URL: url })?.client.ssl;
}

test('this machine is known by its sockets and loopback addresses, and by nothing else', () => {
  for (const host of [
    '',
    '/run/pg',
    'localhost',
    'LOCALHOST',
    'db.localhost',
    '127.0.0.1',
    '127.9.9.9',
    '::1',
    '0:0:0:0:0:0:0:1',
  ])
    assert.ok(isLocal(host), host);
  for (const host of [
    'db',
    '10.0.0.1',
    '0.0.0.0',
    '::',
    '::2',
    'localhost.example.org',
    '127.example.org',
    'fe80::1',
    '1270.0.0.1',
  ])
    assert.ok(!isLocal(host), host);
});

test('without sslmode a server elsewhere is verified, and this machine is not asked', () => {
  const verified = { minVersion: 'TLSv1.2', rejectUnauthorized: true };
  assert.deepEqual(sslOf('postgresql://u@db.example/shop'), verified);
  assert.deepEqual(sslOf('postgresql:///shop?host=db.example'), verified);
  assert.deepEqual(sslOf('postgresql:///shop', { PGHOST: 'db.example' }), verified);
  assert.deepEqual(configuredDatabase({ PGHOST: 'db.example' })?.client.ssl, verified);
  for (const url of [
    'postgresql://u@localhost/d',
    'postgresql://u@[::1]/d',
    'postgresql://%2Frun%2Fpg/d',
    'postgresql:///d?host=/run/pg',
  ])
    assert.equal(sslOf(url), false, url);
  assert.equal(sslOf('postgresql://u@localhost/d?host=db.example&sslmode=disable'), false);
  assert.deepEqual(
    sslOf('postgresql://u@localhost/d?host=db.example'),
    verified,
    'the host that is used counts',
  );
});

test('channel binding is asked for, and the limit on the work of a login is that of the driver', () => {
  for (const env of [
    { DATABASE_URL: 'postgresql://u:p@db.example/d' },
    { PGHOST: 'db.example', PGUSER: 'u' },
  ]) {
    const client = configuredDatabase(env)?.client as Record<string, unknown>;
    assert.equal(client['enableChannelBinding'], true);
    assert.ok(!('scramMaxIterations' in client));
  }
});

test('only modes that keep what they say are taken, and nothing that would be silently weaker', () => {
  for (const [query, why] of [
    ['sslmode=prefer', /sslmode prefer, which goes on in plain text/],
    ['sslmode=allow', /sslmode allow, which goes on in plain text/],
    ['sslmode=Verify-Full', /unknown sslmode/],
    ['sslmod=disable', /a parameter sslmod, which means nothing/],
    ['ssl=0', /a parameter ssl, which means nothing/],
    ['sslcrl=/x', /a parameter sslcrl, which means nothing/],
    ['uselibpqcompat=true&sslmode=require', /uselibpqcompat/],
    ['sslrootcert=/nonexistent/ca.pem', /sslrootcert \/nonexistent\/ca\.pem cannot be read \(ENOENT\)/],
    ['sslrootcert=/dev/null', /sslrootcert \/dev\/null is not a PEM file/],
    ['require_auth=anything', /require_auth must be a list of/],
  ] as const)
    assert.throws(
      () => sslOf(`postgresql://u:planted@db.example/d?${query}`),
      (error: unknown) => {
        assert.ok(error instanceof MillraceError && error.code === 'usage');
        assert.match(error.message, why);
        assert.doesNotMatch(error.message, /planted/);
        return true;
      },
    );
  assert.throws(
    () => configuredDatabase({ PGHOST: 'db', PGSSLMODE: 'prefer' }),
    /the PG\* variables: .*prefer/,
  );
});

/** A server that asks for the password in this way, and keeps what it is told afterwards. */
async function asking(request: Buffer): Promise<{ port: number; heard: () => string; close: () => void }> {
  let heard = '';
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write(request);
      socket.on('data', (part) => (heard += part.toString('latin1')));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, heard: () => heard, close };
}

/** `R`, its length, the kind of request, and a salt where there is one (PostgreSQL manual, "Message Formats"). */
const IN_CLEAR = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]);
const AS_MD5 = Buffer.from([0x52, 0, 0, 0, 12, 0, 0, 0, 5, 1, 2, 3, 4]);

for (const [login, request] of [
  ['password', IN_CLEAR],
  ['md5', AS_MD5],
] as const) {
  test(`a server that asks for the password by ${login} gets nothing, unless that is allowed`, async () => {
    const server = await asking(request);
    const url = `postgresql://ann:planted@127.0.0.1:${server.port}/shop`;
    const failureOf = async (env: Environment): Promise<unknown> => {
      const target = await resolveTarget({ ...env, DATABASE_URL: url }, '/nonexistent', {
        keepDatabase: false,
      });
      return connect(target, 300).then(
        () => assert.fail('connected'),
        (error: unknown) => error,
      );
    };
    try {
      const refused = await failureOf({});
      assert.ok(refused instanceof MillraceError);
      assert.match(refused.message, /the server asks for the password/);
      assert.match(refused.wayOut ?? '', new RegExp(`PGREQUIREAUTH=scram-sha-256,${login}`));
      assert.equal(server.heard(), '');
      await failureOf({ PGREQUIREAUTH: `scram-sha-256,${login}` });
      assert.match(
        server.heard(),
        login === 'password' ? /^p[^]{4}planted\0$/ : /^p[^]{4}md5[0-9a-f]{32}\0$/,
      );
    } finally {
      server.close();
    }
  });
}
