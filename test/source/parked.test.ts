// What becomes of a parked file that changes: a person who mends it wants it read, a producer that goes on appending to it decides nothing.

import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

import { HEADER, assertSeen, openRoad, record, records, temporaryFolder } from './little-road.ts';
import type { MemoryBooks, Road, RoadOptions } from './little-road.ts';

const BUDGET: RoadOptions = { rejectsMax: 0, sliceBytes: 1000 };

/** 13 slices of good records, then a bad one. */
const GOOD = HEADER + records(0, 200);
const BAD = `${GOOD}bad\n`;

interface Parked {
  readonly road: Road;
  readonly path: string;
}

async function parked(t: TestContext, text: string, running: boolean): Promise<Parked> {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'a.csv');
  writeFileSync(path, text);
  const first = await openRoad(t, folder, BUDGET);
  await first.until(() => first.source.state.filesRefused === 1, 'it is parked');
  const road = running ? first : await restarted(t, first);
  assert.deepEqual(states(road), ['parked']);
  return { road, path };
}

async function restarted(t: TestContext, { source, folder, books }: Road): Promise<Road> {
  await source.close();
  const road = await openRoad(t, folder, { ...BUDGET, books });
  await road.until(() => road.source.state.filesRefused === 1, 'it is still parked');
  return road;
}

function states({ books }: { books: MemoryBooks }): string[] {
  return books.named('a.csv').map((row) => row.state);
}

async function becomesDone(road: Road): Promise<void> {
  await road.until(() => road.source.state.filesDone === 1, 'the mended file is done');
  assert.deepEqual(states(road), ['parked', 'done']);
  assert.equal(road.source.state.filesRefused, 0);
  assert.match(road.notices.join('\n'), /a\.csv was parked and has changed since/);
}

for (const running of [true, false]) {
  const when = running ? 'while the program runs' : 'between two starts';

  test(`a parked file that is mended in place ${when} is read`, async (t) => {
    for (const text of [`${HEADER}${record(0)}bad\n${record(1)}`, BAD]) {
      const { road, path } = await parked(t, text, running);
      if (!running) await road.close();
      road.seen.clear();
      const mended = text.replace('bad\n', record(500)); // longer than before, in the same inode
      writeFileSync(path, mended.replace(record(0), record(501)));
      const next = running ? road : await openRoad(t, road.folder, { ...BUDGET, books: road.books });
      await becomesDone(next);
      assertSeen(next, 500, 502);
    }
  });

  test(`a parked file from which the bad line is cut ${when} is read`, async (t) => {
    const { road, path } = await parked(t, BAD, running);
    if (!running) await road.close();
    road.seen.clear();
    writeFileSync(path, GOOD);
    const next = running ? road : await openRoad(t, road.folder, { ...BUDGET, books: road.books });
    await becomesDone(next);
    assertSeen(next, 0, 200);
  });

  test(`a parked file that its producer appends to ${when} waits for a person, and says so`, async (t) => {
    const { road, path } = await parked(t, BAD, running);
    if (!running) await road.close();
    const seen = new Map(road.seen);
    appendFileSync(path, records(300, 310));
    const next = running ? road : await openRoad(t, road.folder, { ...BUDGET, books: road.books });
    await next.until(
      () => next.notices.some((text) => /parked and has grown.*millrace resume/.test(text)),
      'it is said',
    );
    assert.deepEqual(states(next), ['parked']);
    assert.equal(next.seen.get(305), undefined);
    if (running) assert.deepEqual(next.seen, seen);
  });
}

test('a file that is bad from its first line, and touched, is parked again under a content of its own', async (t) => {
  const { road, path } = await parked(t, `${HEADER}bad\n`, true);
  utimesSync(path, 1, 1);
  await road.until(() => states(road).length === 2 && states(road)[1] === 'parked', 'it is parked again');
  assert.equal(road.source.state.filesRefused, 1);
});

test('another file under the name of a parked one is read', async (t) => {
  const { road, path } = await parked(t, BAD, true);
  writeFileSync(join(road.folder, '.new'), HEADER + records(600, 610));
  renameSync(join(road.folder, '.new'), path);
  await road.until(() => road.source.state.filesDone === 1, 'it is done');
  assertSeen(road, 600, 610);
});

test('a parked file that nobody changes is let alone at any number of scans, and a rename keeps it parked', async (t) => {
  const { road, path } = await parked(t, BAD, true);
  const before = readFileSync(path, 'utf8');
  renameSync(path, join(road.folder, 'b.csv'));
  const scans = road.books.finds.length;
  writeFileSync(join(road.folder, 'other.csv'), HEADER + records(700, 701));
  await road.until(() => road.source.state.filesDone === 1, 'another file is read meanwhile');
  assert.equal(readFileSync(join(road.folder, 'b.csv'), 'utf8'), before);
  assert.equal(road.source.state.filesRefused, 1);
  assert.equal(road.books.finds.length, scans + 1);
});
