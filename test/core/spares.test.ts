// Memory that is used again: never for two tasks at once, never kept without bound.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Spares } from '../../src/core/spares.ts';

const MIB = 2 ** 20;

test('memory that came back leaves once, and only for a task that needs it', () => {
  const spares = new Spares();
  const memory = new ArrayBuffer(MIB);
  spares.put(memory);
  assert.equal(spares.take(1_000), null, 'a small task makes its own');
  assert.equal(spares.take(4 * MIB), memory);
  assert.equal(spares.take(4 * MIB), null);
});

test('small pieces are not kept, and of large ones no more than four', () => {
  const spares = new Spares();
  spares.put(new ArrayBuffer(1_000));
  assert.equal(spares.take(4 * MIB), null);
  for (let piece = 0; piece < 9; piece += 1) spares.put(new ArrayBuffer(MIB));
  let taken = 0;
  while (spares.take(4 * MIB) !== null) taken += 1;
  assert.equal(taken, 4);
});
