// Who may write. Lanes hold the advisory lock of their source shared and compare the epoch; a take-over holds it exclusive and writes
// a new one. No clock decides. Not row locks: FOR KEY SHARE does not conflict with this UPDATE at all, and FOR SHARE starves it
// (measured 7.3 s against 0.4 s).

import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { MillraceError } from '../../errors.ts';
import type { BegunCopy } from './copy.ts';
import { beginCopy } from './copy.ts';
import { RestartNeeded, StepFault, during } from './fault.ts';
import { SET_OUR_PATH, SET_THEIR_PATH } from './search-path.ts';
import type { Backend, Session } from './session.ts';
import type { Setup, Standing } from './standing.ts';

/** First key of the advisory lock, 'mill' in ASCII; the second is `leases.source_id`. Other programs see it in pg_locks. */
export const LOCK_CLASS = 0x6d696c6c;

const BEGIN = 'BEGIN ISOLATION LEVEL READ COMMITTED';

/** Longer than a usual batch takes, shorter than a person's patience; then the holders are terminated, and what they wrote is read again. */
const LOCK_TIMEOUT_MS = 3_000;
const GONE_POLL_MS = 20;
const LOCK_NOT_AVAILABLE = '55P03';

interface LeaseRow {
  readonly epoch: string;
  readonly forget: string;
  readonly holder: string;
  /** Only under asynchronous commit. */
  readonly flushed: string | null;
}

/** Finds the row of this source, or makes it with an epoch that nobody holds. Returns its id. */
export async function registerSource(client: pg.Client, source: string, target: string): Promise<number> {
  const find = 'SELECT source_id FROM millrace.leases WHERE source = $1 AND target = $2';
  const found = await client.query<{ source_id: number }>(find, [source, target]);
  if (found.rows[0] !== undefined) return found.rows[0].source_id;
  await client.query(
    `INSERT INTO millrace.leases (source, target, epoch, holder) VALUES ($1, $2, gen_random_uuid(), 'nobody')
     ON CONFLICT (source, target) DO NOTHING`,
    [source, target],
  );
  const made = await client.query<{ source_id: number }>(find, [source, target]);
  if (made.rows[0] === undefined)
    throw new RestartNeeded(`the lease of ${source} vanished while it was made`);
  return made.rows[0].source_id;
}

/**
 * BEGIN and the fence in one message. The lock is a statement of its own, so that the next one has a snapshot from after the wait. `last`
 * is sent behind it, and not obeyed if we are fenced off, since the transaction ends then.
 * Throws MillraceError 'fenced' when another instance has taken over, RestartNeeded when rows were taken away on purpose.
 */
export async function beginFenced(
  session: Session,
  setup: Setup,
  standing: Standing,
  settings = '',
  last = SET_OUR_PATH,
): Promise<void> {
  const begin = fenceSql(setup, settings, last).join('; ');
  const results = await during('fence', session.client, async () => session.client.query(begin));
  judgeLease((results as unknown as pg.QueryResult<LeaseRow>[]).at(-2)?.rows[0], session, setup, standing);
}

/** BEGIN, the fence and a COPY into the user's table in one message; no tuple is sent before the lease is judged. Throws as `beginFenced`. */
export async function beginFencedCopy(
  session: Session,
  setup: Setup,
  standing: Standing,
  target: string,
): Promise<BegunCopy> {
  const copy = await beginCopy(session.client, fenceSql(setup, '', SET_THEIR_PATH), 'fence', target, 'rows');
  judgeLease('epoch' in copy.row ? (copy.row as unknown as LeaseRow) : undefined, session, setup, standing);
  return copy;
}

function fenceSql(setup: Setup, settings: string, last: string): string[] {
  const begin = settings === '' ? BEGIN : `${BEGIN}; ${settings}`;
  return [
    begin,
    `SELECT pg_advisory_xact_lock_shared(${LOCK_CLASS}, ${setup.sourceId}) AS locked`,
    leaseSql(setup),
    last,
  ];
}

/** The same look without a transaction: for an instance that is idle. */
export async function readLease(session: Session, setup: Setup, standing: Standing): Promise<void> {
  const { rows } = await during('fence', session.client, () =>
    session.client.query<LeaseRow>(leaseSql(setup)),
  );
  judgeLease(rows[0], session, setup, standing);
}

function leaseSql({ sourceId, synchronousCommit }: Setup): string {
  const flushed = synchronousCommit ? 'NULL' : "(pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::text";
  return `SELECT epoch::text AS epoch, forget::text AS forget, holder, ${flushed} AS flushed
    FROM millrace.leases WHERE source_id = ${sourceId}`;
}

function judgeLease(lease: LeaseRow | undefined, session: Session, setup: Setup, standing: Standing): void {
  if (lease === undefined) throw fenced(setup, 'somebody who removed the lease');
  if (lease.epoch !== standing.epoch) throw fenced(setup, lease.holder);
  if (BigInt(lease.forget) !== standing.forget)
    throw new RestartNeeded('rows were taken away on purpose (reset or undo)');
  if (lease.flushed === null) return;
  const flushed = BigInt(lease.flushed);
  for (const [number, commit] of standing.unflushed)
    if (commit.seenOn === session && commit.lsn <= flushed) standing.unflushed.delete(number);
}

function fenced(setup: Setup, holder: string): MillraceError {
  return new MillraceError('fenced', `another instance (${holder}) has taken over ${setup.source}`, {
    wayOut: 'do not start this one again automatically: two instances would take the source from each other',
  });
}

/**
 * The exclusive fence: everybody else's transactions on this source are over when it returns. A first opening writes `epoch`; after a lost
 * answer it may be called again with the same one. A restart in process (`first` false) must still find it. Returns `forget`.
 */
export async function takeFence(
  session: Session,
  setup: Setup,
  epoch: string,
  first: boolean,
): Promise<bigint> {
  const { client } = session;
  await during('fence', client, () =>
    client.query(`SELECT set_config('millrace.epoch', $1, false), set_config('millrace.holder', $2, false)`, [
      epoch,
      holderName(),
    ]),
  );
  for (;;) {
    try {
      const lease = await during('fence', client, () => lockAndWrite(client, setup.sourceId, first));
      if (lease?.epoch !== epoch) throw fenced(setup, lease?.holder ?? 'somebody who removed the lease');
      return BigInt(lease.forget);
    } catch (error) {
      if (!(error instanceof StepFault) || error.fault.sqlstate !== LOCK_NOT_AVAILABLE) throw error;
      await during('fence', client, () => endHolders(client, setup.sourceId));
    }
  }
}

/** Lock, write and COMMIT travel in one message, so that no client stands between them. The flush also covers what the old engine left. */
async function lockAndWrite(
  client: pg.Client,
  sourceId: number,
  first: boolean,
): Promise<LeaseRow | undefined> {
  const take = `UPDATE millrace.leases SET epoch = current_setting('millrace.epoch')::uuid, taken_at = clock_timestamp(),
    holder = current_setting('millrace.holder') WHERE source_id = ${sourceId}`;
  const text = `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; SET LOCAL synchronous_commit = on;
    SELECT pg_advisory_xact_lock(${LOCK_CLASS}, ${sourceId}); ${first ? take : 'SELECT'};
    SELECT epoch::text AS epoch, forget::text AS forget, holder FROM millrace.leases WHERE source_id = ${sourceId}; COMMIT`;
  try {
    const results = (await client.query(text)) as unknown as pg.QueryResult<LeaseRow>[];
    return results.at(-2)?.rows[0];
  } catch (error) {
    // The message ends at its first error, and the transaction stays open. If this fails too, the connection is gone: `error` says so.
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

function holderName(): string {
  return `${hostname()} process ${process.pid}`;
}

/** Terminates everybody who holds or awaits the lock of this source, and waits until they are gone. */
async function endHolders(client: pg.Client, sourceId: number): Promise<void> {
  const { rows } = await client.query<{ pid: number; started_at: string }>(
    `SELECT a.pid, a.backend_start::text AS started_at FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE l.locktype = 'advisory' AND l.classid = $1::bigint::oid AND l.objid = $2::bigint::oid AND l.objsubid = 2 AND l.granted
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.pid <> pg_backend_pid()`,
    [LOCK_CLASS, sourceId],
  );
  for (const { pid, started_at: startedAt } of rows) await endBackend(client, { pid, startedAt });
}

/** Makes sure that a backend is gone, and with it its transaction: committed or rolled back, but over. */
export async function endBackend(client: pg.Client, { pid, startedAt }: Backend): Promise<void> {
  const sql = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2::timestamptz`;
  for (;;) {
    const { rowCount } = await client.query(sql, [pid, startedAt]);
    if (rowCount === 0) return;
    await sleep(GONE_POLL_MS);
  }
}
