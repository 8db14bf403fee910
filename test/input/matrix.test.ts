// The table of bad input is complete, and the tests that it names exist.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { MATRIX } from './matrix.ts';

const ROWS = 38;

test('every kind of bad input has a test', () => {
  const expected = Array.from({ length: ROWS }, (_, index) => `B${index + 1}`);
  assert.deepEqual(
    MATRIX.map(({ row }) => row),
    expected,
  );
  for (const { row, tests } of MATRIX) assert.ok(tests.length > 0, row);
});

test('every test that the table names exists and is not left out', () => {
  for (const { row, tests } of MATRIX)
    for (const [file, name] of tests) {
      const text = readFileSync(new URL(`../${file}`, import.meta.url), 'utf8').replaceAll(
        /test\(\s+/g,
        'test(',
      );
      assert.ok(text.includes(`test('${name}'`), `${row}: ${file} has no test '${name}'`);
    }
});
