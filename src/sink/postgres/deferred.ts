// The indexes that a first load drops and builds again: finding and dropping them, building one, saying how far a build is. Each is one
// transaction under the fence. When these things happen is first-load.ts.

import type pg from 'pg';
import { MillraceError } from '../../errors.ts';
import { failPoint } from '../../failpoints.ts';
import { quoteIdentifier } from '../../schema/ddl.ts';
import type { TableName } from '../../schema/table.ts';
import { StepFault, during } from './fault.ts';
import { beginFenced } from './fence.ts';
import { SET_OUR_PATH, SET_THEIR_PATH } from './search-path.ts';
import type { Session } from './session.ts';
import type { Setup, Standing } from './standing.ts';

/** Of the whole table, so that 10 million rows sort in memory or in few runs; two builds may run at once. */
const BUILD_MEMORY_BYTES = 256 * 2 ** 20;
/** Nobody's query may wait longer behind a lock that we only want for speed. */
const LOCK_MS_MAX = 1_000;
/** A build whose client is gone must not keep the table locked: the backend itself notices nothing before it is done. */
const CLIENT_CHECK_MS = 2_000;
/** Begins the application name of a connection while it builds; the name of the index follows. */
const BUILDER_NAME = 'millrace builds ';

const LOCK_NOT_AVAILABLE = '55P03';
const DUPLICATE_TABLE = '42P07';

/** What is known of the table when the source has been taken over. */
export interface Prospect {
  /** Indexes that an earlier first load has dropped and that are not built again yet. */
  readonly deferred: readonly string[];
  readonly empty: boolean;
}

/** A look that costs one round trip. Behind millions of deleted rows it would cost a scan: such a table counts as not empty. */
const PROSPECT = `
  SELECT ARRAY(SELECT name FROM millrace.deferred_indexes WHERE target = $1 ORDER BY name) AS deferred, pg_relation_size($2::regclass) AS size`;
const EMPTY_BYTES_MAX = 64 * 2 ** 20;

export async function readProspect({ client }: Session, setup: Setup): Promise<Prospect> {
  return during('fence', client, async () => {
    const { rows } = await client.query<{ deferred: string[]; size: string }>(PROSPECT, [
      setup.tableText,
      setup.tableSql,
    ]);
    const [{ deferred, size } = { deferred: [], size: '0' }] = rows;
    return { deferred, empty: Number(size) <= EMPTY_BYTES_MAX && (await isEmpty(client, setup)) };
  });
}

async function isEmpty(client: pg.Client, { tableSql }: Setup): Promise<boolean> {
  return (await client.query(`SELECT FROM ${tableSql} LIMIT 1`)).rowCount === 0;
}

interface Fitness {
  readonly plain: boolean;
  readonly owned: boolean;
  readonly may_create: boolean;
  readonly may_record: boolean;
}

const FITNESS = `
  SELECT c.relkind = 'r' AND NOT c.relispartition AS plain, pg_has_role(c.relowner, 'USAGE') AS owned,
    has_schema_privilege(c.relnamespace, 'CREATE') AS may_create,
    has_table_privilege('millrace.deferred_indexes', 'INSERT') AND has_table_privilege('millrace.deferred_indexes', 'DELETE') AS may_record
  FROM pg_class c WHERE c.oid = $1::regclass`;

/**
 * Writes down every index that Millrace makes with the table and that its CREATE INDEX statement
 * alone brings back exactly. What a person made or touched stays: other names, unique, partial and expression indexes, several columns,
 * other methods and orders, comments, labels, cluster marks, replica identities, and whatever something else depends on. pg_get_indexdef
 * leaves out only the tablespace.
 */
const RECORD = `
  INSERT INTO millrace.deferred_indexes (target, name, definition)
  SELECT $1, i.relname, pg_get_indexdef(i.oid) || coalesce(' TABLESPACE ' || quote_ident(s.spcname), '')
  FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_am m ON m.oid = i.relam
    JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0] JOIN pg_opclass o ON o.oid = x.indclass[0]
    LEFT JOIN pg_tablespace s ON s.oid = i.reltablespace
  WHERE c.oid = $2::regclass AND a.attname = ANY ($3) AND i.relname = c.relname || '_' || a.attname || '_idx'
    AND m.amname = 'btree' AND x.indnatts = 1 AND x.indexprs IS NULL AND x.indpred IS NULL AND x.indoption[0] = 0
    AND o.opcdefault AND x.indcollation[0] = a.attcollation
    AND x.indisvalid AND x.indisready AND x.indislive
    AND NOT (x.indisunique OR x.indisprimary OR x.indisexclusion OR x.indisclustered OR x.indisreplident)
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = i.oid)
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.oid AND d.deptype NOT IN ('a', 'n'))
    AND NOT EXISTS (SELECT FROM pg_description d WHERE d.classoid = 'pg_class'::regclass AND d.objoid = i.oid)
    AND NOT EXISTS (SELECT FROM pg_seclabel l WHERE l.classoid = 'pg_class'::regclass AND l.objoid = i.oid)
    AND NOT EXISTS (SELECT FROM millrace.deferred_indexes d WHERE d.target = $1)
  RETURNING name`;

export type Dropped =
  | { readonly kind: 'dropped'; readonly names: readonly string[] }
  /** The table is loaded like any other; `reason` is null when there is nothing to tell. */
  | { readonly kind: 'kept'; readonly reason: string | null };

/**
 * Drops and records what can be, in one transaction, if the table is still empty and ours to change. Nothing of it is half done: after any
 * failure the session must be destroyed. Throws StepFault, RestartNeeded, MillraceError 'fenced'.
 */
export async function dropIndexes(
  session: Session,
  setup: Setup,
  standing: Standing,
  { schema }: TableName,
): Promise<Dropped> {
  const { client } = session;
  // The lock's time-out holds for the fence too: a take-over is over in less.
  const settings = `SET LOCAL lock_timeout = ${LOCK_MS_MAX}; SET LOCAL synchronous_commit = on`;
  try {
    await beginFenced(session, setup, standing, settings);
    return await during('indexes', client, async () => {
      const reason = await unfit(client, setup);
      if (reason !== null) return kept(client, reason);
      // Waits for whoever writes: what they commit is seen by the next statement, and nobody comes in between.
      await client.query(`LOCK TABLE ONLY ${setup.tableSql} IN ACCESS EXCLUSIVE MODE`);
      if (!(await isEmpty(client, setup))) return kept(client, null);
      const values = [setup.tableText, setup.tableSql, setup.table.indexes];
      const { rows } = await client.query<{ name: string }>(RECORD, values);
      if (rows.length === 0) return kept(client, null);
      const names = rows.map((row) => row.name);
      const each = names.map((index) => `${quoteIdentifier(schema)}.${quoteIdentifier(index)}`);
      await inPathOfTriggers(client, () => client.query(`DROP INDEX ${each.join(', ')}`));
      await client.query('COMMIT');
      failPoint('indexes-dropped');
      return { kind: 'dropped', names } as const;
    });
  } catch (error) {
    if (!(error instanceof StepFault) || error.fault.sqlstate !== LOCK_NOT_AVAILABLE) throw error;
    await during('indexes', client, () => client.query('ROLLBACK'));
    return { kind: 'kept', reason: `somebody else is using ${setup.tableText}` };
  }
}

async function unfit(client: pg.Client, { tableText, tableSql }: Setup): Promise<string | null> {
  const { rows } = await client.query<Fitness>(FITNESS, [tableSql]);
  const [fitness] = rows;
  if (fitness?.plain !== true) return `${tableText} is partitioned`;
  if (!fitness.owned) return `this user does not own ${tableText}`;
  if (!fitness.may_create) return `this user may not create an index in the schema of ${tableText}`;
  return fitness.may_record ? null : 'this user may not write to millrace.deferred_indexes';
}

async function kept(client: pg.Client, reason: string | null): Promise<Dropped> {
  await client.query('ROLLBACK');
  return { kind: 'kept', reason };
}

/** Event triggers of the user's may rest on the path that the database or the role has. What we send names everything in full. */
async function inPathOfTriggers(client: pg.Client, work: () => Promise<unknown>): Promise<void> {
  await client.query(SET_THEIR_PATH);
  await work();
  await client.query(SET_OUR_PATH);
}

/** Must be set before the build, and is not known on every system: where it is not, a lost build goes on to its end and is rolled back. */
export async function watchClient({ client }: Session): Promise<void> {
  await during('indexes', client, () =>
    client.query(`SET client_connection_check_interval = ${CLIENT_CHECK_MS}`).catch((error: unknown) => {
      if ((error as pg.DatabaseError).code !== '22023') throw error;
    }),
  );
}

/** Parallel workers stay off: two builds at once fill two processors, and each has the memory above. */
const BUILD_SETTINGS = `SET LOCAL synchronous_commit = on; SET LOCAL max_parallel_maintenance_workers = 0; SET LOCAL default_tablespace = '';
  SELECT set_config('maintenance_work_mem', (greatest(pg_size_bytes(current_setting('maintenance_work_mem')), ${BUILD_MEMORY_BYTES}) / 1024)::text, true)`;

/** The definition of whatever has that name beside the table, as RECORD writes it; NULL when it is no index that works. */
const PRESENT = `
  SELECT CASE WHEN x.indisvalid AND x.indisready AND x.indislive
    THEN pg_get_indexdef(i.oid) || coalesce(' TABLESPACE ' || quote_ident(s.spcname), '') END AS definition
  FROM pg_class i JOIN pg_class c ON c.relnamespace = i.relnamespace AND c.oid = $2::regclass
    LEFT JOIN pg_index x ON x.indexrelid = i.oid LEFT JOIN pg_tablespace s ON s.oid = i.reltablespace
  WHERE i.relname = $1`;

/** `gone`: nothing was recorded any more, somebody else has built it. `there`: a person has made the same one. `taken`: something else has its name. */
export type Built = 'built' | 'gone' | 'there' | 'taken';

/**
 * One index, in the transaction that first deletes its record: the DELETE waits for another build of it whose answer was lost. The
 * table can be read meanwhile; whoever writes to it waits. After a failure the session must be destroyed.
 */
export async function buildIndex(
  session: Session,
  setup: Setup,
  standing: Standing,
  index: string,
): Promise<Built> {
  const { client } = session;
  await beginFenced(session, setup, standing, BUILD_SETTINGS);
  return during('indexes', client, async () => {
    const { rows } = await client.query<{ definition: string }>(
      'DELETE FROM millrace.deferred_indexes WHERE target = $1 AND name = $2 RETURNING definition',
      [setup.tableText, index],
    );
    const [record] = rows;
    if (record === undefined) return end(client, 'ROLLBACK', 'gone');
    const present = await client.query<{ definition: string | null }>(PRESENT, [index, setup.tableSql]);
    const [other] = present.rows;
    if (other !== undefined)
      return other.definition === record.definition
        ? end(client, 'COMMIT', 'there')
        : end(client, 'ROLLBACK', 'taken');
    await client.query("SELECT set_config('application_name', $1, true)", [`${BUILDER_NAME}${index}`]);
    failPoint('index-building');
    await inPathOfTriggers(client, () => create(client, record.definition));
    failPoint('index-built');
    return end(client, 'COMMIT', 'built');
  });
}

/** The extended protocol takes one statement only: whatever else somebody has written into the record is refused by the server. */
async function create(client: pg.Client, definition: string): Promise<void> {
  if (!definition.startsWith('CREATE INDEX '))
    throw new MillraceError(
      'database',
      `millrace.deferred_indexes holds what is no CREATE INDEX: ${definition}`,
    );
  await client.query({ text: definition, queryMode: 'extended' } as pg.QueryConfig);
}

async function end(client: pg.Client, how: 'COMMIT' | 'ROLLBACK', built: Built): Promise<Built> {
  await client.query(how);
  return built;
}

/** The owner, who alone builds, sees those of every column. */
const STATISTICS = `
  SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_stats s ON s.tablename = c.relname AND s.schemaname = n.nspname
  WHERE c.oid = $1::regclass LIMIT 1`;

export async function hasStatistics({ client }: Session, { tableSql }: Setup): Promise<boolean> {
  return during('indexes', client, async () => (await client.query(STATISTICS, [tableSql])).rowCount === 1);
}

export async function analyze({ client }: Session, { tableSql }: Setup): Promise<void> {
  await during('indexes', client, () =>
    client.query(`BEGIN; ${SET_THEIR_PATH}; ANALYZE ${tableSql}; COMMIT`),
  );
}

/** Somebody made something of that name between our look and our CREATE. */
export function isJustTaken(error: unknown): error is StepFault {
  return error instanceof StepFault && error.step === 'indexes' && error.fault.sqlstate === DUPLICATE_TABLE;
}

/** How far a build is. */
export interface BuildProgress {
  readonly index: string;
  readonly phase: string;
  /** Of this phase, 0 to 1; null where the phase does not count. */
  readonly share: number | null;
}

/** Builds of other users show without their phase; application names end after 63 bytes. */
const PROGRESS = `
  SELECT substr(a.application_name, ${BUILDER_NAME.length + 1}) AS index, coalesce(p.phase, 'building') AS phase,
    CASE WHEN p.tuples_total > 0 THEN p.tuples_done::float8 / p.tuples_total WHEN p.blocks_total > 0 THEN p.blocks_done::float8 / p.blocks_total END AS share
  FROM pg_stat_activity a LEFT JOIN pg_stat_progress_create_index p USING (pid)
  WHERE a.datname = current_database() AND a.application_name LIKE '${BUILDER_NAME}%' AND ($1::regclass IS NULL OR p.relid IS NULL OR p.relid = $1::regclass)
  ORDER BY 1`;

/** The builds that run in this database; only those of one table when it is named (as SQL). */
export async function buildsUnderWay(client: pg.Client, tableSql: string | null): Promise<BuildProgress[]> {
  const { rows } = await client.query<BuildProgress>(PROGRESS, [tableSql]);
  return rows.map((row) => ({ ...row, phase: row.phase.replace('building index: ', '') }));
}

/** "events_user_id_idx scanning table 45 %" */
export function progressText({ index, phase, share }: BuildProgress): string {
  return `${index} ${phase}${share === null ? '' : ` ${Math.floor(share * 100)} %`}`;
}
