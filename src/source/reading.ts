// How one content is read: which ranges are committed or accepted, which are gaps, how a gap is cut into slices before anybody knows
// where records end, and how the answers are proven to join. Pure bookkeeping of offsets and lines; no file, no clock, no task.

import { combine } from '../core/crc32.ts';
import type { Head, ParsedSlice } from '../core/slice.ts';
import { SLICE_BYTES } from '../core/slice.ts';

/** More pieces of one file than this are joined; the newest stay apart, since they are compared whenever the file grows. */
const PIECES_MAX = 256;
const PIECES_KEPT = 32;

export type Parsed = Extract<ParsedSlice, { kind: 'parsed' }>;

/** A range whose place is proven: in a committed transaction already, or on its way there. */
export interface Piece {
  readonly start: number;
  readonly end: number;
  readonly firstLine: number;
  lines: number;
  readonly crc: number;
  readonly head: Head | null;
  committed: boolean;
}

/** One gap being read, in order: [position, until), or to the end of the file when `until` is null. */
export interface Chain {
  position: number;
  /** Number of the line at `position`, from 1. */
  line: number;
  readonly until: number | null;
  readonly flying: Cut[];
  /** Up to this size the rest after `position` is known to hold no complete record. */
  triedTo: number;
}

/** A slice on its way through a worker, or back and waiting for its predecessor. */
export interface Cut {
  readonly chain: Chain;
  start: number;
  readonly end: number;
  readonly limit: number;
  exact: boolean;
  readonly final: boolean;
  result: Parsed | null;
  /** Void: whatever comes back is of no use. */
  void: boolean;
}

/** What became of a cut, in file order. `contradiction`: what the file says cannot be joined with what is committed: it was changed. */
export type Outcome =
  | { readonly kind: 'accepted'; readonly cut: Cut; readonly piece: Piece; readonly result: Parsed }
  | { readonly kind: 'again'; readonly cut: Cut }
  | { readonly kind: 'dropped'; readonly cut: Cut }
  | { readonly kind: 'contradiction' };

export interface Reading {
  /** By start, never overlapping. */
  readonly pieces: Piece[];
  /** In file order; the last one is the open end of the file. */
  chains: Chain[];
}

/** Starts from what is committed already (none for new content). */
export function startReading(pieces: readonly Piece[]): Reading {
  const sorted = pieces.toSorted((a, b) => a.start - b.start);
  return { pieces: sorted, chains: chainsBetween(sorted) };
}

function chainsBetween(pieces: readonly Piece[]): Chain[] {
  const chains: Chain[] = [];
  let position = 0;
  let line = 1;
  for (const piece of pieces) {
    if (piece.start > position) chains.push(chain(position, line, piece.start));
    position = piece.end;
    line = piece.firstLine + piece.lines;
  }
  chains.push(chain(position, line, null));
  return chains;
}

function chain(position: number, line: number, until: number | null): Chain {
  return { position, line, until, flying: [], triedTo: -1 };
}

/** End of the last piece: below it no byte may change. */
export function extent(reading: Reading): number {
  return reading.pieces.at(-1)?.end ?? 0;
}

/** Cuts the next slice in file order, or null when all of the file is cut (or waits to grow, or to be final). */
export function cutNext(reading: Reading, size: number, final: boolean, sliceBytes: number): Cut | null {
  for (const one of reading.chains) {
    const cut = cutChain(one, size, final, sliceBytes);
    if (cut !== null) return cut;
  }
  return null;
}

function cutChain(one: Chain, size: number, final: boolean, sliceBytes: number): Cut | null {
  const from = uncutFrom(one, size, final);
  if (from === null) return null;
  const limit = one.until ?? size;
  const end = limit - from <= sliceBytes ? limit : from + sliceBytes;
  const cut: Cut = {
    chain: one,
    start: from,
    end,
    limit,
    exact: one.flying.length === 0,
    final: one.until !== null || final,
    result: null,
    void: false,
  };
  one.flying.push(cut);
  return cut;
}

/** Where the next cut of a chain would begin, or null when there is none now. */
function uncutFrom(one: Chain, size: number, final: boolean): number | null {
  const limit = one.until ?? size;
  const last = one.flying.at(-1);
  if (last === undefined) {
    const tried = one.until === null && !final && limit <= one.triedTo;
    return one.position < limit && !tried ? one.position : null;
  }
  // Behind a slice that reaches the end of what was there, the next start is unknown until that one is back.
  return last.end >= last.limit || last.end >= limit ? null : last.end;
}

/** Bytes that `cutNext` could still hand out. */
export function uncutBytes(reading: Reading, size: number, final: boolean): number {
  let bytes = 0;
  for (const one of reading.chains) {
    const from = uncutFrom(one, size, final);
    if (from !== null) bytes += (one.until ?? size) - from;
  }
  return bytes;
}

/** Takes a worker's answer and releases whatever is proven by it, in file order. */
export function arrive(reading: Reading, cut: Cut, result: Parsed): Outcome[] {
  if (cut.void) return [{ kind: 'dropped', cut }];
  cut.result = result;
  const outcomes: Outcome[] = [];
  const one = cut.chain;
  for (let head = one.flying[0]; head !== undefined && head.result !== null; head = one.flying[0]) {
    const outcome = judge(one, head, head.result);
    outcomes.push(outcome);
    if (outcome.kind === 'contradiction') return outcomes;
    if (outcome.kind === 'again') break;
    one.flying.shift();
    if (outcome.kind === 'accepted') insertPiece(reading.pieces, outcome.piece);
    if (head.result !== null && one.position < head.end) outcomes.push(...stopShort(one, head));
  }
  if (one.until !== null && one.position >= one.until && one.flying.length === 0) {
    reading.chains = reading.chains.filter((other) => other !== one);
  }
  return outcomes;
}

function judge(one: Chain, head: Cut, result: Parsed): Outcome {
  // Its predecessor read on over all of it: one long record.
  if (one.position >= head.end) return { kind: 'dropped', cut: head };
  if (result.start !== one.position) {
    if (head.exact && head.start === one.position) return { kind: 'contradiction' };
    head.start = one.position;
    head.exact = true;
    head.result = null;
    return { kind: 'again', cut: head };
  }
  if (result.end > head.limit || result.end < result.start) return { kind: 'contradiction' };
  if (head.final && result.end < head.end) return { kind: 'contradiction' };
  const piece: Piece = {
    start: one.position,
    end: result.end,
    firstLine: one.line,
    lines: result.lines,
    crc: result.crc,
    head: result.head,
    committed: false,
  };
  one.position = result.end;
  one.line += result.lines;
  if (piece.end === piece.start) return { kind: 'dropped', cut: head };
  return { kind: 'accepted', cut: head, piece, result };
}

/**
 * A slice that ended before its nominal end met an incomplete record at its limit: the guesses behind it are worthless, and nothing
 * more can be had until the file grows or is final. Those still with a worker are dropped when they come back.
 */
function stopShort(one: Chain, head: Cut): Outcome[] {
  if (!head.final) one.triedTo = head.limit;
  return voidFlying(one).map((cut) => ({ kind: 'dropped', cut }));
}

/** Voids all that flies in a chain; gives those that are back already and were withheld. */
function voidFlying(one: Chain): Cut[] {
  const withheld = one.flying.filter((cut) => cut.result !== null);
  for (const cut of one.flying) cut.void = true;
  one.flying.length = 0;
  return withheld;
}

/** Voids everything in flight; what was accepted stays, the rest is gaps again. Gives the cuts that were withheld. */
export function voidAll(reading: Reading): Cut[] {
  const withheld = reading.chains.flatMap(voidFlying);
  reading.chains = chainsBetween(reading.pieces);
  return withheld;
}

/** An accepted range that will not be written after all becomes a gap with certain ends. */
export function giveBack(reading: Reading, start: number): void {
  const index = reading.pieces.findIndex((piece) => piece.start === start && !piece.committed);
  const piece = reading.pieces[index];
  if (piece === undefined) return;
  reading.pieces.splice(index, 1);
  const gap = chain(piece.start, piece.firstLine, piece.end);
  const before = reading.chains.findIndex((other) => other.position >= piece.end);
  reading.chains.splice(before < 0 ? reading.chains.length - 1 : before, 0, gap);
}

/** The last piece ended in the middle of a line, whose second half follows: both were counted. */
export function joinTornLine({ pieces, chains }: Reading): void {
  const [last, open] = [pieces.at(-1), chains.at(-1)];
  if (last === undefined || open === undefined) return;
  // In the piece as well, from which the chains are made anew when flights are void.
  last.lines -= 1;
  open.line -= 1;
}

/** Marks a range committed; false when it is not known here. */
export function commit(reading: Reading, start: number): boolean {
  const piece = reading.pieces[lastAtOrBefore(reading.pieces, start)];
  if (piece?.start !== start) return false;
  piece.committed = true;
  if (reading.pieces.length > PIECES_MAX) compact(reading.pieces);
  return true;
}

/** Joins committed neighbours, all but the last ones: a file that grows by a line a second would fill the memory with its past. */
function compact(pieces: Piece[]): void {
  const joined: Piece[] = [];
  for (const piece of pieces.splice(0, pieces.length - PIECES_KEPT)) {
    const last = joined.at(-1);
    const fits = last?.committed === true && piece.committed && last.end === piece.start;
    if (last === undefined || !fits || piece.end - last.start > SLICE_BYTES) joined.push(piece);
    else joined[joined.length - 1] = join(last, piece);
  }
  pieces.unshift(...joined);
}

function join(a: Piece, b: Piece): Piece {
  return {
    start: a.start,
    end: b.end,
    firstLine: a.firstLine,
    lines: a.lines + b.lines,
    crc: combine(a.crc, b.crc, b.end - b.start),
    head: b.head ?? a.head,
    committed: true,
  };
}

/** Every byte of [0, size) is in a committed transaction. */
export function isCommitted(reading: Reading, size: number): boolean {
  if (reading.chains.length !== 1 || extent(reading) !== size) return false;
  return reading.pieces.every((piece) => piece.committed);
}

/** All that has complete records is cut and back; what remains after the pieces is an incomplete record. */
export function waitsForTail(reading: Reading, size: number): boolean {
  const one = reading.chains[0];
  if (one === undefined || reading.chains.length !== 1 || one.flying.length > 0) return false;
  return one.position < size && one.triedTo >= size;
}

export function inFlight(reading: Reading): boolean {
  return reading.chains.some((one) => one.flying.length > 0);
}

function insertPiece(pieces: Piece[], piece: Piece): void {
  pieces.splice(lastAtOrBefore(pieces, piece.start) + 1, 0, piece);
}

/** Index of the last piece that starts at or before an offset, or -1; from the end, since files grow there. */
function lastAtOrBefore(pieces: readonly Piece[], start: number): number {
  let index = pieces.length - 1;
  while (index >= 0 && (pieces[index]?.start ?? 0) > start) index -= 1;
  return index;
}

/** Can this answer be one about an unchanged file? A guessed start may be wrong; a certain one may not. */
export function isJoinable(cut: Cut, result: Parsed): boolean {
  if (result.end < result.start || result.end > cut.limit) return false;
  if (cut.exact && result.start !== cut.start) return false;
  return !cut.final || result.end >= cut.end;
}

export function committedBytes(reading: Reading): number {
  let bytes = 0;
  for (const piece of reading.pieces) if (piece.committed) bytes += piece.end - piece.start;
  return bytes;
}
