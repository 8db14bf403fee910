// `millrace migrate`: makes or updates the books, and makes the table, as `run` would at its start; and nothing else. For the role that
// owns them, where `run` works as one that may not.

import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import type { MigrateOptions } from '../options.ts';
import { events } from '../schema/events.ts';
import { migrate } from '../sink/postgres/migrate.ts';
import { ensureTable } from '../sink/postgres/table.ts';
import { counted } from '../telemetry/text.ts';
import { targetName, withBooks } from './books/open.ts';
import type { OpenBooks } from './books/open.ts';
import type { CommandIo } from './command.ts';
import { programVersion } from './version.ts';

export async function migrateDatabase(options: MigrateOptions, io: CommandIo): Promise<ExitCode> {
  const work = async ({ client, describe }: OpenBooks): Promise<string> => {
    const applied = await migrate(client, { program: programVersion() });
    const { created } = await ensureTable(client, events, options.table);
    const books =
      applied.length === 0 ? 'the books were up to date' : `${counted(applied.length, 'migration')} applied`;
    const table = `table ${targetName(options)} ${created ? 'was made' : 'was there, and fits'}`;
    return `${books}; ${table}, in ${describe}`;
  };
  const outcome = await withBooks(options, io, work, 'owner');
  if (outcome.kind === 'interrupted') return EXIT.interrupted;
  const said =
    outcome.kind === 'none' ? 'no database is configured; run makes one of its own' : outcome.value;
  io.stderr.write(`millrace: ${said}\n`);
  return EXIT.done;
}
