// The table of faults is complete, and what it names exists: tests by a part of their name, documents by a part of their text.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const ROWS = 40;

interface Place {
  readonly file: string;
  readonly text: string;
}

function readRows(): { row: string; cells: string[]; places: Place[] }[] {
  const lines = readFileSync(join(ROOT, 'test/faults/MATRIX.md'), 'utf8').split('\n');
  return lines
    .filter((line) => line.startsWith('| F'))
    .map((line) => {
      const cells = line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim());
      const places = (cells[3] ?? '').split('; `').map((part) => {
        const found = /^`?([^`]+)`: (.+)$/.exec(part);
        return { file: found?.[1] ?? '', text: found?.[2] ?? '' };
      });
      return { row: cells[0] ?? '', cells, places };
    });
}

/** The names of the tests in a file as they stand in its source, quoting aside. */
function testNames(source: string): string[] {
  return [...source.matchAll(/\b(?:test|it)\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/g)].map(
    (found) => found[2] ?? '',
  );
}

test('the table has each fault once, in order, with every cell filled', () => {
  const rows = readRows();
  assert.deepEqual(
    rows.map(({ row }) => row),
    Array.from({ length: ROWS }, (_, index) => `F${index + 1}`),
  );
  for (const { row, cells } of rows)
    assert.deepEqual([cells.length, cells.every((cell) => cell !== '')], [4, true], row);
});

test('every test and every sentence that the table names exists', () => {
  for (const { row, places } of readRows())
    for (const { file, text } of places) {
      assert.ok(text.length > 8, `${row}: ${file} without a name`);
      assert.ok(existsSync(join(ROOT, file)), `${row}: ${file} does not exist`);
      const source = readFileSync(join(ROOT, file), 'utf8');
      const found = file.endsWith('.md')
        ? source.includes(text)
        : testNames(source).some((name) => name.includes(text));
      assert.ok(found, `${row}: ${file} has nothing named "${text}"`);
    }
});

test('a name that does not exist would be noticed', () => {
  assert.deepEqual(testNames("test('one', () => {}); test(\n  `two ${x}`, {}, () => {})"), [
    'one',
    'two ${x}',
  ]);
});
