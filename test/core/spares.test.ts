// Memory that is used again: never for two tasks at once, never kept without bound, and not spent on a task that it does not fit.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Spares } from '../../src/core/spares.ts';

const MIB = 2 ** 20;

test('memory that came back leaves once, and only for a task that needs it', () => {
  const spares = new Spares();
  const memory = new ArrayBuffer(6 * MIB);
  spares.put(memory);
  assert.equal(spares.take(1_000), null, 'a small task makes its own');
  assert.equal(spares.take(4 * MIB), memory);
  assert.equal(spares.take(4 * MIB), null);
});

test('a task gets the smallest that will do, and none that will not', () => {
  const spares = new Spares();
  for (const size of [3, 6, 1]) spares.put(new ArrayBuffer(size * MIB));
  assert.equal(spares.take(5 * MIB), null);
  assert.equal(spares.take(MIB)?.byteLength, 3 * MIB);
  assert.equal(spares.take(MIB)?.byteLength, 6 * MIB);
  assert.equal(spares.take(MIB), null);
  assert.equal(spares.take(MIB / 2)?.byteLength, MIB);
});

test('small pieces are not kept, and of large ones the four largest', () => {
  const spares = new Spares();
  spares.put(new ArrayBuffer(1_000));
  for (const size of [1, 9, 2, 8, 3, 7, 4, 6, 5]) spares.put(new ArrayBuffer(size * MIB));
  const taken = [];
  for (let one = spares.take(MIB / 2); one !== null; one = spares.take(MIB / 2))
    taken.push(one.byteLength / MIB);
  assert.deepEqual(taken, [6, 7, 8, 9]);
});

test('a piece of a long slice waits for another long one, and no more than two of them are kept', () => {
  const spares = new Spares();
  for (let piece = 0; piece < 3; piece += 1) spares.put(new ArrayBuffer(28 * MIB));
  assert.equal(spares.take(4 * MIB), null);
  for (let piece = 0; piece < 2; piece += 1) assert.equal(spares.take(16 * MIB)?.byteLength, 28 * MIB);
  assert.equal(spares.take(16 * MIB), null);
});
