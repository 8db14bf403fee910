// SQL text of a table definition, and the only two functions that put an identifier into SQL. Text only: nothing here talks
// to a server (sink/postgres/table.ts does).

import { MillraceError } from '../errors.ts';
import type { Column } from './column.ts';
import type { TableDefinition, TableName } from './table.ts';

/** NAMEDATALEN - 1: PostgreSQL cuts longer names off, and two of them could become one. */
const IDENTIFIER_BYTES_MAX = 63;

const CHARACTER_VARYING_OID = 1043;

/** One identifier, quoted. Throws MillraceError('internal') for a name that PostgreSQL cannot hold as it is. */
export function quoteIdentifier(name: string): string {
  if (name === '' || name.includes('\0') || Buffer.byteLength(name) > IDENTIFIER_BYTES_MAX)
    throw new MillraceError('internal', `${JSON.stringify(name)} cannot be a name in PostgreSQL`);
  return `"${name.replaceAll('"', '""')}"`;
}

/** `"schema"."name"` */
export function quoteTable({ schema, name }: TableName): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
}

/** A text in SQL; for comments and printed scripts, which take no parameters. Texts of our own definitions, never data. */
export function quoteLiteral(value: string): string {
  return value.includes('\\')
    ? `E'${escapeQuotes(value.replaceAll('\\', '\\\\'))}'`
    : `'${escapeQuotes(value)}'`;
}

function escapeQuotes(value: string): string {
  return value.replaceAll("'", "''");
}

/**
 * The statements that make the table, its comments and its indexes. PostgreSQL chooses the names of the primary key and of the
 * indexes (`events_pkey`, `events_user_id_idx`): it derives them from the table's and steps aside when one is taken.
 */
export function createTableSql(table: TableDefinition, name: TableName): string[] {
  const target = quoteTable(name);
  const lines = [
    ...table.columns.map(columnSql),
    ...table.filled.map(
      ({ name: filled, sql, default: value }) =>
        `${quoteIdentifier(filled)} ${sql} NOT NULL DEFAULT ${value}`,
    ),
    `PRIMARY KEY (${quoteIdentifier(table.key)})`,
  ];
  return [
    `CREATE TABLE ${target} (\n${lines.map((line) => `  ${line}`).join(',\n')}\n)`,
    `COMMENT ON TABLE ${target} IS ${quoteLiteral(table.comment)}`,
    ...[...table.columns, ...table.filled].map(
      ({ name: column, comment }) =>
        `COMMENT ON COLUMN ${target}.${quoteIdentifier(column)} IS ${quoteLiteral(comment)}`,
    ),
    ...table.indexes.map((column) => `CREATE INDEX ON ${target} (${quoteIdentifier(column)})`),
  ];
}

/** COLLATE "C": text compares by bytes, which is cheaper in an index, and the same on every machine and after every upgrade. */
function columnSql({ name, type, required }: Column): string {
  const collation = type.oid === CHARACTER_VARYING_OID ? ' COLLATE "C"' : '';
  return `${quoteIdentifier(name)} ${type.sql}${collation}${required ? ' NOT NULL' : ''}`;
}

/** The statements as a script with a heading: what sql/events.sql holds, to read or to create the table by hand. */
export function tableScript(table: TableDefinition): string {
  const heading = [
    `-- The table ${table.name}, as Millrace creates it when it does not exist. Made from src/schema/${table.name}.ts; a test keeps them`,
    '-- in step. Not a migration: the table belongs to its user, and one that exists and fits is used as it is.',
  ];
  const statements = createTableSql(table, { schema: 'public', name: table.name });
  return `${heading.join('\n')}\n\n${statements.map((statement) => `${statement};`).join('\n')}\n`;
}
