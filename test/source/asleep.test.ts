// Files that a start finds done and unchanged: nothing is asked about them, and whatever happens to one afterwards is noticed as ever.

import assert from 'node:assert/strict';
import { appendFileSync, linkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

import { HEADER, MemoryBooks, assertSeen, openRoad, records, temporaryFolder } from './little-road.ts';
import type { Road, RoadOptions } from './little-road.ts';

/** A folder of which every file is done, and a start on it. */
async function startAgain(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  options: RoadOptions = {},
): Promise<Road> {
  const folder = await temporaryFolder(t);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const books = new MemoryBooks();
  const first = await openRoad(t, folder, { books, once: true });
  await first.until(() => first.source.exhausted, 'all is read');
  await first.close();
  books.finds.length = 0;
  const road = await openRoad(t, folder, { ...options, books });
  const { length } = Object.keys(files);
  await road.until(() => road.source.state.filesDone === length, 'all are known');
  assert.deepEqual(books.finds, [], 'nothing more is asked about them');
  assert.deepEqual([road.source.state.filesSeen, road.source.foundByScan], [length, length]);
  return road;
}

test('one that grows is read on, and an unterminated end of it is not taken for the last', async (t) => {
  const road = await startAgain(
    t,
    { 'a.csv': HEADER + records(0, 20), 'b.csv': HEADER + records(20, 30) },
    { settleGrowingMs: 3_600_000 },
  );
  const more = records(40, 42);
  appendFileSync(join(road.folder, 'a.csv'), more.slice(0, -5));
  await road.until(() => road.seen.has(40), 'the grown file');
  writeFileSync(join(road.folder, 'c.csv'), HEADER + records(50, 51).trimEnd());
  await road.until(() => road.seen.has(50), 'the end of a file that never grew');
  await road.until(() => road.source.state.filesDone === 2, 'that one is done');
  assert.deepEqual(
    [...road.seen.keys()].toSorted((a, b) => a - b),
    [40, 50],
  );
  appendFileSync(join(road.folder, 'a.csv'), more.slice(-5));
  await road.until(() => road.seen.has(41), 'its end');
  await road.until(() => road.source.state.filesDone === 3, 'all are done');
  assert.equal(road.source.state.filesSeen, 3);
  assert.equal(road.books.rows.size, 3);
  assert.deepEqual(road.notices, []);
});

test('one that is overwritten or replaced is another content', async (t) => {
  const road = await startAgain(t, { 'a.csv': HEADER + records(0, 9), 'b.csv': HEADER + records(20, 29) });
  writeFileSync(join(road.folder, 'a.csv'), HEADER + records(10, 19));
  await road.until(() => road.seen.has(18), 'the overwritten one');
  writeFileSync(join(road.folder, '.new'), HEADER + records(30, 39));
  renameSync(join(road.folder, '.new'), join(road.folder, 'b.csv'));
  await road.until(() => road.seen.has(38), 'the replaced one');
  await road.untilIdle();
  assertSeen(road, 10, 19);
  assertSeen(road, 30, 39);
  const [old, replacement] = road.books.named('b.csv');
  assert.equal(replacement?.info.replaces, old?.info.id);
});

test('one that gets another name keeps its books, and nothing of it is read again', async (t) => {
  const road = await startAgain(t, { 'a.csv': HEADER + records(0, 9) });
  renameSync(join(road.folder, 'a.csv'), join(road.folder, 'z.csv'));
  await road.until(() => road.books.named('z.csv').length === 1, 'the books follow');
  await road.until(() => road.source.state.filesDone === 1, 'done under its new name');
  assert.deepEqual([road.seen.size, road.books.rows.size, road.source.state.filesSeen], [0, 1, 1]);
});

test('a second name of one is told of, and read once; without the first it is a rename', async (t) => {
  const road = await startAgain(t, { 'b.csv': HEADER + records(0, 9) });
  linkSync(join(road.folder, 'b.csv'), join(road.folder, 'a.csv'));
  await road.until(
    () => road.notices.some((text) => /a\.csv is the same file as b\.csv/.test(text)),
    'a notice',
  );
  rmSync(join(road.folder, 'b.csv'));
  await road.until(() => road.books.named('a.csv').length === 1, 'the books follow');
  assert.equal(road.seen.size, 0);
});

test('one that leaves the folder and comes back is found done again', async (t) => {
  const road = await startAgain(t, { 'a.csv': HEADER + records(0, 9), 'b.csv': HEADER + records(20, 29) });
  const { folder } = road;
  renameSync(join(folder, 'a.csv'), join(folder, '.away'));
  writeFileSync(join(folder, 'c.csv'), HEADER + records(40, 49));
  await road.until(() => road.seen.has(48), 'another file, so a scan has passed');
  renameSync(join(folder, '.away'), join(folder, 'a.csv'));
  await road.until(
    () => road.source.state.filesSeen === 4 && road.source.state.filesDone === 4,
    'found again',
  );
  assertSeen(road, 0, 9, 0);
});

test('many do not keep --once from ending', async (t) => {
  const folder = await temporaryFolder(t);
  const books = new MemoryBooks();
  const names = Array.from({ length: 6_000 }, (_, index) => `${index}.csv`);
  for (const name of names) writeFileSync(join(folder, name), HEADER);
  // Scans take longer than the time between two looks at whether all is over.
  books.unchanged = (files) => Promise.resolve(files.map((_, index) => index));
  const road = await openRoad(t, folder, { books, once: true });
  await road.until(() => road.source.exhausted, 'the end');
  assert.equal(road.source.state.filesDone, names.length);
});
