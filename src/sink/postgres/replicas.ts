// How far the replicas of the database are behind, as the primary sees them. Asked by the watch over the connection of the books; what follows
// from it is decided elsewhere (core/pace.ts). Never a reason to stop: who may not see it goes on without.

import pg from 'pg';
import { during } from './fault.ts';
import type { Session } from './session.ts';
import type { Replicas } from '../sink.ts';

/** One row per connected standby or subscriber; one that is away has none. A base backup is none: it replays nothing. */
const LAG = `
  SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), 0)::float8 AS lag_bytes,
         count(*) FILTER (WHERE state IS NULL)::int AS hidden
  FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup'`;

/** Null when the server does not answer that to this user. Throws StepFault when the connection is lost. */
export async function askReplicas({ client }: Session): Promise<Replicas | null> {
  try {
    const { rows } = await client.query<{ lag_bytes: number; hidden: number }>(LAG);
    return { lagBytes: Math.max(0, rows[0]?.lag_bytes ?? 0), hidden: rows[0]?.hidden ?? 0 };
  } catch (error) {
    if (error instanceof pg.DatabaseError) return null; // a lost connection shows in the next statement
    return during('connect', client, () => Promise.reject(error as Error));
  }
}
