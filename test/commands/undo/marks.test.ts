// When the transaction ids of the books may be believed.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { faultOfId, xminOf } from '../../../src/commands/undo/marks.ts';

test('an id is believed while rows can be told apart by it: for 2^31 transactions, and never from the future', () => {
  const now = 2n ** 33n + 1_000n;
  const cases: readonly (readonly [bigint, boolean])[] = [
    [now, true],
    [now - 1n, true],
    [now - 2n ** 31n + 1n, true],
    [now - 2n ** 31n, false],
    [now - 2n ** 32n, false],
    [now + 1n, false],
  ];
  for (const [xid, good] of cases)
    assert.equal(faultOfId(String(xid), String(now)) === null, good, String(xid));
});

test('the mark in a row is the lower half of the id', () => {
  assert.equal(xminOf(String(2n ** 32n * 5n + 77n)), '77');
  assert.equal(xminOf('4294967295'), '4294967295');
});
