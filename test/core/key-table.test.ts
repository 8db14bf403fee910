// The hash table of the dedup set against a plain Map, with hashes as bad as they come.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { KeyTable, entriesFor } from '../../src/core/key-table.ts';
import type { KeyHash } from '../../src/core/key-table.ts';

const keyOf = (id: number): Uint32Array => Uint32Array.of(0, 0xffffffff, id >>> 3, id);

const HASHES: Readonly<Record<string, KeyHash>> = {
  'all the same': () => -1,
  'all zero': () => 0,
  'all at the end of the index': (keys, at) => keys[at + 3]! | 0xfffff000,
  'only the bits that a slot keeps': (keys, at) => (keys[at + 3]! & 0xff) << 6,
  spread: (keys, at) => Math.imul(keys[at + 3]! + 1, 0x9e3779b1) << 6,
};

/** What the table says of a key, adding it when it is not there. */
function meet(table: KeyTable, hashOf: KeyHash, id: number, owner: number, payload: number): number {
  const keys = keyOf(id);
  const entry = table.find(hashOf(keys, 0), keys, 0);
  if (entry < 0) table.add(hashOf(keys, 0), keys, 0, owner, payload);
  return entry;
}

for (const [name, hashOf] of Object.entries(HASHES))
  // The second may have 2^30 entries: two bits of the hash are left in a slot.
  for (const entriesMax of [500, 2 ** 30])
    test(`whatever is added is found again, and nothing else: hashes ${name}, up to ${entriesMax} keys`, () => {
      fc.assert(
        fc.property(
          fc.array(fc.nat(600), { maxLength: 450 }),
          fc.integer({ min: 1, max: 50 }),
          (ids, slots) => {
            const table = new KeyTable(slots, entriesMax, hashOf);
            const model = new Map<number, number>();
            for (const [place, id] of ids.entries()) {
              const entry = meet(table, hashOf, id, place + 1, 2 ** 32 - 1 - id);
              assert.equal(entry >= 0, model.has(id));
              if (!model.has(id)) model.set(id, place + 1);
              else {
                assert.deepEqual(
                  [table.owner(entry), table.payload(entry)],
                  [model.get(id), 2 ** 32 - 1 - id],
                );
                if (place % 5 === 0) {
                  table.setOwner(entry, 0);
                  model.set(id, 0);
                }
              }
              assert.equal(table.count, model.size);
            }
            for (let id = 0; id <= 600; id += 1) {
              const keys = keyOf(id);
              const entry = table.find(hashOf(keys, 0), keys, 0);
              assert.equal(entry < 0 ? undefined : table.owner(entry), model.get(id));
            }
          },
        ),
        { numRuns: 30 },
      );
    });

test('it is full at its bound, takes no more memory than that, and serves again when it was cleared', () => {
  const hashOf = HASHES['spread']!;
  for (const bytes of [1_000, 100_000, 1_000_000]) {
    const entriesMax = entriesFor(bytes);
    const table = new KeyTable(32_768, entriesMax, hashOf);
    for (const round of [1, 2]) {
      for (let id = 0; id < entriesMax; id += 1) {
        assert.ok(!table.full);
        assert.equal(meet(table, hashOf, id, round, id), -1);
      }
      assert.ok(table.full && table.count === entriesMax);
      assert.ok(table.bytes <= bytes + 8, `${table.bytes} bytes`);
      assert.equal(table.owner(meet(table, hashOf, 0, 9, 9)), round);
      table.clear();
      assert.equal(table.count, 0);
    }
  }
});
