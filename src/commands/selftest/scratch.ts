// A database and a folder that exist for the self-test only, beside the user's: made, handed to child processes, removed.

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { MillraceError } from '../../errors.ts';
import type { Environment } from '../../sink/postgres/configured.ts';
import { connect, connectFailed } from '../../sink/postgres/target.ts';
import type { DatabaseTarget } from '../../sink/postgres/target.ts';

export interface Scratch {
  readonly database: string;
  readonly folder: string;
  /** For child processes: names the scratch database, and no option of ours. */
  readonly env: NodeJS.ProcessEnv;
  readonly client: pg.Client;
  /** Removes both. */
  remove(): Promise<void>;
  /** Leaves both for a look. */
  keep(): Promise<void>;
}

/** @throws {MillraceError} `database` when no database may be made */
export async function makeScratch(target: DatabaseTarget, env: Environment): Promise<Scratch> {
  const database = `millrace_selftest_${randomBytes(4).toString('hex')}`;
  await onServer(target, (client) => client.query(`CREATE DATABASE ${database}`)).catch((cause: unknown) => {
    if (!(cause instanceof pg.DatabaseError)) throw cause;
    throw new MillraceError('database', `cannot make a scratch database: ${cause.message}`, {
      wayOut:
        'ALTER ROLE ... CREATEDB for this user, or unset DATABASE_URL: then the embedded server is used',
      cause,
    });
  });
  const folder = await mkdtemp(join(tmpdir(), 'millrace-selftest-'));
  const childEnv = environmentOf(target, env, database);
  const client = await connect({ ...target, client: { ...target.client, database } });
  const keep = (): Promise<void> => client.end();
  return {
    database,
    folder,
    env: childEnv,
    client,
    keep,
    remove: async () => {
      await keep().catch(() => undefined); // gone already
      await onServer(target, (admin) => admin.query(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function onServer(
  target: DatabaseTarget,
  work: (client: pg.Client) => Promise<unknown>,
): Promise<void> {
  const client = await connect(target).catch((error: unknown) => {
    throw connectFailed(target, error);
  });
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

/** The variables that name files with secrets are left out: what stands in those files is in `env` already. */
function environmentOf({ client }: DatabaseTarget, env: Environment, database: string): NodeJS.ProcessEnv {
  const isOurs = (name: string): boolean =>
    name.startsWith('MILLRACE_') || name.startsWith('DATABASE_URL') || name === 'PGPASSWORD_FILE';
  const base: NodeJS.ProcessEnv = Object.fromEntries(Object.entries(env).filter(([name]) => !isOurs(name)));
  if (env['DATABASE_URL']) return { ...base, DATABASE_URL: urlTo(env['DATABASE_URL'], database) };
  const { host, port, user, password } = client;
  return {
    ...base,
    ...(host !== undefined && { PGHOST: host }),
    ...(port !== undefined && { PGPORT: String(port) }),
    ...(user !== undefined && { PGUSER: user }),
    ...(typeof password === 'string' && { PGPASSWORD: password }),
    PGDATABASE: database,
  };
}

/** Forms without a host are no URL to the parser. */
function urlTo(text: string, database: string): string {
  const url = URL.parse(text) ?? new URL(text.replace('@/', '@___DUMMY___/'));
  url.pathname = `/${database}`;
  return url.href.replace('___DUMMY___', '');
}
