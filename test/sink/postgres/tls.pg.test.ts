// TLS against a real server with certificates of the test's own: whom Millrace talks to, and whom it does not. `0.0.0.0` reaches this
// machine, and is a name of no loopback: it stands for a server elsewhere.

import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect as connectTcp, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { TLSSocket, connect as connectTls } from 'node:tls';

import { MillraceError } from '../../../src/errors.ts';
import { handOver, serverAccount } from '../../../src/sink/postgres/embedded/account.ts';
import { connect, connectFailed, connectPolicy, resolveTarget } from '../../../src/sink/postgres/target.ts';
import { makeAuthority, withoutOpenssl } from '../../support/certificates.ts';
import type { Authority, Certificate } from '../../support/certificates.ts';
import { startTestServer } from '../../support/postgres.ts';
import type { TestServer } from '../../support/postgres.ts';
import { Road } from '../../support/road.ts';
import { csv, events } from '../../support/events.ts';

const ELSEWHERE = '0.0.0.0';
const NAMES = `IP:${ELSEWHERE},IP:127.0.0.1,DNS:localhost`;

/** What a connection attempt came to: the TLS version, null for plain text, or the failure's code or message. */
type Outcome = { readonly tls: string | null } | { readonly failed: string };

describe('TLS', { skip: withoutOpenssl() }, () => {
  let folder = '';
  let server: TestServer;
  let ours: Authority;
  let foreign: Authority;

  before(async () => {
    folder = mkdtempSync('/tmp/millrace-tls-');
    chmodSync(folder, 0o755);
    ours = makeAuthority(folder, 'ours');
    foreign = makeAuthority(folder, 'foreign');
    present(ours.sign('good', NAMES));
    const settings = {
      ssl: 'on',
      ssl_cert_file: join(folder, 'server.pem'),
      ssl_key_file: join(folder, 'server.key'),
    };
    server = await startTestServer({ settings });
  });
  after(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The server shows this certificate from its next start on. */
  function present({ cert, key }: Certificate): void {
    const [certFile, keyFile] = [join(folder, 'server.pem'), join(folder, 'server.key')];
    copyFileSync(cert, certFile);
    copyFileSync(key, keyFile);
    chmodSync(keyFile, 0o600);
    handOver(keyFile, serverAccount('/nonexistent'));
  }

  async function restartWith(certificate: Certificate): Promise<void> {
    present(certificate);
    await server.end();
    await server.start();
  }

  function urlAt(host: string, query = ''): string {
    return server.database('postgres').url.replace('127.0.0.1', host) + query;
  }

  async function outcomeOf(url: string, env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
    const target = await resolveTarget({ ...env, DATABASE_URL: url }, '/nonexistent', {
      keepDatabase: false,
    });
    try {
      const client = await connect(target);
      const sql = 'SELECT version AS tls FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
      const { rows } = await client.query<{ tls: string | null }>(sql);
      await client.end();
      return { tls: rows[0]?.tls ?? null };
    } catch (error) {
      assert.equal(connectPolicy(error), 'stop', 'a server that is not the right one is not waited for');
      const said = connectFailed(target, error);
      assert.ok(said instanceof MillraceError && !said.message.includes(String(target.client.password)));
      return { failed: (error as NodeJS.ErrnoException).code ?? (error as Error).message };
    }
  }

  test('a server elsewhere must show a certificate of a known authority, without anybody asking', async () => {
    assert.deepEqual(await outcomeOf(urlAt(ELSEWHERE), { PGSSLROOTCERT: ours.file }), { tls: 'TLSv1.3' });
    assert.deepEqual(await outcomeOf(urlAt(ELSEWHERE, `?sslrootcert=${ours.file}`)), { tls: 'TLSv1.3' });
  });

  test('a certificate of another authority is refused, with and without naming ours', async () => {
    const code = 'UNABLE_TO_VERIFY_LEAF_SIGNATURE';
    assert.deepEqual(await outcomeOf(urlAt(ELSEWHERE)), { failed: code });
    for (const mode of ['require', 'verify-ca', 'verify-full']) {
      const url = urlAt('localhost', `?sslmode=${mode}&sslrootcert=${foreign.file}`);
      assert.deepEqual(await outcomeOf(url), { failed: code }, mode);
    }
  });

  test('NODE_TLS_REJECT_UNAUTHORIZED=0 changes nothing', async () => {
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    try {
      assert.deepEqual(await outcomeOf(urlAt(ELSEWHERE)), { failed: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' });
    } finally {
      delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    }
  });

  test('plain text to a server elsewhere, and TLS that checks nobody, must be said', async () => {
    assert.deepEqual(await outcomeOf(urlAt(ELSEWHERE, '?sslmode=disable')), { tls: null });
    assert.deepEqual(await outcomeOf(urlAt(ELSEWHERE), { PGSSLMODE: 'disable' }), { tls: null });
    assert.deepEqual(await outcomeOf(urlAt(ELSEWHERE, '?sslmode=no-verify')), { tls: 'TLSv1.3' });
    assert.deepEqual(await outcomeOf(urlAt('127.0.0.1')), { tls: null });
  });

  test('somebody in between with a certificate of the same authority cannot pass a login on', async () => {
    const middle = await standBetween(server.port, ours.sign('middle', NAMES));
    const url = urlAt(ELSEWHERE, `?sslrootcert=${ours.file}`).replace(`:${server.port}`, `:${middle.port}`);
    try {
      const outcome = await outcomeOf(url);
      // 28000 or 28P01: the proof of the password was bound to the other certificate.
      assert.match('failed' in outcome ? outcome.failed : '', /^28/);
      assert.equal(middle.passed(), 1, 'it did stand in between');
    } finally {
      middle.close();
    }
  });

  test('a whole run goes through TLS', async () => {
    const database = await server.createDatabase();
    const road = new Road({
      ...database,
      env: {
        ...database.env,
        PGSSLROOTCERT: ours.file,
        DATABASE_URL: database.url.replace('127.0.0.1', ELSEWHERE),
      },
    });
    try {
      await road.put('a.csv', csv(events(1, 500)));
      assert.equal((await road.once()).inserted, 500);
    } finally {
      await road.clean();
    }
  });

  test('a certificate for another name is refused, and verify-ca takes it', async () => {
    await restartWith(ours.sign('elsewhere', 'DNS:db.example.org'));
    const roots = `sslrootcert=${ours.file}`;
    for (const query of [`?${roots}`, `?sslmode=verify-full&${roots}`, `?sslmode=require&${roots}`])
      assert.deepEqual(
        await outcomeOf(urlAt(ELSEWHERE, query)),
        { failed: 'ERR_TLS_CERT_ALTNAME_INVALID' },
        query,
      );
    assert.deepEqual(await outcomeOf(urlAt(ELSEWHERE, `?sslmode=verify-ca&${roots}`)), { tls: 'TLSv1.3' });
  });

  test('a certificate whose time is over is refused', async () => {
    await restartWith(ours.sign('expired', NAMES, -1));
    for (const mode of ['verify-ca', 'verify-full'])
      assert.deepEqual(await outcomeOf(urlAt(ELSEWHERE, `?sslmode=${mode}&sslrootcert=${ours.file}`)), {
        failed: 'CERT_HAS_EXPIRED',
      });
  });
});

test('a server elsewhere that offers no TLS gets nothing, and the program ends with a sentence', async () => {
  const server = await startTestServer();
  try {
    const database = await server.createDatabase();
    const DATABASE_URL = database.url.replace('127.0.0.1', ELSEWHERE);
    const road = new Road({ ...database, env: { ...database.env, DATABASE_URL } });
    const { code, stderr } = await road.start(['--once']).ended;
    await road.clean();
    assert.equal(code, 5);
    assert.match(stderr, /does not support SSL connections/);
    assert.match(stderr, /sslmode=disable/);
  } finally {
    await server.stop();
  }
});

interface Middle {
  readonly port: number;
  /** Connections whose TLS was ended here and begun anew towards the server. */
  readonly passed: () => number;
  readonly close: () => void;
}

/** Ends TLS with a certificate of its own, and speaks TLS to the server. */
async function standBetween(serverPort: number, { cert, key }: Certificate): Promise<Middle> {
  let passed = 0;
  const sockets = new Set<Socket>();
  const keep = <S extends Socket>(socket: S): S => {
    sockets.add(socket);
    socket.on('error', () => {});
    return socket;
  };
  const server = createServer((client) => {
    const upstream = keep(connectTcp(serverPort, '127.0.0.1'));
    // Both sides begin with SSLRequest and its answer, a single S.
    keep(client).once('data', (request) => upstream.write(request));
    upstream.once('data', (answer) => {
      const outer = keep(
        new TLSSocket(client, { isServer: true, cert: readFileSync(cert), key: readFileSync(key) }),
      );
      client.write(answer);
      const inner = keep(connectTls({ socket: upstream, rejectUnauthorized: false }));
      inner.once('secureConnect', () => (passed += 1));
      outer.pipe(inner).pipe(outer);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '0.0.0.0', resolve);
  });
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, passed: () => passed, close };
}
