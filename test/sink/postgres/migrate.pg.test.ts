// The numbered SQL files: applied once, in order, whole or not at all, by one program at a time.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, afterEach, test } from 'node:test';
import pg from 'pg';
import { MillraceError } from '../../../src/errors.ts';
import { migrate } from '../../../src/sink/postgres/migrate.ts';
import { startTestServer } from '../../support/postgres.ts';
import type { TestDatabase, TestServer } from '../../support/postgres.ts';

const FIRST = 'CREATE TABLE millrace.one (id int PRIMARY KEY);\nINSERT INTO millrace.one VALUES (1);\n';
const SECOND = 'ALTER TABLE millrace.one ADD COLUMN note text;\n';

let server: TestServer;
let database: TestDatabase;
let client: pg.Client;
let sqlFolder: string;

before(async () => {
  server = await startTestServer();
});
after(() => server.stop());
beforeEach(async () => {
  database = await server.createDatabase();
  client = await open(database.client);
  sqlFolder = mkdtempSync(join(tmpdir(), 'millrace-migrate-'));
  write('0001_one.sql', FIRST);
});
afterEach(async () => {
  await client.end();
  rmSync(sqlFolder, { recursive: true });
});

async function open(config: pg.ClientConfig): Promise<pg.Client> {
  const opened = new pg.Client(config);
  await opened.connect();
  return opened;
}

function write(name: string, text: string): void {
  writeFileSync(join(sqlFolder, name), text);
}

function run(on: pg.Client = client, program = '1.0.0') {
  return migrate(on, { program, sqlFolder });
}

async function applied(): Promise<unknown[]> {
  return (await client.query('SELECT version, name, program FROM millrace.migrations ORDER BY version')).rows;
}

function isMigrationError(pattern: RegExp) {
  return (error: unknown) =>
    error instanceof MillraceError && error.code === 'migration' && pattern.test(error.message);
}

test('files are applied in the order of their numbers, and each only once', async () => {
  write('0002_note.sql', SECOND);
  write('events.sql', 'this is no migration');
  assert.deepEqual(await run(), [
    { version: 1, name: 'one' },
    { version: 2, name: 'note' },
  ]);
  assert.deepEqual(await run(), []);
  assert.deepEqual((await client.query('SELECT * FROM millrace.one')).rows, [{ id: 1, note: null }]);
});

test('a later program applies only what is new and signs it with its version', async () => {
  await run();
  write('0002_note.sql', SECOND);
  assert.deepEqual(await run(client, '2.0.0'), [{ version: 2, name: 'note' }]);
  assert.deepEqual(await applied(), [
    { version: 1, name: 'one', program: '1.0.0' },
    { version: 2, name: 'note', program: '2.0.0' },
  ]);
});

test('a changed file that was applied is refused', async () => {
  await run();
  write('0001_one.sql', `${FIRST}-- harmless\n`);
  await assert.rejects(
    run(),
    isMigrationError(/0001_one\.sql is not the file that Millrace 1\.0\.0 applied/),
  );
});

test('other line ends do not make a file another one', async () => {
  await run();
  write('0001_one.sql', FIRST.replaceAll('\n', '\r\n'));
  assert.deepEqual(await run(), []);
});

test('a database newer than the program is refused', async () => {
  write('0002_note.sql', SECOND);
  await run(client, '2.0.0');
  rmSync(join(sqlFolder, '0002_note.sql'));
  await assert.rejects(run(), isMigrationError(/version 2 \(note, by Millrace 2\.0\.0\).*up to 1/));
});

test('a gap in the numbers is refused before the database is asked', async () => {
  write('0003_gap.sql', SECOND);
  await assert.rejects(run(), /0003_gap\.sql has the number 3, and 2 was next/);
});

test('when one file fails none is applied, and the sentence names it', async () => {
  write('0002_wrong.sql', 'CREATE TABLE millrace.two (id int); SELECT 1/0;');
  await assert.rejects(run(), isMigrationError(/sql\/0002_wrong\.sql cannot be applied: division by zero/));
  const { rows } = await client.query("SELECT to_regnamespace('millrace') AS schema");
  assert.deepEqual(rows, [{ schema: null }]);
  write('0002_wrong.sql', SECOND);
  assert.equal((await run()).length, 2);
});

test('of many programs that start at the same moment one applies and all succeed', async () => {
  write('0002_note.sql', SECOND);
  const clients = await Promise.all(Array.from({ length: 6 }, () => open(database.client)));
  const counts = (await Promise.all(clients.map((each) => run(each)))).map((list) => list.length);
  await Promise.all(clients.map((each) => each.end()));
  assert.deepEqual(
    counts.toSorted((a, b) => a - b),
    [0, 0, 0, 0, 0, 2],
  );
});

test('when nothing is to do SELECT on millrace.migrations is enough', async () => {
  await run();
  await client.query(`CREATE ROLE reader_${database.name} LOGIN PASSWORD 'reader'`);
  await client.query(`GRANT USAGE ON SCHEMA millrace TO reader_${database.name}`);
  await client.query(`GRANT SELECT ON millrace.migrations TO reader_${database.name}`);
  const reader = await open({ ...database.client, user: `reader_${database.name}`, password: 'reader' });
  try {
    assert.deepEqual(await run(reader), []);
    write('0002_note.sql', SECOND);
    await assert.rejects(run(reader), isMigrationError(/0002_note\.sql cannot be applied: must be owner/));
  } finally {
    await reader.end();
  }
});

test('a user without the right to create a schema is told so', async () => {
  await client.query(`CREATE ROLE poor_${database.name} LOGIN PASSWORD 'poor'`);
  const poor = await open({ ...database.client, user: `poor_${database.name}`, password: 'poor' });
  try {
    await assert.rejects(
      run(poor),
      isMigrationError(/schema millrace with its table migrations cannot be made/),
    );
  } finally {
    await poor.end();
  }
});

test("the repository's own files are applied, and every table, view and column of them has a comment", async () => {
  const own = await migrate(client, { program: '1.0.0' });
  assert.equal(own[0]?.version, 1);
  const { rows } = await client.query(
    `SELECT c.relname, a.attname FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
     WHERE c.relnamespace = 'millrace'::regnamespace AND c.relkind IN ('r', 'v')
       AND (obj_description(c.oid) IS NULL OR (NOT a.attisdropped AND col_description(c.oid, a.attnum) IS NULL))`,
  );
  assert.deepEqual(rows, []);
});

test("the repository's own files leave the transaction to the program", () => {
  const folder = new URL('../../../sql/', import.meta.url);
  for (const name of readdirSync(folder).filter((each) => /^\d{4}_/.test(each))) {
    assert.doesNotMatch(
      readFileSync(new URL(name, folder), 'utf8'),
      /^\s*(BEGIN|COMMIT|ROLLBACK|END)\b.*;/im,
    );
  }
});
