// The dedup set against a plain Map: whatever it forgets, it may call a row a duplicate only because of a commit that still exists.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';

import type { AcceptedChunk, JudgedChunk } from '../../src/core/chunk.ts';
import { DUPLICATE, FRESH, UNSURE } from '../../src/core/chunk.ts';
import { DedupSet } from '../../src/core/dedup.ts';
import type { AcceptedSlice, CommittedSlice, GenerationId } from '../../src/core/slice.ts';

const MIB = 1024 * 1024;

function chunkOf(
  ids: readonly number[],
  files: readonly string[] = ['file'],
  fileOf: readonly number[] = [],
  payloads: readonly number[] = [],
): AcceptedChunk {
  const sorted = ids
    .map((id, row) => ({ id, file: fileOf[row] ?? 0, payload: payloads[row] ?? 0 }))
    .toSorted((a, b) => a.id - b.id);
  const keys = new Uint32Array(sorted.length * 4);
  for (const [row, { id }] of sorted.entries()) keys.set([0x12345678, 0x4000, 0x8000, id], row * 4);
  const words = (): Uint32Array<ArrayBuffer> => new Uint32Array(sorted.length);
  return {
    slices: files.map((id) => ({ file: { id } }) as unknown as AcceptedSlice),
    rows: {
      count: sorted.length,
      bytes: new Uint8Array(0),
      ends: words(),
      keys,
      payloads: Uint32Array.from(sorted, ({ payload }) => payload),
      slices: files.length === 1 ? null : Uint16Array.from(sorted, ({ file }) => file),
      recordOffsets: words(),
      recordLengths: words(),
      recordLines: words(),
    },
  };
}

function books(file: string, inserted: number, duplicates: number): CommittedSlice {
  const generation = file as GenerationId;
  const counts = {
    records: inserted + duplicates,
    inserted,
    duplicates,
    conflicting: 0,
    rejected: 0,
    refused: 0,
    ended: false,
  };
  return { generation, start: 0, end: 1, ...counts };
}

const verdictsOf = (chunk: JudgedChunk): number[] =>
  Array.from(chunk.verdicts ?? new Uint8Array(chunk.rows.count));
const open = (memoryBytes = MIB): DedupSet => new DedupSet({ memoryBytes, seed: 7 });

describe('the dedup set', () => {
  test('calls a key fresh once, unsure until its chunk settles, and a duplicate after that', () => {
    const set = open();
    const first = set.judge(chunkOf([1, 2, 3]), 0n);
    assert.equal(first.verdicts, null);
    assert.deepEqual(verdictsOf(set.judge(chunkOf([2, 4]), 0n)), [UNSURE, FRESH]);
    set.settle(first, [books('file', 3, 0)], []);
    const third = set.judge(chunkOf([2, 4]), 0n);
    assert.deepEqual(verdictsOf(third), [DUPLICATE, UNSURE]);
    assert.deepEqual([third.fresh, third.unsure, third.duplicates], [0, 1, 1]);
  });

  test('tells a duplicate with another payload from a repeat, and only where the first one is stored', () => {
    const set = open();
    const of = (payload: number): JudgedChunk => set.judge(chunkOf([1], ['file'], [], [payload]), 0n);
    const first = of(10);
    assert.deepEqual(of(20).conflicts, [], 'unsure: the index will compare');
    set.settle(first, [books('file', 1, 0)], []);
    assert.deepEqual(of(10).conflicts, []);
    assert.deepEqual(of(20).conflicts, [0]);
  });

  test('does not let the payload of a row that lost speak for its key', () => {
    const set = open();
    const of = (payload: number): JudgedChunk => set.judge(chunkOf([1], ['file'], [], [payload]), 0n);
    const lost = of(10); // memory was cold: the table holds another payload
    set.settle(lost, [books('file', 0, 1)], [], [0]);
    assert.deepEqual(verdictsOf(of(10)), [UNSURE]);
    assert.deepEqual(verdictsOf(of(20)), [UNSURE]);
  });

  test('keeps the entry of the row that won within a chunk', () => {
    const set = open();
    const chunk = set.judge(chunkOf([1, 1], ['file'], [], [10, 20]), 0n);
    set.settle(chunk, [books('file', 1, 1)], [], [1]);
    const next = set.judge(chunkOf([1, 1], ['file'], [], [10, 20]), 0n);
    assert.deepEqual(verdictsOf(next), [DUPLICATE, DUPLICATE]);
    assert.deepEqual(next.conflicts, [1]);
  });

  test('calls a repeat within one chunk unsure, since the first may still be refused', () => {
    assert.deepEqual(verdictsOf(open().judge(chunkOf([5, 5, 6]), 0n)), [FRESH, UNSURE, FRESH]);
  });

  test('never calls a key a duplicate of a row that the database refused', () => {
    const set = open();
    const chunk = set.judge(chunkOf([1, 2]), 0n);
    set.settle(chunk, [books('file', 1, 0)], [0]);
    assert.deepEqual(verdictsOf(set.judge(chunkOf([1, 2]), 0n)), [UNSURE, DUPLICATE]);
  });

  test('marks a refused row only while its entry still belongs to that chunk', () => {
    const set = open();
    const first = set.judge(chunkOf([1]), 0n);
    const second = set.judge(chunkOf([1]), 0n);
    set.settle(first, [books('file', 1, 0)], []);
    set.settle(second, [books('file', 0, 0)], [0]);
    assert.deepEqual(verdictsOf(set.judge(chunkOf([1]), 0n)), [DUPLICATE]);
  });

  test('with no memory leaves every row to the index', () => {
    const set = open(0);
    const chunk = set.judge(chunkOf([1, 2]), 0n);
    set.settle(chunk, [books('file', 2, 0)], [0]);
    assert.deepEqual(verdictsOf(set.judge(chunkOf([1, 3]), 0n)), [UNSURE, UNSURE]);
    assert.equal(set.bytes, 0);
  });

  test('sends suspect files through the index until a slice of theirs passes without a duplicate', () => {
    const set = open();
    const violated = set.judge(chunkOf([1]), 0n);
    set.suspect([violated]);
    const next = set.judge(chunkOf([2]), 0n);
    assert.deepEqual(verdictsOf(next), [UNSURE]);
    set.settle(violated, [books('file', 0, 1)], []);
    assert.ok(set.isSuspect(chunkOf([3])));
    set.settle(next, [books('file', 1, 0)], []);
    assert.ok(!set.isSuspect(chunkOf([3])));
  });

  test('doubts only the suspect file of a chunk with several', () => {
    const set = open();
    set.suspect([set.judge(chunkOf([1], ['bad']), 0n)]);
    const clean = set.judge(chunkOf([2], ['good']), 0n);
    set.settle(clean, [books('good', 1, 0)], []);
    assert.deepEqual(verdictsOf(set.judge(chunkOf([3, 4], ['good', 'bad'], [0, 1]), 0n)), [FRESH, UNSURE]);
  });

  test('stays within its memory and forgets the oldest keys first', () => {
    const set = open(MIB);
    let judged: JudgedChunk | null = null;
    for (let from = 0; from < 100_000; from += 1_000) {
      judged = set.judge(chunkOf(Array.from({ length: 1_000 }, (_, index) => from + index)), 0n);
      set.settle(judged, [books('file', 1_000, 0)], []);
    }
    assert.ok(set.bytes <= MIB, `${set.bytes} bytes`);
    assert.ok(set.size > 10_000 && set.size < 40_000, `${set.size} keys`);
    assert.deepEqual(new Set(verdictsOf(set.judge(chunkOf([0, 1, 2, 3]), 0n))), new Set([FRESH]));
    assert.deepEqual(new Set(verdictsOf(set.judge(chunkOf([99_998, 99_999]), 0n))), new Set([DUPLICATE]));
  });

  test('remembers every key while there is room, at no more than 64 bytes each once the first tables are half full', () => {
    const set = open(128 * MIB);
    const ids = Array.from({ length: 1_000_000 }, (_, index) => index);
    set.settle(set.judge(chunkOf(ids), 0n), [books('file', ids.length, 0)], []);
    const again = set.judge(chunkOf(ids), 0n);
    assert.equal(again.duplicates, ids.length);
    assert.ok(set.bytes / set.size < 64, `${set.bytes / set.size} bytes a key`);
  });

  test('forgets everything when cleared, and never uses a number twice', () => {
    const set = open();
    const first = set.judge(chunkOf([1]), 0n);
    set.settle(first, [books('file', 1, 0)], []);
    set.clear();
    const second = set.judge(chunkOf([1]), 1n);
    assert.equal(second.verdicts, null);
    assert.ok(second.number > first.number);
    assert.equal(second.forget, 1n);
  });

  test('agrees with a Map model over random chunks, refusals, lost chunks and eviction', () => {
    const step = fc.record({
      ids: fc.array(fc.nat(60), { maxLength: 30 }),
      end: fc.constantFrom('settle', 'refuse', 'hold', 'lose'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.constantFrom(30_000, MIB), (steps, memoryBytes) => {
        const set = open(memoryBytes);
        const stored = new Set<number>(); // what the table holds: only rows of settled chunks
        const held: { chunk: JudgedChunk; ids: number[] }[] = [];
        for (const { ids, end } of steps) {
          const sorted = ids.toSorted((a, b) => a - b);
          const chunk = set.judge(chunkOf(sorted), 0n);
          for (const [row, verdict] of verdictsOf(chunk).entries())
            if (verdict === DUPLICATE)
              assert.ok(stored.has(sorted[row]!), `duplicate of nothing: ${sorted[row]}`);
          if (end === 'hold') held.push({ chunk, ids: sorted });
          if (end === 'settle' || end === 'refuse')
            commit(set, stored, chunk, sorted, end === 'refuse' ? 3 : 0);
          if (held.length > 2) {
            const { chunk: late, ids: lateIds } = held.shift()!;
            commit(set, stored, late, lateIds, 0);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** The database takes all rows that are not stored, but refuses every row whose id is divisible by `refuseEvery`. */
function commit(
  set: DedupSet,
  stored: Set<number>,
  chunk: JudgedChunk,
  ids: number[],
  refuseEvery: number,
): void {
  const refused: number[] = [];
  let inserted = 0;
  for (const [row, id] of ids.entries()) {
    if (stored.has(id)) continue;
    if (refuseEvery > 0 && id % refuseEvery === 0) refused.push(row);
    else {
      stored.add(id);
      inserted += 1;
    }
  }
  set.settle(chunk, [books('file', inserted, ids.length - inserted - refused.length)], refused);
}
