// `millrace verify [FILE...]`: reads the files again by code that the pipeline does not use, compares them with the books and with the table, and
// prints the balance sheet. The comparing is in verify/; here are words and the exit code.

import { resolve } from 'node:path';
import type pg from 'pg';
import { EXIT, MillraceError } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import type { VerifyOptions } from '../options.ts';
import { events } from '../schema/events.ts';
import { openScreen } from '../telemetry/screen.ts';
import type { Screen } from '../telemetry/screen.ts';
import { count, counted, printable, tableText } from '../telemetry/text.ts';
import { createFinder } from './books/content.ts';
import {
  allSources,
  haveBooks,
  isMeant,
  refuseOldBooks,
  sourceName,
  targetName,
  withBooks,
} from './books/open.ts';
import type { BooksOptions, OpenBooks, SourceRow } from './books/open.ts';
import type { CommandIo } from './command.ts';
import { balance, nameBelow } from './verify/balance.ts';
import type { Findings, Sheet } from './verify/report.ts';

/** What takes longer is told to be alive. */
const PROGRESS_AFTER_MS = 2_000;
const PROGRESS_EVERY_MS = 200;
const PROGRESS_LINE_EVERY_MS = 10_000;
const DIFFERENCES_SHOWN = 50;
const QUIET_FILES_SHOWN_MAX = 200;

/** @throws {MillraceError} `input`, `database`, or `migration` when the books are older than this program */
export async function verify(options: VerifyOptions, io: CommandIo): Promise<ExitCode> {
  const screen = openScreen(io.stderr, io.env);
  const work = async ({ client }: OpenBooks): Promise<Findings> => {
    const source = await currentSource(client, options);
    return balance({
      client,
      table: events,
      tableName: options.table,
      sourceId: source.id,
      finder: createFinder(options),
      only: namesOf(options),
      allowUnknownRows: options.allowUnknownRows,
      signal: io.signal,
      progress: progressOn(screen),
    });
  };
  const outcome = await withBooks(options, io, work, 'operator').finally(() => screen.show(null));
  if (outcome.kind === 'none') throw nothingRead(options);
  if (outcome.kind === 'interrupted' || io.signal.aborted) return EXIT.interrupted;
  const findings = outcome.value;
  (options.json ? io.stderr : io.stdout).write(reportText(findings));
  if (options.json) io.stdout.write(`${JSON.stringify(reportJson(findings))}\n`);
  return findings.count > 0 ? EXIT.found : EXIT.done;
}

/** The source that the options name. @throws {MillraceError} `input` when it was never read, `migration` */
export async function currentSource(client: pg.Client, options: BooksOptions): Promise<SourceRow> {
  if (!(await haveBooks(client))) throw nothingRead(options);
  await refuseOldBooks(client);
  const meant = (await allSources(client)).find((row) => isMeant(row, options));
  if (meant === undefined) throw nothingRead(options);
  return meant;
}

export function nothingRead(options: BooksOptions): MillraceError {
  const where = `${printable(sourceName(options))} into ${targetName(options)}`;
  return new MillraceError('input', `nothing was ever read from ${where}`, {
    wayOut: 'millrace status lists what was; --input, --source and --table name it',
  });
}

/** Null: all files. A name may be a path, or as the books have it. */
function namesOf({ paths, inputDir }: VerifyOptions): ReadonlySet<string> | null {
  if (paths.length === 0) return null;
  return new Set(
    paths.map((path) => nameBelow(inputDir, resolve(path)) ?? Buffer.from(path, 'utf8').toString('latin1')),
  );
}

/** A live line on a terminal, a line every now and then elsewhere; nothing while it is quick. */
export function progressOn(
  screen: Screen,
  doing = 'verifying',
): (name: string, bytes: number, of: number) => void {
  const beganMs = performance.now();
  let toldMs = -Infinity;
  return (name, bytes, of) => {
    const nowMs = performance.now();
    if (nowMs - beganMs < PROGRESS_AFTER_MS) return;
    const isStage = of === 0; // told in any case: nothing comes for a while
    if (!isStage && nowMs - toldMs < (screen.live ? PROGRESS_EVERY_MS : PROGRESS_LINE_EVERY_MS)) return;
    toldMs = nowMs;
    const share = isStage ? '' : `: ${Math.floor((100 * bytes) / of)} %`;
    const text = `${doing} ${printable(name)}${share}`;
    if (screen.live) screen.show(text);
    else screen.print(`millrace: ${text}`);
  };
}

const HEADER = [
  'file',
  'read',
  'in the file',
  'inserted',
  'duplicates',
  'conflicting',
  'rejected',
  'verdict',
];

const VERDICTS: Readonly<Record<Sheet['standing'], string>> = {
  agrees: 'agrees',
  differs: 'DIFFERS',
  changed: 'CHANGED',
  gone: 'gone, not read again',
  unread: 'not in the books',
  refused: 'refused',
};

export function reportText(findings: Findings): string {
  const { sheets, listed, notes } = findings;
  const quiet = sheets.filter(({ standing }) => standing === 'agrees' || standing === 'gone');
  const hidden = new Set(quiet.slice(QUIET_FILES_SHOWN_MAX));
  const shown = sheets.filter((sheet) => !hidden.has(sheet));
  const rows = shown.map((sheet) => [printable(sheet.name), ...cells(sheet), verdictOf(sheet)]);
  const all = [`all of ${counted(sheets.length, 'file')}`, ...cells(totalOf(sheets)), ''];
  const lines = [tableText(HEADER, [...rows, all]), ''];
  if (hidden.size > 0) lines.push(`${counted(hidden.size, 'more file')} that agree or are gone`, '');
  for (const note of notes) lines.push(`note: ${printable(note)}`);
  for (const { file, line, text } of listed.slice(0, DIFFERENCES_SHOWN)) {
    const place = file === null ? '' : `${file}:${line ?? '-'}: `;
    lines.push(printable(`${place}${text}`));
  }
  if (findings.count > DIFFERENCES_SHOWN)
    lines.push(`and ${count(findings.count - DIFFERENCES_SHOWN)} more; --json lists up to 10,000`);
  const verdict =
    findings.count === 0 ? agreementOf(sheets) : `${counted(findings.count, 'difference')} found`;
  return `${[...lines, verdict].join('\n')}\n`;
}

/** What is said when nothing differs; no more than was looked at. */
function agreementOf(sheets: readonly Sheet[]): string {
  const isAll = (wanted: Sheet['standing']): boolean =>
    sheets.length > 0 && sheets.every(({ standing }) => standing === wanted);
  if (isAll('unread')) return 'nothing was compared: nothing of it was read yet';
  if (isAll('gone')) return 'no file is there to be read again; the table does not contradict the books';
  return 'files, books and table agree';
}

function verdictOf({ standing, state, bytesUnread }: Sheet): string {
  if (standing === 'refused') return state ?? VERDICTS.refused;
  const tail = bytesUnread > 0 && standing === 'agrees' ? `, ${count(bytesUnread)} bytes not read yet` : '';
  return `${VERDICTS[standing]}${tail}`;
}

type Sums = Pick<Sheet, 'records' | 'recordsFound' | 'inserted' | 'duplicates' | 'conflicting' | 'rejected'>;

function cells(sums: Sums): string[] {
  const { records, recordsFound, inserted, duplicates, conflicting, rejected } = sums;
  return [records, recordsFound, inserted, duplicates, conflicting, rejected].map(count);
}

export function totalOf(sheets: readonly Sheet[]): Sums {
  const sum = (key: keyof Sums): number => sheets.reduce((all, sheet) => all + sheet[key], 0);
  return {
    records: sum('records'),
    recordsFound: sum('recordsFound'),
    inserted: sum('inserted'),
    duplicates: sum('duplicates'),
    conflicting: sum('conflicting'),
    rejected: sum('rejected'),
  };
}

/** What `--json` prints. */
function reportJson({ sheets, listed, notes, count: differences }: Findings): unknown {
  const { conflicting, ...total } = totalOf(sheets);
  return {
    agrees: differences === 0,
    differences,
    total: { ...total, duplicatesConflicting: conflicting },
    files: sheets.map(({ conflicting: each, ...sheet }) => ({ ...sheet, duplicatesConflicting: each })),
    found: listed,
    notes,
  };
}
