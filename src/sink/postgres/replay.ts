// Records out of quarantine into the table: in the transaction in which a row appears its record leaves millrace.rejects, and the books of
// its slice say so. The caller holds the exclusive fence, so no lane writes meanwhile; it begins and commits.

import type pg from 'pg';
import { KEY_BYTES } from '../../core/chunk.ts';
import { REJECT_SENTENCES } from '../../core/reject.ts';
import type { GenerationId } from '../../core/slice.ts';
import { MillraceError } from '../../errors.ts';
import type { TableDefinition } from '../../schema/table.ts';
import type { Refusal } from './draft.ts';
import { StepFault, during, policyFor, stopped } from './fault.ts';
import { SET_OUR_PATH, SET_THEIR_PATH, inTheirPath } from './search-path.ts';
import { compareStage, copyToStage, insertFromStage, insertRangeSql } from './stage.ts';

export interface ReplayTarget {
  readonly client: pg.Client;
  readonly table: TableDefinition;
  /** Quoted and qualified. */
  readonly tableSql: string;
  readonly describe: string;
  /** The user may read all columns, so that a duplicate with other values than the stored row is told from a repeat. */
  readonly compares: boolean;
  /** With `number`: the batch under which it is written, so that its rows can be traced as those of any other. */
  readonly epoch: string;
}

export interface ReplayRow {
  readonly generation: GenerationId;
  readonly offset: number;
  readonly tuple: Uint8Array;
  /** 32 hexadecimal digits. */
  readonly key: string;
}

/** What became of each row, in their order. `conflict`: a duplicate with other values, which stays in quarantine as such. */
export type Fate =
  | { readonly kind: 'inserted' | 'duplicate' | 'conflict' }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

const WORDS_MAX = 500;

/** Throws MillraceError 'database' when more than single rows is wrong; then nothing may be committed. */
export async function replayRows(
  target: ReplayTarget,
  number: number,
  rows: readonly ReplayRow[],
): Promise<Fate[]> {
  const { client } = target;
  try {
    await client.query('SET CONSTRAINTS ALL IMMEDIATE');
    const refusals = await stageAccepted(target, rows);
    const fates = await insertStaged(target, rows, refusals);
    await moveBooks(target, number, rows, fates);
    return fates;
  } catch (error) {
    throw error instanceof StepFault ? stopped(error, target.describe) : error;
  }
}

/** Stages all rows and takes those away again that the table refuses. They are found in trials, of which nothing stays. */
async function stageAccepted(
  { client, table, tableSql }: ReplayTarget,
  rows: readonly ReplayRow[],
): Promise<ReadonlyMap<number, Refusal>> {
  const refusals = new Map<number, Refusal>();
  await during('unsure', client, async () => {
    await copyToStage(
      client,
      table,
      rows.map((row) => row.tuple),
    );
  });
  const { rows: found } = await client.query<{ first: string | null }>(
    'SELECT min(ord)::text AS first FROM pg_temp.millrace_stage',
  );
  const first = BigInt(found[0]?.first ?? 0);
  await client.query('SAVEPOINT trials');
  const open = [{ from: 0, to: rows.length }];
  for (let range = open.pop(); range !== undefined; range = open.pop()) {
    const { from, to } = range;
    if (from === to) continue;
    const sql = insertRangeSql(table, tableSql, first + BigInt(from), first + BigInt(to));
    const refusal = await tryOut(client, sql);
    if (refusal === null) continue;
    if (to - from === 1) refusals.set(from, refusal);
    else {
      const middle = (from + to) >>> 1;
      open.push({ from: middle, to }, { from, to: middle });
    }
  }
  // Rows written under a savepoint would carry its id instead of the transaction's.
  await client.query('ROLLBACK TO trials; RELEASE trials');
  const places = [...refusals.keys()].map((row) => String(first + BigInt(row)));
  if (places.length > 0)
    await client.query('DELETE FROM pg_temp.millrace_stage WHERE ord = ANY ($1::bigint[])', [places]);
  return refusals;
}

async function tryOut(client: pg.Client, insert: string): Promise<Refusal | null> {
  try {
    await during('unsure', client, () =>
      client.query(`SAVEPOINT trial; ${SET_THEIR_PATH}; ${insert}; ${SET_OUR_PATH}; RELEASE trial`),
    );
    return null;
  } catch (error) {
    if (!(error instanceof StepFault) || policyFor(error) !== 'bisect') throw error;
    await client.query('ROLLBACK TO trial; RELEASE trial');
    const sentence = error.words.slice(0, WORDS_MAX).replaceAll(/\p{Cc}/gu, ' ');
    return { sentence, column: error.column };
  }
}

async function insertStaged(
  { client, table, tableSql, compares }: ReplayTarget,
  rows: readonly ReplayRow[],
  refusals: ReadonlyMap<number, Refusal>,
): Promise<Fate[]> {
  const stored = await during('unsure', client, () =>
    inTheirPath(client, () => insertFromStage(client, table, tableSql)),
  );
  const compared = await during('unsure', client, () => compareStage(client, table, tableSql, compares));
  const missing = compared.swallowed;
  if (missing > 0)
    throw new MillraceError('database', `${missing} rows sent to ${tableSql} vanished without an error`, {
      wayOut: 'a trigger or a rule of the table swallows them: nothing was changed',
    });
  const keys = new Set<string>();
  for (let at = 0; at < stored.length; at += KEY_BYTES) keys.add(stored.toString('hex', at, at + KEY_BYTES));
  // Places are counted from the first row that is still staged.
  const first = rows.findIndex((_, row) => !refusals.has(row));
  // A key belongs to the first of its rows, as on the road.
  return rows.map(({ key }, row): Fate => {
    const refusal = refusals.get(row);
    if (refusal !== undefined) return { kind: 'refused', refusal };
    if (keys.delete(key)) return { kind: 'inserted' };
    return { kind: compared.differing.has(row - first) ? 'conflict' : 'duplicate' };
  });
}

const BATCH = `INSERT INTO millrace.batches (epoch, number, system_identifier, database_oid)
  SELECT $1, $2, c.system_identifier, d.oid FROM pg_control_system() c, pg_database d WHERE d.datname = current_database()`;

const MOVE = `
  WITH fates AS (
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS f (generation, byte_offset, fate)
  ), gone AS (
    DELETE FROM millrace.rejects r USING fates f
    WHERE r.generation = f.generation AND r.byte_offset = f.byte_offset AND r.records = 1 AND f.fate <> 'conflict'
    RETURNING r.generation, r.byte_offset, f.fate
  ), kept AS (
    UPDATE millrace.rejects r SET code = 'duplicate_conflict', sentence = $4, field = NULL, column_name = NULL FROM fates f
    WHERE r.generation = f.generation AND r.byte_offset = f.byte_offset AND r.records = 1 AND f.fate = 'conflict'
    RETURNING r.generation, r.byte_offset, f.fate
  ), moved AS (
    SELECT * FROM gone UNION ALL SELECT * FROM kept
  ), sums AS (
    SELECT s.generation, s.start_offset, count(*) FILTER (WHERE m.fate = 'inserted') AS stored,
      count(*) FILTER (WHERE m.fate = 'conflict') AS conflicting, count(*) AS records
    FROM moved m JOIN millrace.slices s
      ON s.generation = m.generation AND s.start_offset <= m.byte_offset AND m.byte_offset < s.end_offset
    GROUP BY s.generation, s.start_offset
  ), booked AS (
    UPDATE millrace.slices s SET inserted = s.inserted + x.stored, duplicates = s.duplicates + x.records - x.stored,
      conflicting = s.conflicting + x.conflicting, rejected = s.rejected - x.records,
      merged_xids = CASE WHEN x.stored = 0 THEN s.merged_xids
        ELSE coalesce(s.merged_xids, ARRAY[b.xid]) || pg_current_xact_id() END
    FROM sums x, millrace.batches b
    WHERE s.generation = x.generation AND s.start_offset = x.start_offset AND b.epoch = s.epoch AND b.number = s.batch
    RETURNING x.records
  )
  SELECT coalesce(sum(records), 0)::int AS booked FROM booked`;

async function moveBooks(
  { client, epoch }: ReplayTarget,
  number: number,
  rows: readonly ReplayRow[],
  fates: readonly Fate[],
): Promise<void> {
  const moved = rows.flatMap((row, index) => {
    const fate = fates[index]?.kind;
    return fate === undefined || fate === 'refused' ? [] : [{ ...row, fate }];
  });
  if (moved.length === 0) return;
  await client.query(BATCH, [epoch, number]);
  const { rows: found } = await client.query<{ booked: number }>(MOVE, [
    moved.map(({ generation }) => generation),
    moved.map(({ offset }) => offset),
    moved.map(({ fate }) => fate),
    REJECT_SENTENCES.duplicate_conflict,
  ]);
  if (found[0]?.booked !== moved.length)
    throw new MillraceError('internal', `${moved.length} records were replayed, ${found[0]?.booked} booked`);
}
