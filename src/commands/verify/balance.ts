// The whole of `verify` without its words: files, books and table of one source against each other, in one snapshot of the database. What
// a single file says is judged in file.ts and account.ts; here files and table are joined.

import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { MillraceError } from '../../errors.ts';
import { quoteTable } from '../../schema/ddl.ts';
import type { TableDefinition, TableName } from '../../schema/table.ts';
import { findContent } from '../books/content.ts';
import type { Finder } from '../books/content.ts';
import { MEANINGFUL, groupByTransaction, readBooks } from './books.ts';
import type { BookFile, BookSlice } from './books.ts';
import { verifyFile } from './file.ts';
import type { FileTools } from './file.ts';
import { Findings } from './report.ts';
import type { Sheet } from './report.ts';
import { inSnapshot } from './snapshot.ts';
import { ELSEWHERE, RecordTable } from './table.ts';
import type { KeyPlace, Sampled } from './table.ts';

export interface BalanceInput {
  readonly client: pg.Client;
  readonly table: TableDefinition;
  readonly tableName: TableName;
  readonly sourceId: number;
  readonly finder: Finder;
  /** Names below the folder, as bytes in latin1; null: all files, and the table as a whole. */
  readonly only: ReadonlySet<string> | null;
  /** Rows that neither a file nor the books know are no difference. */
  readonly allowUnknownRows: boolean;
  readonly signal: AbortSignal;
  readonly progress: (name: string, bytes: number, of: number) => void;
}

const SHOWN_PER_KIND = 100;

/** In one snapshot of its own; `client` must be in no transaction. */
export function balance(input: BalanceInput): Promise<Findings> {
  return inSnapshot(input.client, () => compareAll(input));
}

async function compareAll(input: BalanceInput): Promise<Findings> {
  const findings = new Findings();
  const books = await readBooks(input.client, input.sourceId);
  const { ofXid, ofSlice } = groupByTransaction(books);
  const records = new RecordTable(input.client, input.table, quoteTable(input.tableName));
  await records.make();
  const { client, table, signal, progress } = input;
  const tools = { client, table, records, groups: ofSlice, findings, signal, progress };
  const read = await readFiles(input, tools, books);
  if (signal.aborted) return findings;
  await noteUnread(input, books, findings);
  // Files of one transaction are written down in no order; contents of one name stay in theirs.
  findings.sheets.sort((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
  await records.nameTransactions(ofXid, MEANINGFUL);
  progress('all records against the rows of the table', 0, 0);
  await records.join(input.only === null ? 'all' : 'of records');
  await compareTable(input, books, read, ofSlice, records, findings);
  return findings;
}

/** Reads every file again that is there; returns those of which all committed ranges were read. */
async function readFiles(
  input: BalanceInput,
  tools: FileTools,
  books: readonly BookFile[],
): Promise<Set<BookFile>> {
  const read = new Set<BookFile>();
  for (const [number, book] of books.entries()) {
    if (input.only !== null && !input.only.has(book.nameBytes.toString('latin1'))) continue;
    if (input.signal.aborted) break;
    const sheet = sheetOf(book);
    tools.findings.sheets.push(sheet);
    if (book.slices.length === 0 && book.state !== 'reading' && book.state !== 'done') {
      sheet.standing = 'refused';
      continue;
    }
    sayGaps(tools.findings, book, sheet);
    const found = await findContent(input.finder, book, book.slices, book.isSuperseded);
    if (found.kind === 'gone') {
      sheet.standing = 'gone';
      if (book.slices.length === 0) read.add(book);
      continue;
    }
    if (found.kind === 'unreadable') {
      const place = { file: book.name, line: null, offset: null, key: null };
      const text = `what was committed cannot be read again: ${found.reason}`;
      tools.findings.add(sheet, { kind: 'content', ...place, text });
      sheet.standing = 'changed';
      continue;
    }
    try {
      if (await verifyFile(tools, found.content, book, number, sheet)) read.add(book);
    } finally {
      await found.content.close();
    }
  }
  return read;
}

/** What was done is covered by its ranges up to its size then. How long a compressed one is, the books do not say. */
function sayGaps(findings: Findings, book: BookFile, sheet: Sheet): void {
  const { state, size, name, slices } = book;
  if (state !== 'done' || size === null || /\.gz$/i.test(name)) return;
  let reach = 0;
  let line = 1;
  const say = (end: number): void => {
    const text = `bytes ${reach} to ${end} of a file that is done are in no committed range`;
    findings.add(sheet, { kind: 'records', file: name, line, offset: reach, key: null, text });
  };
  for (const slice of slices) {
    if (slice.start > reach && reach < size) say(Math.min(slice.start, size));
    reach = Math.max(reach, slice.end);
    line = slice.firstLine + slice.lines;
  }
  if (reach < size) say(size);
}

function sheetOf(book: BookFile): Sheet {
  const sum = (of: (slice: BookSlice) => number): number =>
    book.slices.reduce((all, slice) => all + of(slice), 0);
  return {
    name: book.name,
    generation: book.generation,
    state: book.state,
    standing: 'agrees',
    records: sum((slice) => slice.records),
    inserted: sum((slice) => slice.inserted),
    duplicates: sum((slice) => slice.duplicates),
    conflicting: sum((slice) => slice.conflicting),
    rejected: sum((slice) => slice.rejected),
    recordsFound: 0,
    rejectedFound: 0,
    bytesUnread: 0,
  };
}

/** Files that were asked for by name, and that the books do not know. */
async function noteUnread(
  { only, finder: { folder } }: BalanceInput,
  books: readonly BookFile[],
  findings: Findings,
): Promise<void> {
  const known = new Set(books.map(({ nameBytes }) => nameBytes.toString('latin1')));
  for (const name of only ?? (await namesIn(folder))) {
    if (known.has(name)) continue;
    const shown = Buffer.from(name, 'latin1').toString('utf8');
    if (only !== null && !(await isThere(folder, name)))
      throw new MillraceError('input', `the books know no file ${shown}, and ${folder} has none`, {
        wayOut: 'millrace status lists the files by name',
      });
    const empty = { records: 0, inserted: 0, duplicates: 0, conflicting: 0, rejected: 0 };
    const found = { recordsFound: 0, rejectedFound: 0, bytesUnread: 0 };
    findings.sheets.push({
      name: shown,
      generation: null,
      state: null,
      standing: 'unread',
      ...empty,
      ...found,
    });
  }
}

async function isThere(folder: string, name: string): Promise<boolean> {
  const path = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name, 'latin1')]);
  return lstat(path).then(
    () => true,
    () => false,
  );
}

async function namesIn(folder: string): Promise<Set<string>> {
  const entries = await readdir(folder, { encoding: 'buffer', withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => entry.name.toString('latin1'));
  return new Set(files.filter((name) => name.endsWith('.csv') && !name.startsWith('.')));
}

async function compareTable(
  input: BalanceInput,
  books: readonly BookFile[],
  read: ReadonlySet<BookFile>,
  groupOf: ReadonlyMap<BookSlice, number>,
  records: RecordTable,
  findings: Findings,
): Promise<void> {
  const sheets = new Map(findings.sheets.map((sheet) => [sheet.generation, sheet]));
  const say = async (
    kind: 'missing' | 'changed' | 'winner',
    sampled: Sampled<KeyPlace>,
    textOf: (place: KeyPlace) => Promise<string>,
  ): Promise<void> => {
    const { rows, total } = sampled;
    for (const [index, place] of rows.entries()) {
      const book = books[place.file];
      const sheet = sheets.get(book?.generation ?? null) ?? null;
      const { line, offset, key } = place;
      const times = index === rows.length - 1 ? total - index : 1;
      const text = `${input.table.key} ${key} ${await textOf(place)}`;
      findings.add(sheet, { kind, file: book?.name ?? null, line, offset, key, text }, times);
    }
  };
  const groups = groupsOf(books, read, groupOf);
  const whole = [...groups].flatMap(([number, { isWhole }]) => (isWhole ? [number] : []));
  await say('missing', await records.missing(SHOWN_PER_KIND), async () => 'is in no row of the table');
  await say(
    'changed',
    await records.changed(whole, SHOWN_PER_KIND),
    async (place) => `has other values: ${await records.contrast(place)}`,
  );
  await say(
    'winner',
    await records.wrongWinner(whole, SHOWN_PER_KIND),
    async () => 'is stored with the values of another record than the one whose transaction stored it',
  );
  await compareCounts(groups, records, findings, sheets);
  if (input.only === null) await compareRest(input, books, read, groups, records, findings);
}

interface Group {
  /** Files of which slices belong to it. */
  readonly files: Set<BookFile>;
  /** Every slice of it was read again. */
  isWhole: boolean;
  inserted: number;
  /** Of the slices that were read. */
  insertedRead: number;
  conflictingRead: number;
}

function groupsOf(
  books: readonly BookFile[],
  read: ReadonlySet<BookFile>,
  groupOf: ReadonlyMap<BookSlice, number>,
): Map<number, Group> {
  const groups = new Map<number, Group>();
  for (const book of books) {
    for (const slice of book.slices) {
      const number = groupOf.get(slice);
      if (number === undefined) continue;
      const empty = {
        files: new Set<BookFile>(),
        isWhole: true,
        inserted: 0,
        insertedRead: 0,
        conflictingRead: 0,
      };
      const group = groups.get(number) ?? empty;
      groups.set(number, group);
      group.files.add(book);
      group.inserted += slice.inserted;
      if (read.has(book)) {
        group.insertedRead += slice.inserted;
        group.conflictingRead += slice.conflicting;
      } else group.isWhole = false;
    }
  }
  return groups;
}

/** What the books call inserted against the rows that carry the transactions of the same slices. */
async function compareCounts(
  groups: ReadonlyMap<number, Group>,
  records: RecordTable,
  findings: Findings,
  sheets: ReadonlyMap<string | null, Sheet>,
): Promise<void> {
  const counted = await records.groups();
  let uncounted = 0;
  for (const [number, group] of groups) {
    const { stored = 0, untraced = 0, differing = 0 } = counted.get(number) ?? {};
    const { insertedRead, conflictingRead, isWhole } = group;
    const [first] = group.files;
    const sheet = sheets.get(first?.generation ?? null) ?? null;
    const names = [...group.files].slice(0, 3).map(({ name }) => name);
    const among = `${names.join(', ')}${group.files.size > 3 ? ` and ${group.files.size - 3} more files` : ''}`;
    const place = { file: first?.name ?? null, line: null, offset: null, key: null };
    const isLess = isWhole && insertedRead < stored;
    if (isLess || insertedRead > stored + untraced) {
      const text = `the books count ${insertedRead} inserted in a transaction of ${among}, the table holds ${stored} rows of it`;
      findings.add(sheet, { kind: 'inserted', ...place, text });
    }
    if (conflictingRead > differing) {
      const text = `the books count ${conflictingRead} conflicting duplicates in a transaction of ${among}, ${differing} differ from their row`;
      findings.add(sheet, { kind: 'conflicting', ...place, text });
    } else uncounted += differing - conflictingRead;
  }
  if (uncounted > 0)
    findings.notes.push(
      `${uncounted} records differ from the stored row and are not booked as conflicting: they were read before conflicts were counted, their row was changed since, or the user may not SELECT all columns`,
    );
}

/** Rows that no record explains, and the sum where single transactions cannot be told apart. */
async function compareRest(
  input: BalanceInput,
  books: readonly BookFile[],
  read: ReadonlySet<BookFile>,
  groups: ReadonlyMap<number, Group>,
  records: RecordTable,
  findings: Findings,
): Promise<void> {
  const say = (keys: readonly string[], count: number, why: string): void => {
    for (const [index, key] of keys.entries()) {
      const times = index === keys.length - 1 ? count - index : 1;
      const text = `${input.table.key} ${key} is in the table and ${why}`;
      findings.add(null, { kind: 'extra', file: null, line: null, offset: null, key, text }, times);
    }
  };
  const extra = await records.extra();
  for (const [number, { count, keys }] of extra) {
    const group = number === null || number === ELSEWHERE ? undefined : groups.get(number);
    if (number === ELSEWHERE) {
      findings.notes.push(
        `${count} rows were stored from other sources or files that are not in the books any more`,
      );
    } else if (group === undefined) {
      if (!input.allowUnknownRows) say(keys, count, 'neither a file nor the books know it');
      else findings.notes.push(`${count} rows are known neither to a file nor to the books`);
    } else {
      const unread = group.inserted - group.insertedRead;
      const { name = '' } = [...group.files][0] ?? {};
      if (count > unread && input.allowUnknownRows)
        findings.notes.push(
          `${count - unread} rows share a transaction with ${name}, and no record there has them`,
        );
      else if (count > unread)
        say(
          keys,
          count - unread,
          `a transaction of ${name} stored it, but no record there has it (nor have files whose books were pruned, if there were any: --allow-unknown-rows)`,
        );
      else
        findings.notes.push(`${count} rows are of files whose bytes are gone: only the books speak for them`);
    }
  }
  await compareGone(groups, extra, records, findings);
  await compareSum(books, read, groups, records, findings);
}

/**
 * Where bytes are gone, the books are the only witness: as many rows as they count must carry these transactions. A row that somebody
 * changed carries another one, which nobody knows; so many may be missing.
 */
async function compareGone(
  groups: ReadonlyMap<number, Group>,
  extra: ReadonlyMap<number | null, { readonly count: number }>,
  records: RecordTable,
  findings: Findings,
): Promise<void> {
  const partial = [...groups].filter(([, { isWhole }]) => !isWhole);
  if (partial.length === 0) return;
  const known = await records.rowsWithRecord(partial.map(([number]) => number));
  const rowsOf = (number: number | null): number =>
    (extra.get(number)?.count ?? 0) + (known.get(number) ?? 0);
  const short = partial.flatMap(([number, { files, inserted }]) => {
    const names = [...files].slice(0, 3).map(({ name }) => name);
    const times = inserted - rowsOf(number);
    return times > 0 ? [{ times, names, inserted }] : [];
  });
  const missing = short.reduce((sum, { times }) => sum + times, 0);
  if (missing > 0 && missing <= rowsOf(null))
    findings.notes.push(`${missing} rows of files whose bytes are gone were changed since, or removed`);
  if (missing <= rowsOf(null)) return;
  for (const { times, names, inserted } of short) {
    const text = `the books count ${inserted} inserted in a transaction of ${names.join(', ')}, whose bytes are gone, and ${times} of these rows are not in the table`;
    const place = { file: names[0] ?? null, line: null, offset: null, key: null };
    findings.add(null, { kind: 'inserted', ...place, text }, times);
  }
}

/** After dump and restore no row can be traced to its transaction: then only the sum says something. */
async function compareSum(
  books: readonly BookFile[],
  read: ReadonlySet<BookFile>,
  groups: ReadonlyMap<number, Group>,
  records: RecordTable,
  findings: Findings,
): Promise<void> {
  const slices = books.flatMap((book) => book.slices);
  const traced = [...groups.values()].reduce((sum, group) => sum + group.inserted, 0);
  const inserted = slices.reduce((sum, slice) => sum + slice.inserted, 0);
  if (traced === inserted) return;
  findings.notes.push(
    'transaction ids of another cluster or database: rows cannot be traced to their files, only sums are compared',
  );
  if (read.size < books.length) return;
  const stored = await records.storedKeys();
  if (stored === inserted) return;
  const text = `the books count ${inserted} inserted in all, the table holds ${stored} of the files' records`;
  findings.add(null, { kind: 'inserted', file: null, line: null, offset: null, key: null, text });
}

/** The name of a file below the folder as the books know it, or null when it is not in there. */
export function nameBelow(folder: string, path: string): string | null {
  const below = path.startsWith(join(folder, '/')) ? path.slice(join(folder, '/').length) : null;
  return below === null || below === '' ? null : Buffer.from(below, 'utf8').toString('latin1');
}
