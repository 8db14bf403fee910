// A scratch database for one measurement: the indexed events table and nothing else, on the configured server or the embedded one.
// Every side of a comparison gets a fresh one, and its table is verified before its number counts.

import pg from 'pg';

import { createTableSql } from '../src/schema/ddl.ts';
import { events } from '../src/schema/events.ts';
import { resolveTarget } from '../src/sink/postgres/target.ts';
import type { ResolvedTarget } from '../src/sink/postgres/target.ts';

const NAME = 'millrace_bench';

export interface Scratch {
  readonly url: string;
  query<R extends pg.QueryResultRow>(text: string): Promise<R[]>;
  drop(): Promise<void>;
}

export async function openServer(): Promise<ResolvedTarget> {
  return resolveTarget(process.env, 'data', { keepDatabase: false });
}

/** A fresh database with the table and its indexes, after a CHECKPOINT, so that no side pays for another's writes. */
export async function freshDatabase(server: ResolvedTarget): Promise<Scratch> {
  const admin = new pg.Client(server.client);
  await admin.connect();
  await admin.query(`DROP DATABASE IF EXISTS ${NAME} WITH (FORCE)`);
  await admin.query(`CREATE DATABASE ${NAME}`);
  const client = new pg.Client(nameDatabase(admin, server));
  await client.connect();
  for (const statement of createTableSql(events, { schema: 'public', name: 'events' }))
    await client.query(statement);
  await client.query('CHECKPOINT');
  return {
    url: urlOf(client),
    query: async <R extends pg.QueryResultRow>(text: string) => (await client.query<R>(text)).rows,
    drop: async () => {
      await client.end();
      await admin.query(`DROP DATABASE ${NAME} WITH (FORCE)`);
      await admin.end();
    },
  };
}

/** Rows and a checksum over all columns that a file brings, whatever the order of rows. */
export async function checksum(scratch: Scratch): Promise<string> {
  const columns = events.columns.map((column) => `"${column.name}"`).join(', ');
  const [row] = await scratch.query<{ sum: string }>(
    `SELECT count(*) || ' rows, ' || sum(hashtextextended(ROW(${columns})::text, 0)) AS sum FROM events`,
  );
  return row?.sum ?? 'nothing';
}

function nameDatabase(admin: pg.Client, server: ResolvedTarget): pg.ClientConfig {
  const { user, password, host, port } = admin;
  return {
    ...server.client,
    user,
    password: password ?? undefined,
    host,
    port,
    database: NAME,
  };
}

function urlOf({ user, password, host, port }: pg.Client): string {
  const login = `${encodeURIComponent(user ?? '')}:${encodeURIComponent(password ?? '')}`;
  return host.startsWith('/')
    ? `postgresql://${login}@/${NAME}?host=${encodeURIComponent(host)}&port=${port}`
    : `postgresql://${login}@${host}:${port}/${NAME}`;
}
