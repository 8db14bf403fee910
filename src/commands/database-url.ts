// `millrace database-url`: prints a URL that any ordinary client takes. How it is found is in database.ts.

import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import type { DatabaseUrlOptions } from '../options.ts';
import type { CommandIo } from './command.ts';
import { databaseUrl } from './database.ts';

/** The one command that prints a password, since that is what it is for. */
export async function printDatabaseUrl(options: DatabaseUrlOptions, io: CommandIo): Promise<ExitCode> {
  const say = (line: string): void => void io.stderr.write(`millrace: ${line}\n`);
  const url = await databaseUrl(io.env, options.dataDir, { start: options.start, say });
  io.stdout.write(`${url}\n`);
  return EXIT.done;
}
