// A file as it stands now against the rows that an earlier content of it inserted. Finding the earlier content, and the comparison; no words.

import type { FileHandle } from 'node:fs/promises';
import type { Dialect } from '../../core/slice.ts';
import type pg from 'pg';
import { MillraceError } from '../../errors.ts';
import { quoteTable } from '../../schema/ddl.ts';
import type { TableDefinition, TableName } from '../../schema/table.ts';
import type { BookFile, BookSlice } from '../verify/books.ts';
import { readBooks } from '../verify/books.ts';
import { isForeign, openContent } from '../verify/content.ts';
import type { Unpacking } from '../verify/content.ts';
import { firstChanged, runsOf } from '../verify/file.ts';
import { readLayout, readRecords } from '../verify/reader.ts';
import type { FoundRecord } from '../verify/reader.ts';
import { RecordTable } from '../verify/table.ts';

export interface DiffInput {
  readonly client: pg.Client;
  readonly table: TableDefinition;
  readonly tableName: TableName;
  readonly sourceId: number;
  readonly folder: string;
  /** Below the folder; bytes in latin1. */
  readonly name: string;
  readonly dialect: Dialect;
  readonly unpacking: Unpacking;
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
  const path = Buffer.concat([Buffer.from(`${input.folder}/`), Buffer.from(input.name, 'latin1')]);
  const file = await openContent(path, input.unpacking);
  const shown = Buffer.from(input.name, 'latin1').toString('utf8');
  if (file === null) throw new MillraceError('input', `there is no file ${shown} in ${input.folder}`);
  try {
    if (await isForeign(file, input.dialect))
      throw new MillraceError('input', `${shown} is not written in UTF-8, which diff cannot compare`);
    return await compareOpen(input, shown, file, books);
  } finally {
    await file.close();
  }
}

async function compareOpen(
  input: DiffInput,
  shown: string,
  file: FileHandle,
  books: readonly BookFile[],
): Promise<Diff> {
  const { current, earlier } = await contentsOf(input, shown, file, books);
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
  const { size } = await file.stat();
  await addRecords(input, file, [{ start: 0, end: size, firstLine: 1 }], records, THE_FILE, diff);
  await addNeighbours(input, books, earlier, records, diff);
  await records.nameGroups(groups);
  await records.join('of groups too');
  await sortOut(records, diff);
  return diff;
}

/** Which content of the file the books know stands there now, and which was there before. */
async function contentsOf(
  { name, folder }: DiffInput,
  shown: string,
  file: FileHandle,
  books: readonly BookFile[],
): Promise<{ readonly current: BookFile | null; readonly earlier: BookFile | null }> {
  const own = books.filter(({ nameBytes }) => nameBytes.toString('latin1') === name);
  const newest = own.at(-1);
  if (newest === undefined) {
    throw new MillraceError('input', `the books know nothing of ${shown} in ${folder}`, {
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
  file: FileHandle,
  ranges: readonly Pick<BookSlice, 'start' | 'end' | 'firstLine'>[],
  records: RecordTable,
  number: number,
  diff: Diff | null,
): Promise<void> {
  const { size } = await file.stat();
  const layout = await readLayout(file, size, input.table, input.dialect);
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
    const path = Buffer.concat([Buffer.from(`${input.folder}/`), book.nameBytes]);
    const file = book.isSuperseded ? null : await openContent(path, input.unpacking);
    try {
      if (file !== null && (await firstChanged(file, shared)) === null) {
        const ranges = runsOf(shared).map((run) => ({
          start: run[0]?.start ?? 0,
          end: run.at(-1)?.end ?? 0,
          firstLine: run[0]?.firstLine ?? 1,
        }));
        await addRecords(input, file, ranges, records, NEIGHBOURS, null);
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
