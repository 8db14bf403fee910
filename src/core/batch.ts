// Room 5: chunks become batches. A batch is the rows of one or more whole chunks that travel in one transaction; it takes chunks in
// the order in which they left dedup, so that it can only ever wait for an earlier batch. No timer: a free lane takes what is ready.

import type { JudgedChunk } from './chunk.ts';

/**
 * A batch is closed before it would pass either, but never splits a chunk: a long slice (`LONG_SLICES`) is a batch of its own. Otherwise larger
 * ones do not write faster, and delay the first row.
 */
export const BATCH_ROWS_MAX = 50_000;
const BATCH_BYTES_MAX = 8 * 1024 * 1024;
/** Fewer are not worth a transaction of their own. */
const SHARED_ROWS_MIN = 10_000;

export interface Batch {
  /** Position in the order in which chunks left dedup, from 1; with the epoch, the primary key of `millrace.batches`. */
  readonly number: number;
  readonly chunks: readonly JudgedChunk[];
  /** Write every row through the stage: memory is known to be wrong about one of its files. */
  readonly allUnsure: boolean;
}

/** Chunks that left dedup and wait for a lane, in order. Bounded by the slots of the pipeline. */
export class ChunkQueue {
  readonly #waiting: JudgedChunk[] = [];
  #taken = 0;

  get length(): number {
    return this.#waiting.length;
  }

  put(chunk: JudgedChunk): void {
    this.#waiting.push(chunk);
  }

  /**
   * The next batch, or null when nothing waits. `suspect` tells whether a chunk must go through the stage whole. `sharers`: so many lanes share
   * what waits, since nothing comes behind it just now.
   */
  take(suspect: (chunk: JudgedChunk) => boolean, sharers = 1): Batch | null {
    const count = this.#fitting(sharers);
    if (count === 0) return null;
    const chunks = this.#waiting.splice(0, count);
    this.#taken += 1;
    return { number: this.#taken, chunks, allUnsure: chunks.some(suspect) };
  }

  /** Takes out the chunks that a predicate names, e.g. those of a parked file. */
  remove(predicate: (chunk: JudgedChunk) => boolean): JudgedChunk[] {
    const removed = this.#waiting.filter(predicate);
    const kept = this.#waiting.filter((chunk) => !predicate(chunk));
    this.#waiting.splice(0, this.#waiting.length, ...kept);
    return removed;
  }

  /** Drops everything (restart in process). Numbers go on: one is never used twice under an epoch. */
  clear(): void {
    this.#waiting.length = 0;
  }

  #fitting(sharers: number): number {
    const waiting = this.#waiting.reduce((sum, chunk) => sum + chunk.rows.count, 0);
    const rowsMax = Math.min(BATCH_ROWS_MAX, Math.max(SHARED_ROWS_MIN, Math.ceil(waiting / sharers)));
    let rows = 0;
    let bytes = 0;
    let count = 0;
    for (const chunk of this.#waiting) {
      rows += chunk.rows.count;
      bytes += chunk.rows.bytes.byteLength;
      if (count > 0 && (rows > rowsMax || bytes > BATCH_BYTES_MAX)) break;
      count += 1;
    }
    return count;
  }
}
