// `millrace rejects`: the quarantine. Lists it here; writing it out is rejects/export.ts, running it again rejects/replay.ts.

import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import type { RejectsOptions } from '../options.ts';
import { count, counted, printable, tableText } from '../telemetry/text.ts';
import { withBooks } from './books/open.ts';
import { choose, countByCode, newestRejects } from './books/quarantine.ts';
import type { Chosen, CodeCount, ListedReject } from './books/quarantine.ts';
import type { OpenBooks, Outcome } from './books/open.ts';
import type { CommandIo } from './command.ts';
import { exportRejects } from './rejects/export.ts';
import { replayRejects } from './rejects/replay.ts';
import { migrate } from '../sink/postgres/migrate.ts';
import { programVersion } from './version.ts';

/** What `rejects list --json` prints. */
interface RejectsListed {
  readonly records: number;
  readonly counts: readonly CodeCount[];
  /** The newest, at most 10,000. */
  readonly rejects: readonly ListedReject[];
}

const LISTED_MAX = 10_000;

export async function rejects(options: RejectsOptions, io: CommandIo): Promise<ExitCode> {
  const role = options.action === 'replay' ? 'operator' : 'read';
  return codeOf(await withBooks(options, io, (books) => act(books, options, io), role), io);
}

function codeOf(outcome: Outcome<ExitCode>, io: CommandIo): ExitCode {
  switch (outcome.kind) {
    case 'done':
      return outcome.value;
    case 'none':
      io.stderr.write('millrace: there is no database yet, so nothing is in quarantine\n');
      return EXIT.done;
    case 'interrupted':
      io.stderr.write('millrace: interrupted; what was done until then is booked\n');
      return EXIT.interrupted;
    default:
      return outcome satisfies never;
  }
}

async function act(books: OpenBooks, options: RejectsOptions, io: CommandIo): Promise<ExitCode> {
  // Who only lists may have no right to change anything.
  if (options.action !== 'list') await migrate(books.client, { program: programVersion() });
  const chosen = await choose(books.client, options);
  switch (options.action) {
    case 'list':
      return list(books, options, chosen, io);
    case 'export':
      return exportRejects(books, options, chosen, io);
    case 'replay':
      return replayRejects(books, options, chosen, io);
    default:
      return options.action satisfies never;
  }
}

async function list(
  { client }: OpenBooks,
  options: RejectsOptions,
  chosen: Chosen,
  io: CommandIo,
): Promise<ExitCode> {
  const counts = await countByCode(client, chosen);
  const newest = await newestRejects(client, chosen, options.json ? LISTED_MAX : options.rejectsShown);
  const records = counts.reduce((sum, one) => sum + one.records, 0);
  const listed: RejectsListed = { records, counts, rejects: newest };
  (options.json ? io.stderr : io.stdout).write(listText(listed, options.rejectsShown));
  if (options.json) io.stdout.write(`${JSON.stringify(listed)}\n`);
  return EXIT.done;
}

function listText({ records, counts, rejects: newest }: RejectsListed, shown: number): string {
  if (records === 0) return 'nothing is in quarantine\n';
  const lines = newest.slice(0, shown).map(rejectLine);
  if (lines.length > 0) lines.push('');
  const rows = counts.map((one) => [printable(one.name), one.code, count(one.records)]);
  return `${[...lines, tableText(['file', 'code', 'records'], rows), counted(records, 'record')].join('\n')}\n`;
}

function rejectLine({ file, line, column, code, sentence, records }: ListedReject): string {
  const many = records > 1 ? ` (${count(records)} records)` : '';
  return printable(`${file}:${line}:${column ?? '-'}: ${code}: ${sentence}${many}`);
}
