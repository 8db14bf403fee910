// Headers: which are taken, with which delimiter and columns, and which refuse the whole file and why.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { Header } from '../../src/core/header.ts';
import { readHeader } from '../../src/core/header.ts';
import { CR, LF } from '../../src/core/record.ts';
import { RECORD_BYTES_MAX } from '../../src/core/slice.ts';
import { events } from '../../src/schema/events.ts';
import { smallTable } from '../support/parse-harness.ts';

const read = (text: string | Buffer, final = true) =>
  readHeader(typeof text === 'string' ? Buffer.from(text) : text, final, smallTable, LF);

function taken(text: string | Buffer): Header {
  const result = read(text);
  if (result.kind !== 'header') throw new Error(`no header: ${JSON.stringify(result)}`);
  return result.header;
}

function refusal(text: string | Buffer): readonly [string, string] {
  const result = read(text);
  if (result.kind !== 'refused') throw new Error(`not refused: ${JSON.stringify(result)}`);
  return [result.code, result.reason];
}

test('columns are found by name: any order, case, blanks, quotes, BOM, extra columns', () => {
  const header = taken('\ufeff" N ",extra,\tK ,T,\n');
  assert.deepEqual([...header.fieldOf], [2, 3, 0]);
  assert.deepEqual(header.names, ['N', 'extra', 'K', 'T', '']);
  assert.equal(header.extraColumns, 2);
  assert.equal(header.end, Buffer.byteLength('\ufeff" N ",extra,\tK ,T,\n'));
});

test('the delimiter is the one that yields the names', () => {
  for (const delimiter of [',', ';', '\t', '|']) {
    const header = taken(['k', 't', 'n'].join(delimiter));
    assert.equal(header.delimiter, delimiter.charCodeAt(0));
  }
  assert.equal(taken('k;t;"a,b,c,d,e,f"\n').delimiter, 0x3b);
  assert.equal(taken('k;t;a,b,c,d\n').delimiter, 0x3b, 'more commas than semicolons prove nothing');
});

test('a missing optional column is NULL, a missing required one refuses the file and is named', () => {
  assert.deepEqual([...taken('t,k').fieldOf], [1, 0, -1]);
  const [code, reason] = refusal('k,n,x\n');
  assert.equal(code, 'missing_column');
  assert.match(reason, /column t; it has "k, n, x"/);
});

test('a column named twice refuses the file, also in another case; empty names may repeat', () => {
  assert.equal(refusal('k,t,K\n')[0], 'duplicate_column');
  assert.equal(refusal('k,t,other,OTHER\n')[0], 'duplicate_column');
  assert.equal(taken('k,t,,\n').extraColumns, 2);
});

test('names of object properties are just names', () => {
  assert.equal(taken('__proto__,constructor,k,toString,t\n').extraColumns, 3);
  assert.equal(refusal('__proto__,constructor\n')[0], 'bad_header');
  assert.equal(refusal('k,t,__proto__,__proto__\n')[0], 'duplicate_column');
});

test('only ASCII letters lose their case: the Kelvin sign is no k', () => {
  assert.equal(refusal('\u212a,t\n')[0], 'missing_column');
});

test('a first line without any required column is no header', () => {
  for (const line of [
    '550e8400,view,1\n',
    'sep=;\n',
    '<html>\n',
    '{"k":1}\n',
    '"k\n',
    '"k"x,t\n',
    'n\n',
    'k:t\n',
  ])
    assert.equal(refusal(line)[0], 'bad_header', line);
});

test('blank lines before the header are counted; only blank lines are no header and no fault', () => {
  const header = taken('\n\r\n\nk,t\n');
  assert.deepEqual([header.lines, header.blankLines], [4, 3]);
  assert.deepEqual(read('\n\r\n'), { kind: 'none', lines: 2 });
  assert.deepEqual(read(''), { kind: 'none', lines: 0 });
  assert.deepEqual(read('\ufeff'), { kind: 'none', lines: 0 });
});

test('a header may have a newline inside quotes', () => {
  const header = taken('k,"x\ny",t\n');
  assert.deepEqual([header.lines, [...header.fieldOf]], [2, [0, 2, -1]]);
});

test('an unfinished header of a growing file waits', () => {
  for (const text of ['', '\n', 'k', 'k,t,n', 'k,t\r', '"k', 'k,"x\n', '\ufeff'])
    assert.deepEqual(read(text, false), { kind: 'incomplete' }, JSON.stringify(text));
  assert.equal(read('k,t\n', false).kind, 'header');
  assert.equal(read('k;t;x,"y\n', false).kind, 'header', 'open for commas only');
});

test('other encodings and compressed files are refused by their first bytes', () => {
  const utf16 = Buffer.from('k,t\nab,cd\n', 'utf16le');
  assert.equal(refusal(Buffer.concat([Buffer.from([0xff, 0xfe]), utf16]))[0], 'wrong_encoding');
  assert.equal(
    refusal(Buffer.concat([Buffer.from([0xfe, 0xff]), Buffer.from(utf16).swap16()]))[0],
    'wrong_encoding',
  );
  assert.equal(refusal(utf16)[0], 'wrong_encoding', 'without a BOM');
  assert.equal(refusal(Buffer.from(utf16).swap16())[0], 'wrong_encoding', 'without a BOM, big-endian');
  assert.match(refusal(Buffer.from([0xff, 0xfe, 0, 0, 0x6b, 0, 0, 0]))[1], /UTF-32/);
  assert.equal(refusal(Buffer.from('k,t,gr\xf6\xdfe\n', 'latin1'))[0], 'wrong_encoding');
  assert.equal(refusal(gzipSync('k,t\n'))[0], 'compressed');
  assert.equal(refusal(Buffer.from('PK\x03\x04....'))[0], 'compressed');
  assert.equal(refusal(Buffer.from('\xfd7zXZ\0', 'latin1'))[0], 'compressed');
  assert.equal(refusal(Buffer.from('\x28\xb5\x2f\xfd', 'latin1'))[0], 'compressed');
});

test('a header that does not end within 1 MiB refuses the file, final or not', () => {
  const long = `k,t,${'x'.repeat(RECORD_BYTES_MAX)}`;
  assert.equal(refusal(long)[0], 'header_too_large');
  assert.equal(refusal(`${long}\n`)[0], 'header_too_large');
  assert.equal(refusal('\n'.repeat(RECORD_BYTES_MAX + 1))[0], 'header_too_large');
  const growing = read(long, false);
  assert.equal(growing.kind === 'refused' && growing.code, 'header_too_large');
  const zeros = read(Buffer.alloc(RECORD_BYTES_MAX + 2), false);
  assert.equal(zeros.kind === 'refused' && zeros.code, 'wrong_encoding');
  assert.equal(taken(`k,t${','.repeat(RECORD_BYTES_MAX - 3)}`).extraColumns, RECORD_BYTES_MAX - 3);
});

test('CR-only files have CR-only headers', () => {
  const result = readHeader(Buffer.from('k,t\rab,c\r'), false, smallTable, CR);
  assert.equal(result.kind === 'header' && result.header.end, 4);
});

test("the product's own header", () => {
  const line = 'event_id,event_type,product_id,user_id,event_timestamp,quantity,price\n';
  const result = readHeader(Buffer.from(line), true, events, LF);
  assert.deepEqual(result.kind === 'header' && [...result.header.fieldOf], [0, 1, 2, 3, 4, 5, 6]);
});
