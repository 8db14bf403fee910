// Which rows did a file insert? Those whose key it delivered and whose xmin is the transaction of one of its batches: PostgreSQL keeps that
// id through VACUUM FREEZE, VACUUM FULL and CLUSTER, and gives another one to a row that is changed. Runs under the exclusive fence.

import { lstat } from 'node:fs/promises';
import type pg from 'pg';
import { MillraceError } from '../../errors.ts';
import { quoteIdentifier, quoteTable } from '../../schema/ddl.ts';
import { events } from '../../schema/events.ts';
import type { TableName } from '../../schema/table.ts';
import { inTheirPath } from '../../sink/postgres/search-path.ts';
import { counted } from '../../telemetry/text.ts';
import type { BookedFile } from '../books/files.ts';
import { BOOKED_FILE } from '../books/files.ts';
import type { BookedSlice, KeyStage } from './keys.ts';
import { bookedSlices, DifferentContent } from './keys.ts';
import { refuseWornIds, xminOf } from './marks.ts';

export interface Taken {
  readonly removed: number;
  /** Rows that the file may have inserted, and that stay. */
  readonly left: number;
  /** The keys of some of them. */
  readonly leftKeys: readonly string[];
  /** For people. */
  readonly notes: readonly string[];
}

export interface UndoTools {
  readonly client: pg.Client;
  readonly keys: KeyStage;
  readonly table: TableName;
  /** Where another file may stand. */
  readonly places: (file: BookedFile) => Promise<readonly Buffer[]>;
}

const KEYS_SHOWN_MAX = 20;
const KEY = quoteIdentifier(events.key);

/** Everything but the commit. Throws MillraceError when nobody can tell which rows are meant; then nothing may be committed. */
export async function takeAway(
  tools: UndoTools,
  file: BookedFile,
  slices: readonly BookedSlice[],
): Promise<Taken> {
  const { client } = tools;
  await refuseWornIds(client, file, slices);
  await findRows(tools, file, slices);
  const found = await countFound(client);
  const inserted = slices.reduce((sum, slice) => sum + slice.inserted, 0);
  await refuseRewritten(tools, file, slices);
  const shared = await leaveWhatOthersBrought(tools, file, slices, found, inserted);
  const removed = await removeRows(tools);
  await removeBooksOf(tools, file, slices);
  const mayRepeat = removed > 0 && (await haveDuplicates(client));
  return report(client, { removed, inserted, shared, mayRepeat });
}

/**
 * One row per delivered key: the xmin of its row in the table, and who set it: a batch of this file, nobody that the books know
 * (`foreign_mark`), or another batch with a later id than one of this file that delivered the key (`later`).
 */
async function findRows(
  { client, table }: UndoTools,
  { generation }: BookedFile,
  slices: readonly BookedSlice[],
): Promise<void> {
  await client.query(
    `CREATE TEMPORARY TABLE millrace_found (key uuid PRIMARY KEY, mark text, own boolean NOT NULL, foreign_mark boolean NOT NULL,
       later boolean NOT NULL) ON COMMIT DROP`,
  );
  await client.query(
    `WITH known AS (SELECT (xid::text::numeric % 4294967296)::text AS mark, max(xid::text::numeric) AS xid FROM millrace.batches GROUP BY 1)
     INSERT INTO millrace_found
     SELECT f.key, f.mark, f.own, f.mark IS NOT NULL AND NOT f.own AND k.mark IS NULL, NOT f.own AND coalesce(k.xid > f.first_xid, false) FROM (
       SELECT u.key, t.xmin::text AS mark, coalesce(bool_or(t.xmin::text = ANY (m.marks::text[])), false) AS own, min(m.first_xid) AS first_xid
       FROM pg_temp.millrace_undo u JOIN unnest($2::bigint[], $3::text[], $4::numeric[]) AS m (start_offset, marks, first_xid) USING (start_offset)
         LEFT JOIN ${quoteTable(table)} t ON t.${KEY} = u.key
       WHERE u.generation = $1 GROUP BY u.key, t.xmin::text) f
     LEFT JOIN known k USING (mark)`,
    [generation, slices.map(({ start }) => start), slices.map(marksText), slices.map(firstXid)],
  );
  await client.query('ANALYZE millrace_found');
}

/** As the text of an array. */
function marksText({ xids }: Pick<BookedSlice, 'xids'>): string {
  return `{${xids.map(xminOf).join(',')}}`;
}

/** Null of a range without a transaction: there is none, and then no row is later. */
function firstXid({ xids }: Pick<BookedSlice, 'xids'>): bigint | null {
  return xids
    .map(BigInt)
    .reduce<bigint | null>((first, xid) => (first === null || xid < first ? xid : first), null);
}

interface Found {
  /** Rows that carry the mark of a batch of this file. */
  readonly own: number;
  /** Keys without a row, and keys whose row was written or changed by somebody who is no batch. */
  readonly missing: number;
  readonly suspect: number;
  /** Keys whose row a later batch brought: this file may have stored them first, and somebody deleted that row. */
  readonly later: number;
}

async function countFound(client: pg.Client): Promise<Found> {
  const { rows } = await client.query<Found>(
    `SELECT count(*) FILTER (WHERE own)::int AS own, count(*) FILTER (WHERE mark IS NULL)::int AS missing,
            count(*) FILTER (WHERE foreign_mark)::int AS suspect, count(*) FILTER (WHERE later)::int AS later FROM millrace_found`,
  );
  return rows[0] ?? { own: 0, missing: 0, suspect: 0, later: 0 };
}

/**
 * A rewrite of the table (ALTER COLUMN ... TYPE, SET UNLOGGED, a restored dump) gives one and the same id to all rows there were: no row
 * of a range has its own any more, all have one, and no row of the table is older.
 */
async function refuseRewritten(
  { client, table }: UndoTools,
  { generation, name }: BookedFile,
  slices: readonly BookedSlice[],
): Promise<void> {
  const { rows } = await client.query<{ start: number; own: boolean; marks: string[] | null }>(
    `SELECT u.start_offset::float8 AS start, bool_or(f.own) AS own, array_agg(DISTINCT f.mark) FILTER (WHERE f.foreign_mark) AS marks
     FROM pg_temp.millrace_undo u JOIN millrace_found f USING (key) WHERE u.generation = $1 GROUP BY u.start_offset`,
    [generation],
  );
  const filled = new Set(slices.filter(({ inserted }) => inserted > 0).map(({ start }) => start));
  const strange = new Set(
    rows.flatMap(({ start, own, marks }) => (filled.has(start) && !own ? (marks ?? []) : [])),
  );
  const [mark] = strange;
  if (mark === undefined || strange.size > 1) return;
  const older = await client.query(
    `SELECT FROM ${quoteTable(table)} WHERE age(xmin) > age($1::xid) LIMIT 1`,
    [mark],
  );
  if (older.rows.length > 0) return;
  throw new MillraceError(
    'database',
    `the rows of ${name} cannot be told from others: all rows of the table that are that old carry one transaction's id`,
    {
      wayOut:
        'the table was rewritten or restored (or every row of it changed at once) since the file was read; delete its rows by hand, by event_id. Nothing was changed',
    },
  );
}

interface Shared {
  /** Rows left because nobody can tell whether this file or another one of the same transaction brought them. */
  readonly unclear: number;
  /** Rows that are surely another file's. */
  readonly others: number;
  readonly names: readonly string[];
}

interface Neighbour extends BookedFile {
  readonly starts: string[];
}

const NEIGHBOURS = `SELECT ${BOOKED_FILE},
    array_agg(s.start_offset::text) AS starts
  FROM millrace.slices s JOIN millrace.batches b ON b.epoch = s.epoch AND b.number = s.batch JOIN millrace.files f USING (generation)
  WHERE s.generation <> $1 AND s.inserted > 0 AND coalesce(s.merged_xids, ARRAY[b.xid]) && $2::xid8[]
  GROUP BY f.generation`;

/**
 * A transaction may have brought rows of several files, and of a key that two of them delivered only one's is stored. When every row
 * that this file booked is there and marked, the rows are its own; else the other files are read, and what both delivered stays.
 * Their number alone proves it only where no later batch brought one of the keys: for each row of its own that was deleted and brought
 * again, one of a neighbour would be counted in its place.
 */
async function leaveWhatOthersBrought(
  tools: UndoTools,
  file: BookedFile,
  slices: readonly BookedSlice[],
  { own, missing, suspect, later }: Found,
  inserted: number,
): Promise<Shared> {
  const none = { unclear: 0, others: 0, names: [] };
  const isAccounted = missing === 0 && suspect === 0;
  if (isAccounted && later === 0 && own === inserted) return none;
  const { client } = tools;
  const xids = [...new Set(slices.flatMap((slice) => slice.xids))];
  const { rows: neighbours } = await client.query<Neighbour>(NEIGHBOURS, [file.generation, xids]);
  if (neighbours.length === 0) return none;
  for (const neighbour of neighbours) await readNeighbour(tools, file, neighbour);
  const { rowCount } = await client.query(
    `UPDATE millrace_found f SET own = false WHERE own AND EXISTS (
       SELECT FROM pg_temp.millrace_undo u WHERE u.key = f.key AND u.generation = ANY ($1::uuid[]))`,
    [neighbours.map(({ generation }) => generation)],
  );
  const both = rowCount ?? 0;
  if (isAccounted && own - inserted === both) return { ...none, others: both };
  return { unclear: both, others: 0, names: neighbours.map(({ name }) => name) };
}

async function readNeighbour(tools: UndoTools, file: BookedFile, neighbour: Neighbour): Promise<void> {
  const slices = await bookedSlices(tools.client, neighbour.generation);
  const starts = new Set(neighbour.starts.map(Number));
  const meant = slices.filter(({ start }) => starts.has(start));
  try {
    await tools.keys.read(neighbour, meant, await tools.places(neighbour));
  } catch (error) {
    if (!(error instanceof DifferentContent)) throw error;
    throw new MillraceError(
      'input',
      `${neighbour.name} was written in the same transactions as ${file.name}, so its keys are needed too: ${error.message}`,
      { wayOut: `bring ${neighbour.name} back to its place; nothing was changed`, cause: error },
    );
  }
}

/** The mark is compared once more: a row that somebody changes at this moment has another one when his transaction is over. */
async function removeRows({ client, table }: UndoTools): Promise<number> {
  const { rowCount } = await inTheirPath(client, () =>
    client.query(
      `DELETE FROM ${quoteTable(table)} t USING pg_temp.millrace_found f WHERE t.${KEY} = f.key AND f.own AND t.xmin::text = f.mark`,
    ),
  );
  return rowCount ?? 0;
}

const REASON = 'its rows were removed by millrace undo; millrace resume reads it again';

/** The row of the file stays, so that what still stands in the folder is not read again as something new. */
async function removeBooksOf(
  { client, places }: UndoTools,
  file: BookedFile,
  slices: readonly BookedSlice[],
): Promise<void> {
  const { generation } = file;
  const xids = [...new Set(slices.flatMap((slice) => slice.xids))];
  await client.query('DELETE FROM millrace.rejects WHERE generation = $1', [generation]);
  await client.query('DELETE FROM millrace.slices WHERE generation = $1', [generation]);
  await client.query(
    'UPDATE millrace.batches SET undone_at = coalesce(undone_at, clock_timestamp()) WHERE xid = ANY ($1::xid8[])',
    [xids],
  );
  const stamp = await stampOf(file, await places(file));
  await client.query(
    `UPDATE millrace.files SET state = 'undone', reason = $2, ended_at = clock_timestamp(), resumed_at = NULL,
       size = coalesce($3, size), mtime_ns = coalesce($4, mtime_ns), ctime_ns = coalesce($5, ctime_ns) WHERE generation = $1`,
    [generation, REASON, ...stamp],
  );
}

/** As the file stands there now: that is what is not read again. */
async function stampOf({ ino }: BookedFile, places: readonly Buffer[]): Promise<readonly (bigint | null)[]> {
  for (const place of places) {
    const stats = await lstat(place, { bigint: true }).catch(() => null); // not there: nothing is kept of it
    if (stats?.isFile() !== true) continue;
    if (stats.ino.toString() === ino) return [stats.size, stats.mtimeNs, stats.ctimeNs];
  }
  return [null, null, null];
}

/** Of the files that are left: which of their duplicates were those of a removed row, nobody wrote down. */
async function haveDuplicates(client: pg.Client): Promise<boolean> {
  return (await client.query('SELECT FROM millrace.slices WHERE duplicates > 0 LIMIT 1')).rows.length > 0;
}

async function report(
  client: pg.Client,
  sums: { removed: number; inserted: number; shared: Shared; mayRepeat: boolean },
): Promise<Taken> {
  const { removed, inserted, shared, mayRepeat } = sums;
  const left = Math.max(0, inserted - removed);
  const notes = [`${counted(removed, 'row')} removed, with the books of the file`];
  if (mayRepeat)
    notes.push(
      'other files have duplicates: where these were of removed rows, their events are stored nowhere now. millrace verify names them; undo and resume of such a file reads it again',
    );
  if (left === 0) return { removed, left, leftKeys: [], notes };
  const { rows } = await client.query<{ key: string }>(
    'SELECT key::text AS key FROM millrace_found WHERE foreign_mark ORDER BY key LIMIT $1',
    [KEYS_SHOWN_MAX],
  );
  const leftKeys = rows.map(({ key }) => key);
  notes.push(
    `${counted(left, 'row')} that it inserted are not as it wrote them: changed since, so left, or deleted already`,
  );
  if (leftKeys.length > 0)
    notes.push(`rows with its keys that carry another transaction's id: ${leftKeys.join(', ')}`);
  if (shared.unclear > 0)
    notes.push(
      `${counted(shared.unclear, 'row')} left because ${shared.names.join(', ')} brought the same keys in the same transaction`,
    );
  return { removed, left, leftKeys, notes };
}
