// The books as `verify` and its sisters read them, in one snapshot: every content that a source ever had, its committed ranges, and the
// transactions that wrote them. Reads only.

import type pg from 'pg';
import type { Dialect } from '../../core/slice.ts';
import { dialectSql } from '../../sink/postgres/dialect.ts';

export interface BookSlice {
  readonly start: number;
  readonly end: number;
  readonly firstLine: number;
  readonly lines: number;
  readonly crc: number;
  readonly records: number;
  readonly inserted: number;
  readonly duplicates: number;
  readonly conflicting: number;
  readonly rejected: number;
  /** With its transaction: the number of the batch (of merged slices: the last one). */
  readonly batch: number;
  readonly committedAt: Date;
  /** Low 32 bits of the ids of all transactions that wrote it; empty where they mean nothing any more. */
  readonly xids: readonly number[];
}

export interface BookFile {
  readonly generation: string;
  readonly name: string;
  readonly nameBytes: Buffer;
  readonly ino: string;
  readonly state: 'reading' | 'done' | 'refused' | 'parked';
  readonly reason: string | null;
  readonly size: number | null;
  readonly replaces: string | null;
  readonly seenAt: Date;
  readonly dialect: Dialect;
  readonly archivedTo: string | null;
  /** By start. */
  readonly slices: readonly BookSlice[];
  /** A later content has the same name. */
  readonly isSuperseded: boolean;
}

type FileRow = Omit<BookFile, 'slices' | 'isSuperseded'>;
type SliceRow = Omit<BookSlice, 'xids'> & { readonly generation: string; readonly xids: readonly string[] };

const FILES = `
  SELECT generation, name, name_bytes AS "nameBytes", ino::text AS ino, state, reason, size::float8 AS size, replaces, seen_at AS "seenAt",
         ${dialectSql('f')} AS dialect, archived_to AS "archivedTo"
  FROM millrace.files f WHERE source_id = $1 ORDER BY ordinal`;

/**
 * Ids of another cluster or database, or that are so old that they may have been given out again, say nothing of a row.
 * xmin shows the low 32 bits.
 */
export const MEANINGFUL = `
  b.system_identifier = (SELECT system_identifier FROM pg_control_system())
  AND b.database_oid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND pg_snapshot_xmax(pg_current_snapshot())::text::numeric - b.xid::text::numeric < 2147483648`;

const SLICES = `
  SELECT s.generation, s.start_offset::float8 AS start, s.end_offset::float8 AS end, s.first_line::float8 AS "firstLine",
         s.lines::float8 AS lines, s.crc32::float8 AS crc, s.records::float8 AS records, s.inserted::float8 AS inserted,
         s.duplicates::float8 AS duplicates, s.conflicting::float8 AS conflicting, s.rejected::float8 AS rejected,
         b.number::float8 AS batch, b.committed_at AS "committedAt",
         CASE WHEN ${MEANINGFUL} THEN coalesce(s.merged_xids, ARRAY[b.xid])::text[] ELSE '{}' END AS xids
  FROM millrace.slices s JOIN millrace.files f USING (generation)
  JOIN millrace.batches b ON b.epoch = s.epoch AND b.number = s.batch
  WHERE f.source_id = $1 ORDER BY s.generation, s.start_offset`;

export async function readBooks(client: pg.Client, sourceId: number): Promise<BookFile[]> {
  const files = (await client.query<FileRow>(FILES, [sourceId])).rows;
  const slices = new Map<string, BookSlice[]>();
  for (const { generation, xids, ...slice } of (await client.query<SliceRow>(SLICES, [sourceId])).rows) {
    const list = slices.get(generation) ?? [];
    slices.set(generation, list);
    list.push({ ...slice, xids: xids.map(lowBits) });
  }
  const newest = new Map(files.map((file) => [file.nameBytes.toString('latin1'), file.generation]));
  return files.map((file) => ({
    ...file,
    slices: slices.get(file.generation) ?? [],
    isSuperseded: newest.get(file.nameBytes.toString('latin1')) !== file.generation,
  }));
}

function lowBits(xid: string): number {
  return Number(BigInt(xid) & 0xffff_ffffn);
}

/** A row of millrace.rejects. */
export interface BookReject {
  readonly offset: number;
  readonly line: number;
  readonly code: string;
  readonly sentence: string;
  readonly column: string | null;
  readonly raw: Buffer | null;
  readonly rawLength: number;
  readonly records: number;
}

const REJECTS = `
  SELECT byte_offset::float8 AS offset, line::float8 AS line, code, sentence, column_name AS column, raw, raw_length::float8 AS "rawLength",
         records::float8 AS records
  FROM millrace.rejects WHERE generation = $1 AND byte_offset >= $2 AND byte_offset < $3 ORDER BY byte_offset`;

export async function readRejects(
  client: pg.Client,
  generation: string,
  { start, end }: { readonly start: number; readonly end: number },
): Promise<BookReject[]> {
  return (await client.query<BookReject>(REJECTS, [generation, start, end])).rows;
}

/**
 * Slices that share a transaction belong to one group: more than that cannot be told from a row's xmin. Returns the group of each
 * transaction (from 1), and of each slice; slices whose ids mean nothing have none.
 */
export function groupByTransaction(files: readonly BookFile[]): {
  readonly ofXid: ReadonlyMap<number, number>;
  readonly ofSlice: ReadonlyMap<BookSlice, number>;
} {
  const parents = new Map<number, number>();
  const root = (xid: number): number => {
    let at = xid;
    for (let up = parents.get(at); up !== undefined && up !== at; up = parents.get(at)) at = up;
    return at;
  };
  const all = files.flatMap((file) => file.slices);
  for (const { xids } of all) {
    const [first] = xids;
    if (first === undefined) continue;
    for (const xid of xids) parents.set(root(xid), root(first));
  }
  const numbers = new Map<number, number>();
  const numberOf = (xid: number): number => {
    const top = root(xid);
    const known = numbers.get(top) ?? numbers.size + 1;
    numbers.set(top, known);
    return known;
  };
  const ofXid = new Map([...parents.keys()].map((xid) => [xid, numberOf(xid)]));
  const ofSlice = new Map<BookSlice, number>();
  for (const slice of all) if (slice.xids[0] !== undefined) ofSlice.set(slice, numberOf(slice.xids[0]));
  return { ofXid, ofSlice };
}
