// The parse worker as the pool uses it: tasks, files, proofs, bounds, and what is handed back.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { Piscina } from 'piscina';
import type { ParsedChunk } from '../../src/core/chunk.ts';
import { decodeTuples } from '../../src/core/copy-binary.ts';
import { RAW_BYTES_MAX } from '../../src/core/reject.ts';
import type { ParseTask, SliceTask } from '../../src/core/slice.ts';
import { HEAD_BYTES_MAX, RECORD_BYTES_MAX, SLICE_BYTES } from '../../src/core/slice.ts';
import type { Fixture, Flat } from '../support/parse-harness.ts';
import {
  expectParsed,
  flatten,
  newGeneration,
  parseCut,
  parseWhole,
  run,
  sliceOf,
  smallTable,
  withFile,
} from '../support/parse-harness.ts';
import { defineTable } from '../../src/schema/table.ts';

const letters = (number: number): string =>
  number.toString(26).replace(/./g, (digit) => String.fromCharCode(97 + Number.parseInt(digit, 26)));

function lines(count: number, of: (row: number) => string = (row) => `${letters(row)},t,${row}`): string {
  return Array.from({ length: count }, (_, row) => `${of(row)}\n`).join('');
}

function withText<T>(text: string, use: (file: Fixture) => T): T {
  return withFile(Buffer.from(text, 'latin1'), use);
}

const ownSlice = (file: Fixture, change: Partial<SliceTask> = {}): SliceTask =>
  sliceOf(file, { fd: null, generation: newGeneration(), ...change });

const codesOf = (flat: Flat): (string | number)[][] =>
  flat.rejects.map(({ code, line, offset, rawLength }) => [code, line, offset, rawLength]);

test('empty and blank files have no records and end at their limit', () => {
  for (const [text, lineCount] of [
    ['', 0],
    ['\n', 1],
    ['\n\r\n\r', 3],
    ['k,t,n', 1],
    ['k,t,n\n', 1],
    ['k,t\n\n\n', 3],
  ] as const) {
    const flat = parseWhole(Buffer.from(text));
    assert.deepEqual([flat.records, flat.end, flat.lines], [0, text.length, lineCount], JSON.stringify(text));
  }
});

test('a header that begins as the last one did is read by itself', () => {
  const texts = ['k,t,n\na,b,1\n', 'k,n,t\na,1,b\n', 'k,t,n\na,b,1\n', 'k;t;n\na;b;1\n', 'k,t,n\r\na,b,1\n'];
  const [first, ...others] = texts.map((text) =>
    parseWhole(Buffer.from(text)).rows.map(({ tuple }) => tuple),
  );
  assert.equal(first?.length, 1);
  for (const [index, rows] of others.entries()) assert.deepEqual(rows, first, texts[index + 1]);
  assert.deepEqual(parseWhole(Buffer.from('k,t,x\na,b,1\n')).rows.length, 1);
  const quoted = parseWhole(Buffer.from('k,t,"n\n"\na,b,1\n'));
  assert.equal(quoted.rows.length, 1);
  assert.equal(parseWhole(Buffer.from('k,t,n\n')).lines, 1);
});

test('the last record needs no line end, and two at the end are one blank line', () => {
  assert.equal(parseWhole(Buffer.from('k,t\na,b')).rows.length, 1);
  const flat = parseWhole(Buffer.from('k,t\na,b\n\n'));
  assert.deepEqual([flat.rows.length, flat.blankLines, flat.lines], [1, 1, 3]);
});

test('every kind of bad record is one reject with its place, and its neighbours are rows', () => {
  const bad = [
    'x',
    'x,t,1,2',
    '"x"y,t,1',
    'x,"t,1',
    'X,t,1',
    'x,,1',
    'x,t,-1',
    'x,t\0,1',
    'x,t\xff,1',
    'x,t\xed\xa0\x80,1',
  ];
  const codes = [
    'too_few_fields', 'too_many_fields', 'after_quote', 'after_quote', 'uuid', 'required', 'integer', 'nul_byte', 'invalid_utf8',
    'invalid_utf8',
  ]; // prettier-ignore
  const text = `k,t,n\n${bad.map((record, index) => `${record}\n${letters(index)},"ok",1\n`).join('')}`;
  const flat = parseWhole(Buffer.from(text, 'latin1'));
  assert.deepEqual(
    flat.rejects.map((reject) => reject.code),
    codes,
  );
  assert.deepEqual(
    flat.rejects.map((reject) => Buffer.from(reject.raw!).toString('latin1')),
    bad,
  );
  assert.deepEqual(
    flat.rejects.map((reject) => reject.line),
    bad.map((_, index) => 1 + index * 2),
  );
  assert.equal(flat.rows.length, bad.length);
});

test('odd but valid text is stored as it is', () => {
  const values = [
    '\\.',
    '\\N',
    "';--",
    '=cmd()',
    'a\u0301',
    '\u202e',
    '\ufeffx',
    '\u2028',
    '\x1b[0m',
    'NULL',
    '\u{1f600}',
    '\\x00',
  ];
  for (const quote of ['', '"']) {
    const text = `k,t\n${values.map((value, row) => `${letters(row)},${quote}${value}${quote}\n`).join('')}`;
    const { rows } = withFile(Buffer.from(text), (file) => run([sliceOf(file)]));
    assert.deepEqual(
      decodeTuples(rows.bytes).map((fields) => fields[1]!.toString()),
      values,
    );
  }
});

test('a record that begins with U+FEFF keeps it, also as the first of a call of papaparse', () => {
  const flat = parseWhole(Buffer.from('k,t\n"a","b"\n\ufeffc,d\n'));
  assert.deepEqual(
    flat.rejects.map((reject) => reject.sentence),
    ["k '\\u{feff}c' is not a UUID (canonical, upper case, in braces, or without hyphens)"],
  );
});

test('a record that papaparse reads otherwise is taken as the splitter reads it', () => {
  // With CR as the newline papaparse takes these; with LF it would end the first record at the bare LF.
  const text = 'k,t\ra,"x\ny"\rb,x\ny\rc,"z"\r';
  const flat = parseWhole(Buffer.from(text), { newline: 'cr', path: 'papaparse' });
  assert.deepEqual([flat.rows.length, flat.rejected], [3, 0]);
});

test('a file cut into slices at every byte of its quoted newlines, CRLFs, BOM and long characters', () => {
  const text = '\ufeffk,"t",n\r\na,"x\r\ny",1\r\nb,"\n\n",2\r\n\r\nc,\u{1f600},3\n"d","e""",\n"f\ng,h,4\n';
  withFile(Buffer.from(text), (file) => {
    const whole = flatten(run([sliceOf(file)]));
    assert.deepEqual([whole.rows.length, whole.blankLines], [5, 1]);
    for (let cut = 1; cut < file.size; cut += 1)
      for (let second = cut + 1; second < file.size; second += 1)
        assert.deepEqual(parseCut(file, [cut, second]), whole, `cuts at ${cut} and ${second}`);
  });
});

test('a guess that falls on a record start is right at once', () => {
  withText('k,t\na,b\nc,d\n', (file) => {
    for (const [start, found] of [
      [4, 4],
      [5, 8],
      [8, 8],
      [9, 12],
    ] as const) {
      const slice = expectParsed(run([sliceOf(file, { start, exact: false })]).slices[0]);
      assert.equal(slice.start, found, `a guess at ${start}`);
    }
    const inside = expectParsed(run([sliceOf(file, { start: 5, end: 7, exact: false })]).slices[0]);
    assert.deepEqual([inside.start, inside.end, inside.records], [7, 7, 0]);
  });
});

test('blank lines are blank under a header of one column, too', () => {
  const table = defineTable({ ...smallTable, columns: smallTable.columns.slice(0, 1) });
  for (const path of ['bytes', 'papaparse'] as const) {
    const flat = parseWhole(Buffer.from('k\na\n\nb\n\r\nc\n'), { table, path });
    assert.deepEqual([flat.rows.length, flat.rejected, flat.blankLines], [3, 0, 2]);
  }
});

test('CRC and head are those of the bytes', () => {
  const text = `k,t,n\n${lines(12_000)}`;
  withText(text, (file) => {
    const bytes = Buffer.from(text);
    for (const [start, end] of [
      [0, 5000],
      [5000, 70_000],
      [60_000, 90_000],
      [70_000, file.size],
    ] as const) {
      const slice = expectParsed(run([sliceOf(file, { start, end, exact: false })]).slices[0]);
      assert.equal(slice.crc, crc32(bytes.subarray(slice.start, slice.end)));
      const length = Math.min(HEAD_BYTES_MAX, slice.end);
      const hash = createHash('sha256').update(bytes.subarray(0, length)).digest('hex');
      assert.deepEqual(slice.head, slice.start < HEAD_BYTES_MAX ? { length, hash } : null);
    }
  });
});

test('rejects beyond the limit are counted and ranged', () => {
  const text = `k,t\n${'A,x\n'.repeat(3)}a,b\n${'A,x\n'.repeat(2)}\n`;
  const flat = parseWhole(Buffer.from(text), { rejectsMax: 2 });
  assert.deepEqual(codesOf(flat), [
    ['uuid', 1, 4, 3],
    ['uuid', 2, 8, 3],
    ['more_rejects', 3, 12, 15],
  ]);
  const last = flat.rejects.at(-1)!;
  assert.deepEqual([last.records, last.raw, flat.rejected, flat.records], [3, null, 5, 6]);
  const none = parseWhole(Buffer.from(text), { rejectsMax: 0 });
  assert.deepEqual(
    none.rejects.map((reject) => reject.records),
    [5],
  );
});

test('several small files travel in one task as one sorted chunk, and a bad one costs only itself', () => {
  withText('k,t\nc,one\na,one\n', (first) =>
    withText('x,y\n', (second) =>
      withText('k,t\nb,three\na,three\n', (third) => {
        const missing = { ...ownSlice(first), path: '/nowhere/file.csv' };
        const chunk = run([ownSlice(first), ownSlice(second), missing, ownSlice(third)]);
        assert.deepEqual(
          chunk.slices.map((slice) => slice.kind),
          ['parsed', 'refused', 'unreadable', 'parsed'],
        );
        const names = decodeTuples(chunk.rows.bytes).map(
          (fields) => fields[0]!.toString('latin1').replaceAll('\0', '') + fields[1]!.toString(),
        );
        assert.deepEqual(names, ['aone', 'athree', 'bthree', 'cone']);
        assert.deepEqual([...chunk.rows.slices!], [0, 3, 3, 0]);
        const stamp = expectParsed(chunk.slices[0]).stamp!;
        assert.equal(stamp.size, 16);
      }),
    ),
  );
});

test('a task without any row is fine', () => {
  const chunk = withText('', (file) => run([ownSlice(file), ownSlice(file)]));
  assert.deepEqual([chunk.rows.count, chunk.rows.bytes.length], [0, 0]);
});

test('what is no regular file, or is not there, is unreadable and holds nothing up', () => {
  withText('k,t\na,b\n', (file) => {
    const folder = join(file.path, '..');
    mkdirSync(join(folder, 'folder.csv'));
    symlinkSync(file.path, join(folder, 'link.csv'));
    execFileSync('mkfifo', [join(folder, 'pipe.csv')]);
    const codeOf = (name: string): string => {
      const [slice] = run([{ ...ownSlice(file), path: join(folder, name) }]).slices;
      return slice!.kind === 'unreadable' ? slice!.code : slice!.kind;
    };
    assert.equal(codeOf('folder.csv'), 'NOT_REGULAR');
    assert.equal(codeOf('pipe.csv'), 'NOT_REGULAR');
    assert.equal(codeOf('link.csv'), 'ELOOP');
    assert.equal(codeOf('none.csv'), 'ENOENT');
  });
});

test('a file that ends before its limit is unreadable, and leaves no rows behind', () => {
  withText('k,t\na,b\nc,d\n', (file) =>
    withText('k,t\nb,b\n', (other) => {
      // Its first row is taken before the end of the file is met.
      const shrunk = sliceOf(file, { limit: 100, end: 9 });
      const growing = sliceOf(file, { limit: 100, end: 8 });
      const chunk = run([shrunk, growing, sliceOf(other)]);
      assert.deepEqual(chunk.slices[0], { kind: 'unreadable', code: 'SHRUNK' });
      assert.equal(expectParsed(chunk.slices[1]).rows, 1);
      assert.equal(chunk.rows.count, 2);
      truncateSync(file.path, 6);
      assert.deepEqual(run([sliceOf(file)]).slices, [{ kind: 'unreadable', code: 'SHRUNK' }]);
    }),
  );
});

test('a slice of a file without a complete header is empty until the header is there', () => {
  withText('k,t', (file) => {
    const early = expectParsed(run([sliceOf(file, { final: false })]).slices[0]);
    assert.deepEqual([early.start, early.end, early.tail], [0, 0, 'unterminated']);
    writeFileSync(file.path, 'k,t,n\na,b,1\n');
    const grown = sliceOf(file, { end: 12, limit: 12, final: false });
    assert.equal(expectParsed(run([grown]).slices[0]).rows, 1);
    const later = sliceOf(file, { start: 6, end: 12, limit: 12 });
    assert.equal(expectParsed(run([later]).slices[0]).rows, 1);
  });
});

test('a file that is written anew under its generation is read with the header that it has now', () => {
  withText('k,t,n\na,b,1\nc,d,2\n', (file) => {
    const later = sliceOf(file, { start: 12, end: 18 });
    const [before] = flatten(run([later])).rows;
    writeFileSync(file.path, 't,k,n\nb,a,1\nd,c,2\n');
    assert.deepEqual(flatten(run([later])).rows, [before]);
  });
});

test('a header that is longer than the slice is read whole', () => {
  withText(`k,t,${'x'.repeat(300_000)}\na,b,\n`, (file) => {
    assert.equal(parseCut(file, [10, 100_000]).rows.length, 1);
    const far = run([sliceOf(file, { start: file.size - 5, generation: newGeneration() })]);
    assert.equal(expectParsed(far.slices[0]).rows, 1);
  });
});

test('a line far over 1 MiB is refused by its first bytes, and reading goes on behind it', () => {
  const long = 'y'.repeat(3 * RECORD_BYTES_MAX);
  for (const [record, end] of [
    [long, '\n'],
    [`"${long}`, '\r\n'],
    [long, ''],
  ] as const) {
    const text = `k,t\na,b\n${record}${end}${end === '' ? '' : 'c,"d"\n'}`;
    withText(text, (file) => {
      const whole = flatten(run([sliceOf(file)]));
      assert.deepEqual(codesOf(whole), [['record_too_large', 2, 8, record.length]]);
      assert.equal(whole.rejects[0]!.raw!.length, RAW_BYTES_MAX);
      assert.deepEqual([whole.rows.length, whole.end], [end === '' ? 1 : 2, text.length]);
      for (const cuts of [
        [6],
        [9],
        [20],
        [100, 200, RECORD_BYTES_MAX, 2 * RECORD_BYTES_MAX],
        [text.length - 3],
      ])
        assert.deepEqual(parseCut(file, cuts), whole);
      const [slice] = run([sliceOf(file, { end: 20 })]).slices;
      assert.equal(
        expectParsed(slice).crc,
        crc32(readFileSync(file.path).subarray(0, expectParsed(slice).end)),
      );
    });
  }
});

test('the CR before the end of a line far over 1 MiB is no data, wherever a block of reading ends', () => {
  const blockStarts = [2_031_636, 2_031_636 + 1024 * 1024]; // of reading on from a window that begins with 20 bytes
  for (const lineEnd of blockStarts.flatMap((start) => [start - 1, start, start + 1]))
    for (const after of ['\n', '']) {
      const text = `k,t\na,b\n${'y'.repeat(lineEnd - 9)}\r${after}`;
      withText(text, (file) => {
        const [slice] = run([sliceOf(file, { end: 20 })]).slices;
        const [reject] = expectParsed(slice).rejects;
        assert.deepEqual([reject!.code, reject!.rawLength], ['record_too_large', lineEnd - 9]);
        assert.equal(expectParsed(slice).end, text.length);
      });
    }
});

test('a line over 1 MiB of a growing file waits for its end', () => {
  withText(`k,t\na,b\n${'y'.repeat(3 * RECORD_BYTES_MAX)}`, (file) => {
    const slice = expectParsed(run([sliceOf(file, { end: 100, final: false })]).slices[0]);
    assert.deepEqual([slice.end, slice.records, slice.tail], [8, 1, 'unterminated']);
  });
});

test('a record of 1 MiB with quotes and newlines is a row', () => {
  const text = `k,t,x\na,b,"${'y\n""'.repeat(RECORD_BYTES_MAX / 4 - 4)}"\nc,d,e\n`;
  withText(text, (file) => {
    const whole = flatten(run([sliceOf(file)]));
    assert.deepEqual([whole.rows.length, whole.rejected], [2, 0]);
    assert.deepEqual(parseCut(file, [8, 500_000, 900_000]), whole);
  });
});

test('blocks of zeros, bad lines only, and binary noise keep the books', () => {
  const noise = Buffer.alloc(200_000, 'PNG\n\x00\xff"a,"\r\n,,\x89', 'latin1');
  for (const body of [
    Buffer.alloc(2_000_000),
    Buffer.alloc(300_000, 'bad\n'),
    noise,
    Buffer.alloc(200_000, '"\n,"'),
  ]) {
    const flat = parseWhole(Buffer.concat([Buffer.from('k,t\n'), body]));
    assert.equal(flat.end, body.length + 4);
    assert.equal(flat.records, flat.rejected + flat.rows.length);
  }
});

test('a file larger than the slice size gives the same rows in slices', () => {
  withText(`k,t,n\n${lines(600_000)}`, (file) => {
    assert.ok(file.size > 2 * SLICE_BYTES);
    const cut = parseCut(file, [SLICE_BYTES, 2 * SLICE_BYTES]);
    assert.deepEqual([cut.records, cut.rejected, cut.end], [600_000, 0, file.size]);
  });
});

test('the pool gets the rows in one piece of memory without a copy, and memory that is sent along is written over', async () => {
  const id = '550e8400-e29b-41d4-a716-44665544000';
  const text = `event_id,event_type,event_timestamp\n${lines(9, (row) => `${id}${9 - row},view,2024-03-01 12:34:56`)}`;
  const pool = new Piscina({
    filename: new URL('../../workers/entry.cts', import.meta.url).href,
    name: 'parse',
    minThreads: 1,
    maxThreads: 1,
  });
  try {
    await withPath(text, async (file) => {
      const task: ParseTask = { slices: [ownSlice(file)], dialect: { newline: 'lf' }, rejectsMax: 10 };
      const chunk = (await pool.run(task)) as ParsedChunk;
      assert.deepEqual(
        [chunk.rows.count, expectParsed(chunk.slices[0]).rows, chunk.rows.slices],
        [9, 9, null],
      );
      assert.deepEqual(
        [...chunk.rows.keys].filter((_, index) => index % 4 === 3).map((word) => word & 15),
        [1, 2, 3, 4, 5, 6, 7, 8, 9],
      );
      assert.equal(decodeTuples(chunk.rows.bytes).length, 9);
      const { bytes, ends, keys, payloads, recordOffsets, recordLengths, recordLines } = chunk.rows;
      for (const array of [bytes, ends, keys, payloads, recordOffsets, recordLengths, recordLines])
        assert.equal(array.buffer, bytes.buffer, 'one piece of memory crosses threads');
      const copy = structuredClone(chunk.rows);
      for (const size of [10, 1_000_000]) {
        const spare = new ArrayBuffer(size);
        new Uint8Array(spare).fill(0xaa);
        const again = (await pool.run({ ...task, spare }, { transferList: [spare] })) as ParsedChunk;
        assert.deepEqual(again.rows, copy);
        assert.equal(
          again.rows.bytes.buffer.byteLength === size,
          size === 1_000_000,
          'used where it is large enough',
        );
      }
    });
  } finally {
    await pool.destroy();
  }
});

/** Like `withFile`, for a use that takes time. */
async function withPath(text: string, use: (file: Fixture) => Promise<void>): Promise<void> {
  const path = withText('', (file) => file.path);
  mkdirSync(join(path, '..'));
  writeFileSync(path, text);
  const fd = openSync(path, 'r');
  try {
    await use({ path, fd, generation: newGeneration(), size: text.length });
  } finally {
    closeSync(fd);
    rmSync(join(path, '..'), { recursive: true });
  }
}
