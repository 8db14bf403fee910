// The commands about the embedded server itself: `database-url` and `database-stop`. They return what is to be printed;
// reading arguments and printing belong to main.
import { MillraceError } from '../errors.ts';
import { findEmbedded, openEmbedded, stopEmbedded } from '../sink/postgres/embedded.ts';
import { configuredDatabase } from '../sink/postgres/configured.ts';
import type { Environment } from '../sink/postgres/configured.ts';

interface DatabaseUrlOptions {
  /** Start the embedded server when it is not running, and leave it running. */
  readonly start: boolean;
  readonly say?: (line: string) => void;
}

/**
 * A URL that any client takes: of the configured database as it was given, else of the embedded server (with password).
 * A PGPASSWORD is left out of it: the clients read that variable themselves.
 * @throws {MillraceError} `embedded` when the embedded server does not run and is not to be started
 */
export async function databaseUrl(
  env: Environment,
  dataFolder: string,
  options: DatabaseUrlOptions,
): Promise<string> {
  const configured = configuredDatabase(env);
  if (configured !== undefined) return env['DATABASE_URL'] || configured.describe;
  const say = options.say === undefined ? {} : { say: options.say };
  if (options.start) return (await openEmbedded({ dataFolder, keep: true, ...say })).url;
  const found = await findEmbedded(dataFolder);
  if (found !== undefined) return found.url;
  throw new MillraceError('embedded', `the embedded PostgreSQL in ${dataFolder}/postgres is not running`, {
    wayOut: 'database-url --start starts it and leaves it running',
  });
}

/** Ends the embedded server of this data folder, whoever started it; a configured database is never touched. */
export async function databaseStop(
  dataFolder: string,
  say: (line: string) => void = () => {},
): Promise<string> {
  const stopped = await stopEmbedded({ dataFolder, keep: false, say });
  const name = `the embedded PostgreSQL in ${dataFolder}/postgres`;
  return stopped ? `${name} has ended` : `${name} was not running`;
}
