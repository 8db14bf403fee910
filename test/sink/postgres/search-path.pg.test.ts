// A database in which somebody else may make functions, operators and tables where names are looked for, as anybody may in schema public up
// to PostgreSQL 14; and a user whose triggers rest on the search path of the database. Every command, as a user runs it.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import pg from 'pg';

import { millrace } from '../../support/cli.ts';
import { csv, event, events } from '../../support/events.ts';
import { ROOT } from '../../support/documents.ts';
import { startTestServer } from '../../support/postgres.ts';
import type { TestServer } from '../../support/postgres.ts';
import { Road } from '../../support/road.ts';

const VARIANT = 9;

let server: TestServer;
let road: Road;

before(async () => {
  server = await startTestServer();
});
beforeEach(async () => {
  road = new Road(await server.createDatabase());
});
afterEach(() => road.clean());
after(() => server.stop());

/** Words before a parenthesis: among them is every function that our SQL calls. */
function calledInOurSources(): string[] {
  const texts = globSync('src/**/*.ts', { cwd: ROOT }).map((file) => readFileSync(join(ROOT, file), 'utf8'));
  return [...new Set([...texts.join('\n').matchAll(/\b([a-z_]+)\(/g)].map(([, name = '']) => name))];
}

/**
 * Into schema public: each function of the catalog that our SQL calls, once more with types that fit better wherever the catalog's own
 * takes several; the operators likewise, and tables named as ours. All of them only say that they were called.
 */
const PLANT = `
  SET search_path = pg_catalog;
  CREATE FUNCTION public.operator_called(anyelement, anyelement) RETURNS boolean LANGUAGE plpgsql AS $f$ BEGIN RAISE EXCEPTION 'HIJACKED'; END $f$;
  DO $$ DECLARE
    fine text[] := '{int4,int8,text,varchar,uuid,bytea,bool,xid,xid8,numeric,timestamp,timestamptz,oid,name}';
    one text; other text; signature text; called record;
  BEGIN
    FOR called IN SELECT DISTINCT proname AS name, proargtypes::oid[] AS types FROM pg_catalog.pg_proc
        WHERE proname = ANY (NAMES) AND pronamespace = 'pg_catalog'::regnamespace AND pronargs > 0 LOOP
      FOREACH one IN ARRAY fine LOOP
        SELECT string_agg(CASE
            WHEN t.oid IN ('anyarray'::regtype, 'anycompatiblearray'::regtype) THEN one || '[]'
            WHEN t.typtype = 'p' THEN one
            WHEN t.typname IN ('int8', 'int4', 'text', 'regclass') AND one IN ('int4', 'varchar', 'text') THEN one
            ELSE format_type(t.oid, NULL) END, ', ' ORDER BY place)
          INTO signature FROM unnest(called.types) WITH ORDINALITY AS u (type, place) JOIN pg_catalog.pg_type t ON t.oid = u.type;
        BEGIN
          EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS int LANGUAGE plpgsql AS %L', called.name, signature,
            'BEGIN RAISE EXCEPTION ''HIJACKED''; END');
        EXCEPTION WHEN duplicate_function OR invalid_function_definition THEN NULL;
        END;
      END LOOP;
    END LOOP;
    FOREACH one IN ARRAY fine LOOP FOREACH other IN ARRAY fine LOOP
      EXECUTE format('CREATE FUNCTION public.called(%s, %s) RETURNS boolean LANGUAGE plpgsql AS %L', one, other, 'BEGIN RAISE EXCEPTION ''HIJACKED''; END');
      FOREACH signature IN ARRAY '{=,<>,<,<=,>,>=,+,-,||,%}'::text[] LOOP
        EXECUTE format('CREATE OPERATOR public.%s (FUNCTION = public.called, LEFTARG = %s, RIGHTARG = %s)', signature, one, other);
      END LOOP;
    END LOOP; END LOOP;
    FOREACH one IN ARRAY '{leases,files,batches,slices,rejects,migrations,file_totals,millrace_stage,millrace_undo,millrace_found,pg_class}'::text[] LOOP
      EXECUTE format('CREATE TABLE public.%I ()', one);
    END LOOP;
  END $$;`;

async function plant(): Promise<void> {
  await road.query(PLANT.replace('NAMES', `'{${calledInOurSources().join(',')}}'`));
}

async function works(expected: number, args: readonly string[]): Promise<string> {
  const input = args[0] === 'migrate' ? [] : ['--input', road.folder];
  const { code, stdout, stderr } = await millrace([...args, ...input], { env: road.database.env });
  assert.doesNotMatch(stdout + stderr, /HIJACKED/, args.join(' '));
  assert.equal(code, expected, `${args.join(' ')}\n${stdout}${stderr}`);
  return stdout + stderr;
}

/** Rows of the table; what is planted must not count for us either. */
async function stored(): Promise<number> {
  const [row] = await road.query<{ rows: number }>('SELECT count(*)::int AS rows FROM public.events');
  return row?.rows ?? -1;
}

const ONCE = ['run', '--once', '--json', '--settle', '100ms'];

test('what is planted is what an unguarded statement would call', async () => {
  await plant();
  for (const sql of [
    `SELECT * FROM unnest('{1}'::bigint[])`,
    `SELECT 'a'::varchar IS DISTINCT FROM 'b'::varchar`,
    `SELECT 'a'::text || 'b'::name`,
  ])
    await assert.rejects(road.query(sql), pg.DatabaseError, sql);
});

test('no command of ours calls what others planted in a schema of the path, or reads a table of theirs', async () => {
  await plant();
  await road.put('a.csv', csv(events(0, 20)));
  await works(0, ONCE);
  await road.query(
    `ALTER TABLE events ADD CONSTRAINT no_bad CHECK (quantity OPERATOR(pg_catalog.<>) 4711) NOT VALID`,
  );
  const bad = { ...event(30), text: event(30).text.replace(/,\d+,([^,]*)$/, ',4711,$1') };
  await road.put('b.csv', csv([event(3), event(4, VARIANT), bad, event(31)]));
  await works(0, [...ONCE, '--dedup-memory', '0']);
  await works(0, ['status', '--json']);
  await works(0, ['verify']);
  await works(0, ['why', event(4).key]);
  await works(0, ['rejects', 'list']);
  await works(0, ['rejects', 'export', '--code', 'duplicate_conflict']);
  await road.query('ALTER TABLE events DROP CONSTRAINT no_bad');
  await works(0, ['rejects', 'replay', '--code', 'refused_by_database']);
  assert.equal(await stored(), 22);
  await works(0, ['verify']);
  await road.put('a.csv', csv(events(0, 21)));
  await works(0, ONCE);
  await works(1, ['diff', 'a.csv']);
  await works(0, ['undo', 'b.csv', '--yes']);
  await works(0, ['resume', 'b.csv']);
  await works(0, ONCE);
  await works(0, ['prune', '--older-than', '0s', '--yes']);
  await works(0, ['migrate']);
  await works(0, ['reset', '--yes']);
  assert.equal(await stored(), 0);
});

/** As applications write them: no name is qualified. Each says which of our statements fired it. */
const TRIGGERS = `
  SET check_function_bodies = off;
  CREATE SCHEMA app;
  CREATE TABLE app.heard (what text, key uuid);
  CREATE FUNCTION app.note(what text, key uuid) RETURNS void LANGUAGE sql AS 'INSERT INTO heard VALUES (what, key)';
  CREATE FUNCTION app.tell() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
    PERFORM note(TG_ARGV[0], CASE WHEN TG_OP = 'INSERT' THEN NEW.event_id WHEN TG_OP = 'DELETE' THEN OLD.event_id END);
    RETURN NULL;
  END $f$;
  CREATE FUNCTION app.is_fine(quantity int) RETURNS boolean LANGUAGE plpgsql AS $f$ BEGIN RETURN quantity < most_of(); END $f$;
  CREATE FUNCTION app.most_of() RETURNS int LANGUAGE sql AS 'SELECT 4711';
  ALTER TABLE events ADD CONSTRAINT fine CHECK (app.is_fine(quantity)) NOT VALID;
  CREATE TRIGGER at_once AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION app.tell('inserted');
  CREATE CONSTRAINT TRIGGER later AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.tell('at the end');
  CREATE CONSTRAINT TRIGGER gone AFTER DELETE ON events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.tell('deleted');
  CREATE TRIGGER emptied AFTER TRUNCATE ON events EXECUTE FUNCTION app.tell('emptied');`;

test("the user's triggers and constraints find what they name in the search path of the database", async () => {
  await works(0, ['migrate']);
  await road.query(`${TRIGGERS}; ALTER DATABASE ${road.database.name} SET search_path = app, public`);
  const heard = async (): Promise<Record<string, number>> => {
    const rows = await road.query<{ what: string; count: number }>(
      'SELECT what, count(*)::int FROM app.heard GROUP BY what',
    );
    await road.query('TRUNCATE app.heard');
    return Object.fromEntries(rows.map(({ what, count }) => [what, count]));
  };
  await road.put('a.csv', csv(events(0, 5)));
  await works(0, ONCE);
  assert.deepEqual(await heard(), { inserted: 5, 'at the end': 5 }, 'rows that go straight into the table');
  const bad = { ...event(30), text: event(30).text.replace(/,\d+,([^,]*)$/, ',4711,$1') };
  await road.put('b.csv', csv([event(3), bad, event(6), event(7)]));
  await works(0, [...ONCE, '--dedup-memory', '0']);
  assert.deepEqual(await heard(), { inserted: 2, 'at the end': 2 }, 'by way of the stage, after a trial');
  await road.query(`CREATE OR REPLACE FUNCTION app.most_of() RETURNS int LANGUAGE sql AS 'SELECT 4712'`);
  await works(0, ['rejects', 'replay']);
  assert.deepEqual(await heard(), { inserted: 1, 'at the end': 1 }, 'out of quarantine');
  await works(0, ['undo', 'b.csv', '--yes']);
  assert.deepEqual(await heard(), { deleted: 3 });
  await works(0, ['reset', '--yes']);
  assert.deepEqual(await heard(), { emptied: 1 });
});
