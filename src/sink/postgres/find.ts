// What the books know of files that were found: generations with one of these inodes or names, and their committed ranges. Reading only.

import type pg from 'pg';
import type { FileQuery, FileState, KnownGeneration, KnownSlice, StandingFile } from '../../core/books.ts';
import type { Dialect, GenerationId } from '../../core/slice.ts';
import { dialectSql } from './dialect.ts';

interface FileRow {
  readonly generation: GenerationId;
  readonly name: string;
  readonly name_bytes: Buffer;
  readonly dev: string;
  readonly ino: string;
  readonly birth_ns: string | null;
  readonly replaces: GenerationId | null;
  readonly state: FileState;
  readonly reason: string | null;
  readonly size: string | null;
  readonly mtime_ns: string | null;
  readonly ctime_ns: string | null;
  readonly blank_lines: string;
  readonly ordinal: string;
  readonly resumed: boolean;
  readonly dialect: Dialect;
}

interface SliceRow {
  readonly generation: GenerationId;
  readonly start_offset: string;
  readonly end_offset: string;
  readonly first_line: string;
  readonly lines: string;
  readonly crc32: string;
  readonly head: Buffer | null;
  readonly head_length: number | null;
  readonly records: string;
  readonly rejected: string;
}

const FILE_COLUMNS = `generation, name, name_bytes, dev, ino, birth_ns, replaces, state, reason, size, mtime_ns, ctime_ns, blank_lines, ordinal,
  resumed_at IS NOT NULL AS resumed, newline, delimiter, nulls, encoding`;

/**
 * Two index scans, where an OR would read all files of the source; and so would a join by generation: with 100,000 files in the books and
 * 500 in a question it was a sequential scan, 60 ms instead of 13, quadratic over a start.
 */
export const FILES = `
  SELECT f.*, ${dialectSql('f')} AS dialect FROM (
    SELECT ${FILE_COLUMNS} FROM millrace.files WHERE source_id = $1 AND ino = ANY($2::numeric[])
    UNION
    SELECT ${FILE_COLUMNS} FROM millrace.files WHERE source_id = $1 AND name_bytes = ANY($3::bytea[])) f
  ORDER BY ordinal`;

/**
 * One index scan a file, by its inode. The arrays come as the text of arrays: the driver's own way quotes and escapes each of the seven
 * values of a file, and 100,000 files are asked about.
 */
export const UNCHANGED = `
  SELECT a.place::int AS place
  FROM unnest($2::text::numeric[], $3::text::numeric[], $4::text::bigint[], $5::text::bytea[], $6::text::bigint[], $7::text::bigint[], $8::text::bigint[])
    WITH ORDINALITY AS a (dev, ino, birth_ns, name_bytes, size, mtime_ns, ctime_ns, place),
  LATERAL (
    SELECT f.state, f.name_bytes, f.size, f.mtime_ns, f.ctime_ns FROM millrace.files f
    WHERE f.source_id = $1 AND f.ino = a.ino AND f.dev = a.dev
      AND (f.birth_ns = a.birth_ns OR f.birth_ns IS NULL OR a.birth_ns IS NULL)
    ORDER BY f.ordinal DESC LIMIT 1) k
  WHERE k.state = 'done' AND k.name_bytes = a.name_bytes AND k.size = a.size AND k.mtime_ns = a.mtime_ns AND k.ctime_ns = a.ctime_ns`;

const SLICES = `
  SELECT generation, start_offset, end_offset, first_line, lines, crc32, head, head_length, records, rejected
  FROM millrace.slices WHERE generation = ANY($1::uuid[]) ORDER BY generation, start_offset`;

export async function findGenerations(
  client: pg.Client,
  sourceId: number,
  files: readonly FileQuery[],
): Promise<KnownGeneration[]> {
  if (files.length === 0) return [];
  const asked = [sourceId, files.map(({ ino }) => ino), files.map(({ nameBytes }) => nameBytes)];
  const found = await client.query<FileRow>(FILES, asked);
  if (found.rows.length === 0) return [];
  const slices = await client.query<SliceRow>(SLICES, [found.rows.map((row) => row.generation)]);
  const byGeneration = Map.groupBy(slices.rows, (row) => row.generation);
  return found.rows.map((row) => generationOf(row, byGeneration.get(row.generation) ?? []));
}

/** Places in the list, from 0. */
export async function findUnchanged(
  client: pg.Client,
  sourceId: number,
  files: readonly StandingFile[],
): Promise<number[]> {
  if (files.length === 0) return [];
  const text = (of: (file: StandingFile) => string | number | bigint): string =>
    `{${files.map(of).join(',')}}`;
  const { rows } = await client.query<{ place: number }>(UNCHANGED, [
    sourceId,
    text(({ stamp }) => stamp.dev),
    text(({ stamp }) => stamp.ino),
    text(({ stamp }) => stamp.birthNs ?? 'NULL'),
    text(({ nameKey }) => `"\\\\x${Buffer.from(nameKey, 'latin1').toString('hex')}"`),
    text(({ stamp }) => stamp.size),
    text(({ stamp }) => stamp.mtimeNs),
    text(({ stamp }) => stamp.ctimeNs),
  ]);
  return rows.map(({ place }) => place - 1);
}

function generationOf(row: FileRow, slices: readonly SliceRow[]): KnownGeneration {
  const ended = endedOf(row);
  const stamp = {
    dev: BigInt(row.dev),
    ino: BigInt(row.ino),
    birthNs: row.birth_ns === null ? null : BigInt(row.birth_ns),
    size: ended?.size ?? 0,
    mtimeNs: ended?.mtimeNs ?? 0n,
    ctimeNs: ended?.ctimeNs ?? 0n,
  };
  return {
    info: {
      id: row.generation,
      name: row.name,
      nameBytes: row.name_bytes,
      stamp,
      replaces: row.replaces,
      dialect: row.dialect,
    },
    state: row.state,
    reason: row.reason,
    ended,
    slices: slices.map(sliceOf),
    records: slices.reduce((total, slice) => total + Number(slice.records), 0),
    rejected: slices.reduce((total, slice) => total + Number(slice.rejected), 0),
    blankLines: Number(row.blank_lines),
    resumed: row.resumed,
    order: Number(row.ordinal),
  };
}

function endedOf({ state, size, mtime_ns: mtime, ctime_ns: ctime }: FileRow): KnownGeneration['ended'] {
  if (state === 'reading' || size === null || mtime === null || ctime === null) return null;
  return { size: Number(size), mtimeNs: BigInt(mtime), ctimeNs: BigInt(ctime) };
}

function sliceOf(row: SliceRow): KnownSlice {
  return {
    start: Number(row.start_offset),
    end: Number(row.end_offset),
    firstLine: Number(row.first_line),
    lines: Number(row.lines),
    crc: Number(row.crc32),
    head:
      row.head === null || row.head_length === null
        ? null
        : { length: row.head_length, hash: row.head.toString('hex') },
  };
}
