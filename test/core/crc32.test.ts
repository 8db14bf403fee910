// CRC-32 of adjacent ranges against zlib's own answer for the whole.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';

import fc from 'fast-check';

import { combine } from '../../src/core/crc32.ts';

test('combining the CRCs of two parts gives the CRC of the whole', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000, size: 'max' }), fc.nat(3000), (bytes, cut) => {
      const at = Math.min(cut, bytes.length);
      const whole = combine(crc32(bytes.subarray(0, at)), crc32(bytes.subarray(at)), bytes.length - at);
      assert.equal(whole, crc32(bytes));
    }),
  );
});

test('combining is right for a second part of many megabytes', () => {
  const a = Buffer.from('head');
  const b = Buffer.alloc(9 * 1024 * 1024 + 13, 'abc');
  assert.equal(combine(crc32(a), crc32(b), b.length), crc32(Buffer.concat([a, b])));
});

test('a length above 2^32 is not cut to 32 bits', () => {
  // 2^32 + 8 zero bytes after "a", in two ways: at once, and as two parts.
  const crcOfZeros = (length: number): number => zerosAfter(0, length);
  const at = 2 ** 31;
  const once = combine(crc32('a'), crcOfZeros(2 ** 32 + 8), 2 ** 32 + 8);
  const half = combine(crc32('a'), crcOfZeros(at), at);
  assert.equal(combine(half, crcOfZeros(2 ** 32 + 8 - at), 2 ** 32 + 8 - at), once);
});

/** CRC-32 of `length` zero bytes, by doubling what zlib says of one. */
function zerosAfter(start: number, length: number): number {
  let crc = start;
  let power = crc32(Buffer.alloc(1));
  let size = 1;
  for (let rest = length; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) crc = combine(crc, power, size);
    power = combine(power, power, size);
    size *= 2;
  }
  return crc;
}
