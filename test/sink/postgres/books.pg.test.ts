// The books: what is known of a file, when it is done, and that small slices become one.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DEFAULT_DIALECT } from '../../../src/core/booked-dialect.ts';
import { combine } from '../../../src/core/crc32.ts';
import { FRESH } from '../../../src/core/chunk.ts';
import type { Dialect } from '../../../src/core/slice.ts';
import { identify } from '../../../src/source/identity.ts';
import { sameKey } from '../../../src/source/stamp.ts';
import { testChunk, testFile, testRows } from '../../support/chunks.ts';
import { startTestServer } from '../../support/postgres.ts';
import type { TestServer } from '../../support/postgres.ts';
import { NEVER, committed, openSink, query, testBatch } from './support.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.stop());

test('a generation is found by its inode or its name, with its committed ranges', async () => {
  const { sink, books } = await openSink(await server.createDatabase());
  const file = testFile();
  const chunk = testChunk({ file, rows: testRows(0, 3) });
  await sink.write(0, testBatch(1, [chunk]), NEVER);
  const byName = await books.find([{ nameBytes: file.nameBytes, ino: 0n }]);
  const byInode = await books.find([{ nameBytes: Buffer.from('other'), ino: file.stamp.ino }]);
  assert.deepEqual(byName, byInode);
  const [known] = byName;
  assert.equal(known?.state, 'reading');
  assert.equal(known.ended, null);
  assert.deepEqual(
    {
      id: known.info.id,
      name: known.info.name,
      dev: known.info.stamp.dev,
      ino: known.info.stamp.ino,
      birth: known.info.stamp.birthNs,
    },
    { id: file.id, name: file.name, dev: file.stamp.dev, ino: file.stamp.ino, birth: file.stamp.birthNs },
  );
  const [slice] = chunk.slices;
  const head = { length: 300, hash: slice!.head!.hash };
  assert.deepEqual(known.slices, [{ start: 0, end: 300, firstLine: 1, lines: 3, crc: slice!.crc, head }]);
  assert.deepEqual(await books.find([{ nameBytes: Buffer.from('none'), ino: 1n }]), []);
  await sink.leave();
});

test('files that stand as they did when they were done are told from all others, as the source would', async () => {
  const database = await server.createDatabase();
  const { sink, books } = await openSink(database);
  const times = [1n, 2n, null];
  const infos = Array.from({ length: 40 }, (_, index) => {
    const file = testFile();
    const nameBytes = Buffer.from([0x61 + (index % 2), 0xff, 0x5c, 0x22]);
    const stamp = {
      ...file.stamp,
      dev: BigInt(1 + (index % 3 === 0 ? 1 : 0)),
      ino: BigInt(index % 7),
      birthNs: times[index % 3]!,
    };
    return { ...file, nameBytes, stamp: { ...stamp, size: 0, mtimeNs: BigInt(index % 4), ctimeNs: 5n } };
  });
  for (const [index, info] of infos.entries()) {
    const ended = { info, stamp: info.stamp, blankLines: 0 };
    if (index % 5 === 4) await books.end(ended, 'refused', 'for the test');
    else await books.finish([ended]);
  }
  const asked = infos.flatMap(({ nameBytes, stamp }) => [
    { nameBytes, stamp },
    { nameBytes, stamp: { ...stamp, ctimeNs: 6n } },
    { nameBytes, stamp: { ...stamp, birthNs: null } },
    { nameBytes: Buffer.from('b'), stamp },
  ]);
  const known = await books.find(asked.map(({ nameBytes, stamp }) => ({ nameBytes, ino: stamp.ino })));
  const expected = asked.flatMap((file, index) => {
    const identity = identify(file, known, 'unread');
    const isHere = identity.kind === 'settled' && sameKey(identity.known.info.stamp, file.stamp);
    return isHere && identity.known.state === 'done' ? [index] : [];
  });
  const files = asked.map(({ nameBytes, stamp }) => ({ nameKey: nameBytes.toString('latin1'), stamp }));
  const places = await books.unchanged(files);
  assert.deepEqual(
    [...places].toSorted((a, b) => a - b),
    expected,
  );
  assert.ok(
    expected.length > 5 && expected.length < asked.length / 2,
    `${expected.length} of ${asked.length}`,
  );
  assert.deepEqual(await books.unchanged([]), []);
  await sink.leave();
});

test('each content keeps its dialect, also where files of several travel together, and its archive', async () => {
  const database = await server.createDatabase();
  const { sink, books } = await openSink(database);
  const nulls = ['N"A', '\\N', 'null', '{}', ''];
  const dialects: readonly Dialect[] = [
    DEFAULT_DIALECT,
    { newline: 'cr', delimiter: '\t', nulls, encoding: 'utf-16be' },
    { newline: 'lf', delimiter: null, nulls: ['x'], encoding: 'latin1' },
  ];
  const files = dialects.map((dialect) => ({ ...testFile(), dialect }));
  const chunks = files.map((file, index) => testChunk({ file, rows: testRows(3 * index, 3 * index + 3) }));
  committed(await sink.write(0, testBatch(1, chunks), NEVER));
  const alone = { ...testFile(), dialect: { ...DEFAULT_DIALECT, nulls } };
  committed(await sink.write(0, testBatch(2, [testChunk({ file: alone, rows: testRows(20, 23) })]), NEVER));
  const [empty, other] = [testFile(), { ...testFile(), dialect: dialects[1]! }];
  const [first] = files;
  assert.ok(first !== undefined);
  await books.finish([
    ...[empty, other].map((info) => ({ info, stamp: info.stamp, blankLines: 0 })),
    { info: first, stamp: { ...first.stamp, size: 300 }, blankLines: 0, archivedTo: '/archive' },
  ]);
  for (const file of [...files, alone, empty, other]) {
    const [known] = await books.find([{ nameBytes: file.nameBytes, ino: 0n }]);
    assert.deepEqual(known?.info.dialect, file.dialect);
  }
  await books.moved({ ...first, dialect: dialects[1]! });
  const [moved] = await books.find([{ nameBytes: first.nameBytes, ino: 0n }]);
  assert.deepEqual(moved?.info.dialect, dialects[1]);
  assert.deepEqual(
    await query(database, 'SELECT archived_to FROM millrace.files WHERE archived_to IS NOT NULL'),
    [{ archived_to: '/archive' }],
  );
  await sink.leave();
});

test('a slice that ends its file writes it down as done in the same transaction, but not under an asynchronous commit', async () => {
  const database = await server.createDatabase();
  const [ends, goesOn] = [testFile(), testFile()];
  const { sink, books } = await openSink(database);
  const chunks = [
    testChunk({ file: ends, rows: testRows(0, 3), endsFile: true }),
    testChunk({ file: goesOn, rows: testRows(3, 6) }),
  ];
  const settled = committed(await sink.write(0, testBatch(1, chunks), NEVER)).settled;
  assert.deepEqual(
    settled.flatMap(({ slices }) => slices.map((slice) => slice.ended)),
    [true, false],
  );
  const [known] = await books.find([{ nameBytes: ends.nameBytes, ino: 0n }]);
  const { mtimeNs, ctimeNs } = ends.stamp;
  assert.deepEqual([known?.state, known?.ended], ['done', { size: 300, mtimeNs, ctimeNs }]);
  const [other] = await books.find([{ nameBytes: goesOn.nameBytes, ino: 0n }]);
  assert.deepEqual([other?.state, other?.ended], ['reading', null]);
  assert.deepEqual(
    await query(database, 'SELECT name FROM millrace.files WHERE ended_at IS NOT NULL AND blank_lines = 0'),
    [{ name: ends.name }],
  );
  await sink.leave();

  const soon = testFile();
  const { sink: later, books: laterBooks } = await openSink(database, { synchronousCommit: false });
  const chunk = testChunk({ file: soon, rows: testRows(6, 9), endsFile: true });
  const [unflushed] = committed(await later.write(0, testBatch(1, [chunk]), NEVER)).settled;
  assert.equal(unflushed?.slices[0]?.ended, false);
  assert.equal((await laterBooks.find([{ nameBytes: soon.nameBytes, ino: 0n }]))[0]?.state, 'reading');
  await later.leave();
});

test('a row that the database refuses leaves its file to be judged: the batch does not end it', async () => {
  const database = await server.createDatabase();
  const { sink } = await openSink(database);
  await query(database, 'ALTER TABLE events ADD CHECK (quantity < 5)');
  const rows = [...testRows(0, 3), ...testRows(3, 4, FRESH, { quantity: '7' })];
  const chunk = testChunk({ file: testFile(), rows, endsFile: true });
  const { settled } = committed(await sink.write(0, testBatch(1, [chunk]), NEVER));
  assert.deepEqual([settled[0]?.slices[0]?.refused, settled[0]?.slices[0]?.ended], [1, false]);
  assert.deepEqual(await query(database, 'SELECT state FROM millrace.files'), [{ state: 'reading' }]);
  await sink.leave();
});

test('a file is done only when its committed slices cover it without a gap', async () => {
  const database = await server.createDatabase();
  const { sink, books } = await openSink(database);
  const [covered, gap, short, empty] = [testFile(), testFile(), testFile(), testFile()];
  const chunks = [
    testChunk({ file: covered, rows: testRows(0, 3) }),
    testChunk({ file: covered, rows: testRows(3, 6), start: 300 }),
    testChunk({ file: gap, rows: testRows(6, 9) }),
    testChunk({ file: gap, rows: testRows(9, 12), start: 400 }),
    testChunk({ file: short, rows: testRows(12, 15) }),
  ];
  committed(await sink.write(0, testBatch(1, chunks), NEVER));
  const ended = [covered, gap, short, empty].map((info, index) => ({
    info,
    stamp: { ...info.stamp, size: [600, 700, 301, 0][index]! },
    blankLines: 2,
  }));
  assert.deepEqual(await books.finish(ended), new Set([covered.id, empty.id]));
  assert.deepEqual(await books.finish([]), new Set());
  const states = await query(
    database,
    'SELECT state, size::int, position::int FROM millrace.file_totals ORDER BY state, position',
  );
  assert.deepEqual(states, [
    { state: 'done', size: 0, position: 0 },
    { state: 'done', size: 600, position: 600 },
    { state: 'reading', size: null, position: 300 },
    { state: 'reading', size: null, position: 300 },
  ]);
  await sink.leave();
});

test('small slices of a file that is done become one, with all their books', async () => {
  const database = await server.createDatabase();
  const { sink, books } = await openSink(database);
  const file = testFile();
  const chunks = [0, 1, 2].map((index) =>
    testChunk({ file, rows: testRows(index * 3, index * 3 + 3), start: index * 300 }),
  );
  for (const [index, chunk] of chunks.entries()) await sink.write(0, testBatch(index + 1, [chunk]), NEVER);
  await books.finish([{ info: file, stamp: { ...file.stamp, size: 900 }, blankLines: 0 }]);
  const slices = await query(
    database,
    `SELECT start_offset::int AS start, end_offset::int AS end, lines::int, crc32::float8 AS crc, head_length, inserted::int, batch::int,
            (SELECT array_agg(xid::text ORDER BY number) FROM millrace.batches) = merged_xids::text[] AS traced FROM millrace.slices`,
  );
  const crc = chunks.reduce((crcs, { slices: [slice] }) => combine(crcs, slice!.crc, 300), 0);
  assert.deepEqual(slices, [
    { start: 0, end: 900, lines: 9, crc, head_length: 900, inserted: 9, batch: 3, traced: true },
  ]);
  await sink.leave();
});

test('a refused file is registered with its reason, and a moved one keeps its books', async () => {
  const database = await server.createDatabase();
  const { sink, books } = await openSink(database);
  const file = testFile();
  await books.end({ info: file, stamp: { ...file.stamp, size: 17 }, blankLines: 0 }, 'refused', 'no header');
  await books.moved({
    ...file,
    name: 'new.csv',
    nameBytes: Buffer.from('new.csv'),
    stamp: { ...file.stamp, dev: 99n },
  });
  const [known] = await books.find([{ nameBytes: Buffer.from('new.csv'), ino: 0n }]);
  assert.deepEqual(
    [known?.info.id, known?.info.stamp.dev, known?.state, known?.reason, known?.ended?.size],
    [file.id, 99n, 'refused', 'no header', 17],
  );
  await sink.leave();
});
