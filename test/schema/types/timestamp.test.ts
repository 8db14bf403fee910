// The grammar of timestamp at its borders.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { timestamp } from '../../../src/schema/types.ts';
import { NEVER, accepts, refuses, valueOf } from '../encoding.ts';

describe('timestamp', () => {
  const EPOCH_2000 = BigInt(Date.UTC(2000, 0, 1)) * 1000n;
  const microsOf = (value: string) => valueOf(timestamp(), value).readBigInt64BE(0);

  test('the documented forms mean the same moment', () => {
    const moment = microsOf('2024-03-01 12:30:45');
    assert.equal(moment, BigInt(Date.UTC(2024, 2, 1, 12, 30, 45)) * 1000n - EPOCH_2000);
    const others = [
      '2024-03-01T12:30:45',
      '2024-03-01 12:30:45Z',
      '2024-03-01T12:30:45Z',
      '2024-03-01 12:30:45.0',
      '2024-03-01 12:30:45.000000Z',
      '2024-03-01 14:30:45+02:00',
      '2024-03-01 07:00:45-05:30',
      '2024-03-02 02:30:45+14:00',
      '2024-02-29 22:30:45-14:00',
      '2024-03-01 12:30:45+00:00',
      '2024-03-01 12:30:45-00:00',
    ];
    for (const value of others) assert.equal(microsOf(value), moment, value);
  });

  test('one to six decimals of a second are kept', () => {
    const second = microsOf('2024-03-01 12:30:45');
    for (const [decimals, micros] of [
      ['1', 100_000n],
      ['12', 120_000n],
      ['000001', 1n],
      ['999999', 999_999n],
      ['05', 50_000n],
    ] as const)
      assert.equal(microsOf(`2024-03-01 12:30:45.${decimals}`), second + micros, decimals);
  });

  test('the borders of the range count after conversion to UTC', () => {
    accepts(timestamp(), [
      '0001-01-01 00:00:00',
      '9999-12-31 23:59:59.999999',
      '0000-12-31 23:59:59-00:01',
      '0001-01-01 14:00:00+14:00',
      '9999-12-31 09:59:59.999999-14:00',
    ]);
    refuses(timestamp(), {
      timestamp_range: [
        '0000-12-31 23:59:59.999999',
        '0000-02-29 00:00:00',
        '0001-01-01 00:00:00+00:01',
        '9999-12-31 23:59:59-00:01',
        '9999-12-31 10:00:00-14:00',
      ],
    });
  });

  test('every day from year 1 to 9999 has the number that the Gregorian calendar gives it', () => {
    const written = (at: number) => `${new Date(at).toISOString().slice(0, 10)} 00:00:00`;
    for (let year = 1; year <= 9999; year += 1) {
      const newYear = new Date(0).setUTCFullYear(year, 0, 1);
      for (const day of [0, 30, 58, 59, 60, 90, 181, 364]) {
        const at = newYear + day * 86_400_000;
        if (microsOf(written(at)) !== BigInt(at) * 1000n - EPOCH_2000) assert.fail(written(at));
      }
    }
  });

  test('days that no month has are refused, and February 29 follows the Gregorian rule', () => {
    accepts(timestamp(), [
      '2024-02-29 00:00:00',
      '2000-02-29 00:00:00',
      '1600-02-29 00:00:00',
      '2024-01-31 23:59:59',
      '2024-12-31 00:00:00',
    ]);
    refuses(timestamp(), {
      timestamp_calendar: [
        '2023-02-29 00:00:00',
        '1900-02-29 00:00:00',
        '2100-02-29 00:00:00',
        '2024-02-30 00:00:00',
        '2024-04-31 00:00:00',
        '2024-06-31 00:00:00',
        '2024-09-31 00:00:00',
        '2024-11-31 00:00:00',
        '2024-01-32 00:00:00',
        '2024-00-10 00:00:00',
        '2024-13-10 00:00:00',
        '2024-10-00 00:00:00',
        '2024-10-10 24:00:00',
        '2024-10-10 25:00:00',
        '2024-10-10 10:60:00',
        '2024-10-10 10:10:60',
        '2016-12-31 23:59:60',
        '2024-02-30 00:00:00+01:00',
        '2024-99-99 99:99:99',
      ],
    });
  });

  test('everything else is refused', () => {
    refuses(timestamp(), {
      timestamp: [
        ...NEVER,
        '2024-03-01',
        '2024-03-01 12:30',
        '2024-03-01 12:30:4',
        '2024-3-1 12:30:45',
        '24-03-01 12:30:45',
        '12024-03-01 12:30:45',
        '-2024-03-01 12:30:45',
        '+2024-03-01 12:30:45',
        '2024/03/01 12:30:45',
        '01/02/2024 10:00:00',
        '2024-03-01t12:30:45',
        '2024-03-01 12:30:45z',
        '2024-03-01  12:30:45',
        '2024-03-01_12:30:45',
        '2024-03-01 12.30.45',
        '2024-03-01 12:30:45.',
        '2024-03-01 12:30:45.1234567',
        '2024-03-01 12:30:45,123',
        '2024-03-01 12:30:45 Z',
        '2024-03-01 12:30:45 +01:00',
        '2024-03-01 12:30:45+01',
        '2024-03-01 12:30:45+0100',
        '2024-03-01 12:30:45+1:00',
        '2024-03-01 12:30:45+14:01',
        '2024-03-01 12:30:45-14:01',
        '2024-03-01 12:30:45+25:00',
        '2024-03-01 12:30:45+01:60',
        '2024-03-01 12:30:45+01:0x',
        '2024-03-01 12:30:45ZZ',
        '2024-03-01 12:30:45Z+01:00',
        '2024-03-01 12:30:45.123Zulu',
        '2024-03-01 12:30:45 UTC',
        '2024-03-01 12:30:45 Europe/Berlin',
        '2024-03-01 12:30:45 BC',
        '2024-W09-5T12:30:45',
        '2024-061T12:30:45',
        '1709296245',
        '1709296245000',
        '1709296245.123456',
        ' 2024-03-01 12:30:45',
        '2024-03-01 12:30:45 ',
        '2024-03-01 12:30:45\0',
        'Fri, 01 Mar 2024 12:30:45 GMT',
        '２024-03-01 12:30:45',
        'xxxx-xx-xx xx:xx:xx',
        '2024-03-01 1a:30:45',
        '2024-03-01 12:30:4:',
        '2024-03-01 -1:30:45',
        '20 4-03-01 12:30:45',
      ],
    });
  });

  test('the carry from the low to the high word is exact', () => {
    for (let turn = -14_000n; turn <= 58_000n; turn += 7n)
      for (const micros of [turn * 2n ** 32n - 1n, turn * 2n ** 32n, turn * 2n ** 32n + 1n]) {
        const unix = micros + EPOCH_2000;
        const below = ((unix % 1_000_000n) + 1_000_000n) % 1_000_000n;
        const second = new Date(Number((unix - below) / 1000n)).toISOString().slice(0, 19);
        assert.equal(microsOf(`${second}.${String(below).padStart(6, '0')}`), micros);
      }
  });

  test('hi and lo words are exact for any microsecond of the range (against BigInt)', () => {
    const from = Date.UTC(1970, 0, 1) - 62_135_596_800_000;
    const seconds = fc.integer({ min: 0, max: 315_537_897_599 }).map((second) => from + second * 1000);
    fc.assert(
      fc.property(seconds, fc.integer({ min: 0, max: 999_999 }), (ms, micros) => {
        const written = `${new Date(ms).toISOString().slice(0, 19)}.${String(micros).padStart(6, '0')}`;
        assert.equal(microsOf(written), BigInt(ms) * 1000n + BigInt(micros) - EPOCH_2000);
      }),
      { numRuns: 5000 },
    );
  });
});
