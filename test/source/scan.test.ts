// The scan of a folder: what it hands on while it goes on.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import type { Entry, ScanRule } from '../../src/source/scan.ts';
import { scan } from '../../src/source/scan.ts';
import { temporaryFolder } from './little-road.ts';

function ruleFor(folder: string): ScanRule {
  const accepts = (name: string): boolean => name.endsWith('.csv');
  return { folder: Buffer.from(folder), folderText: folder, recursive: false, accepts, birthsKept: true };
}

test('a scan hands its files on while it goes on, each once and none at the end only', async (t) => {
  const folder = await temporaryFolder(t);
  const names = Array.from({ length: 4_500 }, (_, index) => `${index}.csv`);
  for (const name of names) writeFileSync(join(folder, name), '');
  const portions: (readonly Entry[])[] = [];
  const result = await scan(ruleFor(folder), (entries) => {
    portions.push(entries);
    return Promise.resolve();
  });
  assert.deepEqual(portions.flat(), result.entries);
  assert.deepEqual(result.entries.map(({ key }) => key).toSorted(), names.toSorted());
  assert.ok(portions.length > 2 && portions.every((entries) => entries.length < 2_500));
});

test('of an empty folder nothing is handed on', async (t) => {
  const result = await scan(ruleFor(await temporaryFolder(t)), () => Promise.reject(new Error('called')));
  assert.deepEqual(result.entries, []);
});
