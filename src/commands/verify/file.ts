// One file of the books, read again: are its committed bytes still those, what are its records, and what do the books say of them? Valid records
// go to the table that is compared with the user's.

import type pg from 'pg';
import type { TableDefinition } from '../../schema/table.ts';
import { firstChanged, readAt } from '../books/content.ts';
import type { Content } from '../books/content.ts';
import { SliceAccount } from './account.ts';
import type { BookFile, BookSlice } from './books.ts';
import { readRejects } from './books.ts';
import type { Layout } from './reader.ts';
import { readLayout, readRecords } from './reader.ts';
import type { Findings, Sheet } from './report.ts';
import type { Placed, RecordTable } from './table.ts';

export interface FileTools {
  readonly client: pg.Client;
  readonly table: TableDefinition;
  readonly records: RecordTable;
  readonly groups: ReadonlyMap<BookSlice, number>;
  readonly findings: Findings;
  readonly signal: AbortSignal;
  /** Bytes read so far of a file of that size. */
  readonly progress: (name: string, bytes: number, of: number) => void;
}

/** Returns true when all committed ranges were read again. `number` stands for the file in the table of records. */
export async function verifyFile(
  tools: FileTools,
  file: Content,
  book: BookFile,
  number: number,
  sheet: Sheet,
): Promise<boolean> {
  const { size } = file;
  sheet.bytesUnread = Math.max(0, size - (book.slices.at(-1)?.end ?? 0));
  const changed = await firstChanged(file, book.slices);
  if (changed !== null) {
    const text = `bytes ${changed.start} to ${changed.end} are not those that were committed`;
    const place = { file: book.name, line: changed.firstLine, offset: changed.start, key: null };
    tools.findings.add(sheet, { kind: 'content', ...place, text });
    sheet.standing = 'changed';
    return false;
  }
  if (book.slices.length === 0) return true;
  const layout = await readLayout(file, size, tools.table, book.dialect);
  if (layout === null) {
    if (book.slices.every(({ records }) => records === 0)) return true;
    const text = 'the first line is no header that names the required columns, though records are booked';
    tools.findings.add(sheet, { kind: 'header', file: book.name, line: 1, offset: 0, key: null, text });
    return false;
  }
  try {
    for (const run of runsOf(book.slices)) await verifyRun(tools, file, book, run, layout, number, sheet);
  } finally {
    await tools.records.settled();
  }
  return !tools.signal.aborted;
}

/** Committed ranges that join without a gap. */
export function runsOf(slices: readonly BookSlice[]): BookSlice[][] {
  const runs: BookSlice[][] = [];
  for (const slice of slices) {
    const last = runs.at(-1);
    if (last !== undefined && last.at(-1)?.end === slice.start) last.push(slice);
    else runs.push([slice]);
  }
  return runs;
}

async function verifyRun(
  tools: FileTools,
  file: Content,
  book: BookFile,
  run: readonly BookSlice[],
  layout: Layout,
  number: number,
  sheet: Sheet,
): Promise<void> {
  const reread = (offset: number, length: number): Promise<Buffer> => readAt(file, offset, length);
  const [first, ...later] = run;
  if (first === undefined) return;
  let account = await openAccount(tools, book, first, sheet);
  const end = run.at(-1)?.end ?? first.end;
  const range = { start: first.start, end, line: first.firstLine };
  for await (const block of readRecords(file, layout, tools.table, range)) {
    if (tools.signal.aborted) return;
    const placed: Placed[] = [];
    for (const record of block) {
      for (let next = later[0]; next !== undefined && record.offset >= account.slice.end; next = later[0]) {
        await account.close(reread);
        account = await openAccount(tools, book, next, sheet);
        later.shift();
      }
      const group = tools.groups.get(account.slice) ?? -1;
      if (account.take(record)) placed.push({ record, file: number, group });
    }
    await tools.records.addMeanwhile(placed);
    tools.progress(book.name, block.at(-1)?.offset ?? range.start, end);
  }
  await account.close(reread);
  for (const slice of later) await (await openAccount(tools, book, slice, sheet)).close(reread);
}

async function openAccount(
  tools: FileTools,
  book: BookFile,
  slice: BookSlice,
  sheet: Sheet,
): Promise<SliceAccount> {
  // Also where the books say that there are none: a single query costs 0.1 ms, and a stray reject is a difference.
  await tools.records.settled();
  const rejects = await readRejects(tools.client, book.generation, slice);
  return new SliceAccount(slice, rejects, sheet, tools.findings);
}
