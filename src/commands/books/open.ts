// How `status`, `reset` and `prune` reach the books: the database, and the sources in it that they are about. Not for ingestion: nothing
// is made or migrated here, and a database that is away is an error, not something to wait for.

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import pg from 'pg';
import { MillraceError } from '../../errors.ts';
import { OPTIONS } from '../../options.ts';
import type { TableName } from '../../schema/table.ts';
import { placeOf, readState } from '../../sink/postgres/embedded/place.ts';
import { configuredDatabase } from '../../sink/postgres/configured.ts';
import type { Role } from '../../sink/postgres/roles.ts';
import { refuseNewerDatabase } from '../../sink/postgres/migrate.ts';
import { connect, connectFailed, resolveTarget } from '../../sink/postgres/target.ts';
import type { DatabaseTarget } from '../../sink/postgres/target.ts';
import type { CommandIo } from '../command.ts';

export interface BooksOptions {
  readonly inputDir: string;
  readonly source: string | null;
  readonly table: TableName;
  readonly dataDir: string;
}

/** One row of millrace.leases. */
export interface SourceRow {
  readonly id: number;
  readonly source: string;
  /** As schema.name. */
  readonly target: string;
}

export interface OpenBooks {
  readonly client: pg.Client;
  /** For people; never with a password. */
  readonly describe: string;
}

/** `none`: no database was ever made. `interrupted`: a signal came first; a transaction that was open is rolled back. */
export type Outcome<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'none' }
  | { readonly kind: 'interrupted' };

/**
 * Connects, lets `work` use the connection, and closes it. An embedded server is started for the moment when it is not running, but
 * not made. `role` is the least of those that "millrace roles" prints that may do this: who has fewer rights is told.
 * @throws {MillraceError} `database`, `embedded`, or `usage` for a malformed DATABASE_URL
 */
export async function withBooks<T>(
  options: Pick<BooksOptions, 'dataDir'>,
  io: CommandIo,
  work: (books: OpenBooks) => Promise<T>,
  role: Role = 'read',
): Promise<Outcome<T>> {
  if (configuredDatabase(io.env) === undefined && !hasEmbedded(options.dataDir)) return { kind: 'none' };
  const say = (line: string): void => void io.stderr.write(`millrace: ${line}\n`);
  const target = await resolveTarget(io.env, options.dataDir, { keepDatabase: false, say });
  try {
    const worked = workOn(target, io.signal, work);
    return await Promise.race([worked, interruption(io.signal)]);
  } catch (error) {
    throw explained(error, target.describe, role);
  } finally {
    await target.close();
  }
}

async function workOn<T>(
  target: DatabaseTarget,
  signal: AbortSignal,
  work: (books: OpenBooks) => Promise<T>,
): Promise<Outcome<T>> {
  const client = await connect(target).catch((error: unknown) => {
    throw connectFailed(target, error);
  });
  // Nothing else ends a statement that waits for a lock; the server rolls back what was open.
  const hangUp = (): void => void client.connection.stream.destroy();
  signal.addEventListener('abort', hangUp);
  if (signal.aborted) hangUp();
  try {
    return { kind: 'done', value: await work({ client, describe: target.describe }) };
  } catch (error) {
    if (signal.aborted) return { kind: 'interrupted' };
    throw error;
  } finally {
    signal.removeEventListener('abort', hangUp);
    if (!signal.aborted) await client.end();
  }
}

async function interruption(signal: AbortSignal): Promise<{ readonly kind: 'interrupted' }> {
  if (!signal.aborted) await once(signal, 'abort');
  return { kind: 'interrupted' };
}

function hasEmbedded(dataDir: string): boolean {
  return existsSync(placeOf(dataDir, readState(dataDir)).cluster);
}

function explained(error: unknown, describe: string, role: Role): unknown {
  const database = databaseErrorOf(error);
  if (database === null) return error;
  if (database.code === INSUFFICIENT_PRIVILEGE) return notAllowed(error, database, describe, role);
  if (error !== database) return error; // has its sentence
  return new MillraceError('database', `${describe} says: ${database.message} (SQLSTATE ${database.code})`, {
    cause: error,
  });
}

const INSUFFICIENT_PRIVILEGE = '42501';

function databaseErrorOf(error: unknown): pg.DatabaseError | null {
  for (let each: unknown = error; each instanceof Error; each = each.cause)
    if (each instanceof pg.DatabaseError) return each;
  return null;
}

/** Beside what the place of the failure says of the single right, the role that has all that are needed. */
function notAllowed(error: unknown, database: pg.DatabaseError, describe: string, role: Role): MillraceError {
  const own = error instanceof MillraceError ? error : null;
  const message = own?.message ?? `${describe} says: ${database.message} (SQLSTATE ${database.code})`;
  const way = `this needs the ${role} role: connect as millrace_${role} (--role-prefix may name it otherwise), or GRANT that role to this user; "millrace roles" prints all rights, to be granted again after each migration`;
  const wayOut = own?.wayOut === undefined ? way : `${own.wayOut}\n  ${way}`;
  return new MillraceError(own?.code ?? 'database', message, { wayOut, cause: error });
}

/**
 * Whether the engine tables are there: somebody ran Millrace on this database.
 * @throws {MillraceError} `migration` when a newer program made them: what they mean is not known here
 */
export async function haveBooks(client: pg.Client): Promise<boolean> {
  const sql = `SELECT to_regclass('millrace.file_totals') IS NOT NULL AND to_regclass('millrace.leases') IS NOT NULL AS found`;
  const found = (await client.query<{ found: boolean }>(sql)).rows[0]?.found === true;
  if (found) await refuseNewerDatabase(client);
  return found;
}

/** @throws {MillraceError} `migration` when the books are older than what is asked of them here */
export async function refuseOldBooks(client: pg.Client): Promise<void> {
  const sql = `SELECT FROM pg_attribute WHERE attrelid = 'millrace.files'::regclass AND attname = 'archived_to'`;
  if ((await client.query(sql)).rowCount === 0)
    throw new MillraceError('migration', 'the books were written by an older Millrace', {
      wayOut: 'start millrace run once: it brings them up to date; millrace migrate does only that',
    });
}

export async function allSources(client: pg.Client): Promise<readonly SourceRow[]> {
  const sql = 'SELECT source_id AS id, source, target FROM millrace.leases ORDER BY source, target';
  return (await client.query<SourceRow>(sql)).rows;
}

/** The source that the options name. */
export function isMeant(row: SourceRow, options: BooksOptions): boolean {
  return row.source === sourceName(options) && row.target === targetName(options);
}

export function sourceName(options: Pick<BooksOptions, 'source' | 'inputDir'>): string {
  return options.source ?? options.inputDir;
}

export function targetName({ table }: Pick<BooksOptions, 'table'>): string {
  return `${table.schema}.${table.name}`;
}

/** Nothing but defaults: nobody said which source is meant. */
export function namesNoSource(options: BooksOptions): boolean {
  const { inputDir, table } = OPTIONS;
  return (
    options.source === null &&
    options.inputDir === inputDir.kind.judge(inputDir.default) &&
    targetName(options) === `public.${table.default}`
  );
}
