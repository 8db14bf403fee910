// A batch as it is tried: which way each row goes, and what became of each slice once the database has answered. Arithmetic on
// bytes only; nothing here talks to a server.

import type { JudgedChunk } from '../../core/chunk.ts';
import { FRESH, KEY_BYTES, UNSURE } from '../../core/chunk.ts';
import type { CommittedSlice } from '../../core/slice.ts';
import type { SettledChunk } from '../sink.ts';
import type { Setup } from './standing.ts';

/** Why the database refused a row, in its own words. */
export interface Refusal {
  readonly sentence: string;
  readonly column: string | null;
}

/** Row index -> refusal, of one chunk. */
export type Refusals = ReadonlyMap<number, Refusal>;

export interface Draft {
  readonly number: number;
  readonly chunks: readonly JudgedChunk[];
  /** Every row through the stage: memory is known to be wrong about one of the files, or a row was refused. */
  readonly allUnsure: boolean;
  readonly refused: ReadonlyMap<JudgedChunk, Refusals>;
}

/** The ways of a row are the verdicts of dedup, and one more. */
const REFUSED = 3;
export type Way = typeof FRESH | typeof UNSURE | typeof REFUSED;

export interface RoutedChunk {
  readonly chunk: JudgedChunk;
  /** Way of each row; null when all are fresh. */
  readonly ways: Uint8Array | null;
  readonly fresh: number;
  readonly unsure: number;
}

const NONE: Refusals = new Map();

export function route(draft: Draft): RoutedChunk[] {
  return draft.chunks.map((chunk) => routeChunk(chunk, draft.allUnsure, draft.refused.get(chunk) ?? NONE));
}

function routeChunk(chunk: JudgedChunk, allUnsure: boolean, refused: Refusals): RoutedChunk {
  const { verdicts, fresh, unsure } = chunk;
  if (!allUnsure && refused.size === 0) return { chunk, ways: verdicts, fresh, unsure };
  const ways = verdicts === null ? new Uint8Array(chunk.rows.count) : verdicts.slice();
  if (allUnsure) for (let row = 0; row < ways.length; row += 1) if (ways[row] === FRESH) ways[row] = UNSURE;
  for (const row of refused.keys()) ways[row] = REFUSED;
  return { chunk, ways, fresh: count(ways, FRESH), unsure: count(ways, UNSURE) };
}

function count(ways: Uint8Array, way: Way): number {
  let found = 0;
  for (const each of ways) if (each === way) found += 1;
  return found;
}

/** Writes of 64 KiB to 1 MiB: row-sized ones are 4.5 times slower, larger ones only hold memory. */
const PIECE_BYTES_MIN = 64 * 1024;
const PIECE_BYTES_MAX = 1024 * 1024;

/**
 * The tuples of all rows that go `way`, in the order of the batch, in pieces fit for a socket. Long runs are views of the chunk's bytes;
 * short ones are gathered in a buffer that is never used again, since the socket keeps pieces by reference.
 */
export function* tuplesOf(routed: readonly RoutedChunk[], way: Way): Generator<Uint8Array> {
  let gathered = new Gatherer();
  for (const { chunk, ways } of routed) {
    for (const run of runsOf(chunk, ways, way)) {
      if (run.byteLength < PIECE_BYTES_MIN && gathered.fits(run)) {
        gathered.add(run);
        continue;
      }
      if (gathered.length > 0) yield gathered.taken();
      gathered = new Gatherer();
      if (run.byteLength < PIECE_BYTES_MIN) gathered.add(run);
      else yield* cut(run);
    }
  }
  if (gathered.length > 0) yield gathered.taken();
}

function* cut(run: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < run.byteLength; at += PIECE_BYTES_MAX) yield run.subarray(at, at + PIECE_BYTES_MAX);
}

/** Neighbouring rows that go the same way, as one view of the chunk's bytes. */
function* runsOf({ rows }: JudgedChunk, ways: Uint8Array | null, way: Way): Generator<Uint8Array> {
  if (ways === null) {
    if (way === FRESH && rows.count > 0) yield rows.bytes;
    return;
  }
  let row = 0;
  while (row < rows.count) {
    while (row < rows.count && ways[row] !== way) row += 1;
    const first = row;
    while (row < rows.count && ways[row] === way) row += 1;
    if (row > first) yield rows.bytes.subarray(first === 0 ? 0 : rows.ends[first - 1], rows.ends[row - 1]);
  }
}

class Gatherer {
  #bytes: Buffer | null = null;
  length = 0;

  fits(run: Uint8Array): boolean {
    return this.length + run.byteLength <= PIECE_BYTES_MIN * 4;
  }

  add(run: Uint8Array): void {
    this.#bytes ??= Buffer.allocUnsafeSlow(PIECE_BYTES_MIN * 4);
    this.#bytes.set(run, this.length);
    this.length += run.byteLength;
  }

  taken(): Uint8Array {
    return (this.#bytes ?? Buffer.alloc(0)).subarray(0, this.length);
  }
}

/** What the stage has answered. */
export interface StageAnswer {
  /** Keys that it gave to the table, ascending, 16 bytes each. */
  readonly inserted: Buffer;
  /** Places, in the order of `tuplesOf`, of rows that are not as the table has them. */
  readonly differing: ReadonlySet<number>;
}

export const NOTHING_STAGED: StageAnswer = { inserted: Buffer.alloc(0), differing: new Set() };

/**
 * What became of each slice. A key that the stage gave to the table belongs to the first of its rows in the batch, so that the books stay
 * per file. A commit that need not be on disk yet ends no file.
 */
export function tally(
  draft: Draft,
  routed: readonly RoutedChunk[],
  { inserted, differing }: StageAnswer,
  { compares, synchronousCommit }: Pick<Setup, 'compares' | 'synchronousCommit'>,
): SettledChunk[] {
  const keys = new InsertedKeys(inserted);
  const staged = { place: 0, differing };
  return routed.map((each) => {
    const refusals = draft.refused.get(each.chunk) ?? NONE;
    const conflictingRows = compares ? [...each.chunk.conflicts] : [];
    const slices = tallySlices(each, keys, staged, conflictingRows, synchronousCommit);
    return { chunk: each.chunk, slices, refusedRows: [...refusals.keys()], conflictingRows };
  });
}

/** Adds to `conflicting` the rows that lost against the table. */
function tallySlices(
  { chunk, ways }: RoutedChunk,
  keys: InsertedKeys,
  staged: { place: number; readonly differing: ReadonlySet<number> },
  conflicting: number[],
  ends: boolean,
): CommittedSlice[] {
  const { rows } = chunk;
  const inserted = new Uint32Array(chunk.slices.length);
  const refused = new Uint32Array(chunk.slices.length);
  const total = new Uint32Array(chunk.slices.length);
  for (let row = 0; row < rows.count; row += 1) {
    const slice = rows.slices === null ? 0 : (rows.slices[row] ?? 0);
    const way = ways === null ? FRESH : ways[row];
    total[slice] = (total[slice] ?? 0) + 1;
    if (way === FRESH) inserted[slice] = (inserted[slice] ?? 0) + 1;
    else if (way === UNSURE) {
      if (keys.take(rows.keys, row)) inserted[slice] = (inserted[slice] ?? 0) + 1;
      else if (staged.differing.has(staged.place)) conflicting.push(row);
      staged.place += 1;
    } else if (way === REFUSED) refused[slice] = (refused[slice] ?? 0) + 1;
  }
  const conflicts = new Uint32Array(chunk.slices.length);
  for (const row of conflicting) {
    const slice = rows.slices?.[row] ?? 0;
    conflicts[slice] = (conflicts[slice] ?? 0) + 1;
  }
  return chunk.slices.map((slice, index) => {
    const [all = 0, stored = 0, bad = 0] = [total[index], inserted[index], refused[index]];
    const { start, end, records } = slice;
    const ended = ends && slice.endsFile && bad === 0;
    const counts = {
      inserted: stored,
      duplicates: all - stored - bad,
      conflicting: conflicts[index] ?? 0,
      rejected: slice.rejected + bad,
      refused: bad,
      ended,
    };
    return { generation: slice.file.id, start, end, records, ...counts };
  });
}

/** Sorted keys, each of which can be taken once. */
class InsertedKeys {
  readonly #words: Uint32Array;
  readonly #taken: Uint8Array;

  constructor(bytes: Buffer) {
    this.#words = new Uint32Array(bytes.byteLength / 4);
    for (let word = 0; word < this.#words.length; word += 1) this.#words[word] = bytes.readUInt32BE(word * 4);
    this.#taken = new Uint8Array(bytes.byteLength / KEY_BYTES);
  }

  take(keys: Uint32Array, row: number): boolean {
    let low = 0;
    let high = this.#taken.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const order = this.#compare(middle, keys, row);
      if (order === 0) return this.#claim(middle);
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return false;
  }

  #claim(place: number): boolean {
    if (this.#taken[place] === 1) return false;
    this.#taken[place] = 1;
    return true;
  }

  #compare(place: number, keys: Uint32Array, row: number): number {
    for (let word = 0; word < 4; word += 1) {
      const difference = (this.#words[place * 4 + word] ?? 0) - (keys[row * 4 + word] ?? 0);
      if (difference !== 0) return difference;
    }
    return 0;
  }
}
