// Which columns of an existing table take our values, by rule. Against a real server: test/sink/postgres/table.pg.test.ts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fits, fittingTypes } from '../../src/schema/fit.ts';
import { integer, numeric, text, timestamp, uuid } from '../../src/schema/types.ts';

const CASES = [
  [uuid(), ['uuid'], ['text', 'character varying', 'character(36)', 'bytea']],
  [
    text({ max: 255 }),
    ['character varying(255)', 'character varying(256)', 'character varying', 'text'],
    [
      'character varying(254)',
      'character(255)',
      'citext',
      'name',
      'bytea',
      'text[]',
      'character varying(255)[]',
    ],
  ],
  [
    text({ oneOf: ['view', 'remove_from_cart'] }),
    ['character varying', 'character varying(16)', 'character varying(50)', 'text'],
    ['character varying(15)', 'shop.event_type'],
  ],
  [
    timestamp(),
    ['timestamp without time zone', 'timestamp(6) without time zone'],
    ['timestamp with time zone', 'timestamp(3) without time zone', 'date', 'text'],
  ],
  [integer(), ['integer'], ['bigint', 'smallint', 'numeric', 'numeric(10,0)']],
  [
    numeric(12, 2),
    ['numeric(12,2)', 'numeric', 'numeric(13,3)', 'numeric(14,2)', 'numeric(38,19)'],
    [
      'numeric(11,2)',
      'numeric(12,3)',
      'numeric(12,1)',
      'numeric(12,0)',
      'numeric(12,-2)',
      'double precision',
      'money',
      'integer',
    ],
  ],
] as const;

test('a column fits when it takes every value that passes our grammar, in our binary form', () => {
  for (const [type, fitting, others] of CASES) {
    for (const existing of fitting) assert.ok(fits(type, existing), `${type.sql} into ${existing}`);
    for (const existing of others) assert.ok(!fits(type, existing), `${type.sql} into ${existing}`);
  }
});

test('what would fit is said in words', () => {
  assert.deepEqual(
    CASES.map(([type]) => fittingTypes(type)),
    [
      'uuid',
      'character varying(255) or longer, or text',
      'character varying(16) or longer, or text',
      'timestamp without time zone',
      'integer',
      'numeric(12,2) or wider',
    ],
  );
});
