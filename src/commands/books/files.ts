// Which generation does a person mean by FILE? And where do its bytes stand today, if anywhere. Reading only.

import { createHash } from 'node:crypto';
import { basename, isAbsolute, relative, resolve } from 'node:path';
import type pg from 'pg';
import type { FileState } from '../../core/books.ts';
import { decodeAll, encodingOf, lengthBefore } from '../../core/encoding.ts';
import type { Encoding } from '../../core/encoding.ts';
import type { Header } from '../../core/header.ts';
import { readHeader } from '../../core/header.ts';
import type { Dialect, GenerationId } from '../../core/slice.ts';
import { RECORD_BYTES_MAX } from '../../core/slice.ts';
import { MillraceError } from '../../errors.ts';
import { events } from '../../schema/events.ts';
import { dialectSql } from '../../sink/postgres/dialect.ts';
import { printable } from '../../telemetry/text.ts';
import { openContent, placesOf, readAt } from './content.ts';
import type { Finder } from './content.ts';
import { allSources, haveBooks, isMeant, refuseOldBooks, sourceName, targetName } from './open.ts';
import type { BooksOptions, SourceRow } from './open.ts';

export interface BookedFile {
  readonly generation: GenerationId;
  readonly name: string;
  readonly nameBytes: Buffer;
  readonly ino: string;
  readonly state: FileState;
  readonly reason: string | null;
  readonly dialect: Dialect;
  readonly archivedTo: string | null;
}

/** The columns of a `BookedFile`, of millrace.files as f. */
export const BOOKED_FILE = `f.generation, f.name, f.name_bytes AS "nameBytes", f.ino::text AS ino, f.state, f.reason,
    ${dialectSql('f')} AS dialect, f.archived_to AS "archivedTo"`;

const CR = 0x0d;
const LF = 0x0a;
/** The byte order mark in UTF-8. */
const MARK = Buffer.from('efbbbf', 'hex');

/** @throws {MillraceError} `input` when nothing was ever read from it */
export async function theSource(client: pg.Client, options: BooksOptions): Promise<SourceRow> {
  const all = (await haveBooks(client)) ? await allSources(client) : [];
  const meant = all.find((row) => isMeant(row, options));
  if (meant !== undefined) {
    await refuseOldBooks(client);
    return meant;
  }
  const others = all.map(({ source, target }) => `${source} -> ${target}`).join(', ');
  throw new MillraceError(
    'input',
    `nothing was ever read from ${printable(sourceName(options))} into ${targetName(options)}`,
    { wayOut: others === '' ? 'millrace run begins' : `name the source with --input or --source: ${others}` },
  );
}

const FILES = `SELECT ${BOOKED_FILE} FROM millrace.files f
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

/** Where the files of a source stood when they were read. */
export function folderOf(source: SourceRow, inputDir: string): string {
  return isAbsolute(source.source) ? source.source : inputDir;
}

/** The header of a generation, and how its records are read under it. */
export interface KnownHeader {
  /** Its own bytes, and the same in UTF-8 without a mark. */
  readonly raw: Buffer;
  readonly bytes: Buffer;
  readonly header: Header;
  /** What ends a record. */
  readonly newline: number;
  readonly encoding: Encoding;
  readonly nulls: readonly string[];
}

interface BeginningRow {
  readonly header: Buffer | null;
  readonly head: Buffer | null;
  readonly head_length: number | null;
}

const BEGINNING = `SELECT (SELECT header FROM millrace.slices WHERE generation = $1 AND start_offset = 0) AS header,
    l.head, l.head_length FROM (SELECT 1) one LEFT JOIN LATERAL (
      SELECT head, head_length FROM millrace.slices WHERE generation = $1 AND head IS NOT NULL ORDER BY start_offset DESC LIMIT 1) l ON true`;

/** The header of a generation, from the books or else from the file if it can be found; null when it is nowhere. */
export async function headerOf(
  client: pg.Client,
  finder: Finder,
  file: BookedFile,
): Promise<KnownHeader | null> {
  const { rows } = await client.query<BeginningRow>(BEGINNING, [file.generation]);
  const { header = null, head = null, head_length: length = null } = rows[0] ?? {};
  if (header !== null) return understood(header, true, file.dialect);
  if (head === null || length === null) return null;
  for (const place of await placesOf(finder, file)) {
    const found = await openContent(place, finder.unpacking);
    if (found.kind !== 'open') continue;
    try {
      const bytes = await readAt(found.content, 0, RECORD_BYTES_MAX);
      const isSame = createHash('sha256').update(bytes.subarray(0, length)).digest().equals(head);
      if (isSame) return understood(bytes, false, file.dialect);
    } finally {
      await found.content.close();
    }
  }
  return null;
}

/** Null when today's rules do not take it as a header. */
function understood(raw: Buffer, isWhole: boolean, dialect: Dialect): KnownHeader | null {
  const { newline, delimiter = null, nulls = [], encoding: named = 'auto' } = dialect;
  const end = newline === 'cr' ? CR : LF;
  const encoding = encodingOf(raw, named);
  const text = decodeAll(encoding, raw);
  const result = readHeader(text, isWhole, events, end, delimiter?.charCodeAt(0) ?? null);
  if (result.kind !== 'header') return null;
  const { header } = result;
  const length = lengthBefore(encoding, text, header.end);
  const from = encoding !== 'utf-8' && text.subarray(0, MARK.length).equals(MARK) ? MARK.length : 0;
  const bytes = Buffer.from(text.subarray(from, header.end));
  return { raw: Buffer.from(raw.subarray(0, length)), bytes, header, newline: end, encoding, nulls };
}
