// One connection to the database with what must be known about it: which backend it is, and which cluster it reached. Opening and
// destroying only; what is sent over it stands in the files of the steps.

import type pg from 'pg';
import { MillraceError } from '../../errors.ts';
import { connectFault, during, standbyFault, watchForLoss } from './fault.ts';
import { connect, connectFailed } from './target.ts';
import type { DatabaseTarget } from './target.ts';

/** Where acknowledged commits live. If any of these differs, what memory holds may never have happened. */
export interface ClusterMark {
  readonly systemIdentifier: string;
  readonly databaseOid: string;
  /** Eight hexadecimal digits; a failover or a restore to a point in time begins a new one. */
  readonly timeline: string;
}

/** A server process. The pid alone may mean another one by the time somebody wants to end it. */
export interface Backend {
  readonly pid: number;
  readonly startedAt: string;
}

export interface Session {
  readonly client: pg.Client;
  readonly backend: Backend;
  readonly cluster: ClusterMark;
}

interface Identity {
  readonly pid: number;
  readonly started_at: string;
  readonly standby: boolean;
  readonly system_identifier: string;
  readonly database_oid: string;
  readonly timeline: string | null;
  readonly may_temp: boolean;
}

const IDENTITY = `
  SELECT pg_backend_pid() AS pid, a.backend_start::text AS started_at, pg_is_in_recovery() AS standby,
         c.system_identifier::text AS system_identifier, d.oid::text AS database_oid,
         CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END AS timeline,
         has_database_privilege(d.oid, 'TEMPORARY') AS may_temp
  FROM pg_control_system() c, pg_database d, pg_stat_activity a
  WHERE d.datname = current_database() AND a.pid = pg_backend_pid()`;

/**
 * Connects and learns where it is. Throws StepFault when that may pass by itself, MillraceError 'database' when a person must
 * mend something.
 */
export async function openSession(target: DatabaseTarget, synchronousCommit: boolean): Promise<Session> {
  const client = await connectClient(target);
  try {
    return await during('connect', client, () => introduce(client, target, synchronousCommit));
  } catch (error) {
    destroy(client);
    throw error;
  }
}

/** Cuts the connection off, whatever it is doing. The backend ends when it notices, its transaction is rolled back. */
export function destroy(client: pg.Client): void {
  client.connection.stream.destroy();
}

async function connectClient(target: DatabaseTarget): Promise<pg.Client> {
  try {
    const client = await connect(target);
    watchForLoss(client);
    return client;
  } catch (error) {
    const fault = connectFault(error);
    throw fault === error ? connectFailed(target, error) : fault;
  }
}

async function introduce(
  client: pg.Client,
  target: DatabaseTarget,
  synchronousCommit: boolean,
): Promise<Session> {
  const text = `SET synchronous_commit = ${synchronousCommit ? 'on' : 'off'}; ${IDENTITY}`;
  // Several statements in one message give a list of results, which pg's types do not know.
  const results = (await client.query(text)) as unknown as pg.QueryResult<Identity>[];
  const identity = results.at(-1)?.rows[0];
  // Behind a transaction pooler the second statement may well reach another backend: then nothing below can hold.
  if (identity === undefined)
    throw new MillraceError('database', `${target.describe} does not say which backend it is`);
  if (identity.standby || identity.timeline === null) throw standbyFault(target.describe);
  if (!identity.may_temp) throw lacksTemporary(target);
  return {
    client,
    backend: { pid: identity.pid, startedAt: identity.started_at },
    cluster: {
      systemIdentifier: identity.system_identifier,
      databaseOid: identity.database_oid,
      timeline: identity.timeline,
    },
  };
}

function lacksTemporary(target: DatabaseTarget): MillraceError {
  return new MillraceError('database', `the user of ${target.describe} may not make temporary tables`, {
    wayOut:
      'GRANT TEMPORARY ON DATABASE ... TO that user: rows whose key may be stored already go through one',
  });
}

/**
 * Behind a pooler that gives every transaction another backend, the stage and prepared statements vanish between transactions. Found out
 * by holding the backend of the last statement in a second connection's transaction. Throws MillraceError 'database'.
 */
export async function refuseTransactionPooling(
  { client, backend }: Session,
  target: DatabaseTarget,
): Promise<void> {
  // A pooler answers for itself when it names the backend to cancel; without one in between there is nothing to find out.
  if ((client as pg.Client & { processID?: number }).processID === backend.pid) return;
  const other = await connectClient(target);
  try {
    await other.query('BEGIN');
    await other.query('SELECT');
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    if (rows[0]?.pid === backend.pid) return;
  } finally {
    destroy(other);
  }
  throw new MillraceError(
    'database',
    `${target.describe} is behind a pooler that changes the backend between transactions`,
    {
      wayOut:
        'connect to PostgreSQL directly, or use session pooling: temporary tables and locks belong to one backend',
    },
  );
}
