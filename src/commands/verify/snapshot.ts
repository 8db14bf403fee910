// One snapshot of the database for everything that is compared: a run that goes on meanwhile changes nothing of it.

import type pg from 'pg';

/** Runs `work` in a transaction that is rolled back at the end: only temporary tables are written. `client` must be in none. */
export async function inSnapshot<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query(
    'BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL idle_in_transaction_session_timeout = 0',
  );
  try {
    return await work();
  } finally {
    await client.query('ROLLBACK').catch(() => undefined); // a lost connection has rolled back by itself
  }
}
