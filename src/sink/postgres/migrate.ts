// Brings the engine tables (schema millrace) to this program's version with the numbered files of sql/. A file that was
// applied once is never edited, only followed by others. Not for the user's own table: see table.ts.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { MillraceError, policyOf } from '../../errors.ts';

export interface Migration {
  readonly version: number;
  /** The file's name without number and ending. */
  readonly name: string;
}

interface MigrationFile extends Migration {
  readonly file: string;
  readonly text: string;
  /** SHA-256, hexadecimal, of the text with LF line ends: a checkout on another system may have CRLF. */
  readonly checksum: string;
}

interface AppliedRow extends Migration {
  readonly checksum: string;
  readonly program: string;
}

const SQL_FOLDER = fileURLToPath(new URL('../../../sql/', import.meta.url));
const FILE_NAME = /^(\d{4})_([a-z0-9_]+)\.sql$/;

/** Any fixed number will do, as long as no other program on the server uses it: 'millrace' in ASCII, read as int8. */
const LOCK_KEY = Buffer.from('millrace').readBigInt64BE().toString();

const CREATE_MIGRATIONS = `
CREATE TABLE millrace.migrations (
  version    int         PRIMARY KEY,
  name       text        NOT NULL,
  checksum   text        NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  program    text        NOT NULL
);
COMMENT ON TABLE millrace.migrations IS 'Which numbered SQL files of Millrace were applied to this database.';
COMMENT ON COLUMN millrace.migrations.version IS 'Number of the file, from 1, without gaps.';
COMMENT ON COLUMN millrace.migrations.name IS 'Name of the file without number and ending.';
COMMENT ON COLUMN millrace.migrations.checksum IS 'SHA-256 of the file as it was applied, with LF line ends; an applied file must never change.';
COMMENT ON COLUMN millrace.migrations.applied_at IS 'When it was applied.';
COMMENT ON COLUMN millrace.migrations.program IS 'Version of the program that applied it.';
`;

const CREATE_SCHEMA = `
CREATE SCHEMA millrace;
COMMENT ON SCHEMA millrace IS 'The books of Millrace: what was read of which file, and what became of it. Not for editing by hand.';
`;

/**
 * Applies what is missing, all files in one transaction under an advisory lock, and returns what was applied here.
 * When nothing is missing it is one query that needs no more than SELECT. `client` is in no transaction.
 * @throws {MillraceError} `migration`: the database is newer than the program, an applied file was changed, a file fails
 * @throws pg's error where waiting may help (server away, read-only standby)
 */
export async function migrate(
  client: pg.ClientBase,
  options: { program: string; sqlFolder?: string },
): Promise<Migration[]> {
  const files = readMigrations(options.sqlFolder ?? SQL_FOLDER);
  if (missingFiles(files, await readApplied(client)).length === 0) return [];
  await client.query('BEGIN ISOLATION LEVEL READ COMMITTED');
  try {
    // The lock first, in a statement of its own: CREATE ... IF NOT EXISTS of two starters collides, and only
    // a later statement sees what the other one committed.
    await client.query('SELECT pg_catalog.pg_advisory_xact_lock($1::bigint)', [LOCK_KEY]);
    await createWhatIsMissing(client);
    const applied = await applyFiles(client, files, options.program);
    await client.query('COMMIT');
    return applied;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {}); // a lost connection has rolled back by itself
    throw error;
  }
}

/** For commands that migrate nothing. @throws {MillraceError} `migration` when the database is newer than this program */
export async function refuseNewerDatabase(client: pg.ClientBase): Promise<void> {
  const known = readMigrations(SQL_FOLDER).length;
  const newest = (await readApplied(client)).at(-1);
  if (newest !== undefined && newest.version > known) throw tooNew(newest, known);
}

/** The numbered files of a folder, in order; other files there are none of our business. */
function readMigrations(folder: string): MigrationFile[] {
  const names = readdirSync(folder).filter((name) => FILE_NAME.test(name));
  const files = names.toSorted().map((file) => {
    const [, number, name = ''] = FILE_NAME.exec(file) ?? [];
    const text = readFileSync(join(folder, file), 'utf8').replaceAll('\r\n', '\n');
    return {
      file,
      version: Number(number),
      name,
      text,
      checksum: createHash('sha256').update(text).digest('hex'),
    };
  });
  for (const [index, { version, file }] of files.entries()) {
    if (version === index + 1) continue;
    throw new MillraceError(
      'internal',
      `${folder}: ${file} has the number ${version}, and ${index + 1} was next`,
    );
  }
  return files;
}

/** What the database says was applied; nothing when it has never seen Millrace. */
async function readApplied(client: pg.ClientBase): Promise<AppliedRow[]> {
  try {
    const { rows } = await client.query<AppliedRow>(
      'SELECT version, name, checksum, program FROM millrace.migrations ORDER BY version',
    );
    return rows;
  } catch (error) {
    const { code } = error as pg.DatabaseError;
    if (code === '42P01' || code === '3F000') return []; // no such table, no such schema
    throw refused(error, 'millrace.migrations cannot be read');
  }
}

/** Compares the program's files with the database's list; the files that are still to be applied. */
function missingFiles(files: readonly MigrationFile[], applied: readonly AppliedRow[]): MigrationFile[] {
  for (const [index, row] of applied.entries()) {
    const file = files[row.version - 1];
    if (file === undefined) throw tooNew(row, files.length);
    if (file.checksum !== row.checksum || row.version !== index + 1) throw changed(file, row);
  }
  return files.slice(applied.length);
}

async function createWhatIsMissing(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ schema: boolean; migrations: boolean }>(
    `SELECT pg_catalog.to_regnamespace('millrace') IS NOT NULL AS schema,
            pg_catalog.to_regclass('millrace.migrations') IS NOT NULL AS migrations`,
  );
  const [there] = rows;
  try {
    // Not CREATE SCHEMA IF NOT EXISTS: that demands the right to create one even where an administrator has made it.
    if (there?.schema !== true) await client.query(CREATE_SCHEMA);
    if (there?.migrations !== true) await client.query(CREATE_MIGRATIONS);
  } catch (error) {
    throw refused(error, 'the schema millrace with its table migrations cannot be made');
  }
}

/** Looks again under the lock, since another program may have applied them meanwhile. */
async function applyFiles(
  client: pg.ClientBase,
  files: readonly MigrationFile[],
  program: string,
): Promise<Migration[]> {
  const missing = missingFiles(files, await readApplied(client));
  for (const { version, name, checksum, text, file } of missing) {
    try {
      await client.query(text);
    } catch (error) {
      throw refused(error, `sql/${file} cannot be applied`);
    }
    const insert =
      'INSERT INTO millrace.migrations (version, name, checksum, program) VALUES ($1, $2, $3, $4)';
    await client.query(insert, [version, name, checksum, program]);
  }
  return missing.map(({ version, name }) => ({ version, name }));
}

/** A sentence where a person must act; the error itself where waiting may help. */
function refused(error: unknown, message: string): unknown {
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) return error;
  if (policyOf({ sqlstate: error.code }, 'connect') === 'wait') return error;
  return new MillraceError('migration', `${message}: ${error.message}`, {
    wayOut:
      'give the user the rights on the database and its schema millrace that this needs, or mend what it names',
    cause: error,
  });
}

function tooNew(row: AppliedRow, known: number): MillraceError {
  const message = `the engine tables are at version ${row.version} (${row.name}, by Millrace ${row.program})`;
  return new MillraceError('migration', `${message}, and this program knows them up to ${known}`, {
    wayOut: `use Millrace ${row.program} or newer with this database`,
  });
}

function changed(file: MigrationFile, row: AppliedRow): MillraceError {
  const message = `sql/${file.file} is not the file that Millrace ${row.program} applied as version ${row.version}`;
  return new MillraceError('migration', `${message} (${row.name}, SHA-256 ${row.checksum.slice(0, 12)})`, {
    wayOut:
      'bring the original file back; changes of the engine tables go into a new file with the next number',
  });
}
