// The grammar of numeric at its borders.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { numeric } from '../../../src/schema/types.ts';
import { NEVER, accepts, refuses, valueOf } from '../encoding.ts';

const PRICE = numeric(12, 2, { min: 0 });

describe('numeric', () => {
  test('plain decimals are accepted, and zeros at either end change nothing', () => {
    accepts(PRICE, [
      '0',
      '0.0',
      '0.00',
      '12',
      '12.5',
      '12.50',
      '9999999999.99',
      '0000000000000009999999999.99',
      '1234567890',
      '0.01',
      '0001',
    ]);
    assert.deepEqual(valueOf(PRICE, '12.5'), valueOf(PRICE, '0012.50'));
    assert.deepEqual(valueOf(PRICE, '0'), valueOf(PRICE, '000.00'));
  });

  test('everything else is refused, and nothing is rounded', () => {
    refuses(PRICE, {
      decimal: [
        ...NEVER.filter((value) => value !== '1,000'),
        '1,5',
        '1.234,56',
        '.5',
        '5.',
        '.',
        '..',
        '1..2',
        '1.2.3',
        '1e400',
        '1.5e3',
        '$5',
        '5$',
        '12. 5',
        '-1.00',
        '-.5',
        '1,000',
        '1/2',
        '1:2',
      ],
      decimal_scale: ['1.005', '1.500', '1.000', `0.${'0'.repeat(40)}`, '12345678901.123'],
      decimal_range: ['10000000000', '12345678901.00', '9'.repeat(40), '00010000000000'],
    });
  });

  test('groups of four digits are placed around the point and stripped of zeros (worked by hand)', () => {
    const words = (value: string) => {
      const bytes = valueOf(PRICE, value);
      return Array.from({ length: bytes.length / 2 }, (_, index) => bytes.readInt16BE(index * 2));
    };
    assert.deepEqual(words('0'), [0, 0, 0, 2]);
    assert.deepEqual(words('0.05'), [1, -1, 0, 2, 500]);
    assert.deepEqual(words('12.5'), [2, 0, 0, 2, 12, 5000]);
    assert.deepEqual(words('10000'), [1, 1, 0, 2, 1]);
    assert.deepEqual(words('100000000.01'), [4, 2, 0, 2, 1, 0, 0, 100]);
    assert.deepEqual(words('1234567890.12'), [4, 2, 0, 2, 12, 3456, 7890, 1200]);
  });

  test('a column without a least value takes a minus sign, and minus zero is zero', () => {
    const signed = numeric(12, 2);
    assert.equal(valueOf(signed, '-1.5').readUInt16BE(4), 0x4000);
    assert.deepEqual(valueOf(signed, '-0.00'), valueOf(signed, '0'));
    refuses(signed, { decimal: ['-', '--1', '+1', '-.5', '1-'] });
  });
});
