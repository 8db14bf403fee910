// Unsure rows: memory cannot say whether their keys are stored, so the unique index does. They are COPYed into a temporary table of the
// connection's own and go on from there with ON CONFLICT DO NOTHING. Measured: 22 % dearer per row than a direct COPY.

import type pg from 'pg';
import { quoteIdentifier } from '../../schema/ddl.ts';
import type { TableDefinition } from '../../schema/table.ts';
import { copyTuples } from './copy.ts';
import { SET_OUR_PATH } from './search-path.ts';

const STAGE = 'pg_temp.millrace_stage';

/** `"a", "b", ...`: the columns that a file may bring. */
export function columnsSql(table: TableDefinition): string {
  return table.columns.map((column) => quoteIdentifier(column.name)).join(', ');
}

/**
 * Made once per connection, outside a transaction. Its types are ours and it has no constraints: whatever the user's table refuses is
 * refused by the INSERT. `ord` is the order of arrival, filled in by the server so that the tuples need not be rewritten.
 */
export function makeStageSql(table: TableDefinition): string {
  const columns = table.columns.map(({ name, type }) => `${quoteIdentifier(name)} ${type.sql}`);
  const ord = 'ord bigint GENERATED ALWAYS AS IDENTITY';
  return `CREATE TEMPORARY TABLE millrace_stage (${[...columns, ord].join(', ')}) ON COMMIT DELETE ROWS`;
}

/** Tuples into the stage, in the order of the batch. */
export function copyToStage(
  client: pg.Client,
  table: TableDefinition,
  tuples: Iterable<Uint8Array>,
): Promise<number> {
  return copyTuples(client, `${STAGE} (${columnsSql(table)})`, tuples);
}

/**
 * From the stage into the table, in whatever search path is set. Waits for other transactions that are writing one of these keys, and
 * takes the row if they roll back. Returns the keys that were stored, ascending, 16 bytes each.
 */
export async function insertFromStage(
  client: pg.Client,
  table: TableDefinition,
  tableSql: string,
): Promise<Buffer> {
  const key = quoteIdentifier(table.key);
  const columns = columnsSql(table);
  // One value for all keys: 50,000 result rows would be 50,000 objects on the main thread.
  const { rows } = await client.query<{ keys: Buffer | null }>(
    `WITH stored AS (
       INSERT INTO ${tableSql} (${columns}) SELECT ${columns} FROM ${STAGE} ORDER BY ${key}, ord
       ON CONFLICT (${key}) DO NOTHING RETURNING ${key} AS key)
     SELECT string_agg(uuid_send(key), ''::bytea ORDER BY key) AS keys FROM stored`,
  );
  return rows[0]?.keys ?? Buffer.alloc(0);
}

export interface Compared {
  /** Staged keys that the table still does not have: a trigger swallowed their rows. Must be 0. */
  readonly swallowed: number;
  /** Places (from 0, in the order of arrival) of rows whose values are not those of the table's row. */
  readonly differing: ReadonlySet<number>;
}

/**
 * Looks up every staged key in the table, after the INSERT. `compares`: the user may read all columns, so that values are compared
 * as well; it is the same look-up, with a visit to the row. Leaves the transaction in our search path: `=` for varchar may be anybody's.
 */
export async function compareStage(
  client: pg.Client,
  table: TableDefinition,
  tableSql: string,
  compares: boolean,
): Promise<Compared> {
  const key = quoteIdentifier(table.key);
  const others = table.columns.map(({ name }) => quoteIdentifier(name)).filter((name) => name !== key);
  const differs = others.map((name) => `s.${name} IS DISTINCT FROM t.${name}`).join(' OR ');
  const differing = compares
    ? `array_agg((s.ord - o.first)::int ORDER BY s.ord) FILTER (WHERE t.${key} IS NOT NULL AND (${differs}))`
    : 'NULL::int[]';
  // A look into the index for each row, whatever the planner believes: it knows nothing of the stage, and statistics of the table from
  // a moment when it was empty (its first rows being written) make it compare every row with every other: minutes for 40,000. OFFSET 0
  // keeps the look-up a subquery of its own.
  const results = (await client.query(
    `${SET_OUR_PATH}; SELECT count(*) FILTER (WHERE t.${key} IS NULL)::int AS swallowed, ${differing} AS differing
     FROM (SELECT min(ord) AS first FROM ${STAGE}) o, ${STAGE} s
     LEFT JOIN LATERAL (SELECT ${[key, ...(compares ? others : [])].join(', ')} FROM ${tableSql} f WHERE f.${key} = s.${key} OFFSET 0) t ON true`,
  )) as unknown as pg.QueryResult<{ swallowed: number; differing: number[] | null }>[];
  const row = results.at(-1)?.rows[0];
  return { swallowed: row?.swallowed ?? 0, differing: new Set(row?.differing ?? []) };
}

/** Rows [from, to) of the stage, by place, into the table; for trials under a savepoint. */
export function insertRangeSql(table: TableDefinition, tableSql: string, from: bigint, to: bigint): string {
  const key = quoteIdentifier(table.key);
  const columns = columnsSql(table);
  return `INSERT INTO ${tableSql} (${columns}) SELECT ${columns} FROM ${STAGE} WHERE ord >= ${from} AND ord < ${to}
    ORDER BY ${key}, ord ON CONFLICT (${key}) DO NOTHING`;
}

/** Indexes the stage for a trial and returns the place of its first row; the others follow without a gap. */
export async function indexStage(client: pg.Client): Promise<bigint> {
  await client.query(`CREATE INDEX ON ${STAGE} (ord)`);
  const { rows } = await client.query<{ first: string }>(`SELECT min(ord)::text AS first FROM ${STAGE}`);
  return BigInt(rows[0]?.first ?? 0);
}
