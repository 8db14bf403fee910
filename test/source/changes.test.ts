// What files do while they are read, between two starts, and after: the source reads every content once, and none of it twice.

import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

import {
  MemoryBooks,
  HEADER,
  assertSeen,
  openRoad,
  record,
  records,
  temporaryFolder,
} from './little-road.ts';
import type { Road, RoadOptions } from './little-road.ts';

/** A road whose folder holds one file of the events [0, count), read to its end. */
async function roadWithFile(
  t: TestContext,
  count: number,
  options: RoadOptions = {},
): Promise<{ road: Road; path: string }> {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'a.csv');
  writeFileSync(path, HEADER + records(0, count));
  const road = await openRoad(t, folder, options);
  await road.until(() => road.source.state.filesDone === 1, 'the first content is done');
  return { road, path };
}

/** Runs --once on what is there, with the same books. */
async function readOnce(
  t: TestContext,
  folder: string,
  books: MemoryBooks,
  options: RoadOptions = {},
): Promise<Road> {
  const road = await openRoad(t, folder, { once: true, ...options, books });
  await road.until(() => road.source.exhausted, 'exhausted');
  await road.close();
  return road;
}

test('a file that was done and grows is read on', async (t) => {
  const { road, path } = await roadWithFile(t, 20);
  appendFileSync(path, records(20, 30));
  await road.until(() => road.seen.has(29), 'the appended records');
  await road.until(() => road.source.state.filesDone === 1, 'done again');
  assertSeen(road, 0, 30);
  assert.equal(road.books.rows.size, 1);
});

test('a file overwritten in place with another content of the same size is a new generation, with a warning', async (t) => {
  const { road, path } = await roadWithFile(t, 20);
  writeFileSync(path, HEADER + records(100, 120));
  await road.until(() => road.seen.has(119), 'the other content');
  assertSeen(road, 100, 120);
  assertSeen(road, 0, 20);
  const [old, young] = road.books.named('a.csv');
  assert.equal(young?.info.replaces, old?.info.id);
  assert.match(road.notices.join(), /overwritten/);
});

test('a file overwritten in place by a longer one is a new generation', async (t) => {
  const { road, path } = await roadWithFile(t, 20);
  writeFileSync(path, HEADER + records(100, 150));
  await road.until(() => road.seen.has(149), 'the other content');
  assertSeen(road, 100, 150);
});

test('a file that is only touched is not read again', async (t) => {
  const { road, path } = await roadWithFile(t, 20);
  utimesSync(path, 1, 1);
  writeFileSync(join(road.folder, 'b.csv'), HEADER + records(50, 51));
  await road.until(() => road.source.state.filesDone === 2, 'both done');
  assertSeen(road, 0, 20);
  assert.equal(road.books.rows.size, 2);
});

test('a file cut short below what is committed is a new generation', async (t) => {
  const { road, path } = await roadWithFile(t, 20);
  truncateSync(path, (HEADER + records(0, 5)).length);
  await road.until(() => road.seen.get(4) === 2, 'the rest is read again');
  assertSeen(road, 5, 20);
  assert.equal(road.books.rows.size, 2);
});

test('a renamed file goes on under its new name', async (t) => {
  const { road, path } = await roadWithFile(t, 20);
  renameSync(path, join(road.folder, 'b.csv'));
  appendFileSync(join(road.folder, 'b.csv'), records(20, 30));
  await road.until(() => road.seen.has(29), 'the appended records');
  assertSeen(road, 0, 30);
  assert.deepEqual(
    [...road.books.rows.values()].map((row) => row.info.name),
    ['b.csv'],
  );
});

test('a file that is sent again is read again under a generation of its own', async (t) => {
  const { road, path } = await roadWithFile(t, 20);
  writeFileSync(join(road.folder, '.new'), HEADER + records(0, 20));
  renameSync(join(road.folder, '.new'), path);
  await road.until(() => road.seen.get(19) === 2, 'read again');
  const [old, young] = road.books.named('a.csv');
  assert.equal(young?.info.replaces, old?.info.id);
});

test('a new file on the inode of a deleted one is read whole', async (t) => {
  const { road, path } = await roadWithFile(t, 20);
  const { ino } = statSync(path);
  unlinkSync(path);
  const reuses = (): boolean => {
    writeFileSync(join(road.folder, 'b.csv'), HEADER + records(100, 130));
    return statSync(join(road.folder, 'b.csv')).ino === ino;
  };
  for (let attempt = 0; !reuses(); attempt += 1) {
    // Others use this file system too; leave the file, so that the next one gets another inode.
    if (attempt === 20) return t.skip('this file system does not reuse the inode');
    renameSync(join(road.folder, 'b.csv'), join(road.folder, `.${attempt}`));
  }
  await road.until(() => road.seen.has(129), 'the new file');
  assertSeen(road, 100, 130);
  assert.equal(road.notices.length, 0);
});

test('a large file renamed, replaced or deleted between its slices is read to its end', async (t) => {
  for (const change of ['rename', 'replace', 'delete'] as const) {
    const folder = await temporaryFolder(t);
    const path = join(folder, 'a.csv');
    writeFileSync(path, HEADER + records(0, 400));
    const road = await openRoad(t, folder, { sliceBytes: 2000 });
    let parsed = 0;
    road.beforeParse = (): void => {
      parsed += 1;
      if (parsed !== 3) return;
      if (change === 'rename') renameSync(path, join(folder, 'b.csv'));
      if (change === 'delete') unlinkSync(path);
      if (change !== 'replace') return;
      writeFileSync(join(folder, '.new'), HEADER + records(1000, 1010));
      renameSync(join(folder, '.new'), path);
    };
    await road.until(
      () => road.seen.has(399) && road.source.state.filesWaiting === 0,
      `read in spite of ${change}`,
    );
    assertSeen(road, 0, 400);
    if (change === 'replace') assertSeen(road, 1000, 1010);
  }
});

test('a small file that changes while many are parsed costs the others nothing', async (t) => {
  const folder = await temporaryFolder(t);
  for (let index = 0; index < 20; index += 1) {
    writeFileSync(join(folder, `f${index}.csv`), HEADER + records(index * 10, index * 10 + 10));
  }
  const road = await openRoad(t, folder, { slots: 1 });
  let parsed = 0;
  road.afterParse = (): void => {
    parsed += 1;
    if (parsed > 1) return;
    unlinkSync(join(folder, 'f3.csv'));
    writeFileSync(join(folder, '.x'), HEADER + records(1000, 1010));
    renameSync(join(folder, '.x'), join(folder, 'f5.csv'));
    appendFileSync(join(folder, 'f7.csv'), records(2000, 2001));
    renameSync(join(folder, 'f9.csv'), join(folder, 'g9.csv'));
  };
  await road.until(
    () => road.seen.has(1009) && road.seen.has(2000) && road.source.state.filesWaiting === 0,
    'all is read',
  );
  for (let index = 0; index < 20; index += 1)
    if (index !== 3 && index !== 5) assertSeen(road, index * 10, index * 10 + 10);
});

test('a large file overwritten in place between its slices is read again, and no row mixes the two contents', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'a.csv');
  writeFileSync(path, HEADER + records(0, 400));
  const road = await openRoad(t, folder, { sliceBytes: 2000 });
  let parsed = 0;
  road.beforeParse = (): void => {
    parsed += 1;
    if (parsed === 4) writeFileSync(path, HEADER.toUpperCase() + records(100_000, 100_600));
  };
  await road.until(() => road.seen.has(100_599) && road.source.state.filesWaiting === 0, 'the new content');
  assertSeen(road, 100_000, 100_600);
  const rejected = road.accepted
    .flatMap((chunk) => chunk.slices)
    .reduce((sum, slice) => sum + slice.rejected, 0);
  assert.equal(rejected, 0);
});

test('growth directly behind an unterminated record that was taken is reported, and lines stay right', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'a.csv');
  writeFileSync(path, HEADER + records(0, 3).trimEnd());
  const road = await openRoad(t, folder);
  await road.until(() => road.source.state.filesDone === 1, 'done');
  assertSeen(road, 0, 3);
  appendFileSync(path, `999\n${records(3, 5)}`);
  await road.until(() => road.seen.has(4), 'the rest');
  assert.match(road.notices.join(), /torn_tail: a\.csv .* line 4,/);
  const last = road.accepted.at(-1)?.slices[0];
  assert.equal(last?.rejects[0]?.line, 4);
  appendFileSync(path, 'bad\n');
  await road.until(() => (road.accepted.at(-1)?.slices[0]?.start ?? 0) > (last?.start ?? 0), 'the bad line');
  assert.equal(road.accepted.at(-1)?.slices[0]?.rejects[0]?.line, 7);
});

test('a restart reads only the gaps, whichever slices were committed', async (t) => {
  const folder = await temporaryFolder(t);
  const note = (id: number): string | undefined => (id % 4 === 0 ? 'two\nlines' : undefined);
  writeFileSync(join(folder, 'a.csv'), HEADER + records(0, 500, note));
  const books = new MemoryBooks();
  const first = await readOnce(t, folder, books, { sliceBytes: 1500 });
  assertSeen(first, 0, 500);
  for (const keep of [0.5, 0.2, 0.9]) {
    const before = new Map([...books.rows].map(([id, row]) => [id, row.slices.length]));
    books.lose(() => Math.random() < keep);
    const lost = [...books.rows].some(([id, row]) => row.slices.length < (before.get(id) ?? 0));
    const again = await readOnce(t, folder, books, { sliceBytes: 1100 });
    const [row] = books.named('a.csv');
    assert.equal(books.rows.size, 1);
    assert.equal(row?.state, 'done');
    if (lost) assert.ok(again.seen.size > 0 && again.seen.size < 500);
    assert.ok([...again.seen.values()].every((times) => times === 1));
    let line = 1;
    for (const slice of row?.slices ?? []) {
      assert.equal(slice.firstLine, line);
      line += slice.lines;
    }
  }
});

test('a restart finds everything done, reads nothing, and goes on where a file has grown', async (t) => {
  const { road, path } = await roadWithFile(t, 20);
  await road.close();
  const same = await readOnce(t, road.folder, road.books);
  assert.equal(same.seen.size, 0);
  assert.equal(same.source.state.filesDone, 1);
  appendFileSync(path, records(20, 25));
  const grown = await readOnce(t, road.folder, road.books);
  assert.deepEqual([...grown.seen.keys()], [20, 21, 22, 23, 24]);
  writeFileSync(path, HEADER + records(30, 80));
  const other = await readOnce(t, road.folder, road.books);
  assertSeen(other, 30, 80);
  assert.equal(road.books.rows.size, 2);
});

test('a restart under another name or after a rename goes on, and moves the books', async (t) => {
  const { road, path } = await roadWithFile(t, 20);
  await road.close();
  renameSync(path, join(road.folder, 'z.csv'));
  const again = await readOnce(t, road.folder, road.books);
  assert.equal(again.seen.size, 0);
  assert.equal(road.books.named('z.csv').length, 1);
  assert.equal(road.books.rows.size, 1);
});

test('a refused file does not hold the others, and is tried again when it is mended', async (t) => {
  const folder = await temporaryFolder(t);
  writeFileSync(join(folder, 'bad.csv'), 'nothing,here\n1,2\n');
  writeFileSync(join(folder, 'good.csv'), HEADER + records(0, 5));
  const books = new MemoryBooks();
  const first = await readOnce(t, folder, books);
  assertSeen(first, 0, 5);
  assert.deepEqual(first.refused, ['bad.csv']);
  const second = await readOnce(t, folder, books);
  assert.equal(second.seen.size, 0);
  assert.equal(second.source.state.filesRefused, 1);
  const road = await openRoad(t, folder, { books });
  await road.until(() => road.source.state.filesRefused === 1, 'still refused');
  writeFileSync(join(folder, 'bad.csv'), HEADER + records(5, 8));
  await road.until(() => road.seen.has(7), 'mended');
  assert.equal(road.source.state.filesRefused, 0);
});

test('what the books do not confirm is asked about again and read', async (t) => {
  const folder = await temporaryFolder(t);
  writeFileSync(join(folder, 'a.csv'), HEADER + records(0, 100));
  const books = new MemoryBooks();
  books.denied = 1;
  const road = await openRoad(t, folder, { books, once: true, sliceBytes: 4_000 });
  let deny = true;
  books.finish = async (files): Promise<ReadonlySet<never>> => {
    if (deny) books.lose((slice) => slice.start !== 0);
    deny = false;
    return (await MemoryBooks.prototype.finish.call(books, files)) as ReadonlySet<never>;
  };
  await road.until(() => road.source.exhausted, 'exhausted');
  assert.equal(road.seen.get(0), 2);
  assert.equal(road.seen.get(99), 1);
  assert.equal(books.rows.size, 1);
});

test('a task that kills its worker is split into its files, and only the guilty one is parked', async (t) => {
  const folder = await temporaryFolder(t);
  for (const name of ['a', 'b', 'c'])
    writeFileSync(join(folder, `${name}.csv`), HEADER + record(name.charCodeAt(0)));
  const road = await openRoad(t, folder, { once: true });
  await road.until(() => road.source.state.filesSeen === 3, 'found');
  let task = road.source.take('slice', 0);
  for (; task === null; task = road.source.take('slice', 0))
    await new Promise((resolve) => setImmediate(resolve));
  assert.equal(task.parse.slices.length, 3);
  assert.deepEqual(road.source.fail(task, 'died'), [{ kind: 'dropped', task }]);
  const alone = road.source.take('slice', 0);
  assert.equal(alone?.parse.slices.length, 1);
  if (alone !== null) road.source.fail(alone, 'died again');
  await road.until(() => road.source.exhausted, 'exhausted');
  assert.equal(road.refused.length, 1);
  assert.equal(road.seen.size, 2);
});

test('the first slices of an idle road are smaller, those of a busy one whole', async (t) => {
  const folder = await temporaryFolder(t);
  writeFileSync(join(folder, 'a.csv'), HEADER + Array.from({ length: 20_000 }, (_, n) => record(n)).join(''));
  const sliceBytes = 64 * 1024;
  const road = await openRoad(t, folder, { once: true, sliceBytes });
  await road.until(() => road.source.state.bytesWaiting > 0, 'found');
  const sizes: number[] = [];
  while (sizes.length < 6) {
    const task = road.source.take('slice', sizes.length);
    if (task === null) await new Promise((resolve) => setImmediate(resolve));
    else sizes.push(...task.parse.slices.map(({ start, end }) => end - start));
  }
  assert.deepEqual(
    sizes.map((size) => sliceBytes / size),
    [16, 16, 4, 2, 1, 1],
  );
});

test('a road that is never idle cuts whole slices, however few are in flight; behind a pause they are small again', async (t) => {
  const folder = await temporaryFolder(t);
  const text = HEADER + records(0, 2_000);
  const sliceBytes = 4096;
  writeFileSync(join(folder, 'a.csv'), text);
  const road = await openRoad(t, folder, { once: true, sliceBytes });
  await road.until(() => road.source.hasMore, 'found');
  const next = (inFlight: number): number | undefined => {
    const { start = 0, end = 0 } = road.source.take('slice', inFlight)?.parse.slices[0] ?? {};
    return sliceBytes / (end - start);
  };
  assert.deepEqual([next(0), next(1), next(1), next(1)], [16, 16, 4, 2]);
  assert.deepEqual([next(0), next(1), next(3)], [1, 1, 1]);
  assert.equal(road.source.take('small', 3), null, 'no room for a large one');
  assert.equal(next(0), 1);
  while (road.source.take('slice', 9) !== null);
  assert.equal(road.source.hasMore, false);
  writeFileSync(join(folder, 'b.csv'), text);
  await road.until(() => road.source.hasMore, 'found');
  assert.deepEqual([next(2), next(9), next(0)], [4, 1, 4]);
});

test('a file with very much to go is read in long slices where there is room for such, and its rest in usual ones', async (t) => {
  const folder = await temporaryFolder(t);
  writeFileSync(join(folder, 'a.csv'), HEADER + Array.from({ length: 3_000 }, (_, n) => record(n)).join(''));
  const sliceBytes = 2048;
  const road = await openRoad(t, folder, { once: true, sliceBytes });
  await road.until(() => road.source.state.bytesWaiting > 0, 'found');
  const cut: string[] = [];
  for (let rest = road.source.state.bytesWaiting; ;) {
    const room = cut.length === 6 ? 'slice' : 'long';
    const task = road.source.take(room, cut.length);
    const [slice] = task?.parse.slices ?? [];
    if (task === null || slice === undefined) break;
    const slices = (slice.end - slice.start) / sliceBytes;
    const isLast = slice.end === slice.limit;
    cut.push(`${task.size} ${isLast ? 'last' : slices}`);
    assert.equal(
      task.size === 'long',
      room === 'long' && cut.length > 4 && rest > 32 * sliceBytes,
      `rest ${rest}`,
    );
    rest -= slice.end - slice.start;
  }
  assert.deepEqual(cut.slice(0, 8), [
    'slice 0.0625',
    'slice 0.0625',
    'slice 0.25',
    'slice 0.5',
    'long 4',
    'long 4',
    'slice 1',
    'long 4',
  ]);
  assert.deepEqual(cut.slice(-3), ['slice 0.25', 'slice 0.25', 'slice last']);
});

test('the last slices of a file get smaller, unless another file is ready behind it', async (t) => {
  const folder = await temporaryFolder(t);
  const text = HEADER + Array.from({ length: 1_500 }, (_, n) => record(n)).join('');
  const sliceBytes = 4096;
  for (const name of ['a', 'b']) writeFileSync(join(folder, `${name}.csv`), text);
  const road = await openRoad(t, folder, { once: true, sliceBytes });
  await road.until(() => road.source.state.bytesWaiting === 2 * text.length, 'found');
  const sizes: number[][] = [];
  for (let task = road.source.take('slice', 9); task !== null; task = road.source.take('slice', 9)) {
    const { start, end } = task.parse.slices[0]!;
    if (start === 0) sizes.push([]);
    sizes.at(-1)?.push(end - start);
  }
  const [first = [], second = []] = sizes;
  assert.deepEqual(new Set(first.slice(0, -1)), new Set([sliceBytes]));
  let rest = text.length;
  for (const size of second) {
    assert.equal(
      size,
      Math.min(rest, Math.max(sliceBytes / 4, Math.min(sliceBytes, Math.ceil(rest / 4)))),
      `of ${rest} bytes`,
    );
    rest -= size;
  }
  assert.equal(rest, 0);
});

test('long slices are accepted like others: whatever order they come back in, no record is missing and none comes twice', async (t) => {
  const folder = await temporaryFolder(t);
  const torn = (n: number): string | undefined => (n % 50 === 0 ? `${n}\n,a line of its own` : undefined);
  writeFileSync(join(folder, 'a.csv'), HEADER + records(0, 2_000, torn));
  const road = await openRoad(t, folder, { once: true, sliceBytes: 1000, slots: 6 });
  await road.until(() => road.source.exhausted, 'exhausted');
  assertSeen(road, 0, 2_000);
  assert.equal(road.seen.size, 2_000);
  const lengths = road.accepted.flatMap(({ slices }) => slices.map(({ start, end }) => end - start));
  assert.ok(lengths.some((length) => length > 3_000) && lengths.some((length) => length < 1_500));
});

test('ranges that are given back are read again, with certain ends', async (t) => {
  const folder = await temporaryFolder(t);
  writeFileSync(join(folder, 'a.csv'), HEADER + records(0, 200));
  const road = await openRoad(t, folder, { once: true, sliceBytes: 1000 });
  let given = 0;
  const commit = road.commit;
  road.commit = (chunk) => {
    if (Math.random() > 0.3 || given > 20) return commit(chunk);
    given += 1;
    for (const id of idsOf(chunk)) road.seen.set(id, (road.seen.get(id) ?? 0) - 1);
    road.source.giveBack(chunk);
    return [];
  };
  await road.until(() => road.source.exhausted, 'exhausted');
  assertSeen(road, 0, 200);
  assert.ok(given > 0);
});

function idsOf(chunk: Road['accepted'][number]): number[] {
  return Array.from({ length: chunk.rows.count }, (_, row) => chunk.rows.keys[4 * row + 3] ?? 0);
}

test('a parked file is let alone, also after a restart', async (t) => {
  const folder = await temporaryFolder(t);
  const books = new MemoryBooks();
  writeFileSync(join(folder, 'a.csv'), HEADER + records(0, 2_000));
  const road = await openRoad(t, folder, { once: true, sliceBytes: 16_000, books });
  road.commit = (chunk) => {
    const committed = books.commit(chunk);
    const info = chunk.slices[0]?.file;
    const row = info === undefined ? undefined : books.rows.get(info.id);
    if (row !== undefined && info !== undefined) {
      row.state = 'parked';
      road.source.park(info.id);
    }
    return committed;
  };
  await road.until(() => road.source.exhausted, 'exhausted');
  const seen = road.seen.size;
  assert.ok(seen > 0 && seen < 1_000, `${seen} records: those of slices that were in flight, and no more`);
  await road.close();
  const again = await readOnce(t, folder, books);
  assert.equal(again.seen.size, 0);
});

test('a FIFO is never opened, and strange names are read', async (t) => {
  const folder = await temporaryFolder(t);
  for (let index = 0; index < 5; index += 1) execFileSync('mkfifo', [join(folder, `f${index}.csv`)]);
  const names = [
    'new\nline.csv',
    '[table].csv',
    'f{a}.csv',
    '-rf.csv',
    '$(id).csv',
    'q\'".csv',
    ' blank .csv',
    '\u202Ecsv.exe.csv',
  ];
  for (const [index, name] of names.entries()) writeFileSync(join(folder, name), HEADER + record(index));
  const invalid = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0xfe]), Buffer.from('.csv')]);
  writeFileSync(invalid, HEADER + record(names.length));
  const road = await readOnce(t, folder, new MemoryBooks());
  assertSeen(road, 0, names.length + 1);
  const printed = [...road.books.rows.values()].map((row) => row.info.name);
  assert.ok(
    printed.includes('new\\x0aline.csv') &&
      printed.includes('\\xff\\xfe.csv') &&
      printed.includes('[table].csv'),
  );
});

test('folders below are read with --recursive, hidden ones not', async (t) => {
  const folder = await temporaryFolder(t);
  mkdirSync(join(folder, 'x', 'y'), { recursive: true });
  mkdirSync(join(folder, '.hidden'));
  writeFileSync(join(folder, 'x', 'y', 'a.csv'), HEADER + record(1));
  writeFileSync(join(folder, '.hidden', 'a.csv'), HEADER + record(2));
  const flat = await openRoad(t, folder, { once: true });
  await flat.until(() => flat.source.exhausted, 'exhausted');
  assert.equal(flat.seen.size, 0);
  const deep = await readOnce(t, folder, new MemoryBooks(), { recursive: true });
  assert.deepEqual([...deep.seen.keys()], [1]);
  assert.equal(deep.books.named('x/y/a.csv').length, 1);
});

test('a folder that is deleted and made again is read on', async (t) => {
  for (const watch of ['auto', 'poll'] as const) {
    const { road } = await roadWithFile(t, 5, { watch });
    rmSync(road.folder, { recursive: true });
    await road.until(() => road.notices.some((text) => text.includes('ENOENT')), 'the loss is noticed');
    mkdirSync(road.folder);
    writeFileSync(join(road.folder, 'b.csv'), HEADER + records(5, 9));
    await road.until(() => road.seen.has(8), 'the new folder is read');
    assertSeen(road, 0, 9);
    await road.close();
  }
});

test('done files are archived under a free name, with the sub-folders they were in', async (t) => {
  const folder = await temporaryFolder(t);
  const archive = await temporaryFolder(t);
  mkdirSync(join(folder, 'x'));
  writeFileSync(join(folder, 'x', 'a.csv'), HEADER + records(0, 5));
  mkdirSync(join(archive, 'x'));
  writeFileSync(join(archive, 'x', 'a.csv'), 'another');
  const options = { after: 'archive', archiveDirectory: archive, recursive: true } as const;
  const road = await readOnce(t, folder, new MemoryBooks(), options);
  assertSeen(road, 0, 5);
  assert.deepEqual(readdirSync(join(folder, 'x')), []);
  assert.equal(readFileSync(join(archive, 'x', 'a.csv'), 'utf8'), 'another');
  assert.equal(readFileSync(join(archive, 'x', 'a.csv.1'), 'utf8'), HEADER + records(0, 5));
});

test('done files are deleted; one that was done at an earlier start as well', async (t) => {
  const { road, path } = await roadWithFile(t, 5);
  await road.close();
  const again = await readOnce(t, road.folder, road.books, { after: 'delete' });
  assert.equal(again.seen.size, 0);
  assert.equal(existsSync(path), false);
  assert.deepEqual(readdirSync(road.folder), []);
});

test('a file that is written to while it waits to be deleted is put back and read on', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'a.csv');
  writeFileSync(path, HEADER + records(0, 5));
  const road = await openRoad(t, folder, { after: 'delete', settleMs: 100, settleGrowingMs: 100 });
  const hidden = (): string | undefined => readdirSync(folder).find((name) => name.startsWith('.millrace'));
  await road.until(() => hidden() !== undefined, 'it waits to be deleted');
  appendFileSync(join(folder, hidden() ?? ''), records(5, 7));
  await road.until(() => road.seen.has(6), 'the rest is read');
  await road.until(() => readdirSync(folder).length === 0, 'it is deleted in the end');
  assertSeen(road, 0, 7);
});

test('a deletion that a crash cut off is finished at the next start, or taken back when the file grew', async (t) => {
  for (const grown of [false, true]) {
    const { road, path } = await roadWithFile(t, 5);
    await road.close();
    const [row] = road.books.named('a.csv');
    const hidden = join(road.folder, `.millrace-deleting-${row?.info.id}`);
    renameSync(path, hidden);
    if (grown) appendFileSync(hidden, records(5, 7));
    const again = await openRoad(t, road.folder, { after: 'delete', books: road.books });
    await again.until(() => readdirSync(road.folder).length === 0, 'the folder is empty');
    if (grown) assertSeen(again, 5, 7);
    assertSeen(again, 0, 5, 0);
  }
});

test('an archive on another file system is a copy that is whole before the original goes', async (t) => {
  const folder = await temporaryFolder(t);
  const archive = `/dev/shm/millrace-source-${process.pid}`;
  if (!existsSync('/dev/shm') || statSync('/dev/shm').dev === statSync(folder).dev) {
    t.skip('no second file system');
    return;
  }
  mkdirSync(archive);
  t.after(() => rmSync(archive, { recursive: true }));
  writeFileSync(join(folder, 'a.csv'), HEADER + records(0, 5));
  await readOnce(t, folder, new MemoryBooks(), { after: 'archive', archiveDirectory: archive });
  assert.deepEqual(readdirSync(folder), []);
  assert.deepEqual(readdirSync(archive), ['a.csv']);
  assert.equal(readFileSync(join(archive, 'a.csv'), 'utf8'), HEADER + records(0, 5));
});

test('a file that may not be read waits until it may, and --once does not wait for it', async (t) => {
  if (process.getuid?.() === 0) {
    t.skip('root may read everything');
    return;
  }
  const folder = await temporaryFolder(t);
  const path = join(folder, 'a.csv');
  writeFileSync(path, HEADER + records(0, 5));
  chmodSync(path, 0);
  const books = new MemoryBooks();
  const once = await readOnce(t, folder, books);
  assert.match(once.notices.join(), /may not be read \(EACCES\)/);
  const road = await openRoad(t, folder, { books });
  await road.until(() => road.notices.length > 0, 'noticed');
  chmodSync(path, 0o600);
  await road.until(() => road.seen.has(4), 'granted');
  linkSync(path, join(folder, 'b.csv'));
});

test('a rejected row that the database refuses later is read again only while its bytes stand', async (t) => {
  const { road, path } = await roadWithFile(t, 5);
  const slice = road.accepted[0]?.slices[0];
  const read = slice?.reread(HEADER.length, 36);
  assert.equal(Buffer.from(read ?? []).toString(), record(0).slice(0, 36));
  writeFileSync(path, HEADER + records(7, 12));
  assert.equal(slice?.reread(HEADER.length, 36), null);
});

test("a record's bytes are found under whatever name its file stands by now, when nobody has looked since", async (t) => {
  const { road, path } = await roadWithFile(t, 5);
  const slice = road.accepted[0]?.slices[0];
  const reread = (): string | null => {
    const bytes = slice?.reread(HEADER.length, 36) ?? null;
    return bytes === null ? null : Buffer.from(bytes).toString();
  };
  // A neighbour of the same bytes, and another file under the old name: neither is it.
  writeFileSync(join(road.folder, 'c.csv'), HEADER + records(0, 5));
  let name = 'a.csv';
  for (const next of ['b.csv', '.a.csv.done']) {
    renameSync(join(road.folder, name), join(road.folder, next));
    name = next;
    writeFileSync(path, HEADER + records(7, 12));
    await sleep(200); // what a walk through the folder found is believed for 20 times as long as it took
    assert.equal(reread(), record(0).slice(0, 36), next);
  }
  rmSync(join(road.folder, name));
  await sleep(200);
  assert.equal(reread(), null);
});

test('a file written anew and longer while its very first slice is being read is read from its new beginning', async (t) => {
  for (const before of [400, 4_000]) {
    const folder = await temporaryFolder(t);
    const path = join(folder, 'a.csv');
    writeFileSync(path, HEADER + records(0, before));
    const road = await openRoad(t, folder, { sliceBytes: 64 * 1024 });
    let written = false;
    road.afterParse = () => {
      if (written) return;
      written = true;
      // In place, as cp does: the same inode, and longer than before.
      writeFileSync(path, HEADER + records(10_000, 10_000 + before + 1_000));
    };
    await road.until(() => road.source.state.filesDone === 1, 'the new content is done');
    assertSeen(road, 10_000, 10_000 + before + 1_000);
    await road.close();
  }
});

test('files of nothing but bad lines do not meet in one answer of a worker', async (t) => {
  const folder = await temporaryFolder(t);
  for (let file = 0; file < 5; file += 1)
    writeFileSync(join(folder, `${file}.csv`), HEADER + 'x\n'.repeat(6_000));
  const road = await openRoad(t, folder);
  await road.until(() => road.source.state.filesDone === 5, 'all are done');
  const listed = road.accepted.map(({ slices }) =>
    slices.reduce((sum, { rejects }) => sum + rejects.length, 0),
  );
  assert.ok(Math.max(...listed) <= 12_000, `${Math.max(...listed)} rejects in one chunk`);
  assert.equal(
    [...road.books.rows.values()].reduce((sum, { rejected }) => sum + rejected, 0),
    30_000,
  );
});

test('large files that wait for the end of their last line do not hold back another large one', async (t) => {
  const folder = await temporaryFolder(t);
  const road = await openRoad(t, folder, {
    sliceBytes: 16 * 1024,
    settleGrowingMs: 600_000,
    settleMs: 60_000,
  });
  for (let file = 0; file < 8; file += 1)
    writeFileSync(
      join(folder, `${file}.csv`),
      HEADER + records(file * 1_000, file * 1_000 + 500) + 'half a rec',
    );
  await road.until(() => road.seen.size === 8 * 500, 'the complete records of the eight are read');
  writeFileSync(join(folder, 'z.csv'), HEADER + records(50_000, 50_500));
  await road.until(() => road.seen.size === 9 * 500, 'the ninth is read');
});
