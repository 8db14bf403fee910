// Array literals without pg's quoting mean what pg's own mean.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import { byteArray, hexArray, plainArray } from '../../../src/sink/postgres/arrays.ts';

/** As pg reads what the server calls text[]. */
const parserOf = pg.types.getTypeParser as (id: number) => (text: string) => unknown;
const parse = parserOf(1009);

const number = fc.oneof(fc.integer(), fc.bigInt(), fc.uuid(), fc.constant(null), fc.constant(undefined));
const bytes = fc.option(fc.uint8Array({ maxLength: 8 }));

test('plain values come back as their text, and nothing as null', () => {
  fc.assert(
    fc.property(fc.array(number), (values) => {
      assert.deepEqual(
        parse(plainArray(values)),
        values.map((value) => (value === null || value === undefined ? null : String(value))),
      );
    }),
  );
});

test('bytes come back as bytea text, also where one array stands several times', () => {
  fc.assert(
    fc.property(fc.array(bytes), (values) => {
      const all = values.flatMap((one) => [one, one]);
      const hexes = all.map((one) => (one === null ? null : Buffer.from(one).toString('hex')));
      const wanted = hexes.map((hex) => (hex === null ? null : String.raw`\x${hex}`));
      assert.deepEqual(parse(byteArray(all)), wanted);
      assert.deepEqual(parse(hexArray(hexes)), wanted);
    }),
  );
});
