// Which generation does a person mean by FILE? And where do its bytes stand today, if anywhere. Reading only.

import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, isAbsolute, relative, resolve } from 'node:path';
import type pg from 'pg';
import type { FileState } from '../../core/books.ts';
import type { Header } from '../../core/header.ts';
import { readHeader } from '../../core/header.ts';
import type { GenerationId } from '../../core/slice.ts';
import { RECORD_BYTES_MAX } from '../../core/slice.ts';
import { MillraceError } from '../../errors.ts';
import { events } from '../../schema/events.ts';
import { printable } from '../../telemetry/text.ts';
import { allSources, haveBooks, isMeant, sourceName, targetName } from './open.ts';
import type { BooksOptions, SourceRow } from './open.ts';

export interface BookedFile {
  readonly generation: GenerationId;
  readonly name: string;
  readonly nameBytes: Buffer;
  readonly ino: string;
  readonly state: FileState;
  readonly reason: string | null;
}

const CR = 0x0d;
const LF = 0x0a;

/** @throws {MillraceError} `input` when nothing was ever read from it */
export async function theSource(client: pg.Client, options: BooksOptions): Promise<SourceRow> {
  const all = (await haveBooks(client)) ? await allSources(client) : [];
  const meant = all.find((row) => isMeant(row, options));
  if (meant !== undefined) return meant;
  const others = all.map(({ source, target }) => `${source} -> ${target}`).join(', ');
  throw new MillraceError(
    'input',
    `nothing was ever read from ${printable(sourceName(options))} into ${targetName(options)}`,
    { wayOut: others === '' ? 'millrace run begins' : `name the source with --input or --source: ${others}` },
  );
}

const FILES = `SELECT generation, name, name_bytes AS "nameBytes", ino::text AS ino, state, reason FROM millrace.files
  WHERE source_id = $1 AND (name_bytes = $2 OR name = $3 OR generation::text = $3) ORDER BY ordinal DESC`;

/** All generations that a word may mean, the newest first: a name as the books have it, a path, or the id of one generation. */
export async function filesNamed(
  client: pg.Client,
  source: SourceRow,
  word: string,
  inputDir: string,
): Promise<readonly BookedFile[]> {
  const below = relative(inputDir, resolve(word));
  const inside = below !== '' && !below.startsWith('..') && !isAbsolute(below);
  for (const name of [word, ...(inside ? [below] : []), basename(word)]) {
    const { rows } = await client.query<BookedFile>(FILES, [source.id, Buffer.from(name), name]);
    if (rows.length > 0) return rows;
  }
  throw new MillraceError(
    'input',
    `the books know no file ${printable(word)} of ${printable(source.source)}`,
    {
      wayOut: 'millrace status lists the files by name',
    },
  );
}

/** Where a file stood when it was read: below the source's folder. */
export function pathOf(source: SourceRow, inputDir: string, { nameBytes }: BookedFile): Buffer {
  const folder = isAbsolute(source.source) ? source.source : inputDir;
  return Buffer.concat([Buffer.from(`${folder}/`), nameBytes]);
}

/** Null when there is no regular file that may be read. */
export async function openRegular(path: Buffer | string): Promise<FileHandle | null> {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK;
  const file = await open(path, flags).catch(() => null); // gone or not ours: the caller says what that means
  if (file === null || (await file.stat()).isFile()) return file;
  await file.close();
  return null;
}

/** A header with its own bytes, and what ends a record under it. */
export interface KnownHeader {
  readonly bytes: Buffer;
  readonly header: Header;
  readonly newline: number;
}

interface BeginningRow {
  readonly header: Buffer | null;
  readonly head: Buffer | null;
  readonly head_length: number | null;
}

const BEGINNING = `SELECT (SELECT header FROM millrace.slices WHERE generation = $1 AND start_offset = 0) AS header,
    l.head, l.head_length FROM (SELECT 1) one LEFT JOIN LATERAL (
      SELECT head, head_length FROM millrace.slices WHERE generation = $1 AND head IS NOT NULL ORDER BY start_offset DESC LIMIT 1) l ON true`;

/** The header of a generation, from the books or else from the file if it still stands there; null when it is nowhere. */
export async function headerOf(
  client: pg.Client,
  source: SourceRow,
  inputDir: string,
  file: BookedFile,
): Promise<KnownHeader | null> {
  const { rows } = await client.query<BeginningRow>(BEGINNING, [file.generation]);
  const kept = rows[0]?.header ?? (await headerOnDisk(pathOf(source, inputDir, file), file, rows[0]));
  return kept === null ? null : understood(kept, true);
}

async function headerOnDisk(
  path: Buffer,
  { ino }: BookedFile,
  beginning: BeginningRow | undefined,
): Promise<Buffer | null> {
  const file = await openRegular(path);
  if (file === null) return null;
  try {
    const block = Buffer.alloc(RECORD_BYTES_MAX);
    const { bytesRead } = await file.read(block, 0, block.length, 0);
    const bytes = block.subarray(0, bytesRead);
    const stats = await file.stat({ bigint: true });
    const { head = null, head_length: length = null } = beginning ?? {};
    const isSame =
      head === null || length === null
        ? stats.ino.toString() === ino
        : createHash('sha256').update(bytes.subarray(0, length)).digest().equals(head);
    return isSame ? (understood(bytes, false)?.bytes ?? null) : null;
  } finally {
    await file.close();
  }
}

/** What ends the header ends the records. Null when today's rules do not take it as a header. */
function understood(bytes: Buffer, whole: boolean): KnownHeader | null {
  const endsInReturn = whole && bytes.at(-1) === CR;
  const newline = endsInReturn ? CR : LF;
  const result = readHeader(bytes, whole, events, newline);
  if (result.kind !== 'header') return null;
  const { header } = result;
  return { bytes: Buffer.from(bytes.subarray(0, header.end)), header, newline };
}
