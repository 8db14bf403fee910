// Secrets that lie in files, read into the environment of the program. Not for options (options/read.ts), nor for what DATABASE_URL
// means (sink/postgres/configured.ts).

import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { MillraceError } from '../errors.ts';
import { configuredDatabase } from '../sink/postgres/configured.ts';
import type { Environment } from '../sink/postgres/configured.ts';

/** Variables whose value may be given as the name of a file: `DATABASE_URL_FILE`. */
const SECRETS = ['DATABASE_URL', 'PGPASSWORD'] as const;

/** Any right of the group or of others. */
const OTHERS = 0o077;
/** What libpq allows on a file of root's: its group may read. systemd hands credentials over like that. */
const OTHERS_OF_ROOT = 0o037;

/**
 * The environment with the secrets of DATABASE_URL_FILE, PGPASSWORD_FILE and PGPASSFILE (or ~/.pgpass) in it, so that everything that
 * knows secrets knows these too. The given one stays as it is: child processes must not inherit them.
 * @throws {MillraceError} `usage` for a file that cannot be read, or that others may read
 */
export function withSecrets(env: Environment): Environment {
  const found: Record<string, string | undefined> = { ...env };
  for (const name of SECRETS) {
    const file = env[`${name}_FILE`];
    if (file === undefined || file === '') continue;
    if (env[name]) throw usage(`${name} and ${name}_FILE: only one of them can be given`);
    found[name] = readSecret(`${name}_FILE`, file).replace(/\r?\n$/, '');
    if (found[name] === '') throw usage(`${name}_FILE: ${file} is empty`);
  }
  const password = passwordOfFile(found);
  return password === undefined ? found : { ...found, PGPASSWORD: password };
}

function readSecret(variable: string, file: string): string {
  try {
    const stats = statSync(file); // a link is followed: secrets are often mounted as one
    if (!stats.isFile()) throw usage(`${variable}: ${file} is not a file`);
    const forbidden = stats.uid === 0 && process.getuid?.() !== 0 ? OTHERS_OF_ROOT : OTHERS;
    if ((stats.mode & forbidden) !== 0) {
      const mode = (stats.mode & 0o777).toString(8).padStart(4, '0');
      throw usage(
        `${variable}: others than its owner have rights on ${file} (mode ${mode})`,
        `chmod 600 ${file}`,
      );
    }
    return readFileSync(file, 'utf8');
  } catch (cause) {
    if (cause instanceof MillraceError) throw cause;
    throw usage(`${variable}: ${file} cannot be read (${(cause as NodeJS.ErrnoException).code})`);
  }
}

/** The password for the configured database, where nothing else gives one. */
function passwordOfFile(env: Environment): string | undefined {
  const client = configuredDatabase(env)?.client;
  if (client === undefined || typeof client.password === 'string') return undefined;
  const named = env['PGPASSFILE'];
  const file = named || join(homedir(), '.pgpass');
  // As in libpq, the file that nobody named counts only when it is there and nobody else can read it.
  if (!named && !isPrivate(file)) return undefined;
  const { host = '', port = 0, database = '', user = '' } = client;
  return passwordFor(readSecret('PGPASSFILE', file), [
    host.startsWith('/') ? [host, 'localhost'] : [host],
    [String(port)],
    [database],
    [user],
  ]);
}

function isPrivate(file: string): boolean {
  const stats = statSync(file, { throwIfNoEntry: false });
  return stats !== undefined && stats.isFile() && (stats.mode & OTHERS) === 0;
}

const FIELD = String.raw`((?:\\.|[^:\\])*):`;
const LINE = new RegExp(`^${FIELD.repeat(4)}(.*)$`, 's');

/** `host:port:database:user:password`, `*` for any, a backslash before a colon or a backslash; the first line that fits (libpq). */
function passwordFor(text: string, wanted: readonly (readonly string[])[]): string | undefined {
  for (const line of text.split(/\r?\n/)) {
    const fields = (LINE.exec(line) ?? []).slice(1).map((field) => field.replaceAll(/\\(.)/gs, '$1'));
    const password = fields.at(-1);
    if (line.startsWith('#') || password === undefined || password === '') continue;
    if (wanted.every((words, i) => fields[i] === '*' || words.includes(fields[i] ?? ''))) return password;
  }
  return undefined;
}

function usage(message: string, wayOut?: string): MillraceError {
  return new MillraceError('usage', message, wayOut === undefined ? {} : { wayOut });
}
