// `millrace resume FILE`: a person's word that reading goes on in a file that was parked, or begins again in one that was undone. Whoever
// runs begins again from the books and finds it there.

import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import type { ResumeOptions } from '../options.ts';
import { migrate } from '../sink/postgres/migrate.ts';
import { printable } from '../telemetry/text.ts';
import { underExclusiveFence } from './books/exclusive.ts';
import { filesNamed, theSource } from './books/files.ts';
import { withBooks } from './books/open.ts';
import type { OpenBooks } from './books/open.ts';
import type { CommandIo } from './command.ts';
import { programVersion } from './version.ts';

const RESUME = `UPDATE millrace.files SET state = 'reading', reason = NULL, ended_at = NULL, resumed_at = clock_timestamp()
  WHERE generation = $1 AND state IN ('parked', 'undone')`;

/** Exit 1 when one of them is neither parked nor undone; the others are resumed all the same. */
export async function resume(options: ResumeOptions, io: CommandIo): Promise<ExitCode> {
  const outcome = await withBooks(options, io, (books) => resumeIn(books, options, io), 'operator');
  if (outcome.kind === 'interrupted') return EXIT.interrupted;
  if (outcome.kind === 'done') return outcome.value;
  io.stderr.write('millrace: there is no database yet, so nothing is parked\n');
  return EXIT.found;
}

async function resumeIn({ client }: OpenBooks, options: ResumeOptions, io: CommandIo): Promise<ExitCode> {
  await migrate(client, { program: programVersion() });
  const source = await theSource(client, options);
  let code: ExitCode = EXIT.done;
  for (const word of options.paths) {
    const [newest] = await filesNamed(client, source, word, options.inputDir);
    if (newest === undefined) continue;
    const done = await underExclusiveFence(client, [source], async () => {
      const { rowCount } = await client.query(RESUME, [newest.generation]);
      return rowCount === 1;
    });
    if (!done) code = EXIT.found;
    const said = done
      ? `${newest.name} is read on, from its last committed position`
      : `${newest.name} is ${newest.state}: only a parked or undone file can be resumed`;
    io.stderr.write(`millrace: ${printable(said)}\n`);
  }
  return code;
}
