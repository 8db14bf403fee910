// Puts the rows of a task in the order of their keys and into the flat buffers that cross threads. Sorted, because random UUIDs
// otherwise touch every leaf of the index; stable, so that equal keys stay in file order.

import type { Rows } from './chunk.ts';
import type { RowBuffer } from './row-buffer.ts';
import { aligned } from './row-buffer.ts';

/** Below this an insertion sort beats the passes of a radix sort. */
const INSERTION_ROWS_MAX = 32;
const DIGIT_BITS = 11;
const DIGITS = 1 << DIGIT_BITS;
const KEY_WORDS = 4;

/** The numbers of the rows in the order of their keys (four words each, see `Rows.keys`). */
export function sortedOrder(keys: Uint32Array, count: number): Uint32Array {
  const order = new Uint32Array(count);
  for (let row = 0; row < count; row += 1) order[row] = row;
  sortByWord(keys, order, new Uint32Array(count), 0, count, 0);
  return order;
}

/** Sorts order[from, to), whose rows agree in all words before `word`; then each run of equal words by the next one. */
function sortByWord(
  keys: Uint32Array,
  order: Uint32Array,
  spare: Uint32Array,
  from: number,
  to: number,
  word: number,
): void {
  if (to - from <= INSERTION_ROWS_MAX) return insertionSort(keys, order, from, to, word);
  radixSort(keys, order, spare, from, to, word);
  if (word === KEY_WORDS - 1) return;
  let runStart = from;
  for (let index = from + 1; index <= to; index += 1) {
    if (index < to && keys[order[index]! * 4 + word] === keys[order[runStart]! * 4 + word]) continue;
    if (index - runStart > 1) sortByWord(keys, order, spare, runStart, index, word + 1);
    runStart = index;
  }
}

function insertionSort(keys: Uint32Array, order: Uint32Array, from: number, to: number, word: number): void {
  for (let index = from + 1; index < to; index += 1) {
    const row = order[index]!;
    let hole = index;
    while (hole > from && isBefore(keys, row, order[hole - 1]!, word)) {
      order[hole] = order[hole - 1]!;
      hole -= 1;
    }
    order[hole] = row;
  }
}

function isBefore(keys: Uint32Array, left: number, right: number, firstWord: number): boolean {
  for (let word = firstWord; word < KEY_WORDS; word += 1) {
    const difference = keys[left * 4 + word]! - keys[right * 4 + word]!;
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/**
 * Three stable counting passes over one word, least significant digit first. Each loop is a function of its own: V8 compiles such a one
 * once; three loops in one it entered and left in the middle, and compiled them five times (40 ms of a load of 1 M rows). Going on with
 * that, all loops of a chunk in calls of 256 rows, gained nothing (1.04 against 1.02 s for parsing, sorting and dedup of 1 M rows).
 */
function radixSort(
  keys: Uint32Array,
  order: Uint32Array,
  spare: Uint32Array,
  from: number,
  to: number,
  word: number,
): void {
  let source = order;
  let target = spare;
  const places = new Uint32Array(DIGITS);
  for (let shift = 0; shift < 32; shift += DIGIT_BITS) {
    places.fill(0);
    countDigits(keys, source, places, from, to, word, shift);
    sumUp(places, from);
    moveByDigit(keys, source, target, places, from, to, word, shift);
    [source, target] = [target, source];
  }
  if (source !== order) order.set(source.subarray(from, to), from);
}

function countDigits(
  keys: Uint32Array,
  order: Uint32Array,
  counts: Uint32Array,
  from: number,
  to: number,
  word: number,
  shift: number,
): void {
  for (let index = from; index < to; index += 1) {
    const digit = (keys[order[index]! * 4 + word]! >>> shift) & (DIGITS - 1);
    counts[digit] = counts[digit]! + 1;
  }
}

/** Counts become the places at which each digit begins. */
function sumUp(counts: Uint32Array, from: number): void {
  let place = from;
  for (let digit = 0; digit < DIGITS; digit += 1) {
    const size = counts[digit]!;
    counts[digit] = place;
    place += size;
  }
}

function moveByDigit(
  keys: Uint32Array,
  source: Uint32Array,
  target: Uint32Array,
  places: Uint32Array,
  from: number,
  to: number,
  word: number,
  shift: number,
): void {
  for (let index = from; index < to; index += 1) {
    const row = source[index]!;
    const digit = (keys[row * 4 + word]! >>> shift) & (DIGITS - 1);
    const at = places[digit]!;
    places[digit] = at + 1;
    target[at] = row;
  }
}

/**
 * The rows gathered in the order of their keys. `withSlices`: the task had more than one slice. `spare`: memory that may be written over;
 * used when it is large enough.
 */
export function takeSortedRows(rows: RowBuffer, withSlices: boolean, spare: ArrayBuffer | null): Rows {
  const order = sortedOrder(rows.keys, rows.count);
  const taken = roomFor(rows.count, rows.bytes, withSlices, spare);
  gatherTuples(rows, order, taken.bytes, taken.ends);
  gatherKeys(rows.keys, order, taken.keys);
  gather(rows.payloads, order, taken.payloads);
  if (taken.slices !== null) gather(rows.slices, order, taken.slices);
  gather(rows.recordOffsets, order, taken.recordOffsets);
  gather(rows.recordLengths, order, taken.recordLengths);
  gather(rows.recordLines, order, taken.recordLines);
  return taken;
}

/** Words per row: four of the key, and one each for end, payload, offset, length and line. */
const WORDS_PER_ROW = KEY_WORDS + 5;

/** Memory is made with so much to spare that the next task of its kind fits in too: an eighth, and whole pages. */
const PAGE_BYTES = 4096;

/** All arrays in one piece of memory: the words first that need to be aligned, tuples at the very beginning. */
function roomFor(count: number, bytes: number, withSlices: boolean, spare: ArrayBuffer | null): Rows {
  const tuples = aligned(bytes);
  const needed = tuples + count * (WORDS_PER_ROW * 4 + (withSlices ? 2 : 0));
  const buffer =
    spare !== null && spare.byteLength >= needed
      ? spare
      : Buffer.allocUnsafeSlow(Math.ceil((needed * 1.125) / PAGE_BYTES) * PAGE_BYTES).buffer;
  let at = tuples;
  const words = (perRow: number): Uint32Array<ArrayBuffer> => {
    const array = new Uint32Array(buffer, at, count * perRow);
    at += array.byteLength;
    return array;
  };
  return {
    count,
    bytes: new Uint8Array(buffer, 0, bytes),
    ends: words(1),
    keys: words(KEY_WORDS),
    payloads: words(1),
    recordOffsets: words(1),
    recordLengths: words(1),
    recordLines: words(1),
    slices: withSlices ? new Uint16Array(buffer, at, count) : null,
  };
}

function gather<T extends Uint16Array | Uint32Array>(source: T, order: Uint32Array, target: T): void {
  for (let index = 0; index < order.length; index += 1) target[index] = source[order[index]!]!;
}

function gatherKeys(source: Uint32Array, order: Uint32Array, target: Uint32Array): void {
  for (let index = 0; index < order.length; index += 1) {
    const row = order[index]! * KEY_WORDS;
    target[index * KEY_WORDS] = source[row]!;
    target[index * KEY_WORDS + 1] = source[row + 1]!;
    target[index * KEY_WORDS + 2] = source[row + 2]!;
    target[index * KEY_WORDS + 3] = source[row + 3]!;
  }
}

/** Rows whose memory is asked for at once. 8 to 24 do as well. */
const TOUCHED_ROWS = 16;

/**
 * Moves whole words and shifts them into place. Neighbours in the order of the keys lie anywhere in the slice (4 MiB), and the processor waits
 * for one row's memory at a time while it copies; so the first and the last word of some rows are loaded ahead, by loads that do not depend on each
 * other: 85 ns for a tuple of 94 bytes instead of 165 (37 in the order of the file; 190 and more with `set(subarray())`). Words are
 * little-endian, as on every machine that Node 24 has a build for here (x64, arm64).
 */
function gatherTuples(rows: RowBuffer, order: Uint32Array, bytes: Uint8Array, ends: Uint32Array): void {
  const source = rows.words;
  const target = new Int32Array(bytes.buffer, 0, bytes.length >>> 2);
  let word = 0; // of the target
  let carry = 0; // bits that do not fill a word yet
  let carried = 0; // how many: 0, 8, 16 or 24
  for (let index = 0; index < order.length; index += 1) {
    if (index % TOUCHED_ROWS === 0) touchTuples(rows, order, index);
    const row = order[index]!;
    const length = rows.ends[row]! - rows.begins[row]!;
    let from = rows.begins[row]! >>> 2;
    const to = from + (length >>> 2);
    if (carried === 0) {
      for (; from < to; from += 1, word += 1) target[word] = source[from]!;
    } else {
      const lacking = 32 - carried;
      for (; from < to; from += 1, word += 1) {
        const bits = source[from]!;
        target[word] = carry | (bits << carried);
        carry = bits >>> lacking;
      }
    }
    const rest = (length & 3) * 8;
    if (rest > 0) {
      const bits = source[to]! & (-1 >>> (32 - rest));
      carry |= bits << carried;
      carried += rest;
      if (carried >= 32) {
        target[word] = carry;
        word += 1;
        carried -= 32;
        carry = carried === 0 ? 0 : bits >>> (rest - carried);
      }
    }
    ends[index] = word * 4 + (carried >>> 3);
  }
  for (let at = word * 4; carried > 0; at += 1, carried -= 8, carry >>>= 8) bytes[at] = carry;
}

function touchTuples(rows: RowBuffer, order: Uint32Array, from: number): void {
  const { words, begins, ends } = rows;
  const to = Math.min(from + TOUCHED_ROWS, order.length);
  let sum = 0;
  for (let index = from; index < to; index += 1) {
    const row = order[index]!;
    sum = (sum + words[begins[row]! >>> 2]! + words[(ends[row]! - 1) >>> 2]!) | 0;
  }
  rows.touched = sum;
}
