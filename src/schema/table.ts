// What a table definition is. One definition drives validation, encoding, DDL, the generator and the docs' column table.
// Data only: the DDL text is made in ddl.ts, the product's own table stands in events.ts.

import type { Column } from './column.ts';

export interface TableDefinition {
  readonly name: string;
  readonly comment: string;
  /** The columns that a file may bring, in the order of the table. */
  readonly columns: readonly Column[];
  /** Name of the key column: the dedup identity, a required UUID, and the primary key. */
  readonly key: string;
  /** Columns that the database fills by itself, after the others. */
  readonly filled: readonly { name: string; sql: string; default: string; comment: string }[];
  /** Columns with a plain index of their own. */
  readonly indexes: readonly string[];
}

/** Checks a definition once, at import, and returns it. */
export function defineTable<const T extends TableDefinition>(definition: T): T {
  const names = [...definition.columns, ...definition.filled].map((column) => column.name);
  if (new Set(names).size !== names.length)
    throw new TypeError(`table ${definition.name}: a column name occurs twice`);
  const key = definition.columns.find((column) => column.name === definition.key);
  if (key === undefined || !key.required || key.type.sql !== 'uuid')
    throw new TypeError(`table ${definition.name}: key ${definition.key} must be a required uuid column`);
  for (const index of definition.indexes)
    if (!names.includes(index)) throw new TypeError(`table ${definition.name}: no column ${index} to index`);
  return definition;
}

/** Position of the key among `columns`. */
export function keyIndex(table: TableDefinition): number {
  return table.columns.findIndex((column) => column.name === table.key);
}

/** A schema-qualified name of a table, each part a plain identifier (checked in options.ts, quoted in SQL). */
export interface TableName {
  readonly schema: string;
  readonly name: string;
}
