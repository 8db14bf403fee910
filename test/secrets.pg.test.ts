// A planted secret, searched for in everything that the program prints, logs and stores; and the rights on what it makes. The program
// runs as a user runs it, with the password in each of the places where it may be given.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';

import { bareEnv, millrace, start } from './support/cli.ts';
import { csv, events, invalidEvent } from './support/events.ts';
import { startTestServer } from './support/postgres.ts';
import type { TestDatabase, TestServer } from './support/postgres.ts';

const PASSWORD = 'pl4nted "s\\cret" ü&1';
/** A value in a row: personal data, which belongs into the database alone. */
const PERSON = 'person-4711';

let server: TestServer;
let database: TestDatabase;
let folder = '';
before(async () => {
  server = await startTestServer();
  database = await server.createDatabase();
  await asSuperuser(
    `CREATE ROLE ann LOGIN PASSWORD ${pg.escapeLiteral(PASSWORD)}; GRANT CREATE ON DATABASE ${database.name} TO ann; GRANT CREATE ON SCHEMA public TO ann`,
  );
  folder = mkdtempSync(join(tmpdir(), 'millrace-secrets-'));
});
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function asSuperuser(sql: string): Promise<void> {
  const client = new pg.Client(database.client);
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

function secretFile(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, 0o600);
  return path;
}

const url = (password: string): string =>
  `postgresql://ann${password}@127.0.0.1:${server.port}/${database.name}`;

/** Every way to give the password. */
function places(): Readonly<Record<string, NodeJS.ProcessEnv>> {
  const escaped = PASSWORD.replaceAll(/[\\:]/g, String.raw`\$&`);
  const variables = {
    PGHOST: '127.0.0.1',
    PGPORT: String(server.port),
    PGUSER: 'ann',
    PGDATABASE: database.name,
  };
  return {
    DATABASE_URL: { DATABASE_URL: url(`:${encodeURIComponent(PASSWORD)}`) },
    PGPASSWORD: { ...variables, PGPASSWORD: PASSWORD },
    DATABASE_URL_FILE: { DATABASE_URL_FILE: secretFile('url', url(`:${encodeURIComponent(PASSWORD)}`)) },
    PGPASSWORD_FILE: { ...variables, PGPASSWORD_FILE: secretFile('password', `${PASSWORD}\n`) },
    PGPASSFILE: { DATABASE_URL: url(''), PGPASSFILE: secretFile('passfile', `*:*:*:ann:${escaped}\n`) },
  };
}

/** The forms in which the password could show. */
function assertClean(text: string, what: string): void {
  for (const form of [
    PASSWORD,
    encodeURIComponent(PASSWORD),
    JSON.stringify(PASSWORD).slice(1, -1),
    'pl4nted',
  ])
    assert.ok(!text.includes(form), `${what} shows the password:\n${text}`);
}

function input(name: string, text: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  writeFileSync(join(path, 'a.csv'), text);
  return path;
}

describe('a planted password', () => {
  test('opens the database from each of its places, and shows in nothing that is printed', async () => {
    const inbox = input('inbox', csv([...events(1, 20), invalidEvent(21)]));
    const common = ['--input', inbox];
    const whole = ['DATABASE_URL', 'PGPASSFILE'];
    for (const [place, env] of Object.entries(places())) {
      const all = [
        ['run', '--once', '--json', '--log-format', 'json', '--log-level', 'debug', ...common],
        ['status', ...common],
        ['run', '--once', '--log-format', 'pretty', '--log-level', 'debug', ...common],
        ['status', '--json', ...common],
        ['verify', ...common],
        ['why', events(1, 1)[0]?.key ?? '', ...common],
        ['rejects', 'list', '--json', ...common],
        ['rejects', 'export', ...common],
        ['roles'],
        ['migrate'],
        ['prune', '--yes', ...common],
        ['reset', '--checkpoint', '--yes', ...common],
        ['run', '--help'],
        ['database-stop', '--data', join(folder, 'none')],
      ];
      for (const args of whole.includes(place) ? all : all.slice(0, 2)) {
        const { code, stdout, stderr } = await millrace(args, { env: bareEnv(env) });
        assert.equal(code, 0, `${place}: ${args.join(' ')}\n${stderr}`);
        assertClean(stdout + stderr, `${place}: ${args.join(' ')}`);
      }
    }
  });

  test('shows in no failure: wrong password, no such database, server away, wrong certificate, wrong usage', async () => {
    const wrong = url(`:${encodeURIComponent(`${PASSWORD}x`)}`);
    const right = url(`:${encodeURIComponent(PASSWORD)}`);
    const cases: readonly (readonly [number, string])[] = [
      [5, wrong],
      [5, right.replace(database.name, 'nowhere')],
      [5, right.replace('127.0.0.1', '0.0.0.0')],
      [2, `${right}?sslmode=prefer`],
      [2, right.replace('postgresql:', 'mysql:')],
      [2, right.replace('@', '@one,two:')],
      [2, `host=here password=${PASSWORD}`],
    ];
    for (const [expected, DATABASE_URL] of cases)
      for (const command of ['run', 'status']) {
        const { code, stdout, stderr } = await millrace([command, '--input', folder], {
          env: bareEnv({ DATABASE_URL }),
        });
        assert.equal(code, expected, stderr);
        assertClean(stdout + stderr, DATABASE_URL);
      }
    const away = start(['run', '--once', '--input', folder, '--log-format', 'json'], {
      env: bareEnv({ DATABASE_URL: right.replace(String(server.port), '1') }),
    });
    let said = '';
    away.child.stderr?.on('data', (part: Buffer) => {
      said += part.toString();
      if (said.includes('cannot take data')) away.child.kill('SIGTERM');
    });
    await away.ended;
    assert.match(said, /cannot take data/);
    assertClean(said, 'waiting');
  });

  test('stands in no row of the books, and in no argument of a process', async () => {
    const client = new pg.Client(database.client);
    await client.connect();
    for (const table of ['leases', 'files', 'batches', 'slices', 'rejects', 'migrations']) {
      const { rows } = await client.query<{ text: string }>(
        `SELECT t::text AS text FROM millrace.${table} t`,
      );
      assertClean(JSON.stringify(rows), `millrace.${table}`);
    }
    await client.end();
    const inbox = join(folder, 'inbox');
    const run = start(['run', '--input', inbox, '--log-format', 'json'], {
      env: bareEnv(places()['PGPASSFILE'] ?? {}),
    });
    await new Promise<void>((resolve) =>
      run.child.stderr?.on('data', (part: Buffer) => part.includes('reading') && resolve()),
    );
    const { stdout } = spawnSync('ps', ['-A', 'ww', '-o', 'args='], { encoding: 'utf8' });
    run.child.kill('SIGTERM');
    await run.ended;
    assert.match(stdout, /src\/main\.ts run/);
    assertClean(stdout, 'ps');
  });
});

test("a database's words about a row's values reach the quarantine and nothing that is printed", async () => {
  const rows = csv(events(100, 5)).replaceAll(/(?<=,)[^,]+(?=,[^,]*,[^,]*,[^,]*$)/gm, PERSON);
  const inbox = input('people', rows.replace(/^[^\n]*\n/, `${csv([]).trim()}\n`));
  const env = bareEnv({ DATABASE_URL: database.url });
  await asSuperuser(`ALTER TABLE events ADD CONSTRAINT no_person CHECK (user_id <> '${PERSON}')`);
  const args = ['run', '--once', '--json', '--log-level', 'debug', '--input', inbox];
  for (const format of ['json', 'pretty']) {
    const { stdout, stderr } = await millrace([...args, '--log-format', format], { env });
    assert.match(stdout, /"rejected":5/, stderr);
    assert.ok(!(stdout + stderr).includes(PERSON), stdout + stderr);
    assert.equal((await millrace(['reset', '--yes', '--input', inbox], { env })).code, 0);
  }
});

test('what the program makes is for its user alone, whatever the umask was', async () => {
  const inbox = input('kept', csv(events(500, 3)));
  const data = join(folder, 'fresh', 'data');
  const archive = join(folder, 'archive', 'deep');
  const args = [
    'run',
    '--once',
    '--input',
    inbox,
    '--data',
    data,
    '--after',
    'archive',
    '--archive-dir',
    archive,
  ];
  const main = new URL('../src/main.ts', import.meta.url).pathname;
  const ended = spawnSync('/bin/sh', ['-c', 'umask 0; exec "$@"', 'sh', process.execPath, main, ...args], {
    env: bareEnv(),
    encoding: 'utf8',
  });
  assert.equal(ended.status, 0, ended.stderr);
  assert.deepEqual(readdirSync(archive), ['a.csv']);
  for (const path of [archive, join(folder, 'archive')])
    assert.equal(lstatSync(path).mode & 0o777, 0o700, path);
  const root = process.getuid?.() === 0;
  const mayPass = root ? 0o055 : 0; // the server runs as another user then, and must reach its own folders
  for (const name of readdirSync(data, { recursive: true, encoding: 'utf8' })) {
    const stats = lstatSync(join(data, name));
    if (stats.isSymbolicLink() || stats.isSocket()) continue;
    assert.equal(stats.mode & 0o022, 0, `${name} can be written by others`);
    const harmless = /(?:^|\/)(?:server\.json|millrace\.conf|lock[^/]*|binaries.*)$/.test(name);
    if (!root && !harmless) assert.equal(stats.mode & 0o077, 0, `${name} is open to others`);
    if (/(?:password|cluster|socket)$/.test(name)) assert.equal(stats.mode & 0o077, 0, name);
  }
  assert.equal(lstatSync(data).mode & 0o077 & ~mayPass & ~0o011, 0);
  assert.ok(readFileSync(join(data, 'postgres', 'server.json'), 'utf8').length > 0);
});
