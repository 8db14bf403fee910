// `millrace database-stop`: ends the embedded server. How that is done is in database.ts.

import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import type { DatabaseStopOptions } from '../options.ts';
import type { CommandIo } from './command.ts';
import { databaseStop } from './database.ts';

export async function stopDatabase(options: DatabaseStopOptions, io: CommandIo): Promise<ExitCode> {
  const say = (line: string): void => void io.stderr.write(`millrace: ${line}\n`);
  say(await databaseStop(options.dataDir, say));
  return EXIT.done;
}
