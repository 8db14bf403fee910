// The binary COPY frame: what we write is what we read back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { COPY_HEADER, COPY_TRAILER, decodeTuples, encodeTuple } from '../../src/core/copy-binary.ts';

test('signature and trailer are those of the manual', () => {
  assert.equal(COPY_HEADER.toString('hex'), '5047434f50590aff0d0a000000000000000000');
  assert.equal(COPY_TRAILER.toString('hex'), 'ffff');
});

test('tuples come back as they went in', () => {
  const field = fc.option(fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)));
  fc.assert(
    fc.property(fc.array(fc.array(field, { maxLength: 6 }), { maxLength: 6 }), (tuples) => {
      assert.deepEqual(decodeTuples(Buffer.concat(tuples.map((tuple) => encodeTuple(tuple)))), tuples);
    }),
  );
});

test('a cut tuple is refused', () => {
  const whole = encodeTuple([Buffer.from('abc'), null]);
  for (let length = 1; length < whole.length; length += 1)
    assert.throws(() => decodeTuples(whole.subarray(0, length)), RangeError, `${length} bytes`);
});
