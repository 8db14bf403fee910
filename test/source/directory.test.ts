// The directory source on a real folder: finding, cutting, accepting, finishing, and what files do meanwhile.

import assert from 'node:assert/strict';
import { appendFileSync, linkSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { HEADER, assertSeen, openRoad, records, temporaryFolder } from './little-road.ts';

test('files that are there are read whole, and --once ends when they are finished', async (t) => {
  const folder = await temporaryFolder(t);
  writeFileSync(join(folder, 'a.csv'), HEADER + records(0, 50));
  writeFileSync(join(folder, 'b.csv'), HEADER + records(50, 60).trimEnd());
  writeFileSync(join(folder, 'empty.csv'), '');
  writeFileSync(join(folder, 'ignored.csv.tmp'), 'x');
  const road = await openRoad(t, folder, { once: true });
  await road.until(() => road.source.exhausted, 'exhausted');
  assertSeen(road, 0, 60);
  assert.deepEqual(
    [...road.books.rows.values()].map((row) => `${row.info.name} ${row.state} ${row.records}`).toSorted(),
    ['a.csv done 50', 'b.csv done 10', 'empty.csv done 0'],
  );
});

test('a large file is cut, its slices come back in any order, and newlines in quotes at the cuts do not matter', async (t) => {
  const folder = await temporaryFolder(t);
  const note = (id: number): string | undefined =>
    id % 3 === 0 ? `many\n\nlines, ""quoted""\n${'x'.repeat(id % 200)}\n` : undefined;
  writeFileSync(join(folder, 'a.csv'), HEADER + records(0, 800, note));
  const road = await openRoad(t, folder, { once: true, sliceBytes: 1000, slots: 6 });
  await road.until(() => road.source.exhausted, 'exhausted');
  assertSeen(road, 0, 800);
  assert.ok(road.accepted.length > 32, 'long slices, and usual ones at the end');
  const [row] = road.books.named('a.csv');
  let line = 1;
  let position = 0;
  for (const slice of row?.slices ?? []) {
    assert.equal(slice.start, position);
    assert.equal(slice.firstLine, line);
    position = slice.end;
    line += slice.lines;
  }
  assert.equal(line - 1, (HEADER + records(0, 800, note)).split('\n').length - 1);
});

test('a thousand small files travel many at a time', async (t) => {
  const folder = await temporaryFolder(t);
  for (let index = 0; index < 1000; index += 1) {
    writeFileSync(join(folder, `f${index}.csv`), HEADER + records(index * 3, index * 3 + 3));
  }
  const road = await openRoad(t, folder, { once: true });
  await road.until(() => road.source.exhausted, 'exhausted');
  assertSeen(road, 0, 3000);
  assert.ok(road.accepted.length < 20, `${road.accepted.length} chunks`);
  assert.deepEqual(road.books.finds, [500, 500]);
});

test('a file that arrives by rename is found by the watcher without waiting for a scan', async (t) => {
  const folder = await temporaryFolder(t);
  const road = await openRoad(t, folder, { watch: 'auto', scanEveryMs: 1_000_000 });
  let files = 0;
  await road.until(() => {
    // The first ones may come before the watcher is up; the only scan may be over by then.
    files += 1;
    writeFileSync(join(folder, `first${files}.csv`), HEADER + records(0, 1));
    return road.source.state.filesSeen > road.source.foundByScan;
  }, 'the watcher is up');
  writeFileSync(join(folder, '.b.csv'), HEADER + records(10, 20));
  renameSync(join(folder, '.b.csv'), join(folder, 'b.csv'));
  await road.until(() => road.seen.has(19), 'the renamed file is read');
  assertSeen(road, 10, 20);
});

test('a growing file is read as it grows, and an unterminated record waits for its end', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'a.csv');
  const whole = HEADER + records(0, 40);
  const cut = whole.length - 30;
  writeFileSync(path, whole.slice(0, 400));
  const road = await openRoad(t, folder, { settleMs: 100_000, settleGrowingMs: 100_000 });
  await road.until(() => road.seen.has(0), 'the first records');
  appendFileSync(path, whole.slice(400, cut));
  await road.until(() => road.seen.has(38), 'all but the last record');
  assert.equal(road.seen.has(39), false);
  appendFileSync(path, whole.slice(cut));
  await road.until(() => road.seen.has(39), 'the last record');
  assertSeen(road, 0, 40);
  assert.equal(road.books.rows.size, 1);
});

test('symlinks, folders and hard links are not read, or not twice', async (t) => {
  const folder = await temporaryFolder(t);
  writeFileSync(join(folder, 'a.csv'), HEADER + records(0, 5));
  linkSync(join(folder, 'a.csv'), join(folder, 'b.csv'));
  symlinkSync('a.csv', join(folder, 'c.csv'));
  mkdirSync(join(folder, 'd.csv'));
  const road = await openRoad(t, folder, { once: true });
  await road.until(() => road.source.exhausted, 'exhausted');
  assertSeen(road, 0, 5);
  assert.equal(road.books.rows.size, 1);
  assert.equal(road.notices.length, 3);
});
