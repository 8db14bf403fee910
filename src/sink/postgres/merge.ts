// Small neighbouring slices of a finished file become one: a file that grew by single lines would otherwise leave a row in the books for
// each look at it. Only for files whose slices join without a gap, inside the transaction that finishes them.

import type pg from 'pg';
import { combine } from '../../core/crc32.ts';
import { SLICE_BYTES } from '../../core/slice.ts';
import type { GenerationId } from '../../core/slice.ts';

/** A row of `millrace.slices`; numbers are below 2^53. */
export interface SliceRecord {
  readonly generation: GenerationId;
  readonly start: number;
  readonly end: number;
  readonly firstLine: number;
  readonly lines: number;
  readonly crc: number;
  readonly head: Buffer | null;
  readonly headLength: number | null;
  readonly records: number;
  readonly inserted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly conflicting: number;
  readonly epoch: string;
  readonly batch: number;
  /** Transaction ids of all batches that wrote it, as text. */
  readonly xids: readonly string[];
}

/** float8 keeps whole numbers below 2^53, and pg gives them as numbers. */
const READ = `
  SELECT s.generation, start_offset::float8 AS start, end_offset::float8 AS end, first_line::float8 AS "firstLine", lines::float8 AS lines,
         crc32::float8 AS crc, head, head_length AS "headLength", records::float8 AS records, inserted::float8 AS inserted,
         duplicates::float8 AS duplicates, rejected::float8 AS rejected, conflicting::float8 AS conflicting, s.epoch, batch::float8 AS batch,
         coalesce(s.merged_xids, ARRAY[b.xid])::text[] AS xids
  FROM millrace.slices s JOIN millrace.batches b ON b.epoch = s.epoch AND b.number = s.batch
  WHERE s.generation = ANY($1::uuid[]) AND s.end_offset - s.start_offset < ${SLICE_BYTES}
  ORDER BY s.generation, s.start_offset`;

const DELETE = `
  DELETE FROM millrace.slices s USING unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS m (generation, first, reach)
  WHERE s.generation = m.generation AND s.start_offset > m.first AND s.start_offset < m.reach`;

const UPDATE = `
  UPDATE millrace.slices SET end_offset = $3, lines = $4, crc32 = $5, head = $6, head_length = $7, records = $8, inserted = $9,
    duplicates = $10, rejected = $11, epoch = $12, batch = $13, merged_xids = $14::xid8[], conflicting = $15
  WHERE generation = $1 AND start_offset = $2`;

/** Merges what can be merged in these files. In a transaction of the caller's. */
export async function mergeSlices(client: pg.Client, generations: readonly GenerationId[]): Promise<void> {
  if (generations.length === 0) return;
  const { rows } = await client.query<SliceRecord>(READ, [generations]);
  const merged = groupNeighbours(rows)
    .filter((group) => group.length > 1)
    .map(mergeGroup);
  if (merged.length === 0) return;
  await client.query(DELETE, [
    merged.map((s) => s.generation),
    merged.map((s) => s.start),
    merged.map((s) => s.end),
  ]);
  for (const s of merged) {
    const counts = [s.records, s.inserted, s.duplicates, s.rejected];
    const values = [
      s.generation,
      s.start,
      s.end,
      s.lines,
      s.crc,
      s.head,
      s.headLength,
      ...counts,
      s.epoch,
      s.batch,
      s.xids,
      s.conflicting,
    ];
    await client.query(UPDATE, values);
  }
}

/** Runs of slices that touch, each run ended by the slice with which it reaches SLICE_BYTES: a merged slice may have to be read again whole. */
function groupNeighbours(slices: readonly SliceRecord[]): SliceRecord[][] {
  const groups: SliceRecord[][] = [];
  for (const slice of slices) {
    const group = groups.at(-1);
    const [first, last] = [group?.[0], group?.at(-1)];
    const joins =
      first !== undefined &&
      last !== undefined &&
      last.generation === slice.generation &&
      last.end === slice.start;
    if (group !== undefined && joins && last.end - first.start < SLICE_BYTES) group.push(slice);
    else groups.push([slice]);
  }
  return groups;
}

function mergeGroup(group: readonly SliceRecord[]): SliceRecord {
  return group.reduce((a, b) => ({
    ...a,
    end: b.end,
    lines: a.lines + b.lines,
    crc: combine(a.crc, b.crc, b.end - b.start),
    // Each head covers the file up to its own slice's end: the later one says more.
    head: b.head ?? a.head,
    headLength: b.headLength ?? a.headLength,
    records: a.records + b.records,
    inserted: a.inserted + b.inserted,
    duplicates: a.duplicates + b.duplicates,
    rejected: a.rejected + b.rejected,
    conflicting: a.conflicting + b.conflicting,
    epoch: b.epoch,
    batch: b.batch,
    xids: [...new Set([...a.xids, ...b.xids])],
  }));
}
