// The roles that `millrace roles` prints, on a real PostgreSQL: the owner migrates, the ingest role works for whole runs, the operator
// repairs, the read role looks; and none of them can do what it should not.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';

import { INGEST_RIGHTS, OPERATOR_RIGHTS, rolesSql } from '../../src/sink/postgres/roles.ts';
import { events as table } from '../../src/schema/events.ts';
import { MillraceError } from '../../src/errors.ts';
import { bareEnv, millrace } from '../support/cli.ts';
import type { Ended } from '../support/cli.ts';
import { csv, event, events, invalidEvent } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestDatabase, TestServer } from '../support/postgres.ts';
import { Road } from '../support/road.ts';

const TABLE = 'shop.sales';
const NAMES = ['--table', TABLE, '--role-prefix', 'shop'];
const INSUFFICIENT_PRIVILEGE = '42501';

/** Every right that there is on a relation; the server may know more, which are nobody's then. */
const RIGHTS = ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'];

let server: TestServer;
let database: TestDatabase;
let road: Road;

before(async () => {
  server = await startTestServer();
  database = await server.createDatabase();
  await asSuperuser('CREATE TABLE public.of_somebody_else (secret text)');
  await applyRoles();
  await applyRoles(); // before there is a table to grant anything on
  for (const role of ['owner', 'ingest', 'operator', 'read'])
    await asSuperuser(`ALTER ROLE shop_${role} PASSWORD 'secret of ${role}'`);
  const migrated = await as('owner', ['migrate', '--table', TABLE]);
  assert.equal(migrated.code, 0, migrated.stderr);
  assert.match(migrated.stderr, /migrations? applied; table shop\.sales was made/);
  await applyRoles();
  road = new Road({ ...database, env: { ...database.env, DATABASE_URL: urlOf('ingest') } });
});
after(async () => {
  await road?.clean();
  await server.stop();
});

async function applyRoles(): Promise<void> {
  const { code, stdout } = await millrace(['roles', ...NAMES], { env: bareEnv() });
  assert.equal(code, 0);
  await asSuperuser(stdout);
}

function urlOf(role: string): string {
  return `postgresql://shop_${role}:secret%20of%20${role}@127.0.0.1:${server.port}/${database.name}`;
}

/** The program as one of the roles. */
function as(role: string, args: readonly string[]): Promise<Ended> {
  return millrace(args, { env: bareEnv({ DATABASE_URL: urlOf(role) }) });
}

async function query<R extends pg.QueryResultRow>(config: pg.ClientConfig, sql: string): Promise<R[]> {
  const client = new pg.Client(config);
  await client.connect();
  try {
    return (await client.query<R>(sql)).rows;
  } finally {
    await client.end();
  }
}

function asSuperuser<R extends pg.QueryResultRow>(sql: string): Promise<R[]> {
  return query<R>(database.client, sql);
}

/** What the server says to each statement: its SQLSTATE, or that it went through. */
async function answers(role: string, statements: readonly string[]): Promise<Record<string, string>> {
  const said: Record<string, string> = {};
  for (const statement of statements)
    said[statement] = await query({ connectionString: urlOf(role) }, `BEGIN; ${statement}; ROLLBACK`).then(
      () => 'done',
      (error: unknown) => (error as pg.DatabaseError).code ?? String(error),
    );
  return said;
}

function allOf(statements: readonly string[], answer: string): Record<string, string> {
  return Object.fromEntries(statements.map((statement) => [statement, answer]));
}

/** The rights that a role has on each relation outside of the system's schemas, columns included (`INSERT (...)`). */
async function rightsOf(role: string): Promise<Record<string, string>> {
  const rows = await asSuperuser<{ name: string; rights: string[] }>(`
    SELECT n.nspname || '.' || c.relname AS name,
           array(SELECT r FROM unnest('{${RIGHTS.join(',')}}'::text[]) r WHERE has_table_privilege('shop_${role}', c.oid, r)) ||
           array(SELECT r || ' (' || string_agg(a.attname, ', ' ORDER BY a.attnum) || ')'
                 FROM unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) r, pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                   AND NOT has_table_privilege('shop_${role}', c.oid, r) AND has_column_privilege('shop_${role}', c.oid, a.attnum, r)
                 GROUP BY r ORDER BY r) AS rights
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`);
  const some = rows.filter(({ rights }) => rights.length > 0);
  return Object.fromEntries(some.map(({ name, rights }) => [name, rights.join(', ')]));
}

describe('the ingest role', () => {
  test('works for whole runs: first ones, duplicates, rejects, refusals by the database, and without memory', async () => {
    const once = (...more: string[]): ReturnType<Road['once']> => road.once(['--table', TABLE, ...more]);
    await road.put('a.csv', csv([...events(1, 300), invalidEvent(301)]));
    const first = await once();
    assert.deepEqual([first.inserted, first.duplicates, first.rejected], [300, 0, 1]);
    await road.put('b.csv', csv(events(200, 200)));
    const second = await once('--dedup-memory', '0');
    assert.deepEqual([second.inserted, second.duplicates, second.rejected], [99, 101, 0]);
    await asSuperuser("ALTER TABLE shop.sales ADD CONSTRAINT no_bad CHECK (product_id <> 'bad') NOT VALID");
    const spoiled = events(1_000, 50).map((each, i) =>
      i === 7 ? { ...each, text: each.text.replace(/prod_\d+/, 'bad') } : each,
    );
    await road.put('c.csv', csv(spoiled));
    const third = await once();
    assert.deepEqual([third.inserted, third.rejected], [49, 1]);
    assert.equal(
      (await asSuperuser<{ count: number }>('SELECT count(*)::int FROM shop.sales'))[0]?.count,
      448,
    );
  });

  test('tells a repeated event from another one under its key, with and without memory, as the table has it', async () => {
    const other = new Road(road.database);
    try {
      for (const [name, memory] of [
        ['x.csv', '256MiB'],
        ['y.csv', '0'],
      ] as const) {
        await other.put(name, csv([event(1), event(2, 9), event(3)]));
        const { stderr } = await other.start([
          '--once',
          '--settle',
          '100ms',
          '--table',
          TABLE,
          '--dedup-memory',
          memory,
        ]).ended;
        assert.doesNotMatch(stderr, /may not read/);
      }
      const rows = await asSuperuser(
        `SELECT name, duplicates::int, conflicting::int, (SELECT convert_from(raw, 'UTF8') FROM millrace.rejects r WHERE r.generation = f.generation) AS kept
         FROM millrace.file_totals f WHERE name IN ('x.csv', 'y.csv') ORDER BY name`,
      );
      const each = { duplicates: 3, conflicting: 1, kept: event(2, 9).text };
      assert.deepEqual(rows, [
        { name: 'x.csv', ...each },
        { name: 'y.csv', ...each },
      ]);
    } finally {
      const args = ['reset', '--checkpoint', '--yes', '--input', other.folder, '--table', TABLE];
      const { code, stderr } = await as('operator', args);
      await other.clean();
      assert.equal(code, 0, stderr);
    }
  });

  test('takes a source over from an older instance of the same role', async () => {
    const older = road.start(['--table', TABLE, '--log-format', 'json']);
    await new Promise<void>((resolve) =>
      older.child.stderr?.on('data', (part: Buffer) => part.includes('"reading') && resolve()),
    );
    await road.put('e.csv', csv(events(2_000, 10)));
    await road.once(['--table', TABLE]);
    assert.equal((await older.ended).code, 4);
  });

  test('leaves every file done', async () => {
    const rows = await asSuperuser<{ state: string }>('SELECT DISTINCT state FROM millrace.file_totals');
    assert.deepEqual(rows, [{ state: 'done' }]);
  });

  test('has the rights that it was given on the books and the table, and no other on anything', async () => {
    const books = Object.entries(INGEST_RIGHTS).map(([name, rights]) => [`millrace.${name}`, rights]);
    const columns = table.columns.map(({ name }) => name).join(', ');
    const own = { [TABLE]: `INSERT (${columns}), SELECT (${columns})` };
    assert.deepEqual(await rightsOf('ingest'), { ...Object.fromEntries(books), ...own });
  });

  test('may not do anything that a run does not need', async () => {
    const forbidden = [
      `SELECT created_at FROM ${TABLE}`,
      `SELECT xmin FROM ${TABLE}`,
      `SELECT * FROM ${TABLE}`,
      `COPY ${TABLE} TO STDOUT`,
      `UPDATE ${TABLE} SET quantity = 1`,
      `DELETE FROM ${TABLE}`,
      `TRUNCATE ${TABLE}`,
      `DROP TABLE ${TABLE}`,
      `ALTER TABLE ${TABLE} DISABLE TRIGGER ALL`,
      `INSERT INTO ${TABLE} (created_at) VALUES (now())`,
      `CREATE INDEX ON ${TABLE} (quantity)`,
      `ALTER TABLE ${TABLE} OWNER TO shop_ingest`,
      'CREATE TABLE shop.mine ()',
      'CREATE TABLE public.mine ()',
      'CREATE TABLE millrace.mine ()',
      'CREATE SCHEMA mine',
      'CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
      'SELECT * FROM public.of_somebody_else',
      "INSERT INTO millrace.migrations (version, name, checksum, program) VALUES (9999, 'x', 'x', 'x')",
      'DELETE FROM millrace.batches',
      'DELETE FROM millrace.rejects',
      'UPDATE millrace.rejects SET raw = NULL',
      'UPDATE millrace.batches SET undone_at = now()',
      'DELETE FROM millrace.files',
      'DELETE FROM millrace.leases',
      'TRUNCATE millrace.slices CASCADE',
      'DROP SCHEMA millrace CASCADE',
      'CREATE ROLE mine',
      'SET ROLE shop_owner',
      'SET ROLE shop_operator',
      'SELECT rolpassword FROM pg_authid',
      "SELECT pg_read_file('PG_VERSION')",
      "COPY (SELECT 1) TO PROGRAM 'true'",
      'SELECT pg_reload_conf()',
      `ALTER DATABASE ${database.name} SET TimeZone = 'UTC'`,
    ];
    assert.deepEqual(await answers('ingest', forbidden), allOf(forbidden, INSUFFICIENT_PRIVILEGE));
  });

  test('is refused with a sentence where a person forgot the step after a migration', async () => {
    await asSuperuser('REVOKE SELECT ON millrace.leases FROM shop_ingest');
    const { code, stderr } = await road.start(['--once', '--table', TABLE]).ended;
    await applyRoles();
    assert.equal(code, 5);
    assert.match(stderr, /42501/);
    assert.match(stderr, /grant the missing right/);
  });
});

describe('the operator role', () => {
  const input = (): string[] => ['--input', road.folder, '--table', TABLE];
  const works = async (...args: string[]): Promise<Ended> => {
    const ended = await as('operator', [...args, ...input()]);
    assert.equal(ended.code, 0, `${args.join(' ')}\n${ended.stdout}${ended.stderr}`);
    return ended;
  };

  test('verifies, replays, undoes, resumes and prunes', async () => {
    await works('verify');
    await asSuperuser('ALTER TABLE shop.sales DROP CONSTRAINT no_bad');
    await works('rejects', 'replay', '--code', 'refused_by_database');
    await works('undo', 'b.csv', '--yes');
    await works('resume', 'b.csv');
    await road.once(['--table', TABLE]);
    await works('verify');
    const [row] = await asSuperuser<{ rows: number }>(`SELECT count(*)::int AS rows FROM ${TABLE}`);
    assert.equal(row?.rows, 459);
    rmSync(road.path('e.csv'));
    const { stderr } = await works('prune', '--older-than', '0s', '--yes');
    assert.match(stderr, /removed the books of 1 file/);
    for (const args of [['status'], ['rejects', 'list'], ['why', event(5).key]]) await works(...args);
  });

  test('has the rights that it was given, and no other on anything', async () => {
    const books = Object.entries(OPERATOR_RIGHTS).map(([name, rights]) => [`millrace.${name}`, rights]);
    const columns = table.columns.map(({ name }) => name).join(', ');
    const own = { [TABLE]: `SELECT, DELETE, INSERT (${columns})` };
    assert.deepEqual(await rightsOf('operator'), { ...Object.fromEntries(books), ...own });
  });

  test('changes no row, no table and no role', async () => {
    const forbidden = [
      `UPDATE ${TABLE} SET quantity = 1`,
      `TRUNCATE ${TABLE}`,
      `DROP TABLE ${TABLE}`,
      `ALTER TABLE ${TABLE} DISABLE TRIGGER ALL`,
      `INSERT INTO ${TABLE} (created_at) VALUES (now())`,
      "INSERT INTO millrace.migrations (version, name, checksum, program) VALUES (9999, 'x', 'x', 'x')",
      'DELETE FROM millrace.leases',
      "INSERT INTO millrace.leases (source, target, epoch, holder) VALUES ('x', 'x', gen_random_uuid(), 'x')",
      'TRUNCATE millrace.slices CASCADE',
      'DROP SCHEMA millrace CASCADE',
      'CREATE TABLE shop.mine ()',
      'CREATE TABLE public.mine ()',
      'CREATE SCHEMA mine',
      'CREATE ROLE mine',
      'SET ROLE shop_owner',
      'SELECT * FROM public.of_somebody_else',
      "COPY (SELECT 1) TO PROGRAM 'true'",
    ];
    assert.deepEqual(await answers('operator', forbidden), allOf(forbidden, INSUFFICIENT_PRIVILEGE));
  });
});

test('a role that may not do what is asked hears which one may, and nothing is changed', async () => {
  const asked = [
    ['read', 'operator', ['resume', 'a.csv']],
    ['read', 'operator', ['undo', 'a.csv', '--yes']],
    ['read', 'operator', ['verify']],
    ['read', 'operator', ['why', event(5).key]],
    ['ingest', 'operator', ['undo', 'a.csv', '--yes']],
    ['ingest', 'operator', ['prune', '--older-than', '0s', '--yes']],
    ['operator', 'owner', ['reset', '--yes']],
  ] as const;
  const before = await asSuperuser('SELECT * FROM millrace.file_totals ORDER BY generation');
  rmSync(road.path('c.csv'));
  for (const [connected, needed, args] of asked) {
    const { code, stderr } = await as(connected, [...args, '--input', road.folder, '--table', TABLE]);
    assert.equal(code, 5, `${connected}: ${args.join(' ')}\n${stderr}`);
    assert.match(stderr, new RegExp(`\\bshop_${connected}\\b`));
    assert.match(stderr, new RegExp(`this needs the ${needed} role: connect as millrace_${needed} `));
  }
  const replay = await as('read', ['rejects', 'replay', '--input', road.folder, '--table', TABLE]);
  assert.equal(replay.code, 5);
  assert.match(replay.stderr, /this user may not write to table shop\.sales:\n[^]*"millrace roles" prints/);
  const migrated = await as('ingest', ['migrate', '--table', 'shop.other']);
  assert.equal(migrated.code, 5);
  assert.match(migrated.stderr, /this needs the owner role/);
  assert.deepEqual(await asSuperuser('SELECT * FROM millrace.file_totals ORDER BY generation'), before);
});

describe('the read role', () => {
  test('reads the table and the books, with status as well', async () => {
    const { code, stdout } = await as('read', ['status', '--json', '--input', road.folder, '--table', TABLE]);
    assert.equal(code, 0);
    assert.ok((JSON.parse(stdout) as { total: { inserted: number } }).total.inserted > 400);
    const reading = [`SELECT * FROM ${TABLE}`, 'SELECT * FROM sales', 'SELECT * FROM millrace.rejects'];
    assert.deepEqual(await answers('read', reading), allOf(reading, 'done'));
    assert.deepEqual(await rightsOf('read'), {
      ...Object.fromEntries(Object.keys(INGEST_RIGHTS).map((name) => [`millrace.${name}`, 'SELECT'])),
      [TABLE]: 'SELECT',
    });
  });

  test('writes nothing, not even a temporary table', async () => {
    const forbidden = [
      `DELETE FROM ${TABLE}`,
      `UPDATE ${TABLE} SET quantity = 1`,
      `INSERT INTO ${TABLE} DEFAULT VALUES`,
      'UPDATE millrace.leases SET forget = 9',
      'CREATE TEMPORARY TABLE mine ()',
      'CREATE TABLE public.mine ()',
      'SELECT * FROM public.of_somebody_else',
    ];
    assert.deepEqual(await answers('read', forbidden), allOf(forbidden, INSUFFICIENT_PRIVILEGE));
    const run = await as('read', ['run', '--once', '--input', road.folder, '--table', TABLE]);
    assert.equal(run.code, 5);
  });
});

describe('the owner role', () => {
  test('has migrated, finds nothing to do the second time, and resets', async () => {
    const again = await as('owner', ['migrate', '--table', TABLE]);
    assert.match(again.stderr, /the books were up to date; table shop\.sales was there, and fits/);
    const reset = await as('owner', ['reset', '--yes', '--table', TABLE, '--input', road.folder]);
    assert.equal(reset.code, 0, reset.stderr);
    const [left] = await asSuperuser<{ rows: number; files: number }>(
      `SELECT (SELECT count(*) FROM ${TABLE})::int AS rows, (SELECT count(*) FROM millrace.files)::int AS files`,
    );
    assert.deepEqual(left, { rows: 0, files: 0 });
  });

  test('is no superuser and has nothing to do with tables of others', async () => {
    const forbidden = [
      'SELECT * FROM public.of_somebody_else',
      'DROP TABLE public.of_somebody_else',
      'CREATE ROLE mine',
    ];
    assert.deepEqual(await answers('owner', forbidden), allOf(forbidden, INSUFFICIENT_PRIVILEGE));
  });
});

test('nobody else may use the books or make temporary tables, and the search path of all roles is fixed', async () => {
  await asSuperuser("CREATE ROLE stranger LOGIN PASSWORD 'stranger'");
  const url = urlOf('read').replace(/shop_read:[^@]*/, 'stranger:stranger');
  for (const sql of [
    'SELECT * FROM millrace.leases',
    `SELECT * FROM ${TABLE}`,
    'CREATE TEMPORARY TABLE mine ()',
    'CREATE TABLE public.mine ()',
  ])
    await assert.rejects(query({ connectionString: url }, sql), { code: INSUFFICIENT_PRIVILEGE }, sql);
  for (const role of ['owner', 'ingest', 'operator', 'read'])
    assert.deepEqual(await query({ connectionString: urlOf(role) }, 'SHOW search_path'), [
      { search_path: 'pg_catalog, shop, pg_temp' },
    ]);
});

test('every table and view of the books is in the list of rights', () => {
  const folder = new URL('../../sql/', import.meta.url);
  const numbered = readdirSync(folder).filter((name) => /^\d{4}_/.test(name));
  const sql = numbered.map((name) => readFileSync(new URL(name, folder), 'utf8')).join('\n');
  const made = [...sql.matchAll(/CREATE (?:OR REPLACE )?(?:TABLE|VIEW) millrace\.([a-z_]+)/g)].map(
    ([, name = '']) => name,
  );
  for (const rights of [INGEST_RIGHTS, OPERATOR_RIGHTS])
    assert.deepEqual([...new Set([...made, 'migrations'])].toSorted(), Object.keys(rights).toSorted());
});

test('names are quoted, and one that PostgreSQL would cut is refused', () => {
  const sql = rolesSql(table, { schema: 'select', name: 'order' }, 'user');
  assert.match(sql, /GRANT SELECT ON "select"\."order" TO "user_read";/);
  assert.match(sql, /to_regclass\('"select"\."order"'\)/);
  assert.throws(
    () => rolesSql(table, { schema: 'public', name: 'events' }, 'p'.repeat(57)),
    (error: unknown) => error instanceof MillraceError && error.code === 'usage',
  );
});
