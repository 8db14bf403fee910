// What became of an event at each place where it was seen: from its row, the transaction that the row carries, and quarantine.

import type pg from 'pg';
import type { TableDefinition } from '../../schema/table.ts';
import type { BookReject } from '../verify/books.ts';
import { MEANINGFUL, readRejects } from '../verify/books.ts';
import type { RecordTable } from '../verify/table.ts';
import { spelt } from './search.ts';
import type { Sighting, Unsearched } from './search.ts';

export interface StoredRow {
  /** All columns of the table, as JSON has them. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Low 32 bits of the transaction that wrote it. */
  readonly xid: number;
  /** The batch of that transaction; null when the books do not know it. */
  readonly batch: { readonly number: number; readonly committedAt: Date } | null;
}

export type Fate =
  | { readonly kind: 'inserted' }
  /** `differs`: how its values differ from the row's, or null. */
  | { readonly kind: 'duplicate'; readonly of: Sighting | null; readonly differs: string | null }
  | { readonly kind: 'rejected'; readonly code: string; readonly sentence: string | null }
  /** Valid, and there is no row. */
  | { readonly kind: 'rowless' }
  /** Valid, there is a row, and nobody can tell which record it came from. */
  | { readonly kind: 'untraced' };

export async function readRow(
  client: pg.Client,
  { key: column }: TableDefinition,
  tableSql: string,
  key: string,
): Promise<StoredRow | null> {
  const { rows } = await client.query<{ values: Record<string, unknown>; xid: string }>(
    `SELECT to_jsonb(t) AS values, t.xmin::text AS xid FROM ${tableSql} t WHERE t."${column}" = $1`,
    [key],
  );
  const [row] = rows;
  if (row === undefined) return null;
  const batches = await client.query<{ number: number; committedAt: Date }>(
    `SELECT b.number::float8 AS number, b.committed_at AS "committedAt" FROM millrace.batches b
     WHERE b.xid::xid::text = $1 AND ${MEANINGFUL}`,
    [row.xid],
  );
  return { values: row.values, xid: Number(row.xid), batch: batches.rows[0] ?? null };
}

/** One fate per sighting. `records` must hold those that are valid. */
export async function fatesOf(
  client: pg.Client,
  sightings: readonly Sighting[],
  row: StoredRow | null,
  records: RecordTable,
): Promise<Fate[]> {
  const booked = await Promise.all(sightings.map((sighting) => rejectAt(client, sighting)));
  const isStored = (index: number): boolean => {
    const sighting = sightings[index];
    if (sighting === undefined || row === null || sighting.record.values === null) return false;
    return booked[index] === null && sighting.slice.xids.includes(row.xid);
  };
  const winner = sightings.findIndex((_, index) => isStored(index));
  const fates: Fate[] = [];
  for (const [index, sighting] of sightings.entries()) {
    const reject = booked[index] ?? null;
    const { record, number } = sighting;
    if (index === winner) fates.push({ kind: 'inserted' });
    else if (record.code !== null || reject?.code === 'refused_by_database')
      fates.push({
        kind: 'rejected',
        code: reject?.code ?? record.code ?? '',
        sentence: reject?.sentence ?? null,
      });
    else if (row === null) fates.push({ kind: 'rowless' });
    else if (winner < 0 && row.batch === null) fates.push({ kind: 'untraced' });
    else {
      const place = { key: '', file: number, line: record.line, offset: record.offset };
      const differs = await records.contrast(place);
      fates.push({
        kind: 'duplicate',
        of: sightings[winner] ?? null,
        differs: differs === '' ? null : differs,
      });
    }
  }
  return fates;
}

async function rejectAt(client: pg.Client, { book, record }: Sighting): Promise<BookReject | null> {
  const range = { start: record.offset, end: record.offset + 1 };
  const found = await readRejects(client, book.generation, range);
  return found.find(({ code, records }) => code !== 'more_rejects' && records === 1) ?? null;
}

/** Rejected records of files that are gone: quarantine still has their bytes. */
export async function quarantined(
  client: pg.Client,
  unsearched: readonly Unsearched[],
  key: string,
): Promise<(BookReject & { readonly file: string })[]> {
  const plain = key.replaceAll('-', '');
  const texts = [key, key.toUpperCase(), plain, plain.toUpperCase()];
  const spellings = texts.flatMap((text) => [Buffer.from(text), Buffer.from(spelt(text, 2))]);
  const { rows } = await client.query<BookReject & { file: string }>(
    `SELECT f.name AS file, r.byte_offset::float8 AS offset, r.line::float8 AS line, r.code, r.sentence, r.column_name AS column,
            r.raw, r.raw_length::float8 AS "rawLength", r.records::float8 AS records
     FROM millrace.rejects r JOIN millrace.files f USING (generation)
     WHERE r.generation = ANY ($1) AND EXISTS (SELECT FROM unnest($2::bytea[]) s (spelling) WHERE position(s.spelling IN r.raw) > 0)
     ORDER BY f.ordinal, r.byte_offset`,
    [unsearched.map(({ book }) => book.generation), spellings],
  );
  return rows;
}
