// `millrace status`: the books per generation and in all, as they stand in the database. Reads only.

import { lstat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import type pg from 'pg';
import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import type { StatusOptions } from '../options.ts';
import type { Counts } from '../telemetry/meters.ts';
import { buildsUnderWay, progressText } from '../sink/postgres/deferred.ts';
import { count, counted, printable, tableText } from '../telemetry/text.ts';
import {
  allSources,
  haveBooks,
  isMeant,
  namesNoSource,
  sourceName,
  targetName,
  withBooks,
} from './books/open.ts';
import type { SourceRow } from './books/open.ts';
import type { CommandIo } from './command.ts';

/** One generation: one content of one file. `bytes` is what the file has, `position` what is committed without a gap. */
export interface FileStatus extends Counts {
  readonly name: string;
  readonly state: 'reading' | 'done' | 'refused' | 'parked' | 'undone';
  readonly bytes: number;
  readonly position: number;
  /** Of the duplicates, those with other values than the stored row. */
  readonly duplicatesConflicting: number;
  /** Why it was refused or parked. */
  readonly reason: string | null;
  readonly source: string;
  readonly generation: string;
}

/** An index that a first load has dropped and that is not built again yet. */
export interface DeferredIndex {
  readonly table: string;
  readonly name: string;
  /** null: nobody builds it just now. `share` of the phase is 0 to 1, null where it does not count. */
  readonly building: { readonly phase: string; readonly share: number | null } | null;
}

/** What `--json` prints. */
export interface Status {
  readonly total: Counts & { readonly duplicatesConflicting: number };
  readonly files: readonly FileStatus[];
  readonly deferredIndexes: readonly DeferredIndex[];
}

/** On a terminal more than this is not read; whatever asks for attention is shown all the same. */
const FILES_SHOWN_MAX = 200;

const NOTHING: Pick<Status, 'files' | 'deferredIndexes'> = { files: [], deferredIndexes: [] };

export async function status(options: StatusOptions, io: CommandIo): Promise<ExitCode> {
  const notes: string[] = [];
  const outcome = await withBooks(options, io, async ({ client }) => {
    if (!(await haveBooks(client))) return null;
    const sources = await chosenSources(client, options, notes);
    return {
      files: await readFiles(client, sources, options.inputDir),
      deferredIndexes: await readDeferred(client, sources),
    };
  });
  if (outcome.kind === 'interrupted') return EXIT.interrupted;
  const { files, deferredIndexes } = (outcome.kind === 'none' ? null : outcome.value) ?? NOTHING;
  if (outcome.kind === 'none' || outcome.value === null)
    notes.push('nothing was ever read into this database; millrace run begins');
  const found: Status = { total: totalOf(files), files, deferredIndexes };
  for (const note of notes) io.stderr.write(`millrace: ${printable(note)}\n`);
  if (found.files.length > 0 || deferredIndexes.length > 0)
    (options.json ? io.stderr : io.stdout).write(statusText(found, io.stdout.isTTY === true));
  if (options.json) io.stdout.write(`${JSON.stringify(found)}\n`);
  return EXIT.done;
}

/** The source that the options name; when nobody named one and the default was never read, all that there are. */
async function chosenSources(
  client: pg.Client,
  options: StatusOptions,
  notes: string[],
): Promise<readonly SourceRow[]> {
  const all = await allSources(client);
  const meant = all.filter((row) => isMeant(row, options));
  if (meant.length > 0) return meant;
  const missing = `nothing was ever read from ${sourceName(options)} into ${targetName(options)}`;
  if (all.length === 0 || namesNoSource(options)) {
    if (all.length > 0) notes.push(`${missing}; these are all sources of this database`);
    return all;
  }
  const others = all.map(({ source, target }) => `${source} -> ${target}`);
  notes.push(`${missing}; there are: ${others.join(', ')}`);
  return [];
}

interface TotalsRow {
  readonly source: string;
  readonly generation: string;
  readonly name: string;
  readonly name_bytes: Buffer;
  readonly ino: string;
  readonly state: FileStatus['state'];
  readonly reason: string | null;
  readonly size: string | null;
  readonly position: string;
  readonly records: string;
  readonly inserted: string;
  readonly duplicates: string;
  readonly rejected: string;
  readonly conflicting: string;
}

/** Books that an older Millrace has written have no column for conflicts. */
const FILES_SQL = `SELECT l.source, t.generation, t.name, f.name_bytes, f.ino::text AS ino, t.state, t.reason, t.size, t.position,
    t.records, t.inserted, t.duplicates, t.rejected, coalesce(to_jsonb(t) ->> 'conflicting', '0') AS conflicting
  FROM millrace.file_totals t JOIN millrace.files f USING (generation) JOIN millrace.leases l ON l.source_id = t.source_id
  WHERE t.source_id = ANY ($1) ORDER BY l.source, t.seen_at, t.name, t.generation`;

async function readFiles(
  client: pg.Client,
  sources: readonly SourceRow[],
  inputDir: string,
): Promise<readonly FileStatus[]> {
  const { rows } = await client.query<TotalsRow>(FILES_SQL, [sources.map(({ id }) => id)]);
  const files: FileStatus[] = [];
  for (const row of rows) files.push(await fileStatus(row, inputDir));
  return files;
}

async function readDeferred(
  client: pg.Client,
  sources: readonly SourceRow[],
): Promise<readonly DeferredIndex[]> {
  const { rows } = await client.query<{ table: string; name: string }>(
    'SELECT target AS "table", name FROM millrace.deferred_indexes WHERE target = ANY ($1) ORDER BY target, name',
    [sources.map(({ target }) => target)],
  );
  if (rows.length === 0) return [];
  const builds = await buildsUnderWay(client, null);
  return rows.map(({ table, name }) => {
    // A long name is cut off where it is shown.
    const build = builds.find(({ index }) => index !== '' && name.startsWith(index));
    return {
      table,
      name,
      building: build === undefined ? null : { phase: build.phase, share: build.share },
    };
  });
}

async function fileStatus(row: TotalsRow, inputDir: string): Promise<FileStatus> {
  const { name, state, reason, source, generation } = row;
  const position = Number(row.position);
  const known = row.size === null ? position : Number(row.size);
  const folder = isAbsolute(source) ? source : inputDir;
  const bytes = state === 'reading' ? ((await sizeOnDisk(folder, row)) ?? known) : known;
  return {
    name,
    state,
    bytes,
    position,
    records: Number(row.records),
    inserted: Number(row.inserted),
    duplicates: Number(row.duplicates),
    duplicatesConflicting: Number(row.conflicting),
    rejected: Number(row.rejected),
    reason,
    source,
    generation,
  };
}

/** Null when the file is gone, or another one has its name. */
async function sizeOnDisk(folder: string, row: TotalsRow): Promise<number | null> {
  const path = Buffer.concat([Buffer.from(`${folder}/`), row.name_bytes]);
  const stats = await lstat(path, { bigint: true }).catch(() => null);
  return stats !== null && stats.isFile() && stats.ino.toString() === row.ino ? Number(stats.size) : null;
}

function totalOf(files: readonly FileStatus[]): Status['total'] {
  const sum = (key: keyof Status['total']): number => files.reduce((all, file) => all + file[key], 0);
  return {
    records: sum('records'),
    inserted: sum('inserted'),
    duplicates: sum('duplicates'),
    duplicatesConflicting: sum('duplicatesConflicting'),
    rejected: sum('rejected'),
  };
}

const HEADER = ['file', 'state', 'bytes', 'position', 'read', 'inserted', 'duplicates', 'rejected'];

function statusText({ total, files, deferredIndexes }: Status, terminal: boolean): string {
  const quiet = files.filter(({ state }) => state === 'done');
  const left = terminal ? Math.max(0, quiet.length - FILES_SHOWN_MAX) : 0;
  const hidden = new Set(quiet.slice(0, left));
  const shown = files.filter((file) => !hidden.has(file));
  const rows = shown.map((file) => [
    printable(file.name),
    file.state,
    count(file.bytes),
    count(file.position),
    ...counts(file),
  ]);
  const all = [`all of ${counted(files.length, 'file')}`, '', '', '', ...counts(total)];
  const reasons = shown.flatMap(({ name, state, reason }) =>
    reason === null ? [] : [printable(`${name} is ${state}: ${reason}`)],
  );
  const { duplicatesConflicting: conflicting } = total;
  if (conflicting > 0)
    reasons.push(
      `of the duplicates, ${count(conflicting)} have other values than the stored event (duplicate_conflict in millrace.rejects)`,
    );
  for (const { table, name, building } of deferredIndexes)
    reasons.push(
      printable(
        `${table} is without its index ${name} for the time of a first load${building === null ? '' : `; being built: ${progressText({ index: name, ...building })}`}`,
      ),
    );
  const rest = left === 0 ? [] : [`${counted(left, 'older file')} not shown; --json lists all`];
  return `${[tableText(HEADER, [...rows, all]), ...reasons, ...rest].join('\n')}\n`;
}

function counts({ records, inserted, duplicates, rejected }: Counts): string[] {
  return [records, inserted, duplicates, rejected].map(count);
}
