// The interface of a sink: room 6 of the road. A sink writes whole batches, each in one transaction with its rejects and positions,
// keeps the books, and knows when what the engine believes no longer holds. It knows nothing of files but what slices carry.

import type { Batch } from '../core/batch.ts';
import type { Books } from '../core/books.ts';
import type { JudgedChunk } from '../core/chunk.ts';
import type { CommittedSlice, GenerationId } from '../core/slice.ts';

/** A chunk whose transaction is known to have committed. */
export interface SettledChunk {
  readonly chunk: JudgedChunk;
  /** One per slice of the chunk, with final counts. */
  readonly slices: readonly CommittedSlice[];
  /** Indexes of rows that the database refused; their dedup entries must be marked before the chunk settles. */
  readonly refusedRows: readonly number[];
  /** Indexes of duplicates whose values are not those of the stored row. */
  readonly conflictingRows: readonly number[];
}

export interface ParkedFile {
  readonly generation: GenerationId;
  readonly reason: string;
}

export type WriteResult =
  | {
      readonly kind: 'committed';
      readonly settled: readonly SettledChunk[];
      /** Files of which the database refused too much; written down as parked already. */
      readonly parked: readonly ParkedFile[];
      /** Chunks that left the batch because a file in them was parked: not written. */
      readonly returned: readonly JudgedChunk[];
      /** The direct COPY met a stored key: the files of this batch are suspect now. */
      readonly violated: boolean;
    }
  /** What the engine believes no longer holds; nothing of this batch is known to be committed. */
  | { readonly kind: 'restart'; readonly reason: string }
  /** `abort` fired while waiting; the transaction is rolled back or its outcome unknown: the next start looks. */
  | { readonly kind: 'abandoned' };

/** What the sink is told and tells while it works. */
export interface SinkEvents {
  /** The database is away or cannot write just now; called once per reason, again with null when it goes on. */
  waiting(reason: string | null): void;
  notice(text: string): void;
  retried(sqlstate: string): void;
  /** COMMIT alone took so many ms. */
  committed?(ms: number): void;
  /** Every few seconds. Without it nobody asks the database. */
  replicas?(replicas: Replicas): void;
}

export interface Replicas {
  /** WAL that the slowest one has not replayed; 0 without any. */
  readonly lagBytes: number;
  /** Replicas that this user may not look at. */
  readonly hidden: number;
}

export interface Sink {
  /** Lanes write at the same time, so many at most; lane i writes one batch after the other. */
  readonly lanes: number;
  /**
   * The take-over (first call) or the fence again after a restart in process: exclusive lock, epoch, checkpoint. Waits with back-off
   * while the database is away; null when `abort` fires meanwhile. Throws MillraceError 'fenced' when another instance has taken over since.
   */
  open(abort: AbortSignal): Promise<{ readonly forget: bigint; readonly books: Books } | null>;
  /** Opens the connection of a lane that does not write yet. False when there is none to be had just now; never throws. */
  prepare(lane: number): Promise<boolean>;
  write(lane: number, batch: Batch, abort: AbortSignal): Promise<WriteResult>;
  /**
   * Watches what must stay true while nothing is written: every few seconds reads the lease and looks for commits that vanished.
   * Resolves with the reason when a restart in process is needed, or null when `abort` fires. Throws 'fenced'.
   */
  watch(abort: AbortSignal): Promise<string | null>;
  /**
   * Every batch is written and no more will come: completes what was put off for the sake of speed, or says that it is left to the next
   * start. Resolves with the reason when a restart in process is needed, else null. Throws as `watch` does.
   */
  finish(): Promise<string | null>;
  /** Ends every lane's transaction and closes all connections; `open` may be called again. */
  leave(): Promise<void>;
}
