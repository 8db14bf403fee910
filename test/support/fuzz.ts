// The fuzz target of the parse room: makes hostile bytes from a seed and checks everything that must hold for any bytes. It knows
// nothing of time limits and reports; fuzz.test.ts drives it.

import assert from 'node:assert/strict';
import type { Random } from '../../src/schema/random.ts';
import type { Encoding } from '../../src/core/encoding.ts';
import { modelParse } from './csv-model.ts';
import { assertRawBytes } from './input.ts';
import type { Fixture, Flat, ParseOptions } from './parse-harness.ts';
import { append, emptyFlat, flatten, parseCut, run, sliceOf, smallTable, withFile } from './parse-harness.ts';

const PIECES = [
  'a,b,1', 'x,"q",2', 'y,"l\nm",3', '"z","e""e",', 'a', ',', ',,', '"', '""', '"""', '\n', '\n', '\r\n', '\r', '\n\n', ' ',
  '"a"x', '\0', '\xff', '\xc3\xa4', '\xf0\x9f\x98\x80', '\xef\xbb\xbf', '\xed\xa0\x80', ';', '\t', '|', '\\.', '\\N', 'NULL', '-1',
  'a",b"x,"c', 'toolongvalue', '99999999999', '=1+1', '\x1b[0m', '\u0085', 'a,b,1\n', 'a,b,1\n', 'c,d,2\n', 'e,"f",3\n',
]; // prettier-ignore

const HEADERS = ['k,t,n\n', 'n,k,t\r\n', '\xef\xbb\xbfk,t\n', 'K , T,other,n\n', '\n\r\nt,x,k\n'];

/** Longer files get some cuts at a time: each split is a parse of the whole. */
const EVERY_SPLIT_BYTES_MAX = 64;

/** Bytes of a file: noise, or CSV that was grown from pieces and then damaged. */
function hostileBytes(random: Random): Buffer {
  const header = HEADERS[random.below(HEADERS.length)]!;
  if (random.below(8) === 0) return noise(random, header);
  let text = header;
  for (let count = random.below(60); count > 0; count -= 1) text += PIECES[random.below(PIECES.length)]!;
  const bytes = Buffer.from(text, 'latin1');
  for (let count = random.below(4); count > 0; count -= 1) damage(random, bytes, header.length);
  return bytes;
}

function noise(random: Random, header: string): Buffer {
  const bytes = Buffer.alloc(random.below(300));
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = random.below(256);
  return random.below(3) === 0 ? bytes : Buffer.concat([Buffer.from(header, 'latin1'), bytes]);
}

/** The header stays, so that most files are read at all. */
function damage(random: Random, bytes: Buffer, from: number): void {
  if (bytes.length <= from) return;
  const at = from + random.below(bytes.length - from);
  const length = random.below(Math.min(20, bytes.length - at));
  switch (random.below(3)) {
    case 0:
      bytes[at] = random.below(256);
      break;
    case 1:
      bytes.fill(bytes[from] ?? 0, at, at + length);
      break;
    default:
      bytes.copyWithin(at, from, from + length);
  }
}

const ENCODINGS: readonly Encoding[] = ['latin1', 'windows-1252', 'utf-16le', 'utf-16be'];

/** One round: throws where something does not hold. */
export function fuzzRound(random: Random): void {
  const bytes = hostileBytes(random);
  withFile(bytes, (file) => {
    const whole = assertSame(random, file, bytes, {});
    if (whole !== null && !hasOddDelimiter(bytes)) assertModel(bytes, whole);
    assertSame(random, file, bytes, { newline: 'cr' });
    assertSame(random, file, bytes, {
      dialect: { delimiter: [',', ';', '\t', '^'][random.below(4)]!, nulls: ['NULL', '\\N'] },
    });
    assertSame(random, file, bytes, { dialect: { encoding: 'auto' } }, false);
  });
  const encoding = ENCODINGS[random.below(ENCODINGS.length)]!;
  const coded = encoding === 'utf-16le' ? Buffer.from(bytes.toString('latin1'), 'utf16le') : bytes;
  withFile(coded, (file) => assertSame(random, file, coded, { dialect: { encoding } }, false));
}

/** Both paths, any cut and any growth agree; nothing is lost, counted twice or read again. Null: the file is refused. */
function assertSame(
  random: Random,
  file: Fixture,
  bytes: Buffer,
  options: ParseOptions,
  isCut = true,
): Flat | null {
  const chunk = run([sliceOf(file)], options);
  const other = run([sliceOf(file)], { ...options, path: 'papaparse' });
  assert.equal(other.slices[0]?.kind, chunk.slices[0]?.kind);
  if (chunk.slices[0]?.kind !== 'parsed') return null;
  const whole = flatten(chunk);
  assert.deepEqual(flatten(other), whole, 'both paths');
  assert.equal(whole.end, bytes.length);
  assert.equal(chunk.bytesRead, bytes.length, 'each byte is read once');
  assertPlaces(bytes, whole);
  if (!isCut) return whole;
  // Of what is short every split; of all some cuts at a time.
  for (let cut = 1; cut < bytes.length && bytes.length <= EVERY_SPLIT_BYTES_MAX; cut += 1)
    assert.deepEqual(parseCut(file, [cut], options), whole, `cut at ${cut}`);
  for (let count = 0; count < 6 && bytes.length > 1; count += 1) {
    const cuts = Array.from({ length: 1 + random.below(3) }, () => 1 + random.below(bytes.length - 1));
    const sorted = [...new Set(cuts)].toSorted((left, right) => left - right);
    assert.deepEqual(parseCut(file, sorted, options), whole, `cut at ${sorted.join()}`);
  }
  assert.deepEqual(grown(random, file, options), whole, 'grown');
  return whole;
}

function grown(random: Random, file: Fixture, options: ParseOptions): Flat {
  const total = emptyFlat();
  for (let seen = random.below(file.size + 1); ; seen = Math.min(file.size, seen + 1 + random.below(40))) {
    const final = seen === file.size;
    append(
      total,
      flatten(
        run([sliceOf(file, { start: total.end, end: seen, limit: seen, final })], options),
        total.lines,
      ),
    );
    if (final) return total;
  }
}

/** Conservation: the places of rows and rejects never overlap, and what is kept of a reject stands at its place. */
function assertPlaces(bytes: Buffer, flat: Flat): void {
  assert.equal(flat.records, flat.rows.length + flat.rejected);
  assertRawBytes(bytes, flat);
  const places = [
    ...flat.rows.map(({ offset, length }) => [offset, length] as const),
    ...flat.rejects.map(({ offset, rawLength }) => [offset, rawLength] as const),
  ].toSorted(([left], [right]) => left - right);
  let end = 0;
  for (const [offset, length] of places) {
    assert.ok(offset >= end && length > 0, `a record at ${offset} begins before the last one ends at ${end}`);
    end = offset + length;
  }
  assert.ok(end <= bytes.length);
}

/** The model reads commas only; and a first line that is no header of ours is not its business. */
function hasOddDelimiter(bytes: Buffer): boolean {
  return !HEADERS.some((header) => bytes.toString('latin1').startsWith(header));
}

function assertModel(bytes: Buffer, flat: Flat): void {
  const model = modelParse(bytes, smallTable);
  assert.deepEqual(flat.rows, model.rows, 'rows as the model reads them');
  assert.deepEqual(
    flat.rejects.map(({ code, offset, line }) => [code, offset, line]),
    model.rejects.map(({ code, offset, line }) => [code, offset, line]),
    'rejects as the model reads them',
  );
}
