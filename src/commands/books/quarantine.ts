// The rejects of a source as the books keep them: which ones are meant, page by page. Reading only.

import type pg from 'pg';
import type { GenerationId } from '../../core/slice.ts';
import type { RejectsOptions } from '../../options.ts';
import type { BookedFile } from './files.ts';
import { BOOKED_FILE, filesNamed, theSource } from './files.ts';
import type { SourceRow } from './open.ts';

/** The loser of two contents under one key: no reject but a duplicate. Shown and exported on demand, by its code; never replayed. */
export const NOT_BY_ITSELF = 'duplicate_conflict';

/** What the command line means. */
export interface Chosen {
  readonly source: SourceRow;
  /** The named ones; null: all of the source. */
  readonly generations: readonly GenerationId[] | null;
  readonly code: string | null;
}

/** Counts of one code in one file. */
export interface CodeCount {
  readonly generation: GenerationId;
  readonly name: string;
  readonly code: string;
  readonly records: number;
}

export interface StoredReject {
  readonly offset: number;
  readonly line: number;
  readonly field: number | null;
  readonly column: string | null;
  readonly code: string;
  readonly sentence: string;
  readonly raw: Buffer | null;
  readonly length: number;
}

export async function choose(client: pg.Client, options: RejectsOptions): Promise<Chosen> {
  const source = await theSource(client, options);
  const named: GenerationId[] = [];
  for (const word of options.paths)
    for (const file of await filesNamed(client, source, word, options.inputDir)) named.push(file.generation);
  return { source, generations: options.paths.length === 0 ? null : named, code: options.rejectCode };
}

const MEANT = `f.source_id = $1 AND ($2::uuid[] IS NULL OR r.generation = ANY ($2)) AND ($3::text IS NULL OR r.code = $3)`;

function valuesOf({ source, generations, code }: Chosen): unknown[] {
  return [source.id, generations, code];
}

export async function countByCode(client: pg.Client, chosen: Chosen): Promise<readonly CodeCount[]> {
  const sql = `SELECT r.generation, f.name, r.code, sum(r.records)::float8 AS records
    FROM millrace.rejects r JOIN millrace.files f USING (generation) WHERE ${MEANT}
    GROUP BY r.generation, f.name, f.ordinal, r.code ORDER BY f.name, f.ordinal, r.code`;
  return (await client.query<CodeCount>(sql, valuesOf(chosen))).rows;
}

export type ListedReject = Omit<StoredReject, 'raw'> & {
  readonly file: string;
  readonly generation: GenerationId;
  readonly records: number;
};

/** The last ones that were written down, newest first. */
export async function newestRejects(
  client: pg.Client,
  chosen: Chosen,
  limit: number,
): Promise<readonly ListedReject[]> {
  const sql = `SELECT f.name AS file, r.generation, r.byte_offset::float8 AS offset, r.line::float8 AS line, r.field,
      r.column_name AS column, r.code, r.sentence, r.raw_length::float8 AS length, r.records::float8 AS records
    FROM millrace.rejects r JOIN millrace.files f USING (generation) WHERE ${MEANT}
    ORDER BY r.rejected_at DESC, f.ordinal DESC, r.byte_offset LIMIT $4`;
  return (await client.query<ListedReject>(sql, [...valuesOf(chosen), limit])).rows;
}

/** The files that have any of the meant rejects, in the order in which they were written down. */
export async function filesWithRejects(client: pg.Client, chosen: Chosen): Promise<readonly BookedFile[]> {
  const sql = `SELECT ${BOOKED_FILE} FROM millrace.files f
    WHERE EXISTS (SELECT FROM millrace.rejects r WHERE r.generation = f.generation AND ${MEANT}) ORDER BY f.ordinal`;
  return (await client.query<BookedFile>(sql, valuesOf(chosen))).rows;
}

/** The next rejects of one file behind a place; whole or not. */
export async function pageOf(
  client: pg.Client,
  { code }: Chosen,
  generation: GenerationId,
  after: number,
  limit: number,
): Promise<readonly StoredReject[]> {
  const sql = `SELECT byte_offset::float8 AS offset, line::float8 AS line, field, column_name AS column, code, sentence, raw,
      raw_length::float8 AS length
    FROM millrace.rejects WHERE generation = $1 AND byte_offset > $2 AND records = 1
      AND ($3::text IS NULL AND code <> '${NOT_BY_ITSELF}' OR code = $3)
    ORDER BY byte_offset LIMIT $4`;
  return (await client.query<StoredReject>(sql, [generation, after, code, limit])).rows;
}

/** Only a record that was kept to its last byte can be read again. */
export function isWhole(reject: StoredReject): reject is StoredReject & { readonly raw: Buffer } {
  return reject.raw !== null && reject.raw.length === reject.length;
}
