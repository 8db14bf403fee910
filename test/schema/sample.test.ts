// The sample that ships: what the README and the first `make run` say about it.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import Papa from 'papaparse';
import { events } from '../../src/schema/events.ts';
import { valueOf } from './encoding.ts';

const FOLDER = new URL('../../data/input_data/', import.meta.url);

function keyOf(fields: readonly string[]): string | null {
  if (fields.length !== events.columns.length) return null;
  try {
    const values = events.columns.map(({ type, required }, index) => {
      const value = fields[index]!;
      if (value === '' && !required) return '';
      return valueOf(type, value).toString('hex');
    });
    return values[0]!;
  } catch {
    return null;
  }
}

test('the sample has 1,000 events in four files: 958 to insert, 25 duplicates, 17 to reject', () => {
  const names = readdirSync(FOLDER)
    .filter((name) => name.startsWith('sample-'))
    .toSorted();
  assert.deepEqual(names, ['sample-1.csv', 'sample-2.csv', 'sample-3.csv', 'sample-quoted.csv']);
  const contents = names.map((name) => readFileSync(new URL(name, FOLDER), 'utf8'));
  assert.deepEqual(
    contents.map((content) => content.includes('"')),
    [false, false, false, true],
  );
  const records = contents.flatMap((content) =>
    Papa.parse<string[]>(content, { delimiter: ',', newline: '\n', skipEmptyLines: true }).data.slice(1),
  );
  const keys = records.map(keyOf);
  const valid = keys.filter((key) => key !== null);
  assert.deepEqual(
    {
      records: records.length,
      inserted: new Set(valid).size,
      duplicates: valid.length - new Set(valid).size,
      rejected: keys.length - valid.length,
    },
    { records: 1000, inserted: 958, duplicates: 25, rejected: 17 },
  );
});
