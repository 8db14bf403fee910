// The interface of a source: room 1 of the road, and the keeper of the order of slices. A source knows nothing of tables, keys
// or connections; it hands out ranges to parse, proves that they join, and is told what became of them.

import type { Bell } from '../core/bell.ts';
import type { Books } from '../core/books.ts';
import type { AcceptedChunk, ParsedChunk } from '../core/chunk.ts';
import type { CommittedSlice, GenerationId, ParseTask } from '../core/slice.ts';
import type { TaskSize } from '../core/slots.ts';

/** One task in flight. Opaque to the pipeline but for what it needs to dispatch it. */
export interface SourceTask {
  readonly parse: ParseTask;
  /** Small ones may use the slots kept for small files. */
  readonly size: TaskSize;
}

/** What became of a parsed task; several may be released at once, since slices of a file are accepted in file order. */
export type Verdict =
  | { readonly kind: 'accepted'; readonly task: SourceTask; readonly chunk: AcceptedChunk }
  /** Its guessed start was wrong, or some of its files changed: parse `next` instead, in the same slot. */
  | { readonly kind: 'again'; readonly task: SourceTask; readonly next: SourceTask }
  /** Nothing to write: the range was empty, covered by its predecessor, or the file is gone, refused or void. */
  | { readonly kind: 'dropped'; readonly task: SourceTask };

export interface SourceState {
  readonly filesSeen: number;
  readonly filesDone: number;
  readonly filesWaiting: number;
  readonly filesRefused: number;
  /** Files that could not be read so far, e.g. for lack of rights; they are tried again. */
  readonly filesUnread: number;
  /** Folders (or single names) that could not be looked at by the last scan. */
  readonly placesUnread: number;
  readonly bytesWaiting: number;
  /** The first look at the whole folder is over: what waits is all that waits. */
  readonly scanned: boolean;
}

export interface Source {
  /** Rung when `take` may give something new, or `exhausted` may have changed. */
  readonly bell: Bell;
  /** Begins from what the books say and forgets everything else; also after a restart in process. No task may be in flight. */
  open(books: Books): Promise<void>;
  /** The next task in order, or null when there is none just now. It is not larger than `room`. `inFlight`: tasks not settled yet. */
  take(room: TaskSize, inFlight: number): SourceTask | null;
  /** Something is ready to be taken, whether or not there is room for it. */
  readonly hasMore: boolean;
  /** A task came back from its worker. Never throws for what a file contains. */
  accept(task: SourceTask, chunk: ParsedChunk): readonly Verdict[];
  /** A task could not be parsed at all (the worker died `attempt` times on it): its files are parked with this reason. */
  fail(task: SourceTask, reason: string): readonly Verdict[];
  /** These ranges are in a committed transaction. The source may finish, archive or delete files that are done. */
  settle(slices: readonly CommittedSlice[]): void;
  /** The database refused too much of this file: nothing more of it is read. The engine has written it down and tells it. */
  park(generation: GenerationId): void;
  /** Accepted ranges that will not be written after all (a parked neighbour in the same chunk): they are gaps again. */
  giveBack(chunk: AcceptedChunk): void;
  /** With --once: everything present at some look, still for `settle`, is committed and finished. Otherwise never. */
  readonly exhausted: boolean;
  readonly state: SourceState;
  /** No new tasks from now on; pending bookkeeping (finish, archive) is completed or left for the next start. */
  close(): Promise<void>;
}
