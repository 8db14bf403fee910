// Memory must not outlive what it remembers. Here: looking for commits whose answer was lost, and for commits that were acknowledged
// and have vanished (asynchronous commit and a crash, a failover, a restore). Finding out only; the one remedy is a restart.

import { RestartNeeded, during } from './fault.ts';
import type { ClusterMark, Session } from './session.ts';
import type { Setup, Standing } from './standing.ts';

interface Found {
  readonly numbers: string[];
  readonly lsn: string;
}

/** The WAL position is read by a later statement than the rows: whatever they show was written before it. */
const BATCHES = `
  SELECT number::text AS number FROM millrace.batches WHERE epoch = $1 AND number = ANY($2::bigint[])`;
const INSERT_LSN = `SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::text AS lsn`;

/**
 * Before any other use of a new connection, and every few seconds while idle: is this still the cluster in which we committed, and is
 * every commit there that may be lost? Throws RestartNeeded.
 */
export async function verifyCommits(session: Session, standing: Standing): Promise<void> {
  compareClusters(session.cluster, standing.cluster);
  standing.looks += 1;
  const numbers = [...standing.unflushed.keys()];
  if (numbers.length === 0) return;
  const found = await during('connect', session.client, () => findBatches(session, standing, numbers));
  const there = new Set(found.numbers);
  const missing = numbers.filter((number) => !there.has(String(number)));
  if (missing.length > 0)
    throw new RestartNeeded(`${missing.length} acknowledged commits have vanished from the database`);
  // Seen here now, so this connection may prove them flushed; the one that committed them may be gone.
  for (const number of numbers)
    if (standing.unflushed.has(number))
      standing.unflushed.set(number, { lsn: BigInt(found.lsn), seenOn: session });
}

function compareClusters(now: ClusterMark, before: ClusterMark): void {
  if (now.systemIdentifier !== before.systemIdentifier)
    throw new RestartNeeded('the connection leads to another database cluster now');
  if (now.databaseOid !== before.databaseOid) throw new RestartNeeded('the database was made anew');
  if (now.timeline !== before.timeline)
    throw new RestartNeeded(
      `the cluster is on timeline ${now.timeline} now, after ${before.timeline}: a failover or a restore`,
    );
}

/**
 * Did this batch commit? Its `batches` row decides; the old backend must be gone, or it might still commit. Under asynchronous commit a
 * batch that is found joins the list of commits that may vanish.
 */
export async function isCommitted(
  session: Session,
  setup: Setup,
  standing: Standing,
  number: number,
): Promise<boolean> {
  for (;;) {
    const looks = standing.looks;
    const found = await during('connect', session.client, () => findBatches(session, standing, [number]));
    // Another connection looked for vanished commits meanwhile and could not know of this one: ask again.
    if (looks !== standing.looks) continue;
    const there = found.numbers.length > 0;
    if (there && !setup.synchronousCommit)
      standing.unflushed.set(number, { lsn: BigInt(found.lsn), seenOn: session });
    return there;
  }
}

async function findBatches(
  { client }: Session,
  { epoch }: Standing,
  numbers: readonly number[],
): Promise<Found> {
  const { rows } = await client.query<{ number: string }>(BATCHES, [epoch, numbers]);
  const lsn = await client.query<{ lsn: string }>(INSERT_LSN);
  return { numbers: rows.map((row) => row.number), lsn: lsn.rows[0]?.lsn ?? '0' };
}
