// What the database says of a round: generations, slices, quarantine, and the table's rows a few thousand at a time. Reading only; what
// must hold stands in checker.ts.

import pg from 'pg';

import type { Road } from '../support/road.ts';

export interface Slice {
  readonly generation: string;
  readonly start: number;
  readonly end: number;
  readonly crc: number;
  readonly firstLine: number;
  readonly records: number;
  readonly inserted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly conflicting: number;
  /** Lower 32 bits of the transactions that wrote it: what its rows carry as xmin. */
  readonly xids: readonly number[];
}

export interface Generation {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly reason: string | null;
  readonly ino: string;
  /** Of the file on disk: for a compressed one not a number of records' bytes. */
  readonly size: number | null;
}

export interface Reject {
  readonly generation: string;
  readonly offset: number;
  readonly line: number;
  readonly code: string;
  readonly raw: Buffer | null;
  readonly length: number;
  /** More than one: it stands for many that are not kept one by one, and has no bytes. */
  readonly records: number;
}

export interface Row {
  readonly key: string;
  readonly text: string;
  readonly xmin: number;
}

export interface Books {
  /** In the order in which they were written down. */
  readonly generations: readonly Generation[];
  readonly slices: readonly Slice[];
  /** Of code `duplicate_conflict`: not rejects, but duplicates with other values. */
  readonly conflicts: readonly Reject[];
  readonly rejects: readonly Reject[];
}

const ROWS_AT_A_TIME = 5_000;

export async function readBooks(road: Road): Promise<Books> {
  const generations = await road.query<Generation & Record<string, unknown>>(
    'SELECT generation::text AS id, name, state, reason, ino::text, size::float8 FROM millrace.files ORDER BY ordinal',
  );
  const slices = await road.query<Slice & Record<string, unknown>>(
    `SELECT s.generation::text, start_offset::float8 AS start, end_offset::float8 AS end, crc32::float8 AS crc, first_line::float8 AS "firstLine",
       records::float8, inserted::float8, duplicates::float8, rejected::float8, conflicting::float8,
       (SELECT array_agg((x::text::numeric % 4294967296)::float8) FROM unnest(coalesce(s.merged_xids, ARRAY[b.xid])) x) AS xids
     FROM millrace.slices s JOIN millrace.batches b ON b.epoch = s.epoch AND b.number = s.batch`,
  );
  const quarantine = await road.query<Reject & Record<string, unknown>>(
    'SELECT generation::text, byte_offset::float8 AS offset, line::float8, code, raw, raw_length::float8 AS length, records::float8 FROM millrace.rejects',
  );
  const conflicts = quarantine.filter(({ code }) => code === 'duplicate_conflict');
  const rejects = quarantine.filter(({ code }) => code !== 'duplicate_conflict');
  return { generations, slices, conflicts, rejects };
}

/** Hands over every row of the table, without holding them all. */
export async function eachRow(road: Road, judge: (row: Row) => void): Promise<void> {
  const client = new pg.Client(road.database.client);
  await client.connect();
  try {
    await client.query(
      `BEGIN; DECLARE torture CURSOR FOR SELECT event_id::text AS key, xmin::text::float8 AS xmin,
         concat_ws(',', event_id, event_type, product_id, user_id, event_timestamp, quantity, price) AS text FROM events`,
    );
    for (let rows: Row[] = []; ; rows = []) {
      rows = (await client.query<Row & pg.QueryResultRow>(`FETCH ${ROWS_AT_A_TIME} FROM torture`)).rows;
      for (const row of rows) judge(row);
      if (rows.length < ROWS_AT_A_TIME) return;
    }
  } finally {
    await client.end();
  }
}
