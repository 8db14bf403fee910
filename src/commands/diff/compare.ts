// A file as it stands now against the rows that an earlier content of it inserted. Finding the earlier content, and the comparison; no words.

import { DEFAULT_DIALECT, dialectText, sameDialect } from '../../core/booked-dialect.ts';
import type { Dialect } from '../../core/slice.ts';
import type pg from 'pg';
import { MillraceError } from '../../errors.ts';
import { quoteTable } from '../../schema/ddl.ts';
import type { TableDefinition, TableName } from '../../schema/table.ts';
import type { BookFile, BookSlice } from '../verify/books.ts';
import { readBooks } from '../verify/books.ts';
import { findContent, firstChanged, openContent } from '../books/content.ts';
import type { Content, Finder, Opened } from '../books/content.ts';
import { runsOf } from '../verify/file.ts';
import { readLayout, readRecords } from '../verify/reader.ts';
import type { FoundRecord } from '../verify/reader.ts';
import { RecordTable } from '../verify/table.ts';

export interface DiffInput {
  readonly client: pg.Client;
  readonly table: TableDefinition;
  readonly tableName: TableName;
  readonly sourceId: number;
  readonly finder: Finder;
  /** Below the folder; bytes in latin1. */
  readonly name: string;
  /** As the options say it, for a content that is not in the books; what is left at its default is as the earlier content was read. */
  readonly dialect: Dialect;
  readonly signal: AbortSignal;
  readonly progress: (name: string, bytes: number, of: number) => void;
}

export interface Change {
  readonly key: string;
  readonly line: number | null;
  /** How the record differs from the row. */
  readonly text: string | null;
}

export interface Listed {
  count: number;
  readonly first: Change[];
}

export interface Diff {
  readonly name: string;
  readonly earlier: BookFile | null;
  /** The present content was read already, as this generation. */
  readonly current: BookFile | null;
  readonly fresh: Listed;
  readonly changed: Listed;
  readonly gone: Listed;
  same: number;
  rejected: number;
  /** Records whose row came from another file, or was rewritten since; part of `same` or `changed`. */
  elsewhere: number;
  readonly notes: string[];
}

const THE_FILE = 0;
const NEIGHBOURS = 1;
const EARLIER = 1;
const CURRENT = 2;
const CONTRASTS_MAX = 1_000;

/** @throws {MillraceError} `input` when the file is not there, or not in the books */
export async function compareContents(input: DiffInput): Promise<Diff> {
  const books = await readBooks(input.client, input.sourceId);
  const { finder } = input;
  const shown = Buffer.from(input.name, 'latin1').toString('utf8');
  const file = await openPresent(input, books);
  if (file.kind === 'gone') throw new MillraceError('input', `there is no file ${shown} in ${finder.folder}`);
  if (file.kind === 'unreadable') throw new MillraceError('input', `${shown}: ${file.reason}`);
  try {
    return await compareOpen(input, shown, file.content, books);
  } finally {
    await file.content.close();
  }
}

/** What stands in the folder; when nothing does, the newest content that was archived. */
async function openPresent({ finder, name }: DiffInput, books: readonly BookFile[]): Promise<Opened> {
  const nameBytes = Buffer.from(name, 'latin1');
  const present = await openContent(
    Buffer.concat([Buffer.from(`${finder.folder}/`), nameBytes]),
    finder.unpacking,
  );
  const newest = books.filter((book) => book.nameBytes.equals(nameBytes)).at(-1);
  if (present.kind !== 'gone' || newest === undefined) return present;
  return findContent(finder, newest, newest.slices, true);
}

/** The books decide for a content that they know; for another one the options, and where they say nothing the earlier content. */
function dialectFor({ dialect }: DiffInput, shown: string, { current, earlier }: Contents): Dialect {
  if (current === null) {
    const before = { ...DEFAULT_DIALECT, ...earlier?.dialect };
    const given = { ...DEFAULT_DIALECT, ...dialect };
    return {
      newline: given.newline === DEFAULT_DIALECT.newline ? before.newline : given.newline,
      delimiter: given.delimiter ?? before.delimiter,
      nulls: given.nulls.length === 0 ? before.nulls : given.nulls,
      encoding: given.encoding === DEFAULT_DIALECT.encoding ? before.encoding : given.encoding,
    };
  }
  if (!sameDialect(dialect, DEFAULT_DIALECT) && !sameDialect(dialect, current.dialect))
    throw new MillraceError(
      'input',
      `${shown} was read with ${dialectText(current.dialect)}, and ${dialectText(dialect)} is said now`,
      { wayOut: 'leave the options of its form out: the books know how each content was read' },
    );
  return current.dialect;
}

async function compareOpen(
  input: DiffInput,
  shown: string,
  file: Content,
  books: readonly BookFile[],
): Promise<Diff> {
  const { current, earlier } = await contentsOf(input, shown, file, books);
  const dialect = dialectFor(input, shown, { current, earlier });
  const diff: Diff = {
    name: shown,
    earlier,
    current,
    fresh: { count: 0, first: [] },
    changed: { count: 0, first: [] },
    gone: { count: 0, first: [] },
    same: 0,
    rejected: 0,
    elsewhere: 0,
    notes: [],
  };
  if (earlier === null) return diff;
  const groups = transactionsOf(earlier, current);
  const records = new RecordTable(input.client, input.table, quoteTable(input.tableName));
  await records.make();
  const whole = [{ start: 0, end: file.size, firstLine: 1 }];
  await addRecords(input, file, dialect, whole, records, THE_FILE, diff);
  await addNeighbours(input, books, earlier, records, diff);
  await records.nameGroups(groups);
  await records.join('of groups too');
  await sortOut(records, diff);
  return diff;
}

interface Contents {
  readonly current: BookFile | null;
  readonly earlier: BookFile | null;
}

/** Which content of the file the books know stands there now, and which was there before. */
async function contentsOf(
  { name, finder }: DiffInput,
  shown: string,
  file: Content,
  books: readonly BookFile[],
): Promise<Contents> {
  const own = books.filter(({ nameBytes }) => nameBytes.toString('latin1') === name);
  const newest = own.at(-1);
  if (newest === undefined) {
    throw new MillraceError('input', `the books know nothing of ${shown} in ${finder.folder}`, {
      wayOut: 'millrace check says what would become of a file that was never read',
    });
  }
  const isCurrent = newest.slices.length > 0 && (await firstChanged(file, newest.slices)) === null;
  const replaced = books.find(({ generation }) => generation === newest.replaces) ?? null;
  const before = own.filter((book) => book !== newest && book.slices.length > 0).at(-1) ?? replaced;
  if (isCurrent) return { current: newest, earlier: before };
  return { current: null, earlier: newest.slices.length > 0 ? newest : before };
}

function transactionsOf(earlier: BookFile, current: BookFile | null): Map<number, number> {
  if (earlier.slices.some(({ xids }) => xids.length === 0))
    throw new MillraceError('database', 'the rows of the earlier content cannot be traced', {
      wayOut:
        'the books come from another cluster or database (dump and restore): their transaction ids mean nothing here',
    });
  const groups = new Map<number, number>();
  for (const { xids } of current?.slices ?? []) for (const xid of xids) groups.set(xid, CURRENT);
  for (const { xids } of earlier.slices) for (const xid of xids) groups.set(xid, EARLIER);
  return groups;
}

async function addRecords(
  input: DiffInput,
  file: Content,
  dialect: Dialect,
  ranges: readonly Pick<BookSlice, 'start' | 'end' | 'firstLine'>[],
  records: RecordTable,
  number: number,
  diff: Diff | null,
): Promise<void> {
  const layout = await readLayout(file, file.size, input.table, dialect);
  if (layout === null) {
    if (diff !== null) diff.notes.push('its first line is no header: it has no records');
    return;
  }
  for (const { start, end, firstLine } of ranges) {
    for await (const block of readRecords(file, layout, input.table, { start, end, line: firstLine })) {
      input.signal.throwIfAborted();
      const valid = block.filter((record) => record.values !== null);
      if (diff !== null) diff.rejected += block.length - valid.length;
      await records.add(valid.map((record: FoundRecord) => ({ record, file: number, group: 0 })));
      input.progress(diff?.name ?? 'its neighbours', block.at(-1)?.offset ?? start, end);
    }
  }
}

/** Small files travel together: rows of the same transactions that came from other files are not this file's. */
async function addNeighbours(
  input: DiffInput,
  books: readonly BookFile[],
  earlier: BookFile,
  records: RecordTable,
  diff: Diff,
): Promise<void> {
  const xids = new Set(earlier.slices.flatMap((slice) => slice.xids));
  for (const book of books) {
    if (book === earlier || book === diff.current) continue;
    const shared = book.slices.filter((slice) => slice.xids.some((xid) => xids.has(xid)));
    if (shared.length === 0) continue;
    const found = await findContent(input.finder, book, shared, book.isSuperseded);
    const file = found.kind === 'open' ? found.content : null;
    try {
      if (file !== null && (await firstChanged(file, shared)) === null) {
        const ranges = runsOf(shared).map((run) => ({
          start: run[0]?.start ?? 0,
          end: run.at(-1)?.end ?? 0,
          firstLine: run[0]?.firstLine ?? 1,
        }));
        await addRecords(input, file, book.dialect, ranges, records, NEIGHBOURS, null);
      } else
        diff.notes.push(
          `${book.name} travelled in the same transaction and is gone: its rows may be listed as gone from this file`,
        );
    } finally {
      await file?.close();
    }
  }
}

async function sortOut(records: RecordTable, diff: Diff): Promise<void> {
  for (const { stored, same, grp, count, keys, lines, offsets } of await records.keysOf(THE_FILE)) {
    if (stored && grp !== EARLIER && grp !== CURRENT) diff.elsewhere += count;
    if (stored && grp !== CURRENT && same) {
      diff.same += count;
      continue;
    }
    const list = !stored || grp === CURRENT ? diff.fresh : diff.changed;
    list.count += count;
    for (const [index, key] of keys.entries()) {
      const line = lines[index] ?? 0;
      const place = { key, file: THE_FILE, line, offset: offsets[index] ?? 0 };
      const isContrasted = list === diff.changed && index < CONTRASTS_MAX;
      list.first.push({ key, line, text: isContrasted ? await records.contrast(place) : null });
    }
  }
  const { count, keys } = await records.rowsWithout(EARLIER);
  diff.gone.count = count;
  diff.gone.first.push(...keys.map((key) => ({ key, line: null, text: null })));
  for (const list of [diff.fresh, diff.changed]) list.first.sort((a, b) => (a.line ?? 0) - (b.line ?? 0));
}
