// Chunks: what a worker hands back. A row becomes COPY bytes in the worker and is never an object on the main thread; a chunk is
// a handful of flat buffers that cross threads without a copy.

import type { AcceptedSlice, ParsedSlice } from './slice.ts';

/** Bytes of a key: `event_id` in canonical binary form. */
export const KEY_BYTES = 16;

/**
 * The rows of one or more slices, sorted by key (random UUIDs otherwise touch every leaf of the index; stable, so that equal keys stay
 * in file order). All arrays have one entry per row unless said otherwise, and all lie in one ArrayBuffer: it crosses threads as a whole, and
 * is used for another task once the rows are committed.
 */
export interface Rows {
  readonly count: number;
  /** The tuples of a binary COPY, one after the other: 2-byte field count, then each field. No header, no trailer. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where row i ends in `bytes`; it begins where row i - 1 ends. */
  readonly ends: Uint32Array<ArrayBuffer>;
  /** Four big-endian words per row, read as numbers: comparing them in order compares the UUIDs as PostgreSQL does. */
  readonly keys: Uint32Array<ArrayBuffer>;
  /** Hash of the row's other columns, to tell a repeat from another content under the same key. */
  readonly payloads: Uint32Array<ArrayBuffer>;
  /** Index of the slice, within the task, that the row came from. Null when there is one slice. */
  readonly slices: Uint16Array<ArrayBuffer> | null;
  /** Offset of the row's record from the start of its slice, its length, and its line within the slice (from 0). */
  readonly recordOffsets: Uint32Array<ArrayBuffer>;
  readonly recordLengths: Uint32Array<ArrayBuffer>;
  readonly recordLines: Uint32Array<ArrayBuffer>;
}

/** From a worker: `slices[i]` answers `task.slices[i]`. */
export interface ParsedChunk {
  readonly slices: readonly ParsedSlice[];
  readonly rows: Rows;
  /** Time spent in the worker, in ms, and bytes read; for the meters. */
  readonly parseMs: number;
  readonly bytesRead: number;
}

/** From the source, once every slice's start was proven right. `rows.slices` indexes `slices`. */
export interface AcceptedChunk {
  readonly slices: readonly AcceptedSlice[];
  readonly rows: Rows;
}

/** A chunk's number: given when it enters dedup, never used twice in a process. 0 never settles. */
export type ChunkNumber = number;

export const FRESH = 0;
export const UNSURE = 1;
export const DUPLICATE = 2;

/** From dedup: what memory says of each row. */
export interface JudgedChunk extends AcceptedChunk {
  readonly number: ChunkNumber;
  /** `leases.forget` under which it was judged; the fence compares with this. */
  readonly forget: bigint;
  /** FRESH, UNSURE or DUPLICATE per row; null when all are fresh. */
  readonly verdicts: Uint8Array | null;
  readonly fresh: number;
  readonly unsure: number;
  readonly duplicates: number;
  /** Rows called DUPLICATE whose other columns have another hash than those of the first row with that key. */
  readonly conflicts: readonly number[];
}
