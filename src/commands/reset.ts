// `millrace reset`: takes away the stored events, the books of a source, or both, in one transaction, after saying what and asking.
// The lease stays: it is how a running instance learns that it must begin again.

import pg from 'pg';
import { MillraceError } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import type { ResetOptions } from '../options.ts';
import { inTheirPath } from '../sink/postgres/search-path.ts';
import { counted, printable } from '../telemetry/text.ts';
import { agreed, refuseWithoutAnswer, sayOutcome } from './books/ask.ts';
import { removeBooks, underExclusiveFence } from './books/exclusive.ts';
import { allSources, haveBooks, isMeant, sourceName, targetName, withBooks } from './books/open.ts';
import type { OpenBooks, SourceRow } from './books/open.ts';
import type { CommandIo } from './command.ts';

/** What would go. `rows` is null when the events stay, or there is no table. */
interface Plan {
  readonly rows: number | null;
  /** Whose books go: none, or the one that is meant. */
  readonly books: readonly SourceRow[];
  /** Who must forget: whoever writes to this table. */
  readonly writers: readonly SourceRow[];
  readonly files: number;
  readonly rejects: number;
}

export async function reset(options: ResetOptions, io: CommandIo): Promise<ExitCode> {
  refuseWithoutAnswer('reset', options.yes, io);
  const role = options.checkpoint && !options.events ? 'operator' : 'owner'; // TRUNCATE is the owner's
  const outcome = await withBooks(options, io, (books) => resetIn(books, options, io), role);
  return sayOutcome(outcome, io);
}

/** Returns what was done, as a sentence. */
async function resetIn(books: OpenBooks, options: ResetOptions, io: CommandIo): Promise<string> {
  const plan = await planReset(books.client, options);
  const what = planText(plan, options);
  if (what === '') return 'there is nothing to remove';
  io.stderr.write(`millrace: this removes ${what}\n  in ${books.describe}\n`);
  if (!options.yes && !(await agreed('Remove all that?', io))) return 'nothing was removed';
  await underExclusiveFence(books.client, plan.writers, () => remove(books.client, plan, options));
  return `removed ${what}`;
}

async function planReset(client: pg.Client, options: ResetOptions): Promise<Plan> {
  const both = options.events === options.checkpoint;
  const sources = (await haveBooks(client)) ? await allSources(client) : [];
  const books = options.checkpoint || both ? sources.filter((row) => isMeant(row, options)) : [];
  const events = options.events || both;
  const target = targetName(options);
  return {
    rows: events ? await countRows(client, options) : null,
    books,
    writers: sources.filter((row) => books.includes(row) || (events && row.target === target)),
    files: await countOf(client, 'millrace.files WHERE source_id = ANY ($1)', books),
    rejects: await countOf(
      client,
      'millrace.rejects JOIN millrace.files USING (generation) WHERE source_id = ANY ($1)',
      books,
    ),
  };
}

/** `from` is text of this file, never data. */
async function countOf(client: pg.Client, from: string, books: readonly SourceRow[]): Promise<number> {
  if (books.length === 0) return 0;
  const sql = `SELECT count(*)::float8 AS count FROM ${from}`;
  const { rows } = await client.query<{ count: number }>(sql, [books.map(({ id }) => id)]);
  return rows[0]?.count ?? 0;
}

async function countRows(client: pg.Client, options: ResetOptions): Promise<number | null> {
  const name = quoted(options);
  const there = await client.query<{ found: boolean }>('SELECT to_regclass($1) IS NOT NULL AS found', [name]);
  if (there.rows[0]?.found !== true) return null;
  const { rows } = await client.query<{ count: number }>(`SELECT count(*)::float8 AS count FROM ${name}`);
  return rows[0]?.count ?? 0;
}

/** Both parts passed the judge of --table: plain identifiers. */
function quoted({ table }: Pick<ResetOptions, 'table'>): string {
  return `${pg.escapeIdentifier(table.schema)}.${pg.escapeIdentifier(table.name)}`;
}

/** Empty when there is nothing to remove. */
function planText(plan: Plan, options: ResetOptions): string {
  const parts: string[] = [];
  if (plan.rows !== null) parts.push(`${counted(plan.rows, 'row')} of table ${targetName(options)}`);
  if (plan.books.length > 0)
    parts.push(
      `the books of ${printable(sourceName(options))}: ${counted(plan.files, 'file')}, ${counted(plan.rejects, 'rejected record')}`,
    );
  return parts.join(', and ');
}

async function remove(client: pg.Client, plan: Plan, options: ResetOptions): Promise<void> {
  if (plan.rows !== null) await emptyTable(client, options);
  if (plan.books.length === 0) return;
  const sql = 'SELECT generation FROM millrace.files WHERE source_id = ANY ($1)';
  const { rows } = await client.query<{ generation: string }>(sql, [plan.books.map(({ id }) => id)]);
  await removeBooks(
    client,
    rows.map(({ generation }) => generation),
  );
}

const REFERENCED = '0A000';
const NO_RIGHT = '42501';

/** TRUNCATE: at ten million rows a DELETE takes a minute and leaves as much to vacuum. */
async function emptyTable(client: pg.Client, options: ResetOptions): Promise<void> {
  try {
    await inTheirPath(client, () => client.query(`TRUNCATE ${quoted(options)}`));
  } catch (cause) {
    if (!(cause instanceof pg.DatabaseError)) throw cause;
    if (cause.code === NO_RIGHT) throw mayNotEmpty(client, options, cause);
    if (cause.code !== REFERENCED) throw cause;
    throw new MillraceError('database', `${targetName(options)} cannot be emptied: ${cause.message}`, {
      wayOut: 'remove the rows that refer to it first; nothing was removed',
      cause,
    });
  }
}

/** The role that loads need not be able to take everything away: say which right it lacks, and who can do it instead. */
function mayNotEmpty(client: pg.Client, options: ResetOptions, cause: Error): MillraceError {
  const user = client.user ?? 'the user of the connection';
  return new MillraceError(
    'database',
    `${user} may not empty ${targetName(options)}: it lacks the right TRUNCATE`,
    {
      wayOut:
        `GRANT TRUNCATE ON ${quoted(options)} TO ${pg.escapeIdentifier(user)}; as the owner of the table, ` +
        'or run millrace reset as that owner; nothing was removed',
      cause,
    },
  );
}
