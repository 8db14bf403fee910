// The DDL text: in step with sql/events.sql, and safe against its own names. What a server makes of it is in test/sink/postgres/table.pg.test.ts.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createTableSql, quoteIdentifier, quoteTable, tableScript } from '../../src/schema/ddl.ts';
import { events } from '../../src/schema/events.ts';
import { defineTable } from '../../src/schema/table.ts';
import { text, uuid } from '../../src/schema/types.ts';

test('sql/events.sql is in step with the definition', () => {
  const file = new URL('../../sql/events.sql', import.meta.url);
  assert.equal(readFileSync(file, 'utf8'), tableScript(events), 'write the expected text to sql/events.sql');
});

test('identifiers are quoted, and their quotes doubled', () => {
  assert.equal(quoteIdentifier('events'), '"events"');
  assert.equal(quoteIdentifier('Odd "name"; DROP TABLE x'), '"Odd ""name""; DROP TABLE x"');
  assert.equal(quoteTable({ schema: 'shop', name: 'events' }), '"shop"."events"');
});

test('a name that PostgreSQL would cut or cannot hold is refused', () => {
  assert.equal(quoteIdentifier('é'.repeat(31)).length, 33);
  for (const name of ['', 'a\0b', 'x'.repeat(64), 'é'.repeat(32)])
    assert.throws(() => quoteIdentifier(name), { code: 'internal' }, JSON.stringify(name));
});

test('every column has a comment, and quotes in comments do no harm', () => {
  const table = defineTable({
    name: 'things',
    comment: "it's",
    key: 'id',
    columns: [
      { name: 'id', type: uuid(), required: true, comment: "'; DROP TABLE x; --" },
      { name: 'label', type: text(), required: false, comment: 'back\\slash' },
    ],
    filled: [],
    indexes: ['label'],
  });
  assert.deepEqual(createTableSql(table, { schema: 's', name: 't' }), [
    'CREATE TABLE "s"."t" (\n  "id" uuid NOT NULL,\n  "label" character varying COLLATE "C",\n  PRIMARY KEY ("id")\n)',
    `COMMENT ON TABLE "s"."t" IS 'it''s'`,
    `COMMENT ON COLUMN "s"."t"."id" IS '''; DROP TABLE x; --'`,
    `COMMENT ON COLUMN "s"."t"."label" IS E'back\\\\slash'`,
    'CREATE INDEX ON "s"."t" ("label")',
  ]);
});
