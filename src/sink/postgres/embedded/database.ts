// What the keeper of the embedded server asks and does inside it: makes the database, looks who is there. Not the way
// of the engine's own connections: see target.ts.
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

export const EMBEDDED_DATABASE = 'ecommerce_streaming';

/** A backend is gone some milliseconds after its client. */
const LAST_USERS_MS = 300;

/** 42P04 duplicate_database; 23505 is how the catalogue's index tells it to the second of two that make it at once. */
const ALREADY_MADE: ReadonlySet<string | undefined> = new Set(['42P04', '23505']);

/** Connects to our database once; fails with 3D000 when a start was killed before it could make it. */
export async function tryDatabase(config: pg.ClientConfig): Promise<void> {
  await withClient(config, async () => {});
}

/** Connects to our database; makes it when it is not there. */
export async function makeDatabase(config: pg.ClientConfig): Promise<void> {
  try {
    await tryDatabase(config);
  } catch (error) {
    if (sqlstateOf(error) !== '3D000') throw error;
    await withClient({ ...config, database: 'postgres' }, createDatabase);
  }
}

async function createDatabase(client: pg.Client): Promise<void> {
  try {
    await client.query(`CREATE DATABASE ${pg.escapeIdentifier(EMBEDDED_DATABASE)}`);
  } catch (error) {
    if (!ALREADY_MADE.has(sqlstateOf(error))) throw error;
  }
}

function sqlstateOf(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/** Whether anybody else is connected, after a moment for those who are just leaving. */
export async function othersAreConnected(config: pg.ClientConfig): Promise<boolean> {
  const sql = `SELECT count(*)::int AS n FROM pg_catalog.pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()`;
  return withClient(config, async (client) => {
    const deadline = performance.now() + LAST_USERS_MS;
    for (;;) {
      const { rows } = await client.query<{ n: number }>(sql);
      if (rows[0]?.n === 0) return false;
      if (performance.now() > deadline) return true;
      await sleep(20);
    }
  });
}

async function withClient<T>(config: pg.ClientConfig, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ ...config, connectionTimeoutMillis: 10_000 });
  client.on('error', () => {}); // the awaited call rejects as well; without a listener it would be thrown a second time
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => {}); // a connection that failed has nothing left to end
  }
}
