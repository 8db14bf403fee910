// Bad input, the form of files and records: header, line ends, quotes, field counts, sizes. Expected codes and places, one small file per
// case. What values may look like is values.test.ts, encodings are encoding.test.ts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RECORD_BYTES_MAX } from '../../src/core/slice.ts';
import { events } from '../../src/schema/events.ts';
import { HEADER } from '../support/events.ts';
import { codes, lines, read, record, textOf } from '../support/input.ts';
import { expectParsed, run, sliceOf, withFile } from '../support/parse-harness.ts';

const HEADER_END = HEADER.length + 1;

test('an empty file is read to its end and brings nothing', () => {
  const seen = read('');
  assert.deepEqual([seen.refused, seen.rows, seen.rejects], [null, 0, []]);
});

test('a header alone and blank lines bring nothing; blank lines are counted', () => {
  for (const [text, blank] of [
    [HEADER, 0],
    [`${HEADER}\n`, 0],
    ['\n\r\n\n', 3],
    [`\n${HEADER}\n\n\r\n`, 3],
  ] as const) {
    const seen = read(text);
    assert.deepEqual([seen.refused, seen.rows, seen.rejects, seen.blankLines], [null, 0, [], blank], text);
  }
  const between = read(lines(record(), '', record(), '', '', record()));
  assert.deepEqual([between.rows, between.blankLines, between.rejects], [3, 3, []]);
});

test('the last record counts with and without its line end', () => {
  for (const end of ['', '\n', '\r\n', '\r', '\n\n'])
    assert.equal(read(lines(record()) + record() + end).rows, 2, JSON.stringify(end));
});

test('a file without our header is refused, and its first row is never taken for one', () => {
  assert.equal(read(`${record()}\n${record()}\n`).refused, 'bad_header');
  assert.equal(read(`a report of 2024\n\n${lines(record())}`).refused, 'bad_header', 'a preamble');
  const twice = read(lines(record(), HEADER, record()));
  assert.deepEqual([twice.rows, codes(twice)], [2, ['uuid']], 'a second header is a bad record');
  const tables = read(lines(record(), '', 'id,name', '1,shop', record()));
  assert.deepEqual([tables.rows, codes(tables)], [2, ['too_few_fields', 'too_few_fields']]);
});

test('columns go by name: order, extra and optional ones do not matter, a required one does', () => {
  const seen = read(
    `price,x,event_timestamp,event_type,event_id\n1.25,?,2024-01-01 00:00:00,view,${record().slice(0, 36)}\n`,
  );
  assert.deepEqual([seen.rows, textOf(seen, 'event_type'), textOf(seen, 'user_id')], [1, 'view', undefined]);
  const missing = read(HEADER.replace('event_timestamp,', ''));
  assert.equal(missing.refused, 'missing_column');
  assert.match(missing.reason, /lacks the required column event_timestamp/);
});

test('header names: twice is refused; blanks, BOM, quotes and case do not matter; names of object properties are names', () => {
  assert.equal(read(`${HEADER},PRICE\n`).refused, 'duplicate_column');
  assert.equal(read(`\ufeff" Event_ID ",${HEADER.slice(9).toUpperCase()}\n${record()}\n`).rows, 1);
  assert.equal(read(`${HEADER},__proto__,constructor\n${record()},1,2\n`).rows, 1);
  assert.equal(read(`${HEADER},__proto__,__proto__\n`).refused, 'duplicate_column');
  assert.equal(read(`event\0_id,${HEADER}\n`).refused, 'wrong_encoding');
  assert.equal(read(`${HEADER},${'x'.repeat(RECORD_BYTES_MAX)}\n`).refused, 'header_too_large');
  assert.equal(read(`${HEADER},${'x'.repeat(RECORD_BYTES_MAX - 100)}\n${record()},1\n`).rows, 1);
});

test('too few and too many fields cost their record', () => {
  const [few, many, good] = ['a,b', `${record()},x`, record()];
  const seen = read(lines(few, many, good));
  assert.equal(seen.rows, 1);
  assert.deepEqual(seen.rejects, [
    `too_few_fields 2:${HEADER_END}`,
    `too_many_fields 3:${HEADER_END + few.length + 1}`,
  ]);
});

test('a quote inside a field is data, something behind a closing quote is a fault, and the next line is intact', () => {
  const pipe = read(lines(record({ product_id: '5" pipe' })));
  assert.equal(textOf(pipe, 'product_id'), '5" pipe');
  assert.equal(
    textOf(read(lines(record({ product_id: ' "a"' }))), 'product_id'),
    ' "a"',
    'blank before a quote',
  );
  const bad = record({ product_id: '"a"b' });
  const blank = record({ product_id: '"a" ' });
  const seen = read(lines(bad, record(), blank, record()));
  assert.deepEqual([seen.rows, codes(seen)], [2, ['after_quote', 'after_quote']]);
  assert.deepEqual(
    seen.flat?.rejects.map(({ line }) => line),
    [1, 3],
  );
});

test('a quote that is never closed costs its own line and nothing behind it', () => {
  const open = record({ product_id: '"a' });
  const seen = read(lines(record(), open, record(), record({ user_id: '"ok"' })));
  // The next quote of the file seems to close it, and what follows that one is no delimiter.
  const place = `3:${HEADER_END + record().length + 1}`;
  assert.deepEqual([seen.rows, seen.rejects], [3, [`after_quote ${place}`]]);
  const last = read(lines(record(), open));
  assert.deepEqual([last.rows, codes(last)], [1, ['unclosed_quote']]);
});

test('quoted line ends, delimiters and quotes survive every cut of the file', () => {
  const value = 'a ""b"", c\r\nd\n\ne';
  const text = lines(
    record(),
    record({ product_id: `"${value}"` }),
    record({ user_id: '"x\r\n"' }),
  ).replaceAll(/\n(?=[0-9a-f]{8}-)/g, '\r\n');
  const seen = read(text);
  assert.deepEqual([seen.rows, seen.rejects], [3, []]);
  assert.equal(textOf(seen, 'product_id', 1), value.replaceAll('""', '"'));
});

test('LF, CRLF and both in one file end records; CR does by option; other line breaks are data', () => {
  const [a, b, c] = [record(), record(), record()];
  assert.equal(read(`${HEADER}\r\n${a}\r\n${b}\n${c}\r\n`).rows, 3);
  assert.equal(read(`${HEADER}\r${a}\r${b}\r`, { newline: 'cr' }).rows, 2);
  for (const odd of ['\u2028', '\u2029', '\v', '\f', '\u0085', 'a\rb', '\r']) {
    const seen = read(lines(record({ product_id: `x${odd}y` })));
    assert.equal(textOf(seen, 'product_id'), `x${odd}y`, JSON.stringify(odd));
  }
  const swapped = read(`${HEADER}\n\r${a}\n\r${b}\n\r`);
  assert.deepEqual(
    [swapped.rows, codes(swapped)],
    [0, ['uuid', 'uuid']],
    'LF CR: the CR is data of the next record',
  );
});

test('a file whose lines end otherwise than it is told is refused with the name of the option', () => {
  const mac = read(`${HEADER}\r${record()}\r${record()}\r`);
  assert.equal(mac.refused, 'wrong_dialect');
  assert.match(mac.reason, /--newline cr/);
  for (const end of ['\n', '\r\n']) {
    const unix = read([HEADER, record(), record(), ''].join(end), { newline: 'cr' });
    assert.equal(unix.refused, 'wrong_dialect', JSON.stringify(end));
    assert.match(unix.reason, /--newline lf/);
  }
});

test('a BOM at the beginning is dropped, further on it is data', () => {
  assert.equal(read(`\ufeff${lines(record())}`).rows, 1);
  assert.equal(read(`\ufeff"event_id"${lines(record()).slice(8)}`).rows, 1);
  assert.equal(textOf(read(lines(record({ product_id: '\ufeffx' }))), 'product_id'), '\ufeffx');
  assert.deepEqual(codes(read(lines(`\ufeff${record()}`))), ['uuid']);
});

test('a record beyond 1 MiB is refused in whatever form, and the next one is intact', () => {
  const long = 'x'.repeat(RECORD_BYTES_MAX);
  for (const bad of [
    record({ product_id: long }),
    record({ product_id: `"${long}"` }),
    record({ product_id: `"${'x\n'.repeat(10)}${long}"` }).replaceAll('\n', ' '),
    ','.repeat(RECORD_BYTES_MAX + 5),
  ]) {
    const seen = read(lines(record(), bad, record()));
    assert.deepEqual([seen.rows, codes(seen)], [2, ['record_too_large']]);
  }
});

test('a line without end is passed block by block: bytes looked at and memory stay bounded', () => {
  const size = 48 * 1024 * 1024;
  const bytes = Buffer.alloc(size, 'x');
  bytes.write(lines(record()), 0);
  bytes.write(`\n${record()}\n`, size - record().length - 20);
  withFile(bytes, (file) => {
    const before = process.memoryUsage().arrayBuffers;
    const chunk = run([sliceOf(file, { end: 4 * 1024 * 1024 })], { table: events });
    const slice = expectParsed(chunk.slices[0]);
    assert.deepEqual([slice.rows, slice.rejects.map(({ code }) => code)], [1, ['record_too_large']]);
    assert.equal(chunk.bytesRead, slice.end, 'each byte is read once');
    assert.ok(process.memoryUsage().arrayBuffers - before < size, 'the file is not held in memory');
  });
});

test('many quotes or delimiters without a line end are read in linear time', async () => {
  const { createSplitter, scanRecord, LF } = await import('../../src/core/record.ts');
  const examined = (bytes: Buffer): number => {
    const splitter = createSplitter(0x2c, LF, 7);
    for (let at = 0; at < bytes.length; at = splitter.next) scanRecord(splitter, bytes, at, true);
    return splitter.examined;
  };
  for (const piece of ['"', '""', ',', '"a\n', '",\n', 'a"b\n', '"\n"x\n', '\n"', '\0', ',"']) {
    const small = examined(Buffer.from(piece.repeat(20_000)));
    const large = examined(Buffer.from(piece.repeat(200_000)));
    assert.ok(large <= small * 11 + 1000, `${JSON.stringify(piece)}: ${small} bytes became ${large}`);
  }
});
