// `millrace why EVENT_ID`: every place where an event was seen, and what became of it there. Words only; searching and judging are in why/.

import type pg from 'pg';
import { EXIT, MillraceError } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import type { WhyOptions } from '../options.ts';
import { quoteTable } from '../schema/ddl.ts';
import { events } from '../schema/events.ts';
import { openScreen } from '../telemetry/screen.ts';
import { counted, printable } from '../telemetry/text.ts';
import { withBooks } from './books/open.ts';
import type { OpenBooks } from './books/open.ts';
import type { CommandIo } from './command.ts';
import { createFinder } from './books/content.ts';
import { currentSource, nothingRead, progressOn } from './verify.ts';
import type { BookReject } from './verify/books.ts';
import { readBooks } from './verify/books.ts';
import { inSnapshot } from './verify/snapshot.ts';
import { RecordTable } from './verify/table.ts';
import { canonicalUuid } from './verify/values.ts';
import { fatesOf, quarantined, readRow } from './why/fate.ts';
import type { Fate, StoredRow } from './why/fate.ts';
import { searchFiles } from './why/search.ts';
import type { Sighting, Unsearched } from './why/search.ts';

interface Answer {
  readonly key: string;
  readonly row: StoredRow | null;
  readonly seen: readonly { readonly sighting: Sighting; readonly fate: Fate }[];
  readonly unsearched: readonly Unsearched[];
  /** Rejects of files that are gone. */
  readonly kept: readonly (BookReject & { readonly file: string })[];
}

/** Exit 1 when it was never seen. @throws {MillraceError} */
export async function why(options: WhyOptions, io: CommandIo): Promise<ExitCode> {
  const [given = ''] = options.paths;
  const key = canonicalUuid(given);
  if (key === null) throw new MillraceError('usage', `why: EVENT_ID must be a UUID, got ${given}`);
  const screen = openScreen(io.stderr, io.env);
  const work = async ({ client }: OpenBooks): Promise<Answer> => {
    const source = await currentSource(client, options);
    const tools = { signal: io.signal, progress: progressOn(screen, 'searching') };
    return inSnapshot(client, () => answer(client, source.id, key, options, tools));
  };
  // Records are compared in a temporary table, which the read role may not make.
  const outcome = await withBooks(options, io, work, 'operator').finally(() => screen.show(null));
  if (outcome.kind === 'none') throw nothingRead(options);
  if (outcome.kind === 'interrupted' || io.signal.aborted) return EXIT.interrupted;
  const found = outcome.value;
  (options.json ? io.stderr : io.stdout).write(answerText(found));
  if (options.json) io.stdout.write(`${JSON.stringify(answerJson(found))}\n`);
  return found.row === null && found.seen.length === 0 && found.kept.length === 0 ? EXIT.found : EXIT.done;
}

async function answer(
  client: pg.Client,
  sourceId: number,
  key: string,
  options: WhyOptions,
  tools: {
    readonly signal: AbortSignal;
    readonly progress: (name: string, bytes: number, of: number) => void;
  },
): Promise<Answer> {
  const tableSql = quoteTable(options.table);
  const row = await readRow(client, events, tableSql, key);
  const books = await readBooks(client, sourceId);
  const input = {
    books,
    finder: createFinder(options),
    table: events,
    key,
    ...tools,
  };
  const { sightings, unsearched } = await searchFiles(input);
  const records = new RecordTable(client, events, tableSql);
  await records.make();
  const valid = sightings.filter(({ record }) => record.values !== null);
  await records.add(valid.map(({ record, number }) => ({ record, file: number, group: 0 })));
  const fates = await fatesOf(client, sightings, row, records);
  const seen = sightings.flatMap((sighting, index) => {
    const fate = fates[index];
    return fate === undefined ? [] : [{ sighting, fate }];
  });
  return { key, row, seen, unsearched, kept: await quarantined(client, unsearched, key) };
}

function answerText({ key, row, seen, unsearched, kept }: Answer): string {
  const lines = [row === null ? `${key} is not stored` : `${key} is stored${writtenBy(row)}`];
  if (row !== null)
    lines.push(
      `  ${Object.entries(row.values)
        .map(([name, value]) => `${name}=${value === null ? 'NULL' : String(value as string | number)}`)
        .join(', ')}`,
    );
  for (const { sighting, fate } of seen) {
    const { batch, committedAt } = sighting.slice;
    const where = `batch ${batch}, ${committedAt.toISOString()}`;
    const later = fate.kind === 'inserted' ? laterBatch(row, committedAt) : '';
    lines.push(`${placeOf(sighting)} (byte ${sighting.record.offset}; ${where}): ${fateText(fate)}${later}`);
  }
  for (const { file, line, offset, code, sentence } of kept)
    lines.push(`${file}:${line} (byte ${offset}; the file is gone): ${code}: ${sentence}`);
  if (seen.length === 0 && kept.length === 0)
    lines.push('it stands in none of the files that could be searched');
  for (const { book, reason } of unsearched.slice(0, 20))
    lines.push(`not searched: ${book.name}: ${reason}${isOf(book.slices, row)}`);
  if (unsearched.length > 20) lines.push(`not searched: ${counted(unsearched.length - 20, 'more file')}`);
  return `${lines.map(printable).join('\n')}\n`;
}

/** A row that was replayed out of quarantine has another batch than its record; so may one of a range that was merged. */
function laterBatch(row: StoredRow | null, committedAt: Date): string {
  const batch = row?.batch ?? null;
  if (batch === null || batch.committedAt.getTime() === committedAt.getTime()) return '';
  return ` by batch ${batch.number}, ${batch.committedAt.toISOString()}`;
}

function writtenBy({ batch }: StoredRow): string {
  return batch === null
    ? '; its row was written by a transaction that the books do not know: by somebody else, or changed since'
    : `, by batch ${batch.number} at ${batch.committedAt.toISOString()}`;
}

function isOf(slices: readonly { readonly xids: readonly number[] }[], row: StoredRow | null): string {
  return row !== null && slices.some(({ xids }) => xids.includes(row.xid))
    ? '; a transaction of this file stored the row'
    : '';
}

function placeOf({ book, record }: Sighting): string {
  return `${book.name}:${record.line}`;
}

function fateText(fate: Fate): string {
  switch (fate.kind) {
    case 'inserted':
      return 'inserted';
    case 'duplicate': {
      const of = fate.of === null ? 'a row from elsewhere' : placeOf(fate.of);
      return fate.differs === null
        ? `duplicate of ${of}`
        : `duplicate of ${of}, with other values: ${fate.differs}`;
    }
    case 'rejected':
      return `rejected: ${fate.code}${fate.sentence === null ? '' : `: ${fate.sentence}`}`;
    case 'rowless':
      return 'valid, but there is no row: it was removed from the table since';
    case 'untraced':
      return 'inserted or duplicate: which record the row came from cannot be told';
    default:
      return fate satisfies never;
  }
}

/** What `--json` prints. */
function answerJson({ key, row, seen, unsearched, kept }: Answer): unknown {
  return {
    event: key,
    stored: row === null ? null : { values: row.values, batch: row.batch },
    seen: seen.map(({ sighting, fate }) => ({
      file: sighting.book.name,
      line: sighting.record.line,
      offset: sighting.record.offset,
      batch: sighting.slice.batch,
      committedAt: sighting.slice.committedAt,
      fate: fate.kind,
      of: fate.kind === 'duplicate' && fate.of !== null ? placeOf(fate.of) : null,
      code: fate.kind === 'rejected' ? fate.code : null,
      detail: fate.kind === 'rejected' ? fate.sentence : fate.kind === 'duplicate' ? fate.differs : null,
    })),
    kept: kept.map(({ file, line, offset, code, sentence }) => ({ file, line, offset, code, sentence })),
    notSearched: unsearched.map(({ book, reason }) => ({ file: book.name, reason })),
  };
}
