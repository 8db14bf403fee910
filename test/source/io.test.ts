// I/O errors of single files and folders: the file system is made to fail under the source. It must be trouble of that file, never the end
// of the program, and --once must end with what can be read.

import assert from 'node:assert/strict';
import fs, { appendFileSync, mkdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

import { HEADER, MemoryBooks, assertSeen, openRoad, records, temporaryFolder } from './little-road.ts';

type Call = (...args: readonly unknown[]) => unknown;

/** Calls of a function of node:fs or its promises fail with `code` while `fails` says so. */
function failing(
  t: TestContext,
  name: 'fstatSync' | 'lstatSync' | 'readdir',
  code: string,
  fails: (first: unknown) => boolean,
): void {
  const owner = (name === 'readdir' ? fs.promises : fs) as unknown as Record<string, Call>;
  const real = owner[name] as Call;
  owner[name] = (...args) => {
    if (!fails(args[0])) return real(...args);
    const error = Object.assign(new Error(`${code}: injected`), { code });
    if (name === 'readdir') return Promise.reject(error);
    throw error;
  };
  syncBuiltinESMExports();
  t.after(() => {
    owner[name] = real;
    syncBuiltinESMExports();
  });
}

test('an I/O error in fstat is trouble of that file, wherever it comes', async (t) => {
  // Which of the calls for one large file fails: that of opening, of accepting, of looking again.
  for (let failed = 1; failed <= 12; failed += 1) {
    const folder = await temporaryFolder(t);
    writeFileSync(join(folder, 'a.csv'), HEADER + records(0, 300));
    let calls = 0;
    let hit = false;
    failing(t, 'fstatSync', 'EIO', () => {
      calls += 1;
      if (calls !== failed) return false;
      hit = true;
      return true;
    });
    const road = await openRoad(t, folder, { sliceBytes: 1000, slots: 2 });
    await road.until(() => road.seen.has(100), 'some of it is read');
    appendFileSync(join(folder, 'a.csv'), records(300, 400));
    await road.until(() => road.source.state.filesDone === 1 && road.seen.has(399), 'all of it is done');
    assertSeen(road, 0, 400);
    assert.ok(hit, `call ${failed} was never made`);
    if (failed === 1) assert.match(road.notices.join(), /a\.csv cannot be read just now \(EIO\)/);
    await road.close();
  }
});

for (const how of ['readdir', 'lstatSync'] as const) {
  test(`--once does not wait for files in a folder that may not be read (${how}), counts it and reads the others`, async (t) => {
    const folder = await temporaryFolder(t);
    mkdirSync(join(folder, 'sub'));
    writeFileSync(join(folder, 'sub', 'a.csv'), HEADER + records(0, 200));
    writeFileSync(join(folder, 'z.csv'), HEADER + records(200, 210));
    let denied = false;
    const inside = (path: unknown): boolean => denied && String(path).includes('/sub');
    failing(t, 'lstatSync', 'EACCES', inside);
    if (how === 'readdir') failing(t, 'readdir', 'EACCES', inside);
    const road = await openRoad(t, folder, { once: true, recursive: true, sliceBytes: 1000 });
    await road.until(() => road.seen.has(20), 'the file is being read');
    denied = true;
    await road.until(() => road.source.exhausted, 'exhausted');
    assertSeen(road, 200, 210);
    assert.equal(road.source.state.placesUnread, 1);
    assert.match(road.notices.join(), /the folder sub may not be read \(EACCES\)/);
    denied = false;
    const books = road.books;
    await road.close();
    const again = await openRoad(t, folder, { once: true, recursive: true, sliceBytes: 1000, books });
    await again.until(() => again.source.exhausted, 'exhausted');
    assert.deepEqual([again.source.state.filesDone, again.source.state.placesUnread], [2, 0]);
  });
}

test('a folder that may not be read is said and counted, also when nothing in it was ever seen', async (t) => {
  const folder = await temporaryFolder(t);
  mkdirSync(join(folder, 'sub'));
  writeFileSync(join(folder, 'z.csv'), HEADER + records(0, 5));
  failing(t, 'readdir', 'EACCES', (path) => String(path).endsWith('/sub'));
  const road = await openRoad(t, folder, { once: true, recursive: true });
  await road.until(() => road.source.exhausted, 'exhausted');
  assert.deepEqual([road.source.state.filesDone, road.source.state.placesUnread], [1, 1]);
});

test('an instance that was taken over deletes nothing that waits for its deletion, and puts nothing back', async (t) => {
  for (const after of ['delete', 'keep'] as const) {
    const folder = await temporaryFolder(t);
    const path = join(folder, 'a.csv');
    writeFileSync(path, HEADER + records(0, 5));
    const books = new MemoryBooks();
    const first = await openRoad(t, folder, { books });
    await first.until(() => first.source.state.filesDone === 1, 'done');
    await first.close();
    const hidden = join(folder, `.millrace-deleting-${books.named('a.csv')[0]?.info.id}`);
    renameSync(path, hidden);
    let asked = 0;
    const taken = (): Promise<never> => {
      asked += 1;
      return Promise.reject(new Error('taken over'));
    };
    books.finish = taken;
    books.moved = taken;
    const road = await openRoad(t, folder, { books, after });
    await road.until(() => asked > 0 && road.notices.length > 0, 'the lease was read');
    assert.deepEqual(fs.readdirSync(folder), [hidden.slice(folder.length + 1)]);
    await road.close();
  }
});

test('blank lines of ranges that are given back are counted once', async (t) => {
  const folder = await temporaryFolder(t);
  writeFileSync(join(folder, 'a.csv'), HEADER + records(0, 100).replaceAll('\n', '\n\n'));
  const road = await openRoad(t, folder, { once: true, sliceBytes: 1000 });
  const { commit } = road;
  let given = 0;
  road.commit = (chunk) => {
    given += 1;
    if (given % 3 !== 1) return commit(chunk);
    road.source.giveBack(chunk);
    return [];
  };
  await road.until(() => road.source.exhausted, 'exhausted');
  assert.equal(road.books.named('a.csv')[0]?.blankLines, 100);
});

test('the line of a torn tail stays right when what is behind it must be read twice', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'a.csv');
  writeFileSync(path, HEADER + records(0, 3).trimEnd());
  const road = await openRoad(t, folder);
  await road.until(() => road.source.state.filesDone === 1, 'done');
  let touched = false;
  road.beforeParse = () => {
    if (!touched) utimesSync(path, 1, 1);
    touched = true;
  };
  appendFileSync(path, `999\nbad\n`);
  await road.until(() => (road.accepted.at(-1)?.slices[0]?.rejects.length ?? 0) === 2, 'the rest');
  assert.ok(touched);
  assert.deepEqual(
    road.accepted.at(-1)?.slices[0]?.rejects.map(({ line }) => line),
    [4, 5],
  );
});
