// What the tests of the sink share: a sink on a database of its own, and the questions that every test asks afterwards.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Batch } from '../../../src/core/batch.ts';
import type { JudgedChunk } from '../../../src/core/chunk.ts';
import { eventsTable } from '../../../src/schema/events.ts';
import type { SettledChunk, WriteResult } from '../../../src/sink/sink.ts';
import { openPostgresSink } from '../../../src/sink/postgres/postgres.ts';
import type { PostgresSink, PostgresSinkOptions } from '../../../src/sink/postgres/postgres.ts';
import type { DatabaseTarget } from '../../../src/sink/postgres/target.ts';
import type { TestDatabase } from '../../support/postgres.ts';

export const NEVER = new AbortController().signal;

export interface Told {
  readonly waiting: (string | null)[];
  readonly retried: string[];
}

function targetOf(client: pg.ClientConfig): DatabaseTarget {
  return { kind: 'configured', client, describe: 'the test database' };
}

/** A prepared sink that has not taken over yet. */
export async function prepareSink(
  database: TestDatabase | { client: pg.ClientConfig },
  options: Partial<PostgresSinkOptions> = {},
): Promise<{ sink: PostgresSink; told: Told }> {
  const told: Told = { waiting: [], retried: [] };
  const sink = await openPostgresSink({
    target: targetOf(database.client),
    table: eventsTable,
    tableName: { schema: 'public', name: 'events' },
    source: '/in',
    lanes: 2,
    synchronousCommit: true,
    programVersion: '0.0.0',
    events: {
      waiting: (reason) => told.waiting.push(reason),
      notice: () => {},
      retried: (sqlstate) => told.retried.push(sqlstate),
    },
    ...options,
  });
  assert.ok(sink !== null);
  return { sink, told };
}

export async function openSink(
  database: TestDatabase | { client: pg.ClientConfig },
  options: Partial<PostgresSinkOptions> = {},
): Promise<{
  sink: PostgresSink;
  told: Told;
  books: NonNullable<Awaited<ReturnType<PostgresSink['open']>>>['books'];
}> {
  const { sink, told } = await prepareSink(database, options);
  const opened = await sink.open(NEVER);
  assert.ok(opened !== null);
  return { sink, told, books: opened.books };
}

export function testBatch(number: number, chunks: readonly JudgedChunk[], allUnsure = false): Batch {
  return { number, chunks, allUnsure };
}

export function committed(result: WriteResult): Extract<WriteResult, { kind: 'committed' }> {
  assert.equal(result.kind, 'committed', 'reason' in result ? result.reason : '');
  return result;
}

/** [inserted, duplicates, rejected] of each slice. */
export function countsOf(settled: readonly SettledChunk[]): number[][] {
  return settled.flatMap(({ slices }) =>
    slices.map((slice) => [slice.inserted, slice.duplicates, slice.rejected]),
  );
}

/** A client that looks on, independent of the sink. */
export async function withClient<T>(
  database: TestDatabase,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client(database.client);
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

export async function query<T extends pg.QueryResultRow>(database: TestDatabase, text: string): Promise<T[]> {
  return withClient(database, async (client) => (await client.query<T>(text)).rows);
}

/** The table and the books agree: what was counted as inserted is there, and every row of a file ended as exactly one thing. */
export async function assertBooksBalance(database: TestDatabase): Promise<void> {
  const [row] = await query<{
    rows: number;
    inserted: number;
    wrong: number;
    rejects: number;
    rejected: number;
  }>(
    database,
    `SELECT (SELECT count(*)::int FROM events) AS rows, coalesce(sum(inserted), 0)::int AS inserted,
            count(*) FILTER (WHERE records <> inserted + duplicates + rejected)::int AS wrong,
            (SELECT coalesce(sum(records), 0)::int FROM millrace.rejects WHERE code <> 'duplicate_conflict') AS rejects, coalesce(sum(rejected), 0)::int AS rejected
     FROM millrace.slices`,
  );
  assert.deepEqual(
    { rows: row?.rows, wrong: row?.wrong, rejects: row?.rejects },
    { rows: row?.inserted, wrong: 0, rejects: row?.rejected },
  );
}

/** Until some backend of this database waits for a lock. */
export async function untilWaiting(database: TestDatabase): Promise<void> {
  const waiting = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;
  while ((await query(database, waiting)).length === 0) await sleep(5);
}
