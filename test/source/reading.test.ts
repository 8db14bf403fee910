// Cutting and joining against a model: whatever the bytes, the gaps, the order of answers and the guesses, the accepted slices are
// exactly the file, in order, once.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import type { Cut, Outcome, Parsed, Piece, Reading } from '../../src/source/reading.ts';
import {
  arrive,
  commit,
  cutNext,
  giveBack,
  isCommitted,
  startReading,
  uncutBytes,
  voidAll,
  waitsForTail,
} from '../../src/source/reading.ts';

/** Ends of the records in a text where `"` toggles whether a newline ends one. */
function recordEnds(text: string): number[] {
  const ends: number[] = [];
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '"') quoted = !quoted;
    else if (text[at] === '\n' && !quoted) ends.push(at + 1);
  }
  return ends;
}

/** What a worker would say, by the rules in core/slice.ts. */
function parse(text: string, cut: Cut): Parsed {
  let start = cut.start;
  if (!cut.exact && cut.start > 0) {
    const newline = text.slice(0, cut.end).indexOf('\n', cut.start - 1);
    if (newline < 0) return parsed(text, cut.end, cut.end);
    start = newline + 1;
  }
  let end = start;
  for (const one of recordEnds(text.slice(start, cut.limit))) {
    if (end >= cut.end) break;
    end = start + one;
  }
  if (end < cut.end && cut.final) end = cut.limit;
  return parsed(text, start, end);
}

function parsed(text: string, start: number, end: number): Parsed {
  const lines = text.slice(start, end).split('\n').length - 1;
  const unterminated = end > start && text[end - 1] !== '\n' ? 1 : 0;
  return {
    kind: 'parsed',
    start,
    end,
    lines: lines + unterminated,
    crc: 0,
    head: null,
    header: null,
    records: 1,
    rows: 1,
    rejected: 0,
    blankLines: 0,
    extraColumns: 0,
    rejects: [],
    tail: 'none',
    stamp: null,
  };
}

/** Brings answers back in the order that `choices` says, until nothing can be cut any more. */
function readAll(
  reading: Reading,
  text: string,
  final: boolean,
  sliceBytes: number,
  choices: number[],
): Piece[] {
  const accepted: Piece[] = [];
  const flying: Cut[] = [];
  for (let step = 0; step < 10_000; step += 1) {
    while (flying.length < 5) {
      const next = cutNext(reading, text.length, final, sliceBytes);
      if (next === null) break;
      flying.push(next);
    }
    const [cut] = flying.splice((choices[step % choices.length] ?? 0) % Math.max(1, flying.length), 1);
    if (cut === undefined) return accepted;
    for (const outcome of arrive(reading, cut, parse(text, cut))) note(outcome, flying, accepted);
  }
  throw new Error('it never ends');
}

function note(outcome: Outcome, flying: Cut[], accepted: Piece[]): void {
  if (outcome.kind === 'again') flying.push(outcome.cut);
  if (outcome.kind === 'accepted') accepted.push(outcome.piece);
  assert.notEqual(outcome.kind, 'contradiction');
}

function assertJoined(reading: Reading, text: string, end: number): void {
  let position = 0;
  let line = 1;
  for (const piece of reading.pieces) {
    assert.equal(piece.start, position);
    assert.equal(piece.firstLine, line);
    position = piece.end;
    line += piece.lines;
  }
  assert.equal(position, end);
  const ends = new Set([0, text.length, ...recordEnds(text)]);
  for (const piece of reading.pieces) assert.ok(ends.has(piece.end), `${piece.end} ends a record`);
}

const letters = fc.constantFrom('a', 'b', ',', '\n', '"');
const texts = fc.array(letters, { maxLength: 300, size: 'max' }).map((list) => list.join(''));
const choices = fc.array(fc.nat(1000), { minLength: 1, maxLength: 50, size: 'max' });

test('any file, cut anywhere, answered in any order, is read whole and once', () => {
  fc.assert(
    fc.property(texts, fc.integer({ min: 1, max: 60 }), choices, (text, sliceBytes, order) => {
      const reading = startReading([]);
      readAll(reading, text, true, sliceBytes, order);
      assertJoined(reading, text, text.length);
      for (const piece of reading.pieces) commit(reading, piece.start);
      assert.ok(isCommitted(reading, text.length));
    }),
    { numRuns: 500 },
  );
});

test('of a file that may grow only complete records are taken; the rest follows when it is final', () => {
  fc.assert(
    fc.property(
      texts,
      fc.nat(300),
      fc.integer({ min: 1, max: 60 }),
      choices,
      (text, at, sliceBytes, order) => {
        const reading = startReading([]);
        for (const part of [text.slice(0, at), text]) {
          readAll(reading, part, false, sliceBytes, order);
          const end = recordEnds(part).at(-1) ?? 0;
          assertJoined(reading, part, end);
          assert.equal(uncutBytes(reading, part.length, false), 0);
          assert.equal(waitsForTail(reading, part.length), end < part.length);
        }
        readAll(reading, text, true, sliceBytes, order);
        assertJoined(reading, text, text.length);
      },
    ),
    { numRuns: 500 },
  );
});

test('after a start only the gaps between committed slices are read, and they join', () => {
  fc.assert(
    fc.property(
      texts,
      fc.integer({ min: 1, max: 60 }),
      choices,
      fc.infiniteStream(fc.boolean()),
      (text, size, order, keep) => {
        const before = startReading([]);
        readAll(before, text, true, size, order);
        const kept = before.pieces.filter(() => keep.next().value === true);
        for (const piece of kept) piece.committed = true;
        const reading = startReading(kept.toReversed());
        const read = readAll(reading, text, true, Math.max(1, size - 7), order);
        assertJoined(reading, text, text.length);
        const bytes = [...kept, ...read].reduce((sum, piece) => sum + piece.end - piece.start, 0);
        assert.equal(bytes, text.length);
      },
    ),
    { numRuns: 500 },
  );
});

test('ranges given back and voided flights are gaps again', () => {
  fc.assert(
    fc.property(texts, fc.integer({ min: 1, max: 40 }), choices, (text, sliceBytes, order) => {
      const reading = startReading([]);
      const first = cutNext(reading, text.length, true, sliceBytes);
      const second = cutNext(reading, text.length, true, sliceBytes);
      if (second !== null) arrive(reading, second, parse(text, second));
      assert.equal(voidAll(reading).length, second === null ? 0 : 1);
      if (first !== null)
        assert.deepEqual(arrive(reading, first, parse(text, first)), [{ kind: 'dropped', cut: first }]);
      readAll(reading, text, true, sliceBytes, order);
      for (const [index, piece] of [...reading.pieces].entries())
        if (index % 2 === 0) giveBack(reading, piece.start);
      readAll(reading, text, true, sliceBytes + 3, order);
      assertJoined(reading, text, text.length);
    }),
    { numRuns: 300 },
  );
});

test('a gap that does not end where a committed slice begins is a contradiction', () => {
  const text = 'aa\nbb\ncc\n';
  const last: Piece = { start: 6, end: 9, firstLine: 3, lines: 1, crc: 0, head: null, committed: true };
  const reading = startReading([last]);
  const cut = cutNext(reading, text.length, true, 100);
  assert.ok(cut !== null);
  assert.deepEqual([cut.start, cut.end, cut.limit, cut.final], [0, 6, 6, true]);
  assert.deepEqual(arrive(reading, cut, parsed(text, 0, 3)), [{ kind: 'contradiction' }]);
});

test('many small slices of a growing file are kept as few, without losing its bytes or lines', () => {
  const reading = startReading([]);
  let text = '';
  for (let line = 0; line < 2000; line += 1) {
    text += `${line}\n`;
    for (const piece of readAll(reading, text, false, 1000, [0])) commit(reading, piece.start);
  }
  assertJoined(reading, text, text.length);
  assert.ok(reading.pieces.length < 300, `${reading.pieces.length}`);
  assert.ok(isCommitted(reading, text.length));
});
