// What holds for every column type: samples, any bytes, near misses. The grammar of each type has its own test.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { ColumnType, ValueFault } from '../../src/schema/column.ts';
import { seededRandom } from '../../src/schema/random.ts';
import { integer, numeric, text, timestamp, uuid } from '../../src/schema/types.ts';
import { encodeText, faultOf } from './encoding.ts';

const UUID = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';
const UUID_HEX = UUID.replaceAll('-', '');
const NAME = text({ max: 255 });
const EVENT_TYPE = text({ oneOf: ['view', 'purchase', 'add_to_cart', 'remove_from_cart'] });
const QUANTITY = integer({ min: 0 });
const PRICE = numeric(12, 2, { min: 0 });

describe('every type', () => {
  const TYPES: Readonly<Record<string, ColumnType>> = {
    uuid: uuid(),
    name: NAME,
    eventType: EVENT_TYPE,
    timestamp: timestamp(),
    quantity: QUANTITY,
    price: PRICE,
    signed: numeric(20, 6),
    big: integer(),
  };

  test('takes its own samples', () => {
    const random = seededRandom(1);
    for (const [name, type] of Object.entries(TYPES))
      for (let round = 0; round < 200; round += 1) {
        const sample = type.sample(random);
        assert.equal(faultOf(type, sample), null, `${name}: ${sample}`);
      }
  });

  test('answers any bytes with a field or a fault, and never touches what stands beside it', () => {
    const near = fc.stringMatching(/^[-+0-9a-fTZ:. {}]{1,40}$/);
    fc.assert(
      fc.property(fc.oneof(near, fc.string({ unit: 'binary', minLength: 1, maxLength: 60 })), (value) => {
        for (const type of Object.values(TYPES)) encodeText(type, value);
      }),
      { numRuns: 3000 },
    );
  });

  test('accepts exactly what its regular expression says, for near misses too', () => {
    const mutate = fc.tuple(
      fc.nat(40),
      fc.constantFrom('', '0', '9', '-', '+', '.', ' ', ':', 'a', 'Z', 'T', '{', '}'),
      fc.nat(2),
    );
    const check = (
      type: ColumnType,
      good: fc.Arbitrary<string>,
      pattern: RegExp,
      form: readonly ValueFault[],
    ) =>
      fc.assert(
        fc.property(good, fc.array(mutate, { maxLength: 3 }), (seed, changes) => {
          let value = seed;
          for (const [at, insert, cut] of changes)
            value = value.slice(0, at) + insert + value.slice(at + cut);
          if (value === '') return;
          const fault = faultOf(type, value);
          assert.equal(fault === null || !form.includes(fault), pattern.test(value), `${value}: ${fault}`);
        }),
        { numRuns: 3000 },
      );
    const uuids = fc.constantFrom(UUID, UUID_HEX, `{${UUID}}`);
    const canonical = '[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}';
    check(uuid(), uuids, new RegExp(`^(${canonical}|\\{${canonical}\\}|[0-9a-fA-F]{32})$`), ['uuid']);
    check(QUANTITY, fc.nat().map(String), /^\d+$/, ['integer']);
    check(
      PRICE,
      fc.tuple(fc.nat(), fc.nat(99)).map(([a, b]) => `${a}.${b}`),
      /^\d+(\.\d+)?$/,
      ['decimal'],
    );
    const moments = fc.constantFrom(
      '2024-03-01 12:30:45',
      '2024-03-01T12:30:45.123Z',
      '2024-03-01 12:30:45.123456+02:00',
    );
    const offset = '(Z|[+-](0\\d|1[0-3]):[0-5]\\d|[+-]14:00)';
    check(
      timestamp(),
      moments,
      new RegExp(`^\\d{4}-\\d\\d-\\d\\d[ T]\\d\\d:\\d\\d:\\d\\d(\\.\\d{1,6})?${offset}?$`),
      ['timestamp'],
    );
  });
});
