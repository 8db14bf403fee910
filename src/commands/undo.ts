// `millrace undo FILE`: takes away exactly the rows that a file inserted, and its books, in one transaction. Which rows those are: the
// keys are read from the file again (undo/keys.ts), and a row that a batch of this file inserted carries the batch's transaction id
// (undo/rows.ts). What the ids cannot prove is left, and said.

import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import type pg from 'pg';
import type { GenerationId } from '../core/slice.ts';
import { EXIT, MillraceError } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import type { UndoOptions } from '../options.ts';
import { openPool } from '../pool.ts';
import { migrate } from '../sink/postgres/migrate.ts';
import { counted, printable } from '../telemetry/text.ts';
import { agreed, refuseWithoutAnswer } from './books/ask.ts';
import { underExclusiveFence } from './books/exclusive.ts';
import { createFinder, placesOf } from './books/content.ts';
import type { Finder } from './books/content.ts';
import { filesNamed, folderOf, theSource } from './books/files.ts';
import type { BookedFile } from './books/files.ts';
import { withBooks } from './books/open.ts';
import type { OpenBooks, SourceRow } from './books/open.ts';
import type { CommandIo } from './command.ts';
import { DifferentContent, KeyStage, bookedSlices } from './undo/keys.ts';
import { takeAway } from './undo/rows.ts';
import type { Taken } from './undo/rows.ts';
import { programVersion } from './version.ts';

const CLOSE_MS_MAX = 1_000;

/** What `undo --json` prints. */
interface Undone extends Taken {
  readonly file: string;
  readonly generation: string;
}

/** What all that is done here needs. */
interface Desk {
  readonly client: pg.Client;
  readonly source: SourceRow;
  readonly keys: KeyStage;
  readonly finder: Finder;
  readonly options: UndoOptions;
  readonly io: CommandIo;
}

/** Exit 1 when a row was left, or a person said no. */
export async function undo(options: UndoOptions, io: CommandIo): Promise<ExitCode> {
  refuseWithoutAnswer('undo', options.yes, io);
  const outcome = await withBooks(options, io, (books) => undoAll(books, options, io), 'operator');
  if (outcome.kind === 'interrupted') {
    io.stderr.write('millrace: interrupted before anything was known to be removed\n');
    return EXIT.interrupted;
  }
  if (outcome.kind === 'done') return outcome.value;
  io.stderr.write('millrace: there is no database yet, so nothing to undo\n');
  return EXIT.done;
}

async function undoAll({ client }: OpenBooks, options: UndoOptions, io: CommandIo): Promise<ExitCode> {
  await migrate(client, { program: programVersion() });
  const source = await theSource(client, options);
  const finder = createFinder({ ...options, inputDir: folderOf(source, options.inputDir) });
  const pool = openPool({
    workers: 1,
    onError: (error) => io.stderr.write(`millrace: ${printable(error.message)}\n`),
  });
  try {
    const keys = await KeyStage.make(client, pool, finder.unpacking);
    let code: ExitCode = EXIT.done;
    for (const word of options.paths) {
      const one = await undoOne({ client, source, keys, finder, options, io }, word);
      if (one !== EXIT.done) code = one;
    }
    return code;
  } finally {
    await pool.close(CLOSE_MS_MAX);
  }
}

async function undoOne(desk: Desk, word: string): Promise<ExitCode> {
  const { io, options } = desk;
  const { file, path } = await readMeant(desk, word);
  const rows = await insertedBy(desk.client, file.generation);
  const what = `up to ${counted(rows, 'row')} that ${file.name} inserted, and its books`;
  io.stderr.write(`millrace: this removes ${printable(what)}\n`);
  if (!options.yes && !(await agreed('Remove them?', io))) {
    io.stderr.write('millrace: nothing was removed\n');
    return EXIT.found;
  }
  const taken = await underExclusiveFence(desk.client, [desk.source], () => takeUnderFence(desk, file, path));
  for (const line of taken.notes) io.stderr.write(`millrace: ${printable(line)}\n`);
  const summary: Undone = { file: file.name, generation: file.generation, ...taken };
  if (options.json) io.stdout.write(`${JSON.stringify(summary)}\n`);
  return taken.left > 0 ? EXIT.found : EXIT.done;
}

/** The newest generation that is what stands in the file today; its keys are staged then. */
async function readMeant(
  desk: Desk,
  word: string,
): Promise<{ readonly file: BookedFile; readonly path: Buffer | null }> {
  const { client, source, keys, finder, options } = desk;
  const files = await filesNamed(client, source, word, options.inputDir);
  const candidates = files.filter(({ state }) => state !== 'refused' && state !== 'undone');
  let different: DifferentContent | null = null;
  for (const file of candidates) {
    const slices = await bookedSlices(client, file.generation);
    try {
      const path = await keys.read(file, slices, [...(await named(word)), ...(await placesOf(finder, file))]);
      return { file, path };
    } catch (error) {
      if (!(error instanceof DifferentContent)) throw error;
      different ??= error;
    }
  }
  if (different !== null) throw different;
  const states = [...new Set(files.map(({ state }) => state))].join(', ');
  throw new MillraceError(
    'input',
    `${printable(word)} brought nothing that could be removed: it is ${states}`,
    {
      wayOut: 'millrace status shows what became of each file',
    },
  );
}

/** The file that a person wrote down; he may mean it through a link. */
async function named(word: string): Promise<Buffer[]> {
  const path = await realpath(resolve(word), { encoding: 'buffer' }).catch(() => null); // then it is a name in the books
  return path === null ? [] : [path];
}

/** What was committed since the file was read is read now, while nobody can commit more. */
async function takeUnderFence(desk: Desk, file: BookedFile, path: Buffer | null): Promise<Taken> {
  const { client, keys, finder, options } = desk;
  const slices = await bookedSlices(client, file.generation);
  const fresh = slices.filter((slice) => !keys.has(file.generation, slice));
  if (fresh.length > 0) await keys.read(file, fresh, path === null ? [] : [path]);
  const places = (other: BookedFile): Promise<readonly Buffer[]> => placesOf(finder, other);
  const taken = await takeAway({ client, keys, table: options.table, places }, file, slices);
  return taken;
}

async function insertedBy(client: pg.Client, generation: GenerationId): Promise<number> {
  const sql = 'SELECT coalesce(sum(inserted), 0)::float8 AS rows FROM millrace.slices WHERE generation = $1';
  return (await client.query<{ rows: number }>(sql, [generation])).rows[0]?.rows ?? 0;
}
