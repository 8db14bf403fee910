// Bad input, the bytes: encodings, invalid UTF-8, NUL, control characters, compressed and foreign files, other dialects; and the options that
// read what is not UTF-8. Expected codes and places, one small file per case.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import type { Encoding } from '../../src/core/encoding.ts';
import { HEADER } from '../support/events.ts';
import { assertRawBytes, codes, lines, read, record, textOf } from '../support/input.ts';
import type { Flat } from '../support/parse-harness.ts';
import { flatten, parseCut, run, sliceOf, smallTable, withFile } from '../support/parse-harness.ts';

const wide = (text: string, isBig = false): Buffer =>
  isBig ? Buffer.from(text, 'utf16le').swap16() : Buffer.from(text, 'utf16le');
const LITTLE = Buffer.from([0xff, 0xfe]);
const BIG = Buffer.from([0xfe, 0xff]);

/** Three records, the second of which is bad; the others have letters of several lengths in UTF-8. */
const text = (): string =>
  lines(record({ product_id: 'grün' }), record({ quantity: 'é' }), record({ user_id: '"ü\n""x"""' }));

test('UTF-16 with its mark is read, and its places are those of the file', () => {
  const plain = text();
  for (const bytes of [Buffer.concat([LITTLE, wide(plain)]), Buffer.concat([BIG, wide(plain, true)])]) {
    const seen = read(bytes);
    assert.equal(seen.rows, 2);
    const before = plain.indexOf('\n', HEADER.length + 2) + 1;
    assert.deepEqual(seen.rejects, [`integer 3:${2 + before * 2} quantity`]);
    assert.deepEqual([textOf(seen, 'product_id'), textOf(seen, 'user_id', 1)], ['grün', 'ü\n"x"']);
    assert.match(seen.flat?.rejects[0]?.sentence ?? '', /quantity 'é'/);
  }
});

test('without a mark UTF-16 and single bytes are refused with the option that reads them, and read with it', () => {
  const plain = lines(
    record({ product_id: 'grün' }),
    record({ product_id: 'ß' }),
    record({ product_id: 'é' }),
  );
  for (const [encoding, bytes, hint] of [
    ['utf-16le', wide(plain), /--encoding utf-16le/],
    ['utf-16be', wide(plain, true), /--encoding utf-16be/],
    ['latin1', Buffer.from(plain, 'latin1'), /--encoding windows-1252 or latin1/],
    ['windows-1252', Buffer.from(plain, 'latin1'), /--encoding windows-1252 or latin1/],
  ] as const) {
    const refused = read(bytes);
    assert.equal(refused.refused, 'wrong_encoding', encoding);
    assert.match(refused.reason, hint);
    const seen = read(bytes, { dialect: { encoding } });
    assert.deepEqual([seen.rows, textOf(seen, 'product_id')], [3, 'grün'], encoding);
  }
  const utf32 = Buffer.concat([Buffer.from([0xff, 0xfe, 0, 0]), Buffer.from('a\0\0\0', 'latin1')]);
  assert.match(read(utf32).reason, /UTF-32/);
  const shiftJis = Buffer.concat([
    Buffer.from(lines()),
    ...[1, 2, 3].map(() => Buffer.from(`${record({ product_id: '\x93\xfa\x96\x7b' })}\n`, 'latin1')),
  ]);
  assert.equal(read(shiftJis).refused, 'wrong_encoding');
});

test('an encoding that the file does not have refuses it', () => {
  const utf8 = Buffer.from(text());
  for (const encoding of ['latin1', 'windows-1252', 'utf-16le', 'utf-16be'] as const) {
    assert.equal(read(utf8, { dialect: { encoding } }).refused, 'wrong_encoding', encoding);
    const marked = read(Buffer.concat([encoding === 'utf-16le' ? BIG : LITTLE, wide(text())]), {
      dialect: { encoding },
    });
    assert.match(marked.reason, /--encoding utf-16(le|be)/, encoding);
  }
  assert.equal(read(wide(text()), { dialect: { encoding: 'utf-16be' } }).refused, 'wrong_encoding');
  assert.equal(read(lines(record()), { dialect: { encoding: 'latin1' } }).rows, 1, 'ASCII is Latin-1, too');
});

test('windows-1252 has letters where Latin-1 has none; the five bytes that mean nothing there cost their record', () => {
  const bytes = Buffer.from(
    lines(record({ product_id: '\x80 \x99' }), record({ product_id: '\x81' })),
    'latin1',
  );
  const seen = read(bytes, { dialect: { encoding: 'windows-1252' } });
  assert.deepEqual([textOf(seen, 'product_id'), codes(seen)], ['€ ™', ['invalid_utf8']]);
  assert.equal(textOf(read(bytes, { dialect: { encoding: 'latin1' } }), 'product_id'), '\u0080 \u0099');
});

test('half a surrogate pair and half a unit of UTF-16 cost their record only', () => {
  const plain = lines(
    record({ product_id: 'x\ud800y' }),
    record({ product_id: '\u{1f600}' }),
    record({ product_id: '\udc00' }),
  );
  const seen = read(Buffer.concat([LITTLE, wide(plain), Buffer.from('!')]));
  assert.deepEqual([seen.rows, codes(seen)], [1, ['invalid_utf8', 'invalid_utf8', 'too_few_fields']]);
});

const ENCODINGS: readonly Encoding[] = ['latin1', 'windows-1252', 'utf-16le', 'utf-16be'];

/** Rows, codes and lines: all that does not depend on how many bytes a letter has. */
function meaning(flat: Flat): object {
  return {
    rows: flat.rows.map(({ tuple, line }) => ({ tuple, line })),
    rejects: flat.rejects.map(({ code, line, field, sentence }) => ({ code, line, field, sentence })),
    lines: flat.lines,
    blankLines: flat.blankLines,
  };
}

test('a text means the same in every encoding, wherever the file is cut', () => {
  const PIECES = [
    'a,b,1\n',
    'c,é,2\r\n',
    '"d","ü\n",3\n',
    'e,"x""y',
    'f,x\n',
    '\n',
    '"',
    ',',
    'ö',
    'x,,',
    '\r',
    'z,toolongvalue,1\n',
    '\u{1f600},x,1\n',
    'g,\u{1f600}\u{1f600}\n',
  ];
  const texts = fc
    .array(fc.constantFrom(...PIECES), { maxLength: 14 })
    .map((pieces) => `k,t,n\n${pieces.join('')}`);
  fc.assert(
    fc.property(texts, (whatever) => {
      for (const encoding of ENCODINGS) {
        const isWide = encoding.startsWith('utf-16');
        const plain = isWide ? whatever : whatever.replaceAll('\u{1f600}', 'ß');
        const expected = meaning(withFile(Buffer.from(plain), (file) => flatten(run([sliceOf(file)]))));
        const bytes = isWide ? wide(plain, encoding === 'utf-16be') : Buffer.from(plain, 'latin1');
        withFile(bytes, (file) => {
          const options = { table: smallTable, dialect: { encoding } } as const;
          const chunk = run([sliceOf(file)], options);
          if (chunk.slices[0]?.kind === 'refused') return; // too few bytes look like anything
          const whole = flatten(chunk);
          assert.deepEqual(meaning(whole), expected, encoding);
          assert.equal(whole.end, bytes.length);
          assertRawBytes(bytes, whole);
          for (let cut = 15; cut < bytes.length; cut += 1)
            assert.deepEqual(parseCut(file, [cut], options), whole, `${encoding} cut at ${cut}`);
          for (let seen = 16; seen < bytes.length; seen += 1) growTo(file, seen, options, whole);
        });
      }
    }),
    { numRuns: 60 },
  );
});

function growTo(
  file: Parameters<typeof sliceOf>[0],
  seen: number,
  options: Parameters<typeof run>[1],
  whole: Flat,
): void {
  const early = flatten(run([sliceOf(file, { end: seen, limit: seen, final: false })], options));
  const late = flatten(run([sliceOf(file, { start: early.end })], options), early.lines);
  assert.deepEqual([...early.rows, ...late.rows], whole.rows, `first look at ${seen} bytes`);
  assert.deepEqual([...early.rejects, ...late.rejects], whole.rejects, `first look at ${seen} bytes`);
}

test('a line beyond 1 MiB in UTF-16 ends where it ends in the file', () => {
  for (const end of ['\n', '\r\n']) {
    const plain = `k,t\n${'x'.repeat(3 * 1024 * 1024)}${end}a,b\n`;
    const bytes = wide(plain);
    withFile(bytes, (file) => {
      const flat = flatten(run([sliceOf(file)], { dialect: { encoding: 'utf-16le' } }));
      assert.equal(flat.rows.length, 1);
      assert.deepEqual(
        flat.rejects.map(({ code, offset, rawLength }) => [code, offset, rawLength]),
        [['record_too_large', 8, 6 * 1024 * 1024]],
      );
      assertRawBytes(bytes, flat);
      const first = flatten(run([sliceOf(file, { end: 1000 })], { dialect: { encoding: 'utf-16le' } }));
      assert.deepEqual(first.rejects, flat.rejects, 'read on far beyond the slice');
    });
  }
});

test('invalid UTF-8 costs its record, whose bytes are kept', () => {
  const bad = ['\xc0\xaf', '\x80', '\xed\xa0\x80', '\xf4\x90\x80\x80', '\xff', '\xe2\x82'];
  for (const bytes of bad) {
    const file = Buffer.from(
      lines(record(), record({ product_id: bytes }), record({ product_id: '\xc3\xa4' })),
      'latin1',
    );
    const seen = read(file);
    assert.deepEqual([seen.rows, codes(seen)], [2, ['invalid_utf8']], JSON.stringify(bytes));
    const [reject] = seen.flat?.rejects ?? [];
    assert.ok(Buffer.from(reject?.raw ?? []).includes(Buffer.from(bytes, 'latin1')));
  }
  const cutOff = Buffer.from(`${lines(record())}${record()}\xe2\x82`, 'latin1');
  assert.deepEqual(codes(read(cutOff)), ['invalid_utf8'], 'a character cut off by the end of the file');
});

test('odd Unicode is stored byte for byte', () => {
  for (const value of [
    'é',
    'e\u0301',
    '\u202eabc',
    'a\u200db',
    '\u{1f469}\u200d\u{1f469}',
    '\u{10ffff}',
    '\ufffe',
  ]) {
    const seen = read(lines(record({ product_id: value }), record({ user_id: `"${value}"` })));
    assert.deepEqual([textOf(seen, 'product_id'), textOf(seen, 'user_id', 1)], [value, value]);
  }
});

test('NUL bytes cost their record; a block of zeros is one record and is read in linear time', () => {
  const seen = read(lines(record(), record({ product_id: 'a\0b' }), record()));
  assert.deepEqual([seen.rows, codes(seen)], [2, ['nul_byte']]);
  const zeros = read(lines(record(), '\0'.repeat(300_000), record()));
  assert.equal(zeros.rows, 2);
  assert.equal(zeros.rejects.length, 1);
  const tail = read(lines(record()) + '\0'.repeat(4096));
  assert.deepEqual([tail.rows, tail.rejects.length], [1, 1], 'what a crashed writer leaves');
});

test('control characters, backslashes and the words of COPY are stored as they are', () => {
  for (const value of ['\x1b[31m', '\\', '\\.', '\\N', 'a\tb', '\x7f', '\x01', '\\x00', '\\n']) {
    const seen = read(lines(record({ product_id: value }), record({ user_id: `"${value}"` })));
    assert.deepEqual([textOf(seen, 'product_id'), textOf(seen, 'user_id', 1)], [value, value]);
  }
});

test('compressed content under a plain name is refused, with the way out', () => {
  const gzip = read(gzipSync(lines(record())));
  assert.equal(gzip.refused, 'compressed');
  assert.match(gzip.reason, /\.csv\.gz/);
  for (const magic of ['PK\x03\x04', '\xfd7zXZ\0', '\x28\xb5\x2f\xfd', 'BZh91AY'])
    assert.equal(read(Buffer.from(`${magic}${'x'.repeat(50)}`, 'latin1')).refused, 'compressed');
  assert.equal(read(gzipSync(lines(record())), { dialect: { encoding: 'latin1' } }).refused, 'compressed');
});

test('files that are no CSV are refused by their beginning', () => {
  for (const bytes of [
    '\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\n',
    '\x89PNG\r\n\x1a\n\0\0\0\rIHDR',
    'SQLite format 3\0\x10\0\x01\x01',
    '<!DOCTYPE html>\n<html><body>502</body></html>\n',
    '{"event_id":"x"}\n',
    '[{"event_id": 1, "event_type": 2}]\n',
    '%PDF-1.7\n',
  ])
    assert.notEqual(read(Buffer.from(bytes, 'latin1')).refused, null, bytes);
});

test('another delimiter is found when it is one of four, refused with the option otherwise, and read with it', () => {
  const swap = (by: string): string =>
    lines(record(), record({ product_id: `"a${by}b"` })).replaceAll(',', by);
  for (const by of [';', '\t', '|']) assert.equal(read(swap(by)).rows, 2, by);
  for (const [by, word] of [
    ['^', "'^'"],
    ['~', "'~'"],
    ['\x1f', "'\\x1f'"],
    ['#', "'#'"],
  ] as const) {
    const refused = read(swap(by));
    assert.equal(refused.refused, 'wrong_dialect', by);
    assert.ok(refused.reason.endsWith(`--delimiter ${word}`), refused.reason);
    assert.equal(read(swap(by), { dialect: { delimiter: by } }).rows, 2, by);
  }
  const told = read(swap(','), { dialect: { delimiter: ';' } });
  assert.equal(told.refused, 'wrong_dialect');
  assert.match(told.reason, /--delimiter ','/);
  assert.match(read(`sep=;\n${swap(';')}`).reason, /sep=;.*remove that line/);
});

test('words for NULL are empty fields by option, and text without it', () => {
  const file = lines(
    record({ user_id: 'NULL', quantity: '', price: '"NULL"' }),
    record({ quantity: '\\N', user_id: 'null' }),
    record({ event_type: 'NULL' }),
  );
  assert.deepEqual(codes(read(file)), ['decimal', 'integer', 'not_listed']);
  const seen = read(file, { dialect: { nulls: ['NULL', '\\N'] } });
  assert.deepEqual(codes(seen), ['required']);
  assert.deepEqual([textOf(seen, 'user_id'), textOf(seen, 'user_id', 1)], [undefined, 'null']);
  assert.equal(seen.values[0]?.[5], null);
});
