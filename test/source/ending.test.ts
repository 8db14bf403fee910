// Files that are done with the transaction that brings them: which ones, and what else a change in between makes of them.

import assert from 'node:assert/strict';
import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

import type { AcceptedChunk } from '../../src/core/chunk.ts';
import type { GenerationId } from '../../src/core/slice.ts';
import { HEADER, MemoryBooks, assertSeen, openRoad, records, temporaryFolder } from './little-road.ts';
import type { Road, RoadOptions } from './little-road.ts';

/** No file has to be still for any time. */
const AT_ONCE = { settleMs: 0 };

class CountingBooks extends MemoryBooks {
  readonly finished: GenerationId[] = [];

  override finish(files: Parameters<MemoryBooks['finish']>[0]): Promise<ReadonlySet<GenerationId>> {
    this.finished.push(...files.map((file) => file.info.id));
    return super.finish(files);
  }
}

async function open(
  t: TestContext,
  text: string,
  options: RoadOptions,
): Promise<{ road: Road; books: CountingBooks; path: string }> {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'a.csv');
  writeFileSync(path, text);
  const books = new CountingBooks();
  return { road: await openRoad(t, folder, { ...options, books }), books, path };
}

/** Keeps the first chunk back instead of committing it. */
async function untilAccepted(road: Road): Promise<AcceptedChunk> {
  const { commit } = road;
  const kept: AcceptedChunk[] = [];
  road.commit = (chunk) => {
    kept.push(chunk);
    return [];
  };
  await road.until(() => kept.length > 0, 'a chunk is accepted');
  road.commit = commit;
  return kept[0]!;
}

const endings = (road: Road): boolean[] =>
  road.accepted.flatMap(({ slices }) => slices.map((slice) => slice.endsFile));

test('a whole file that is still is done with its batch: the books are not asked to confirm it', async (t) => {
  const { road, books } = await open(t, `${HEADER}\n${records(0, 20)}`, { ...AT_ONCE, once: true });
  await road.until(() => road.source.exhausted, 'exhausted');
  assert.deepEqual(endings(road), [true]);
  assert.deepEqual(books.finished, []);
  const [row] = books.named('a.csv');
  assert.deepEqual([row?.state, row?.records, row?.blankLines], ['done', 20, 1]);
  assert.equal(row?.ended?.size, row?.slices[0]?.end);
  assert.equal(road.source.state.filesDone, 1);
});

test('one that was just found is not: nobody knows yet whether it is still', async (t) => {
  const { road } = await open(t, HEADER + records(0, 20), { settleMs: 3_600_000 });
  await road.until(() => road.accepted.length > 0, 'accepted');
  assert.deepEqual(endings(road), [false]);
});

test('nor one that is to be moved away, nor one of several slices', async (t) => {
  const folder = await temporaryFolder(t);
  const archiveDirectory = join(folder, 'archive');
  const moved = await open(t, HEADER + records(0, 20), { ...AT_ONCE, after: 'archive', archiveDirectory });
  const sliced = await open(t, HEADER + records(0, 200), { ...AT_ONCE, sliceBytes: 4096 });
  for (const { road, books } of [moved, sliced]) {
    await road.until(() => books.finished.length > 0, 'the books are asked');
    assert.equal(endings(road).includes(true), false);
  }
});

test('one that grows before its batch has committed is read on, and confirmed when it is still', async (t) => {
  const { road, books, path } = await open(t, HEADER + records(0, 20), AT_ONCE);
  const chunk = await untilAccepted(road);
  appendFileSync(path, records(20, 30));
  await road.until(() => road.accepted.length > 1, 'the growth is read');
  road.source.settle(books.commit(chunk));
  await road.until(() => road.source.state.filesDone === 1, 'done');
  assertSeen(road, 0, 30);
  const [row] = books.named('a.csv');
  assert.equal(row?.ended?.size, row?.slices.at(-1)?.end);
  assert.equal(books.finished.includes(row!.info.id), true);
});

test('one that grows after its batch has committed is read on', async (t) => {
  const { road, books, path } = await open(t, HEADER + records(0, 20), AT_ONCE);
  await road.until(() => road.source.state.filesDone === 1, 'done');
  assert.deepEqual(books.finished, []);
  appendFileSync(path, records(20, 30));
  await road.until(() => books.finished.length > 0 && road.source.state.filesDone === 1, 'done again');
  assertSeen(road, 0, 30);
  assert.equal(books.named('a.csv')[0]?.records, 30);
});

test('one that is renamed before its batch has committed has its new name in the books', async (t) => {
  const { road, books, path } = await open(t, HEADER + records(0, 20), AT_ONCE);
  const chunk = await untilAccepted(road);
  const settled = books.commit(chunk);
  let followed = false;
  books.moved = () => {
    followed = true; // came before the batch, and found no row
    return Promise.resolve();
  };
  renameSync(path, path.replace('a.csv', 'b.csv'));
  await road.until(() => followed, 'the new name is seen');
  road.source.settle(settled);
  await road.until(() => books.named('b.csv').length === 1, 'the books follow');
  assert.deepEqual([books.named('b.csv')[0]?.state, books.finished.length], ['done', 1]);
});
