// `millrace prune`: takes away the books of files that ended long ago. Books of files that are still in the folder stay: without
// them the files would be read again.

import { lstat, readdir } from 'node:fs/promises';
import { MillraceError } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import type { PruneOptions } from '../options.ts';
import { counted, printable } from '../telemetry/text.ts';
import { agreed, refuseWithoutAnswer, sayOutcome } from './books/ask.ts';
import { removeBooks, underExclusiveFence } from './books/exclusive.ts';
import { allSources, haveBooks, isMeant, sourceName, targetName, withBooks } from './books/open.ts';
import type { OpenBooks, SourceRow } from './books/open.ts';
import type { CommandIo } from './command.ts';

const DAY_MS = 86_400_000;

export async function prune(options: PruneOptions, io: CommandIo): Promise<ExitCode> {
  refuseWithoutAnswer('prune', options.yes, io);
  const outcome = await withBooks(options, io, (books) => pruneIn(books, options, io), 'operator');
  return sayOutcome(outcome, io);
}

/** Returns what was done, as a sentence. */
async function pruneIn(books: OpenBooks, options: PruneOptions, io: CommandIo): Promise<string> {
  const { client, describe } = books;
  const sources = (await haveBooks(client)) ? await allSources(client) : [];
  const meant = sources.find((row) => isMeant(row, options));
  const name = printable(sourceName(options));
  if (meant === undefined) return `nothing was ever read from ${name} into ${targetName(options)}`;
  const { gone, present } = await oldFiles(books, meant, options);
  const stay =
    present === 0
      ? ''
      : `; those of ${counted(present, 'file')} stay: still in the folder, so without them it would be read again`;
  const age = counted(Number((options.olderThanMs / DAY_MS).toFixed(2)), 'day');
  if (gone.length === 0)
    return `nothing to remove: no file of ${name} ended ${age} ago or earlier and has left the folder since${stay}`;
  const what = `the books of ${counted(gone.length, 'file')} of ${name}`;
  io.stderr.write(
    `millrace: this removes ${what}, which ended ${age} ago or earlier and left the folder\n  in ${describe}\n`,
  );
  if (!options.yes && !(await agreed('Remove them?', io))) return 'nothing was removed';
  const removed = await underExclusiveFence(client, [meant], () => removeBooks(client, gone));
  const parts = [counted(removed.slices, 'slice'), counted(removed.rejects, 'rejected record')];
  parts.push(counted(removed.batches, 'transaction'));
  return `removed the books of ${counted(removed.files, 'file')} (${parts.join(', ')})${stay}`;
}

interface OldFile {
  readonly generation: string;
  readonly name_bytes: Buffer;
  readonly ino: string;
}

const OLD_SQL = `SELECT generation, name_bytes, ino::text AS ino FROM millrace.files
  WHERE source_id = $1 AND state IN ('done', 'refused', 'undone') AND ended_at <= clock_timestamp() - $2 * interval '1 millisecond'`;

/** Generations whose books may go, and how many are old enough but whose file still stands there. */
async function oldFiles(
  { client }: OpenBooks,
  { id }: SourceRow,
  { olderThanMs, inputDir }: PruneOptions,
): Promise<{ readonly gone: readonly string[]; readonly present: number }> {
  const { rows } = await client.query<OldFile>(OLD_SQL, [id, olderThanMs]);
  if (rows.length > 0) await refuseMissingFolder(inputDir);
  const gone: string[] = [];
  for (const file of rows) if (!(await isThere(inputDir, file))) gone.push(file.generation);
  return { gone, present: rows.length - gone.length };
}

/** An unmounted folder looks empty, and all its files would be read again. */
async function refuseMissingFolder(folder: string): Promise<void> {
  await readdir(folder).catch((cause: unknown) => {
    throw new MillraceError(
      'input',
      `cannot look into ${folder}, so nobody can tell which files are still there`,
      {
        wayOut: 'name the folder of this source with --input',
        cause,
      },
    );
  });
}

async function isThere(folder: string, { name_bytes: name, ino }: OldFile): Promise<boolean> {
  const path = Buffer.concat([Buffer.from(`${folder}/`), name]);
  const stats = await lstat(path, { bigint: true }).catch(() => null);
  return stats !== null && stats.ino.toString() === ino;
}
