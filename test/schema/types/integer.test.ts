// The grammar of integer at its borders.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { integer } from '../../../src/schema/types.ts';
import { NEVER, faultOf, refuses, valueOf } from '../encoding.ts';

const QUANTITY = integer({ min: 0 });

describe('integer', () => {
  test('digits in the range of int4 are accepted, with leading zeros', () => {
    const values = {
      0: 0,
      7: 7,
      '007': 7,
      2147483647: 2147483647,
      [`${'0'.repeat(31)}5`]: 5,
      '0000000002147483647': 2147483647,
    };
    for (const [value, number] of Object.entries(values))
      assert.equal(valueOf(QUANTITY, value).readInt32BE(0), number, value);
  });

  test('everything else is refused', () => {
    refuses(QUANTITY, {
      integer: [...NEVER, '1.0', '1.', '.1', '5-', '--5', '1 2', '12a', '/', ':', '9'.repeat(400) + 'x'],
      integer_range: ['2147483648', '4294967296', '99999999999999999999', '9'.repeat(400)],
    });
  });

  test('a column without a least value takes a minus sign, and only that', () => {
    assert.equal(valueOf(integer(), '-2147483648').readInt32BE(0), -2_147_483_648);
    assert.equal(valueOf(integer(), '-0').readInt32BE(0), 0);
    refuses(integer(), {
      integer: ['+7', '-', '--1', '- 1', '1-'],
      integer_range: ['-2147483649', '2147483648'],
    });
  });

  test('a least value above zero is a matter of range', () => {
    assert.equal(faultOf(integer({ min: 5 }), '4'), 'integer_range');
    assert.equal(faultOf(integer({ min: 5 }), '5'), null);
  });
});
