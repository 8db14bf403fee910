// The life of the embedded server: made once, found again, repaired, shared, and ended by the last program that uses it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import pg from 'pg';
import { databaseStop, databaseUrl } from '../../../src/commands/database.ts';
import { MillraceError } from '../../../src/errors.ts';
import { closeEmbedded, openEmbedded } from '../../../src/sink/postgres/embedded.ts';
import { birthOf } from '../../../src/sink/postgres/embedded/process.ts';
import { livingServer } from '../../../src/sink/postgres/embedded/server.ts';
import { connect, resolveTarget } from '../../../src/sink/postgres/target.ts';
import {
  eventually,
  killProgram,
  makeDataFolder,
  removeDataFolder,
  startProgram,
} from '../../support/embedded.ts';
import type { Program } from '../../support/embedded.ts';
import { killTree } from '../../support/postgres.ts';

/** A data folder with a server that was made and ended: most tests begin with a copy of it, 0.1 s instead of 1.2 s. */
let template: ReturnType<typeof makeDataFolder>;
let folder: string;
let dataFolder: string;
let cluster: string;
let programs: Program[];

before(async () => {
  template = makeDataFolder();
  await openEmbedded({ dataFolder: template.dataFolder, keep: false });
  await closeEmbedded({ dataFolder: template.dataFolder, keep: false });
});
after(() => removeDataFolder(template.folder, template.dataFolder));

beforeEach(() => {
  ({ folder, dataFolder } = makeDataFolder());
  cluster = join(dataFolder, 'postgres', 'cluster');
  programs = [];
});

afterEach(async () => {
  for (const each of programs) await killProgram(each);
  await removeDataFolder(folder, dataFolder);
});

function program(how: Parameters<typeof startProgram>[1] = {}): Program {
  const started = startProgram(dataFolder, how);
  programs.push(started);
  return started;
}

function alreadyMade(): void {
  execFileSync('cp', ['-Rp', join(template.dataFolder, 'postgres'), dataFolder]);
}

function options(keep = false) {
  return { dataFolder, keep };
}

function serverPid(): number | undefined {
  return livingServer(cluster)?.pid;
}

async function query(config: pg.ClientConfig, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(config);
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query(text)).rows as Record<string, unknown>[];
  } finally {
    await client.end();
  }
}

test('it is made on first use, keeps its data and its port, and is gone after close', async () => {
  const first = await openEmbedded(options());
  await query(first.client, 'CREATE TABLE kept AS SELECT 42 AS answer');
  await closeEmbedded(options());
  assert.equal(serverPid(), undefined);
  const second = await openEmbedded(options());
  assert.equal(second.url, first.url);
  assert.deepEqual(await query(second.client, 'SELECT answer, current_database() AS name FROM kept'), [
    { answer: 42, name: 'ecommerce_streaming' },
  ]);
  await closeEmbedded(options());
});

test('it listens on the loopback and its own socket only, and demands SCRAM on both', async () => {
  alreadyMade();
  const server = await openEmbedded(options());
  const [settings] = await query(
    server.client,
    `SELECT current_setting('listen_addresses') AS tcp, current_setting('password_encryption') AS encryption,
       current_setting('fsync') AS fsync, current_setting('data_checksums') AS checksums,
       (SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules) AS methods,
       (SELECT count(*)::int FROM pg_hba_file_rules WHERE error IS NOT NULL) AS errors`,
  );
  assert.deepEqual(settings, {
    tcp: '127.0.0.1',
    encryption: 'scram-sha-256',
    fsync: 'on',
    checksums: 'on',
    methods: 'scram-sha-256',
    errors: 0,
  });
  const refused = (error: unknown) => error instanceof pg.DatabaseError && error.code === '28P01';
  await assert.rejects(query({ ...server.client, password: 'guess' }, 'SELECT'), refused);
  await assert.rejects(query({ ...server.client, host: '127.0.0.1', password: 'guess' }, 'SELECT'), refused);
  assert.deepEqual(await query({ connectionString: server.url }, 'SELECT 1 AS one'), [{ one: 1 }]);
  const home = join(dataFolder, 'postgres');
  const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);
  assert.deepEqual(
    [modeOf(join(home, 'password')), modeOf(join(home, 'socket')), modeOf(cluster)],
    ['600', '700', '700'],
  );
});

/** Each moment of a first start, as it shows in the file system. */
const MOMENTS: readonly (readonly [string, () => boolean])[] = [
  ['the folder for initdb exists', () => making() !== undefined],
  ['initdb has begun', () => existsSync(join(making() ?? folder, 'PG_VERSION'))],
  [
    'initdb runs its bootstrap script',
    () => existsSync(join(making() ?? folder, 'base', '1', 'pg_filenode.map')),
  ],
  ['initdb copies its templates', () => existsSync(join(making() ?? folder, 'base', '4', 'PG_VERSION'))],
  ['the cluster is complete', () => existsSync(cluster)],
  ['the server is starting', () => existsSync(join(cluster, 'postmaster.pid'))],
  ['the server is ready', () => livingServer(cluster)?.status === 'ready'],
];

function making(): string | undefined {
  const home = join(dataFolder, 'postgres');
  if (!existsSync(home)) return undefined;
  const name = readdirSync(home).find((each) => each.startsWith('cluster.making-'));
  return name === undefined ? undefined : join(home, name);
}

for (const [moment, hasCome] of MOMENTS) {
  test(`a first start killed when ${moment} is repaired by the next`, async () => {
    const killed = program();
    await eventually(moment, hasCome);
    await killProgram(killed);
    const server = await openEmbedded(options());
    assert.deepEqual(await query(server.client, 'SELECT current_database() AS name'), [
      { name: 'ecommerce_streaming' },
    ]);
    await closeEmbedded(options());
    assert.equal(serverPid(), undefined);
  });
}

test('what interrupted first starts leave behind is removed by a later first start', async () => {
  const killed = program();
  await eventually('initdb has begun', () => existsSync(join(making() ?? folder, 'PG_VERSION')));
  await killProgram(killed);
  const leftover = making() ?? assert.fail('nothing is left behind');
  await eventually('the orphaned initdb is over', () => !isNamedByAProcess(leftover));
  await openEmbedded(options());
  assert.equal(existsSync(leftover), false);
});

/** An orphan writes on for seconds on a busy machine; what it leaves then belongs to the next start. */
function isNamedByAProcess(path: string): boolean {
  return execFileSync('ps', ['-A', 'ww', '-o', 'args='], { encoding: 'utf8' }).includes(path);
}

test('a server that a killed program left running is found, used, and ended with its finder', async () => {
  alreadyMade();
  const killed = program();
  await killed.opened();
  const pid = serverPid();
  await killProgram(killed);
  assert.notEqual(pid, undefined);
  const server = await openEmbedded(options());
  assert.equal(serverPid(), pid);
  await query(server.client, 'SELECT 1');
  await closeEmbedded(options());
  assert.equal(serverPid(), undefined);
});

test('of programs that start at the same moment one makes the server and the others use it', async () => {
  const all = [program(), program(), program()];
  const opened = await Promise.all(all.map((each) => each.opened()));
  assert.equal(new Set(opened.map(({ url }) => url)).size, 1);
  const makers = all.filter(({ said }) => said.some((line) => line.startsWith('making a PostgreSQL')));
  assert.equal(makers.length, 1);
});

test('a program that ends leaves the server to those who still use it, and the last one ends it', async () => {
  alreadyMade();
  const starter = program();
  await starter.opened();
  const other = program();
  await other.opened();
  await other.tell('connect');
  await starter.tell('close');
  const pid = serverPid();
  assert.notEqual(pid, undefined);
  await other.tell('disconnect');
  await other.tell('close');
  assert.equal(serverPid(), undefined);
  assert.equal(birthOf(pid ?? 0), undefined);
});

test('a program that did not start the server does not end it while its starter lives', async () => {
  alreadyMade();
  const starter = program();
  await starter.opened();
  const visitor = program();
  await visitor.opened();
  await visitor.tell('close');
  assert.notEqual(serverPid(), undefined);
});

test('a server that was killed with kill -9 is started again over its stale postmaster.pid', async () => {
  alreadyMade();
  const killed = await openEmbedded(options());
  await query(killed.client, 'CREATE TABLE kept AS SELECT 42 AS answer');
  killTree(serverPid() ?? 0);
  const server = await openEmbedded(options());
  assert.deepEqual(await query(server.client, 'SELECT answer FROM kept'), [{ answer: 42 }]);
});

test('a postmaster.pid whose number now belongs to another program does not stop the start', async () => {
  alreadyMade();
  await openEmbedded(options());
  const file = join(cluster, 'postmaster.pid');
  const noted = readFileSync(file, 'utf8').split('\n').slice(1);
  killTree(serverPid() ?? 0);
  writeFileSync(file, [String(process.pid), ...noted].join('\n'));
  const server = await openEmbedded(options());
  await query(server.client, 'SELECT 1');
});

test('a connection starts a server that died in the meantime again', async () => {
  alreadyMade();
  const target = await resolveTarget({}, dataFolder, { keepDatabase: false });
  killTree(serverPid() ?? 0);
  const client = await connect(target);
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
  await client.end();
  await target.close();
  assert.equal(serverPid(), undefined);
});

test('Ctrl-C on the terminal of its starter does not reach the server', async () => {
  alreadyMade();
  const starter = program({ ownGroup: true });
  await starter.opened();
  const pid = serverPid();
  const gone = once(starter.child, 'exit');
  process.kill(-(starter.child.pid ?? assert.fail()), 'SIGINT');
  await gone;
  const server = await openEmbedded(options());
  await query(server.client, 'SELECT 1');
  assert.equal(serverPid(), pid);
});

test('database-url names --start when nothing runs, starts it with it, and the server stays until database-stop', async () => {
  alreadyMade();
  await assert.rejects(databaseUrl({}, dataFolder, { start: false }), (error: unknown) => {
    return (
      error instanceof MillraceError &&
      error.code === 'embedded' &&
      /database-url --start/.test(error.wayOut ?? '')
    );
  });
  const url = await databaseUrl({}, dataFolder, { start: true });
  assert.match(url, /^postgresql:\/\/postgres:[\w-]{32}@127\.0\.0\.1:\d+\/ecommerce_streaming$/);
  const visitor = program();
  await visitor.opened();
  await visitor.tell('close');
  assert.equal(await databaseUrl({}, dataFolder, { start: false }), url);
  assert.deepEqual(await query({ connectionString: url }, 'SELECT 1 AS one'), [{ one: 1 }]);
  assert.match(await databaseStop(dataFolder), /has ended$/);
  assert.equal(serverPid(), undefined);
  assert.match(await databaseStop(dataFolder), /was not running$/);
});

test('database-url --start keeps a server that a running program started', async () => {
  alreadyMade();
  const starter = program();
  await starter.opened();
  await databaseUrl({}, dataFolder, { start: true });
  await starter.tell('close');
  assert.notEqual(serverPid(), undefined);
});

test('database-url prints the configured database as it was given, and starts nothing', async () => {
  const url = 'postgresql://ann:secret@db/shop?sslmode=disable';
  assert.equal(await databaseUrl({ DATABASE_URL: url }, dataFolder, { start: true }), url);
  const ofVariables = await databaseUrl({ PGHOST: 'db', PGUSER: 'ann', PGPASSWORD: 'secret' }, dataFolder, {
    start: true,
  });
  assert.equal(ofVariables, 'postgresql://ann@db:5432/ann');
  assert.deepEqual(readdirSync(dataFolder), []);
});
