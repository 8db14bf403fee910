// What the engine holds true between one opening of the sink and the next: its lease, its cluster, and the commits that the
// database may still lose. Data only; a restart in process drops it and begins a new one.

import type { GenerationId } from '../../core/slice.ts';
import type { TableDefinition } from '../../schema/table.ts';
import type { SinkEvents } from '../sink.ts';
import type { ClusterMark, Session } from './session.ts';
import type { DatabaseTarget } from './target.ts';

/** Fixed for the life of the sink. */
export interface Setup {
  readonly target: DatabaseTarget;
  readonly table: TableDefinition;
  /** Quoted and qualified, for SQL. */
  readonly tableSql: string;
  /** As `schema.name`, for people and for `leases.target`. */
  readonly tableText: string;
  /** Duplicates are compared with the stored row; needs SELECT on all columns. Without it conflicts are not counted at all. */
  readonly compares: boolean;
  readonly source: string;
  readonly sourceId: number;
  readonly synchronousCommit: boolean;
  readonly events: SinkEvents;
}

/** A commit that was acknowledged but is not known to be on disk. */
export interface UnflushedCommit {
  /** The end of its WAL, or a position beyond it. */
  readonly lsn: bigint;
  /** A flush position proves something only when it is read on this very connection. */
  readonly seenOn: Session;
}

export interface Standing {
  readonly epoch: string;
  readonly forget: bigint;
  readonly cluster: ClusterMark;
  /** By batch number; stays empty while commits are synchronous. */
  readonly unflushed: Map<number, UnflushedCommit>;
  /** Files of which a `files` row is known to be committed. */
  readonly registered: Set<GenerationId>;
  /** How many looks for vanished commits have begun: an answer that was under way meanwhile is not covered by them. */
  looks: number;
  /** Why a restart in process is needed, once known. */
  broken: string | null;
  /** What the books failed with for good: the watch throws it, since who asks the books only tries again. */
  failed: { readonly error: unknown } | null;
}
