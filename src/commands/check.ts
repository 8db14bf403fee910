// `millrace check FILE...`: what would become of these files, by the real parse path and without a database. How a file is read is
// in check/file.ts.

import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import type { CheckOptions } from '../options.ts';
import { openPool } from '../pool.ts';
import type { RejectSample } from '../telemetry/meters.ts';
import { openScreen } from '../telemetry/screen.ts';
import { rejectLine } from '../telemetry/summary.ts';
import { count, counted, printable, tableText } from '../telemetry/text.ts';
import { checkFile, createKeys } from './check/file.ts';
import type { CheckedFile, CheckState } from './check/file.ts';
import type { CommandIo } from './command.ts';
import { dialectOf } from './dialect.ts';

/** What `--json` prints: the same counts as `run`, as they would be with an empty table. Duplicates are those within the files named. */
interface CheckSummary {
  readonly files: number;
  readonly records: number;
  readonly inserted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly refusedFiles: number;
  readonly refused: readonly { readonly file: string; readonly reason: string }[];
  /** At most 10,000. */
  readonly rejects: readonly RejectSample[];
}

const CLOSE_MS_MAX = 1_000;

/** Exit 1 when anything would be rejected or refused. @throws {MillraceError} `input` when a file cannot be read */
export async function check(options: CheckOptions, io: CommandIo): Promise<ExitCode> {
  const screen = openScreen(io.stderr, io.env);
  const pool = openPool({ workers: 1, onError: (error) => screen.print(`millrace: ${error.message}`) });
  const dialect = dialectOf(options);
  const unpacking = { folder: options.unpackDir, bytesMax: options.unpackedBytesMax };
  const state: CheckState = { pool, dialect, unpacking, signal: io.signal, keys: createKeys(), rejects: [] };
  const files: CheckedFile[] = [];
  try {
    for (const name of options.paths) {
      if (io.signal.aborted) break;
      screen.show(`checking ${printable(name)}`);
      files.push(await checkFile(state, name));
    }
  } finally {
    screen.show(null);
    await pool.close(CLOSE_MS_MAX);
  }
  const summary = sumOf(files, state.rejects);
  const text = checkText(files, summary, options.rejectsShown);
  (options.json ? io.stderr : io.stdout).write(text);
  if (options.json) io.stdout.write(`${JSON.stringify(summary)}\n`);
  if (io.signal.aborted) return EXIT.interrupted;
  return summary.rejected + summary.refusedFiles > 0 ? EXIT.found : EXIT.done;
}

function sumOf(files: readonly CheckedFile[], rejects: readonly RejectSample[]): CheckSummary {
  const sum = (of: (file: CheckedFile) => number): number => files.reduce((all, file) => all + of(file), 0);
  const refused = files.flatMap(({ name, refused: reason }) =>
    reason === null ? [] : [{ file: name, reason }],
  );
  return {
    files: files.length,
    records: sum((file) => file.records),
    inserted: sum((file) => file.inserted),
    duplicates: sum((file) => file.duplicates),
    rejected: sum((file) => file.rejected),
    refusedFiles: refused.length,
    refused,
    rejects,
  };
}

function checkText(files: readonly CheckedFile[], summary: CheckSummary, rejectsShown: number): string {
  const shown = summary.rejects.slice(0, rejectsShown);
  const lines = shown.map(rejectLine);
  const more = summary.rejected - shown.length;
  if (more > 0) lines.push(`and ${count(more)} more (--rejects-shown, or --json)`);
  for (const { file, reason } of summary.refused)
    lines.push(printable(`${file}: refused as a whole: ${reason}`));
  if (lines.length > 0) lines.push('');
  const header = ['file', 'records', 'valid', 'duplicates', 'rejected'];
  const rows = files.map((file) => [printable(file.name), ...cells(file)]);
  if (files.length > 1) rows.push([`all of ${counted(files.length, 'file')}`, ...cells(summary)]);
  lines.push(tableText(header, rows), '');
  lines.push('duplicates are counted within these files; no database was asked', '');
  return lines.join('\n');
}

function cells(sums: Pick<CheckSummary, 'records' | 'inserted' | 'duplicates' | 'rejected'>): string[] {
  return [sums.records, sums.inserted, sums.duplicates, sums.rejected].map(count);
}
