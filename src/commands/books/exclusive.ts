// One transaction in which nobody else writes to these sources, and after which whoever runs on them forgets what it remembers and
// begins again from the books: for those who take rows or books away on purpose.

import pg from 'pg';
import { MillraceError } from '../../errors.ts';
import { LOCK_CLASS } from '../../sink/postgres/fence.ts';
import type { SourceRow } from './open.ts';

/** A batch takes well under a second; who holds the fence for so long hangs, and `run` started again would end it. */
const LOCK_TIMEOUT_MS = 10_000;
const LOCK_NOT_AVAILABLE = '55P03';
const NO_RIGHT = '42501';

/**
 * Runs `work` under the exclusive fence of all `sources`, with `leases.forget` raised, and commits.
 * @throws {MillraceError} `database` when a running instance does not let go
 */
export async function underExclusiveFence<T>(
  client: pg.Client,
  sources: readonly SourceRow[],
  work: () => Promise<T>,
): Promise<T> {
  return underFence(client, sources, async () => {
    const ids = sources.map(({ id }) => id);
    await client.query('UPDATE millrace.leases SET forget = forget + 1 WHERE source_id = ANY ($1)', [ids]);
    return work();
  });
}

/** The same where rows only come and books only change in their counts: whoever runs may go on with what it remembers. */
export async function underFence<T>(
  client: pg.Client,
  sources: readonly SourceRow[],
  work: () => Promise<T>,
): Promise<T> {
  const ids = sources.map(({ id }) => id).toSorted((a, b) => a - b); // two resets at once must not wait for each other
  await client.query(
    `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; SET LOCAL synchronous_commit = on`,
  );
  try {
    for (const id of ids) await client.query('SELECT pg_advisory_xact_lock($1, $2)', [LOCK_CLASS, id]);
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    // The connection may be gone; then the server rolls back by itself, and `error` says what happened.
    await client.query('ROLLBACK').catch(() => undefined);
    if (!(error instanceof pg.DatabaseError)) throw error;
    if (error.code === LOCK_NOT_AVAILABLE) throw busy(error);
    throw error.code === NO_RIGHT ? forbidden(client, error) : error;
  }
}

/** What takes books away is for their owner; the role that loads has no such right. */
function forbidden({ user = 'the user' }: pg.Client, cause: pg.DatabaseError): MillraceError {
  return new MillraceError('database', `${user} may not do this: ${cause.message}`, {
    wayOut:
      `as the owner of schema millrace: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA millrace TO ${pg.escapeIdentifier(user)}; ` +
      'or run the command as that owner; nothing was changed',
    cause,
  });
}

function busy(cause: unknown): MillraceError {
  return new MillraceError(
    'database',
    `somebody is writing and did not pause for ${LOCK_TIMEOUT_MS / 1000} s`,
    {
      wayOut: 'stop the running millrace, then try again; nothing was changed',
      cause,
    },
  );
}

export interface RemovedBooks {
  readonly files: number;
  readonly slices: number;
  readonly rejects: number;
  readonly batches: number;
}

/** The books of these generations go, and the batches that no slice refers to any more, a merged one neither. Returns how many rows of each table went. */
export async function removeBooks(client: pg.Client, generations: readonly string[]): Promise<RemovedBooks> {
  const remove = async (sql: string): Promise<number> =>
    (await client.query(sql, [generations])).rowCount ?? 0;
  await client.query('CREATE TEMPORARY TABLE millrace_removed (epoch uuid, batch bigint) ON COMMIT DROP');
  await remove(
    'INSERT INTO millrace_removed SELECT DISTINCT epoch, batch FROM millrace.slices WHERE generation = ANY ($1)',
  );
  const rejects = await remove('DELETE FROM millrace.rejects WHERE generation = ANY ($1)');
  const slices = await remove('DELETE FROM millrace.slices WHERE generation = ANY ($1)');
  const files = await remove('DELETE FROM millrace.files WHERE generation = ANY ($1)');
  const batches = await client.query(
    `DELETE FROM millrace.batches b USING millrace_removed r WHERE b.epoch = r.epoch AND b.number = r.batch AND b.undone_at IS NULL
       AND NOT EXISTS (SELECT FROM millrace.slices s WHERE s.epoch = b.epoch AND s.batch = b.number)
       AND b.xid NOT IN (SELECT unnest(merged_xids) FROM millrace.slices WHERE merged_xids IS NOT NULL)`,
  );
  return { files, slices, rejects, batches: batches.rowCount ?? 0 };
}
