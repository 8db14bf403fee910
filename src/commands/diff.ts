// `millrace diff FILE`: a corrected file that was sent again, against what its earlier content brought. Words only; see diff/compare.ts.

import { resolve } from 'node:path';
import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import type { DiffOptions } from '../options.ts';
import { events } from '../schema/events.ts';
import { openScreen } from '../telemetry/screen.ts';
import { count, counted, printable } from '../telemetry/text.ts';
import { withBooks } from './books/open.ts';
import type { OpenBooks } from './books/open.ts';
import type { CommandIo } from './command.ts';
import { createFinder } from './books/content.ts';
import { dialectOf } from './dialect.ts';
import { compareContents } from './diff/compare.ts';
import type { Change, Diff, Listed } from './diff/compare.ts';
import { currentSource, nothingRead, progressOn } from './verify.ts';
import { nameBelow } from './verify/balance.ts';
import { inSnapshot } from './verify/snapshot.ts';

const SHOWN_MAX = 20;

/** Exit 1 when something differs. @throws {MillraceError} */
export async function diff(options: DiffOptions, io: CommandIo): Promise<ExitCode> {
  const [path = ''] = options.paths;
  const { inputDir: folder, table: tableName } = options;
  const dialect = dialectOf(options);
  const name = nameBelow(folder, resolve(path)) ?? Buffer.from(path, 'utf8').toString('latin1');
  const screen = openScreen(io.stderr, io.env);
  const work = async ({ client }: OpenBooks): Promise<Diff> => {
    const { id: sourceId } = await currentSource(client, options);
    const tools = { signal: io.signal, progress: progressOn(screen, 'comparing') };
    const input = {
      client,
      table: events,
      tableName,
      sourceId,
      finder: createFinder(options),
      name,
      dialect,
      ...tools,
    };
    return inSnapshot(client, () => compareContents(input));
  };
  // Records are compared in a temporary table, which the read role may not make.
  const outcome = await withBooks(options, io, work, 'operator').finally(() => screen.show(null));
  if (outcome.kind === 'none') throw nothingRead(options);
  if (outcome.kind === 'interrupted') return EXIT.interrupted;
  const found = outcome.value;
  (options.json ? io.stderr : io.stdout).write(diffText(found));
  if (options.json) io.stdout.write(`${JSON.stringify(diffJson(found))}\n`);
  return found.fresh.count + found.changed.count + found.gone.count > 0 ? EXIT.found : EXIT.done;
}

function diffText(found: Diff): string {
  const { name, earlier, current, fresh, changed, gone, same, rejected, elsewhere, notes } = found;
  if (earlier === null)
    return printable(`${name} had no other content before: there is nothing to compare it with`).concat('\n');
  const read = current === null ? 'not read yet' : 'read already';
  const lines = [
    `${name} as it stands now (${read}) against its content first seen ${earlier.seenAt.toISOString()}:`,
    ...section('new', fresh, ({ line, key }) => `${name}:${line}: ${key}`),
    ...section(
      'changed',
      changed,
      ({ line, key, text }) => `${name}:${line}: ${key}${text === null ? '' : `: ${text}`}`,
    ),
    ...section('gone', gone, ({ key }) => key),
    `  ${counted(same, 'event')} the same, ${counted(rejected, 'record')} that would be rejected`,
  ];
  if (elsewhere > 0)
    lines.push(`  ${counted(elsewhere, 'event')} of these came from other files, or were rewritten since`);
  if (changed.count > 0) lines.push('  the rows stay as they are: the first one committed wins');
  return `${[...lines, ...notes.map((note) => `note: ${note}`)].map(printable).join('\n')}\n`;
}

function section(word: string, { count: all, first }: Listed, show: (change: Change) => string): string[] {
  const shown = first.slice(0, SHOWN_MAX).map((change) => `    ${show(change)}`);
  const more =
    all > shown.length ? [`    and ${count(all - shown.length)} more; --json lists up to 10,000`] : [];
  return [`  ${counted(all, 'event')} ${word}`, ...shown, ...more];
}

/** What `--json` prints. */
function diffJson({
  name,
  earlier,
  current,
  fresh,
  changed,
  gone,
  same,
  rejected,
  elsewhere,
  notes,
}: Diff): unknown {
  const listed = ({ count: all, first }: Listed): unknown => ({ count: all, events: first });
  return {
    file: name,
    earlier: earlier === null ? null : { generation: earlier.generation, seenAt: earlier.seenAt },
    read: current !== null,
    new: listed(fresh),
    changed: listed(changed),
    gone: listed(gone),
    same,
    rejected,
    elsewhere,
    notes,
  };
}
