// The scratch database of one measurement: the indexed events table and nothing else, on the configured server or the embedded one.
// Every side of a comparison gets a fresh one, and its table is verified before its number counts.

import pg from 'pg';

import { createTableSql, quoteIdentifier } from '../src/schema/ddl.ts';
import { events } from '../src/schema/events.ts';
import type { DatabaseTarget } from '../src/sink/postgres/target.ts';

export const SCRATCH_NAME = 'millrace_bench';

/** The table's columns for COPY, as a list for SQL. */
export const COLUMN_LIST = events.columns.map((column) => quoteIdentifier(column.name)).join(', ');

/** Where the scratch databases are made; its user needs CREATEDB, and the right to CHECKPOINT. */
export type Server = Pick<DatabaseTarget, 'client' | 'describe'>;

export interface Scratch {
  readonly url: string;
  readonly client: pg.ClientConfig;
  query<R extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<R[]>;
  drop(): Promise<void>;
}

const sessions = new Set<pg.Client>();

/** A fresh database with the table and its indexes, after a CHECKPOINT, so that no side pays for another's writes. */
export async function freshDatabase(server: Server): Promise<Scratch> {
  const admin = new pg.Client(server.client);
  await admin.connect();
  await admin.query(`DROP DATABASE IF EXISTS ${SCRATCH_NAME} WITH (FORCE)`);
  await admin.query(`CREATE DATABASE ${SCRATCH_NAME}`);
  const config = nameDatabase(admin, server);
  const client = new pg.Client(config);
  for (const one of [admin, client]) {
    sessions.add(one);
    // The database goes under them when we are interrupted; a query tells of any other loss.
    one.on('error', () => undefined).on('end', () => sessions.delete(one));
  }
  await client.connect();
  for (const statement of createTableSql(events, { schema: 'public', name: 'events' }))
    await client.query(statement);
  await client.query('CHECKPOINT');
  return {
    url: urlOf(client),
    client: config,
    query: async <R extends pg.QueryResultRow>(text: string, values?: readonly unknown[]) =>
      (await client.query<R>(text, values === undefined ? undefined : [...values])).rows,
    drop: async () => {
      await client.end();
      await admin.query(`DROP DATABASE ${SCRATCH_NAME} WITH (FORCE)`);
      await admin.end();
    },
  };
}

/** Of a run that was interrupted. The embedded server goes on for whoever is still connected, so our sessions end too. */
export async function dropScratch(server: Server): Promise<void> {
  await Promise.all([...sessions].map((session) => session.end()));
  const admin = new pg.Client(server.client);
  await admin.connect();
  await admin.query(`DROP DATABASE IF EXISTS ${SCRATCH_NAME} WITH (FORCE)`);
  await admin.end();
}

/** Rows, a checksum over all columns that a file brings, whatever the order of rows, and another over the indexes that work. */
export async function checksum(scratch: Scratch): Promise<string> {
  const [row] = await scratch.query<{ sum: string }>(
    `SELECT count(*) || ' rows, checksum ' || coalesce(sum(hashtextextended(ROW(${COLUMN_LIST})::text, 0)), 0) || ', ' ||
       (SELECT count(*) || ' indexes ' || left(md5(string_agg(pg_get_indexdef(indexrelid), ';' ORDER BY indexrelid::regclass::text)), 8)
        FROM pg_index WHERE indrelid = 'events'::regclass AND indisvalid) AS sum FROM events`,
  );
  return row?.sum ?? 'nothing';
}

/** What the server has written to its log of changes so far, in bytes. */
export async function walBytes(scratch: Scratch): Promise<number> {
  const [row] = await scratch.query<{ bytes: string }>(
    "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') AS bytes",
  );
  return Number(row?.bytes ?? 0);
}

function nameDatabase(admin: pg.Client, server: Server): pg.ClientConfig {
  const { user, password, host, port } = admin;
  return {
    ...server.client,
    user,
    password: password ?? undefined,
    host,
    port,
    database: SCRATCH_NAME,
  };
}

function urlOf({ user, password, host, port }: pg.Client): string {
  const login = `${encodeURIComponent(user ?? '')}:${encodeURIComponent(password ?? '')}`;
  return host.startsWith('/')
    ? `postgresql://${login}@/${SCRATCH_NAME}?host=${encodeURIComponent(host)}&port=${port}`
    : `postgresql://${login}@${host}:${port}/${SCRATCH_NAME}`;
}
