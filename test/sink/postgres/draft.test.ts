// Which way rows go, and what became of each slice: arithmetic, without a server.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DUPLICATE, FRESH, UNSURE } from '../../../src/core/chunk.ts';
import type { Draft } from '../../../src/sink/postgres/draft.ts';
import { route, tally, tuplesOf } from '../../../src/sink/postgres/draft.ts';
import { testChunk, testFile, testKey, testRows } from '../../support/chunks.ts';
import type { TestRow } from '../../support/chunks.ts';

const SETUP = { compares: true, synchronousCommit: true };
const verdict = fc.constantFrom<TestRow['verdict']>(FRESH, UNSURE, DUPLICATE);
const row = fc.record({ key: fc.integer({ min: 0, max: 20 }), verdict });
const chunkRows = fc.array(fc.array(row, { maxLength: 12 }), { minLength: 1, maxLength: 4 });

function draftOf(
  rows: readonly (readonly { key: number; verdict: TestRow['verdict'] }[])[],
  allUnsure: boolean,
): Draft {
  const chunks = rows.map((each) =>
    testChunk({
      file: testFile(),
      rows: each.map((one) => ({ fields: { event_id: testKey(one.key) }, verdict: one.verdict })),
    }),
  );
  return { number: 1, chunks, allUnsure, refused: new Map() };
}

function keyBytes(keys: readonly number[]): Buffer {
  return Buffer.concat(keys.map((key) => Buffer.from(testKey(key).replaceAll('-', ''), 'hex')));
}

test('the ways together hold every row that is no duplicate exactly once', () => {
  fc.assert(
    fc.property(chunkRows, fc.boolean(), (rows, allUnsure) => {
      const routed = route(draftOf(rows, allUnsure));
      const bytes = (way: typeof FRESH | typeof UNSURE): number =>
        [...tuplesOf(routed, way)].reduce((sum, piece) => sum + piece.byteLength, 0);
      const width = testChunk({ file: testFile(), rows: testRows(0, 1) }).rows.bytes.byteLength;
      const kept = rows.flat().filter((each) => each.verdict !== DUPLICATE);
      const fresh = allUnsure ? [] : kept.filter((each) => each.verdict === FRESH);
      assert.equal(bytes(FRESH), fresh.length * width);
      assert.equal(bytes(UNSURE), (kept.length - fresh.length) * width);
    }),
  );
});

test('a key that the stage stored belongs to its first row in the batch, and the books add up', () => {
  fc.assert(
    fc.property(chunkRows, (rows) => {
      const draft = draftOf(rows, true);
      const keys = [
        ...new Set(rows.flat().flatMap((each) => (each.verdict === DUPLICATE ? [] : [each.key]))),
      ];
      const stored = keys.filter((key) => key % 2 === 0).toSorted((a, b) => a - b);
      const settled = tally(draft, route(draft), { inserted: keyBytes(stored), differing: new Set() }, SETUP);
      const left = new Set(stored);
      for (const [index, { slices }] of settled.entries()) {
        const sorted = rows[index]!.filter((each) => each.verdict !== DUPLICATE);
        const inserted = sorted.filter((each) => left.delete(each.key)).length;
        const counts = {
          inserted: slices[0]!.inserted,
          duplicates: slices[0]!.duplicates,
          rejected: slices[0]!.rejected,
        };
        assert.deepEqual(counts, { inserted, duplicates: rows[index]!.length - inserted, rejected: 0 });
      }
      assert.equal(left.size, 0);
    }),
  );
});

test('pieces are large, and none is larger than 1 MiB', () => {
  const wide = { product_id: 'p'.repeat(255), user_id: 'u'.repeat(255) };
  const chunk = testChunk({ file: testFile(), rows: testRows(0, 6_000, FRESH, wide) });
  const unsure: TestRow['verdict'] = UNSURE;
  const alternating = testRows(0, 6_000, FRESH, wide).map((each, index) =>
    index % 2 === 0 ? each : { ...each, verdict: unsure },
  );
  const mixed = testChunk({ file: testFile(), rows: alternating });
  const draft: Draft = { number: 1, chunks: [chunk, mixed], allUnsure: false, refused: new Map() };
  const sizes = [...tuplesOf(route(draft), FRESH)].map((piece) => piece.byteLength);
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    chunk.rows.bytes.byteLength * 1.5,
  );
  assert.ok(Math.max(...sizes) <= 1024 * 1024);
  assert.ok(sizes.length < 14, `${sizes.length} pieces`);
});
