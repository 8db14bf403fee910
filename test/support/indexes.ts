// What tests of the first load share: the indexes of a table as they are, and a way to stop the building of one for as long as a test
// likes, whatever the machine's speed.

import type pg from 'pg';

/** Everything that must be the same after an index was dropped and built again. */
const SHAPES = `
  SELECT i.relname AS name, pg_get_indexdef(x.indexrelid) AS definition, obj_description(i.oid, 'pg_class') AS comment, i.reloptions,
    s.spcname AS tablespace, pg_get_userbyid(i.relowner) AS owner, x.indisvalid, x.indisready, x.indislive, x.indisunique, x.indisprimary,
    x.indisclustered, x.indisreplident, ARRAY(SELECT attstattarget FROM pg_attribute WHERE attrelid = i.oid ORDER BY attnum)::text AS targets
  FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid LEFT JOIN pg_tablespace s ON s.oid = i.reltablespace
  WHERE x.indrelid = 'events'::regclass ORDER BY 1`;

export type Ask = <R extends pg.QueryResultRow>(text: string) => Promise<R[]>;

export interface Shape extends pg.QueryResultRow {
  readonly name: string;
  readonly definition: string;
}

export function indexShapes(ask: Ask): Promise<Shape[]> {
  return ask<Shape>(SHAPES);
}

export async function indexNames(ask: Ask): Promise<string[]> {
  return (await indexShapes(ask)).map(({ name }) => name);
}

export async function deferredNames(ask: Ask): Promise<string[]> {
  const rows = await ask<{ name: string }>('SELECT name FROM millrace.deferred_indexes ORDER BY name');
  return rows.map(({ name }) => name);
}

export const OWN_INDEXES = [
  'events_event_timestamp_idx',
  'events_event_type_idx',
  'events_product_id_idx',
  'events_user_id_idx',
] as const;

const HOLD_KEY = 4711;

/** From now on every CREATE INDEX in this database stands at its end, with its lock on the table, while somebody holds the builds. */
export async function makeHoldable(ask: Ask): Promise<void> {
  await ask(`CREATE FUNCTION hold() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(${HOLD_KEY}); END $$;
    CREATE EVENT TRIGGER hold ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION hold()`);
}

/** Holds the builds until the returned function is called, or the client ends. */
export async function holdBuilds(client: pg.Client): Promise<() => Promise<void>> {
  await client.query(`SELECT pg_advisory_lock(${HOLD_KEY})`);
  return async () => {
    await client.query(`SELECT pg_advisory_unlock(${HOLD_KEY})`);
  };
}

/** Somebody builds and is held. */
export async function isHeld(ask: Ask): Promise<boolean> {
  const rows = await ask(
    `SELECT FROM pg_stat_activity WHERE application_name LIKE 'millrace builds %' AND wait_event_type = 'Lock' AND datname = current_database()`,
  );
  return rows.length > 0;
}
