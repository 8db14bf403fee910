// Where an event stands in the files of a source: a search of the bytes, and a closer look at files that have it. What became of it is
// decided in fate.ts.

import { unitBytes } from '../../core/encoding.ts';
import type { TableDefinition } from '../../schema/table.ts';
import { keyIndex } from '../../schema/table.ts';
import type { BookFile, BookSlice } from '../verify/books.ts';
import { encodingOfContent, findContent, firstChanged, readAt } from '../books/content.ts';
import type { Content, Finder } from '../books/content.ts';
import { runsOf } from '../verify/file.ts';
import { readLayout, readRecords } from '../verify/reader.ts';
import type { FoundRecord } from '../verify/reader.ts';

/** A record that has the event, or a rejected one in whose text it stands. */
export interface Sighting {
  readonly book: BookFile;
  /** Number of the file among the books. */
  readonly number: number;
  readonly slice: BookSlice;
  readonly record: FoundRecord;
}

/** A file that could not be searched. */
export interface Unsearched {
  readonly book: BookFile;
  readonly reason: string;
}

export interface SearchInput {
  readonly books: readonly BookFile[];
  readonly finder: Finder;
  readonly table: TableDefinition;
  /** Canonical. */
  readonly key: string;
  readonly signal: AbortSignal;
  readonly progress: (name: string, bytes: number, of: number) => void;
}

export async function searchFiles(
  input: SearchInput,
): Promise<{ readonly sightings: Sighting[]; readonly unsearched: Unsearched[] }> {
  const sightings: Sighting[] = [];
  const unsearched: Unsearched[] = [];
  for (const [number, book] of input.books.entries()) {
    if (input.signal.aborted) continue;
    const found = await findContent(input.finder, book, book.slices, book.isSuperseded);
    if (book.slices.length === 0) {
      // A file that was parked or refused, or undone, may hold the event all the same.
      if (found.kind === 'open' && (await holds(found.content, book, input)))
        unsearched.push({
          book,
          reason: `it may hold the event, but nothing of it is stored: ${book.state}`,
        });
      if (found.kind === 'open') await found.content.close();
      continue;
    }
    if (found.kind === 'gone') {
      const reason = book.isSuperseded ? 'another content has its name now' : 'the file is gone';
      unsearched.push({ book, reason });
      continue;
    }
    if (found.kind === 'unreadable') {
      unsearched.push({ book, reason: found.reason });
      continue;
    }
    const file = found.content;
    try {
      if (!(await holds(file, book, input))) continue;
      if ((await firstChanged(file, book.slices)) !== null)
        unsearched.push({ book, reason: 'its bytes are not those that were committed' });
      else sightings.push(...(await searchFile(file, book, number, input)));
    } finally {
      await file.close();
    }
  }
  return { sightings, unsearched };
}

/** ASCII as it stands in a file, read byte by byte: in UTF-16, whichever half comes first, with zeros in between. */
export function spelt(text: string, unit: 1 | 2): string {
  return unit === 1 ? text : text.split('').join('\0');
}

const BLOCK_BYTES = 4 * 1024 * 1024;
/** The first digits of a UUID stand together in every spelling. */
const DIGITS = 8;

/** Whether the first digits stand anywhere in the file, which nearly always says no: the rest of the work is for few files. */
async function holds(file: Content, book: BookFile, { key, progress }: SearchInput): Promise<boolean> {
  const { size } = file;
  const unit = unitBytes(await encodingOfContent(file, book.dialect));
  const wanted = spelt(key.slice(0, DIGITS), unit);
  for (let at = 0; at < size; at += BLOCK_BYTES - unit * DIGITS) {
    const bytes = await readAt(file, at, BLOCK_BYTES);
    if (bytes.toString('latin1').toLowerCase().includes(wanted)) return true;
    progress(book.name, at, size);
  }
  return false;
}

async function searchFile(
  file: Content,
  book: BookFile,
  number: number,
  { table, key, signal }: SearchInput,
): Promise<Sighting[]> {
  const layout = await readLayout(file, file.size, table, book.dialect);
  const found: Sighting[] = [];
  if (layout === null) return found;
  const keyAt = keyIndex(table);
  for (const run of runsOf(book.slices)) {
    const [first, last] = [run[0], run.at(-1)];
    if (first === undefined || last === undefined) continue;
    const range = { start: first.start, end: last.end, line: first.firstLine };
    for await (const block of readRecords(file, layout, table, range)) {
      if (signal.aborted) return found;
      for (const record of block) {
        const isIt =
          record.values === null
            ? await mentions(file, record, key, unitBytes(layout.encoding))
            : record.values[keyAt] === key;
        const slice = isIt ? run.find(({ end }) => record.offset < end) : undefined;
        if (slice !== undefined) found.push({ book, number, slice, record });
      }
    }
  }
  return found;
}

const REJECT_BYTES_MAX = 64 * 1024;

async function mentions(file: Content, record: FoundRecord, key: string, unit: 1 | 2): Promise<boolean> {
  const bytes = await readAt(file, record.offset, Math.min(record.length, REJECT_BYTES_MAX));
  const text = bytes.toString('latin1').toLowerCase();
  return [key, key.replaceAll('-', '')].some((word) => text.includes(spelt(word, unit)));
}
