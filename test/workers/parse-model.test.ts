// The parse room against a slow model: any bytes, both paths, any cut, any growth.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { modelParse } from '../support/csv-model.ts';
import type { Flat } from '../support/parse-harness.ts';
import {
  append,
  emptyFlat,
  expectParsed,
  flatten,
  parseCut,
  parseWhole,
  run,
  sliceOf,
  smallTable,
  withFile,
} from '../support/parse-harness.ts';

/** Pieces from which hostile and harmless files grow; bytes as Latin-1. */
const PIECES = [
  'a,b,1', 'k,t,n', 'x,"q",2', 'y,"l\nm",3', '"z","e""e",', 'a', 'bc', ',', ',,', '"', '""', '"""', '\n', '\n', '\n', '\r\n', '\r',
  '\n\n', ' ', '5" p', '"a"x', '\0', '\xff', '\xc3\xa4', '\xf0\x9f\x98\x80', '\xef\xbb\xbf', '\xed\xa0\x80', ';', '\t', '\\.', '\\N',
  'a",b"x,"c', 'toolongvalue', '-1', '99999999999', '\x1b[0m', '\u0085',
]; // prettier-ignore

const HEADERS = ['k,t,n\n', 'n,k,t\r\n', '\xef\xbb\xbfk,t\n', 'K , T,other,n\n', '\n\r\nt,x,k\n'];

const csv = (piecesMax: number): fc.Arbitrary<Buffer> =>
  fc
    .tuple(
      fc.constantFrom(...HEADERS),
      fc.array(
        fc.oneof(
          { weight: 4, arbitrary: fc.constantFrom(...PIECES) },
          { weight: 3, arbitrary: fc.constant('a,b,1\n') },
        ),
        {
          maxLength: piecesMax,
        },
      ),
    )
    .map(([header, pieces]) => Buffer.from(header + pieces.join(''), 'latin1'));

function comparable(flat: Flat): object {
  return {
    rows: flat.rows,
    rejects: flat.rejects.map(({ offset, rawLength, line, field, code, raw }) => ({
      offset,
      length: rawLength,
      line,
      field,
      code,
      raw: raw === null ? null : Buffer.from(raw).toString('latin1'),
    })),
    lines: flat.lines,
    blankLines: flat.blankLines,
  };
}

test('both paths read any bytes as the model does', () => {
  fc.assert(
    fc.property(csv(40), (bytes) => {
      const expected = modelParse(bytes, smallTable);
      for (const path of ['bytes', 'papaparse'] as const) {
        const flat = parseWhole(bytes, { path });
        assert.deepEqual(comparable(flat), expected);
        assert.equal(flat.end, bytes.length);
      }
    }),
    { numRuns: 1500 },
  );
});

test('both paths give identical sentences and counts', () => {
  fc.assert(
    fc.property(csv(30), (bytes) => {
      assert.deepEqual(parseWhole(bytes, { path: 'papaparse' }), parseWhole(bytes, { path: 'bytes' }));
    }),
    { numRuns: 500 },
  );
});

test('CR-only files: both paths give the same, and so does every cut', () => {
  const swapped = csv(20).map((bytes) =>
    Buffer.from(bytes.toString('latin1').replaceAll('\r', '').replaceAll('\n', '\r'), 'latin1'),
  );
  fc.assert(
    fc.property(swapped, fc.nat(), (bytes, number) => {
      const whole = parseWhole(bytes, { newline: 'cr' });
      assert.deepEqual(parseWhole(bytes, { newline: 'cr', path: 'papaparse' }), whole);
      assert.equal(whole.end, bytes.length);
      const cut = 1 + (number % (bytes.length - 1));
      assert.deepEqual(
        withFile(bytes, (file) => parseCut(file, [cut], { newline: 'cr' })),
        whole,
      );
    }),
    { numRuns: 500 },
  );
});

test('a file cut at every byte gives what the whole gives', () => {
  fc.assert(
    fc.property(csv(12), (bytes) =>
      withFile(bytes, (file) => {
        const whole = flatten(run([sliceOf(file)]));
        for (let cut = 1; cut < bytes.length; cut += 1)
          assert.deepEqual(parseCut(file, [cut]), whole, `cut at ${cut}`);
      }),
    ),
    { numRuns: 150 },
  );
});

test('a file cut at several places gives what the whole gives', () => {
  fc.assert(
    fc.property(csv(40), fc.array(fc.nat(), { maxLength: 8 }), (bytes, numbers) =>
      withFile(bytes, (file) => {
        const cuts = [...new Set(numbers.map((number) => 1 + (number % bytes.length)))]
          .filter((cut) => cut < bytes.length)
          .toSorted((left, right) => left - right);
        assert.deepEqual(parseCut(file, cuts), flatten(run([sliceOf(file)])));
      }),
    ),
    { numRuns: 500 },
  );
});

test('a file that grows is read to the same end, whatever was there at the first look', () => {
  fc.assert(
    fc.property(csv(12), (bytes) =>
      withFile(bytes, (file) => {
        const whole = flatten(run([sliceOf(file)]));
        for (let seen = 0; seen <= bytes.length; seen += 1) {
          const total = emptyFlat();
          const early = run([sliceOf(file, { end: seen, limit: seen, final: false })]);
          append(total, flatten(early));
          if (expectParsed(early.slices[0]).tail === 'none') assert.equal(total.end, seen);
          append(total, flatten(run([sliceOf(file, { start: total.end })]), total.lines));
          assert.deepEqual(total, whole, `first look at ${seen} bytes`);
        }
      }),
    ),
    { numRuns: 150 },
  );
});

test('a file that grows byte by byte decides each record once, as the whole does', () => {
  fc.assert(
    fc.property(csv(12), (bytes) =>
      withFile(bytes, (file) => {
        const total = emptyFlat();
        for (let limit = 1; limit <= bytes.length; limit += 1) {
          const final = limit === bytes.length;
          append(
            total,
            flatten(run([sliceOf(file, { start: total.end, end: limit, limit, final })]), total.lines),
          );
        }
        assert.deepEqual(total, flatten(run([sliceOf(file)])));
      }),
    ),
    { numRuns: 150 },
  );
});
