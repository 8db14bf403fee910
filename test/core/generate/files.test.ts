// The plan of generated files: how records are shared out among them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FilePlan, PlannedFile } from '../../../src/core/generate/files.ts';
import { planFiles } from '../../../src/core/generate/files.ts';

const OPEN: FilePlan = { seed: 1, rowsPerFile: { min: 10, max: 100 }, files: null, rows: null };

function counts(plan: Partial<FilePlan>): number[] {
  return [...planFiles({ ...OPEN, ...plan })].map(({ count }) => count);
}

function take(plan: Partial<FilePlan>, files: number): PlannedFile[] {
  const planned: PlannedFile[] = [];
  for (const file of planFiles({ ...OPEN, ...plan })) {
    planned.push(file);
    if (planned.length === files) break;
  }
  return planned;
}

test('files have rows from the range, all of it, without gaps between them', () => {
  const files = take({}, 5000);
  assert.deepEqual(new Set(files.map(({ count }) => count)).size, 91);
  assert.ok(files.every(({ count }) => count >= 10 && count <= 100));
  let first = 0;
  files.forEach((file, index) => {
    assert.deepEqual([file.number, file.first], [index + 1, first]);
    first += file.count;
  });
});

test('the same seed plans the same files, another seed others', () => {
  assert.deepEqual(take({}, 100), take({}, 100));
  assert.notDeepEqual(take({}, 100), take({ seed: 2 }, 100));
});

test('the number of files or of rows ends the plan, and the last file may be short', () => {
  assert.equal(counts({ files: 7 }).length, 7);
  assert.deepEqual(counts({ rows: 25, rowsPerFile: { min: 10, max: 10 } }), [10, 10, 5]);
  assert.deepEqual(counts({ files: 2, rowsPerFile: { min: 3, max: 3 } }), [3, 3]);
});

test('files and rows together share the rows out evenly', () => {
  assert.deepEqual(counts({ files: 1, rows: 10_000_000 }), [10_000_000]);
  assert.deepEqual(counts({ files: 3, rows: 10 }), [3, 3, 4]);
  assert.deepEqual(counts({ files: 5, rows: 2 }), [1, 1]);
});
