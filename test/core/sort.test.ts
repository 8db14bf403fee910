// The sort by key: against the plain comparison, stable, also where keys share their first words.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sortedOrder } from '../../src/core/sort.ts';
import { seededRandom } from '../../src/schema/random.ts';

function plainOrder(keys: Uint32Array): number[] {
  const order = Array.from({ length: keys.length / 4 }, (_, row) => row);
  return order.toSorted((left, right) => {
    for (let word = 0; word < 4; word += 1) {
      const difference = keys[left * 4 + word]! - keys[right * 4 + word]!;
      if (difference !== 0) return difference;
    }
    return left - right;
  });
}

test('any keys, many of them equal', () => {
  const word = fc.constantFrom(0, 1, 2, 0x7fffffff, 0x80000000, 0xffffffff);
  fc.assert(
    fc.property(fc.array(fc.tuple(word, word, word, word), { maxLength: 300, size: 'max' }), (list) => {
      const keys = Uint32Array.from(list.flat());
      assert.deepEqual([...sortedOrder(keys, list.length)], plainOrder(keys));
    }),
  );
});

test('long runs that share one, two, three or all words', () => {
  const random = seededRandom(3);
  for (const shared of [0, 1, 2, 3, 4]) {
    const keys = new Uint32Array(4 * 5000);
    keys.forEach((_, index) => {
      keys[index] = index % 4 < shared ? 42 : random.next();
    });
    assert.deepEqual([...sortedOrder(keys, 5000)], plainOrder(keys), `${shared} words shared`);
  }
});
