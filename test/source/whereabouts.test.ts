// Where files stand by now: found under any name, by as few walks through the folder as may be.

import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { nameFilter } from '../../src/source/names.ts';
import type { ScanRule } from '../../src/source/scan.ts';
import { stampOf } from '../../src/source/stamp.ts';
import { Whereabouts } from '../../src/source/whereabouts.ts';
import { temporaryFolder } from './little-road.ts';

function ruleFor(folder: string, recursive: boolean): ScanRule {
  const bytes = Buffer.from(folder);
  return { folder: bytes, folderText: folder, recursive, accepts: nameFilter(['*.csv']), birthsKept: true };
}

test('one walk is believed for 20 times as long as it took, at most 10 s, and until a scan', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'a.csv');
  writeFileSync(path, 'a');
  const stamp = stampOf(lstatSync(path, { bigint: true }), true);
  let [nowMs, tookMs] = [0, 0];
  const whereabouts = new Whereabouts(ruleFor(folder, false), () => (nowMs += tookMs));
  const found = (): string | undefined => whereabouts.pathOf(stamp)?.toString();
  const at = (ms: number): void => void ([nowMs, tookMs] = [ms, 0]);

  tookMs = 10; // each look at the clock
  assert.equal(found(), path);
  const [endedMs, { walks }] = [nowMs, whereabouts];
  renameSync(path, join(folder, 'b.csv'));
  at(endedMs + 199);
  assert.equal(found(), path);
  assert.ok(whereabouts.believes(walks));
  at(endedMs + 200);
  assert.ok(!whereabouts.believes(walks));
  assert.equal(found(), join(folder, 'b.csv'));
  assert.equal(whereabouts.walks, walks + 1);

  tookMs = 1_000_000; // stopped in the middle of it
  found();
  at(nowMs + 9_999);
  assert.ok(whereabouts.believes(whereabouts.walks));
  at(nowMs + 1);
  assert.ok(!whereabouts.believes(whereabouts.walks));

  tookMs = 10;
  found();
  whereabouts.forget();
  assert.ok(!whereabouts.believes(whereabouts.walks));
  rmSync(join(folder, 'b.csv'));
  assert.equal(found(), undefined);
});

test('a walk enters the folders that a scan enters, and no others', async (t) => {
  const folder = await temporaryFolder(t);
  const places = ['in', '.hidden', 'in.part', 'in/deeper'];
  for (const place of places) mkdirSync(join(folder, place));
  const [, ...stamps] = ['', ...places].map((place) => {
    const path = join(folder, place, 'a.csv');
    writeFileSync(path, 'a');
    return stampOf(lstatSync(path, { bigint: true }), true);
  });
  const namesOf = (recursive: boolean): boolean[] =>
    stamps.map((stamp) => new Whereabouts(ruleFor(folder, recursive), () => 0).pathOf(stamp) !== null);
  assert.deepEqual(namesOf(true), [true, false, false, true]);
  assert.deepEqual(namesOf(false), [false, false, false, false]);
});
