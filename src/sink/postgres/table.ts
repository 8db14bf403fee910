// The user's table: made when it is missing, compared when it is there. Nothing in an existing table is ever changed. Not the
// engine's own tables (migrate.ts makes those).

import pg from 'pg';
import type { ClientBase } from 'pg';
import { MillraceError } from '../../errors.ts';
import { createTableSql, quoteIdentifier } from '../../schema/ddl.ts';
import { fits, fittingTypes } from '../../schema/fit.ts';
import type { TableDefinition, TableName } from '../../schema/table.ts';

export interface EnsuredTable {
  readonly created: boolean;
  /** Name of the primary key's constraint, by which a duplicate key is told from any other unique violation. */
  readonly primaryKey: string;
  /** Columns that a file brings and that this user may not read; with any of them a duplicate cannot be compared with the stored row. */
  readonly unreadable: readonly string[];
}

interface Relation {
  readonly oid: number;
  readonly kind: string;
  readonly persistence: string;
  readonly rowSecurity: boolean;
  readonly schemaUsage: boolean;
}

interface ExistingColumn {
  readonly name: string;
  readonly type: string;
  readonly generated: boolean;
  /** NOT NULL, and nothing fills it when a row does not. */
  readonly demanded: boolean;
  readonly insertable: boolean;
  readonly selectable: boolean;
}

interface PrimaryKey {
  readonly name: string;
  readonly columns: readonly string[];
  readonly deferrable: boolean;
}

const KINDS: Readonly<Record<string, string>> = {
  v: 'a view',
  m: 'a materialized view',
  f: 'a foreign table',
  S: 'a sequence',
  i: 'an index',
  I: 'an index',
  c: 'a type',
};

/**
 * Creates the table when it does not exist; compares it with the definition when it does. `client` must be connected and not
 * inside a transaction. Throws MillraceError('table') with every difference, or when the table may not be created; errors of the
 * connection pass through.
 */
export async function ensureTable(
  client: ClientBase,
  table: TableDefinition,
  name: TableName,
): Promise<EnsuredTable> {
  let relation = await findRelation(client, name);
  const created = relation === null && (await createTable(client, table, name));
  relation ??= await findRelation(client, name);
  if (relation === null)
    throw new MillraceError('table', `table ${show(name)} vanished while Millrace was starting`);
  const columns = await readColumns(client, relation);
  const primaryKey = await readPrimaryKey(client, relation);
  const differences = [
    ...relationDifferences(relation),
    ...columnDifferences(table, columns),
    ...keyDifferences(table, primaryKey),
  ];
  const lacking = rightsLacking(table, relation, columns);
  if (differences.length > 0 || primaryKey === null) throw doesNotFit(name, [...differences, ...lacking]);
  if (lacking.length > 0) throw lacksRights(name, lacking);
  const readable = new Set(columns.filter((column) => column.selectable).map((column) => column.name));
  const unreadable = table.columns.flatMap(({ name: column }) => (readable.has(column) ? [] : [column]));
  return { created, primaryKey: primaryKey.name, unreadable };
}

function show({ schema, name }: TableName): string {
  return `${schema}.${name}`;
}

function doesNotFit(name: TableName, differences: readonly string[]): MillraceError {
  const list = differences.map((difference) => `  - ${difference}`).join('\n');
  return new MillraceError('table', `table ${show(name)} exists but does not fit:\n${list}`, {
    wayOut:
      'Change the table accordingly, or name another one with --table; one that does not exist is created.',
  });
}

function lacksRights(name: TableName, lacking: readonly string[]): MillraceError {
  const list = lacking.map((each) => `  - ${each}`).join('\n');
  return new MillraceError('table', `this user may not write to table ${show(name)}:\n${list}`, {
    wayOut:
      'connect as a role that may, or grant what is missing: "millrace roles" prints the rights of a role that runs (ingest) and of one that repairs (operator)',
  });
}

/** Two starters at once: the second waits for the lock, and then finds the table. Returns whether this one created it. */
async function createTable(client: ClientBase, table: TableDefinition, name: TableName): Promise<boolean> {
  await client.query('BEGIN');
  try {
    await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [
      `millrace.table ${show(name)}`,
    ]);
    const missing = (await findRelation(client, name)) === null;
    if (missing) {
      await createSchema(client, name.schema);
      for (const statement of createTableSql(table, name)) await client.query(statement);
    }
    await client.query('COMMIT');
    return missing;
  } catch (error) {
    // A failed ROLLBACK means that the connection is gone, and the transaction with it; `error` is the one to report.
    await client.query('ROLLBACK').catch(() => undefined);
    throw explainCreation(error, name);
  }
}

/** CREATE SCHEMA IF NOT EXISTS asks for the right to create schemas even when the schema is there. */
async function createSchema(client: ClientBase, schema: string): Promise<void> {
  const found = await client.query('SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1', [schema]);
  if (found.rowCount === 0) await client.query(`CREATE SCHEMA IF NOT EXISTS ${quoteIdentifier(schema)}`);
}

/** Class 42 (access rules, reserved names, ...) is for a person to mend; everything else keeps its own policy. */
function explainCreation(error: unknown, name: TableName): unknown {
  if (!(error instanceof pg.DatabaseError) || error.code?.startsWith('42') !== true) return error;
  return new MillraceError('table', `table ${show(name)} cannot be created: ${error.message}`, {
    wayOut:
      `Grant this user CREATE on schema ${name.schema} (or let its owner run sql/events.sql), ` +
      'or name another table with --table.',
    cause: error,
  });
}

async function findRelation(client: ClientBase, { schema, name }: TableName): Promise<Relation | null> {
  const { rows } = await client.query<Relation>(
    `SELECT c.oid, c.relkind AS kind, c.relpersistence AS persistence,
            pg_catalog.row_security_active(c.oid) AS "rowSecurity",
            pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS "schemaUsage"
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = $2`,
    [schema, name],
  );
  return rows[0] ?? null;
}

async function readColumns(client: ClientBase, { oid }: Relation): Promise<ExistingColumn[]> {
  const { rows } = await client.query<ExistingColumn>(
    `SELECT a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, a.attgenerated <> '' AS generated,
            (a.attnotnull OR t.typnotnull) AND NOT a.atthasdef AND a.attidentity = '' AND t.typdefault IS NULL AS demanded,
            pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'INSERT') AS insertable,
            pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS selectable
       FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
      WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
      ORDER BY a.attnum`,
    [oid],
  );
  return rows;
}

async function readPrimaryKey(client: ClientBase, { oid }: Relation): Promise<PrimaryKey | null> {
  const { rows } = await client.query<PrimaryKey>(
    `SELECT k.conname AS name, k.condeferrable AS deferrable,
            array(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
                    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
                   ORDER BY u.place) AS columns
       FROM pg_catalog.pg_constraint k
      WHERE k.conrelid = $1 AND k.contype = 'p'`,
    [oid],
  );
  return rows[0] ?? null;
}

function relationDifferences({ kind, persistence, rowSecurity }: Relation): string[] {
  const differences: string[] = [];
  if (kind !== 'r' && kind !== 'p') differences.push(`is ${KINDS[kind] ?? 'no table'}, must be a table`);
  if (persistence === 'u')
    differences.push(
      'is UNLOGGED: a crash of the server empties it while the books say that its rows are stored',
    );
  if (rowSecurity) differences.push('has row security for this user: PostgreSQL refuses COPY into it');
  return differences;
}

function rightsLacking(
  table: TableDefinition,
  { schemaUsage }: Relation,
  existing: readonly ExistingColumn[],
): string[] {
  const byName = new Map(existing.map((column) => [column.name, column]));
  const lacking = schemaUsage ? [] : ['is in a schema that this user may not use: GRANT USAGE on it'];
  for (const { name } of table.columns) {
    const column = byName.get(name);
    if (column?.insertable === false) lacking.push(`column ${name}: this user has no INSERT privilege`);
    if (name === table.key && column?.selectable === false)
      lacking.push(`column ${name}: this user has no SELECT privilege, which ON CONFLICT needs`);
  }
  return lacking;
}

function columnDifferences(table: TableDefinition, existing: readonly ExistingColumn[]): string[] {
  const byName = new Map(existing.map((column) => [column.name, column]));
  const ours = new Set(table.columns.map((column) => column.name));
  const ofOurs = table.columns.flatMap(({ name, type }) => {
    const column = byName.get(name);
    if (column === undefined) return [`column ${name} is missing, must be ${fittingTypes(type)}`];
    const differences: string[] = [];
    if (column.generated) differences.push(`column ${name} is GENERATED: it cannot be written`);
    if (!fits(type, column.type))
      differences.push(`column ${name} is ${column.type}, must be ${fittingTypes(type)}`);
    return differences;
  });
  const demanded = existing.filter((column) => column.demanded && !ours.has(column.name));
  return [
    ...ofOurs,
    ...demanded.map(
      ({ name }) => `column ${name} is NOT NULL without a default, and Millrace does not fill it`,
    ),
  ];
}

function keyDifferences(table: TableDefinition, primaryKey: PrimaryKey | null): string[] {
  if (primaryKey === null) return [`has no primary key, must have PRIMARY KEY (${table.key})`];
  const columns = primaryKey.columns.join(', ');
  if (columns !== table.key) return [`has PRIMARY KEY (${columns}), must have PRIMARY KEY (${table.key})`];
  if (primaryKey.deferrable)
    return [`has a DEFERRABLE primary key, must be NOT DEFERRABLE: ON CONFLICT cannot use a deferrable one`];
  return [];
}
