// The table that a run ends with, and the one object that `--json` prints: what became of every record, per file or in all, and
// the first records that were refused, in the user's coordinates.

import { ROOMS } from './meters.ts';
import type { Counts, FileAccount, RejectSample, Snapshot, TroubleList } from './meters.ts';
import { count, counted, printable, tableText, timeText } from './text.ts';

/** More files than this are told in sums, with the worst ones. */
const FILES_SHOWN = 20;
const WORST_SHOWN = 5;
const NAME_COLUMNS_MAX = 48;

export interface RunFiles {
  /** Files whose records are all committed, or that were refused or parked. */
  readonly files: number;
  /** Of these, refused as a whole or parked. */
  readonly refusedFiles: number;
}

/** What `run --json` prints; all numbers. */
export interface RunSummary extends Counts, RunFiles {
  /** Of the duplicates, those with other values than the stored row. */
  readonly duplicatesConflicting: number;
  readonly seconds: number;
  /** That lanes rested because the database was slow, all lanes together. */
  readonly restedSeconds: number;
}

export function runSummary(
  { counts, conflicting, elapsedMs, restedMs }: Snapshot,
  { files, refusedFiles }: RunFiles,
): RunSummary {
  const { records, inserted, duplicates, rejected } = counts;
  const seconds = Math.round(elapsedMs) / 1000;
  const sums = { records, inserted, duplicates, duplicatesConflicting: conflicting, rejected };
  const restedSeconds = Math.round(restedMs) / 1000;
  return { files, ...sums, refusedFiles, seconds, restedSeconds };
}

const HEADER = ['file', 'read', 'inserted', 'duplicates', 'rejected', 'seconds', 'rows/s'];

/** The closing table with everything below it; ends with a line end. `files` are those that are done, before this run too. */
export function summaryText(snapshot: Snapshot, files: number): string {
  const { latency } = snapshot;
  const sections = [tableSection(snapshot, files)];
  if (latency.count > 0)
    sections.push(
      `from arrival to commit: p50 ${timeText(latency.p50)}, p90 ${timeText(latency.p90)}, p99 ${timeText(latency.p99)}, at most ${timeText(latency.max)}${roomsLine(snapshot)}`,
    );
  if (snapshot.conflicting > 0) sections.push(conflictSection(snapshot));
  if (snapshot.counts.rejected > 0) sections.push(rejectSection(snapshot));
  for (const [word, list] of [
    ['refused', snapshot.refused],
    ['parked', snapshot.parked],
  ] as const)
    if (list.count > 0) sections.push(troubleSection(word, list));
  sections.push(...incidents(snapshot));
  return `${sections.join('\n\n')}\n`;
}

/** Where the time goes, room by room: median and 99th percentile of a slice, chunk or batch. */
function roomsLine({ rooms }: Snapshot): string {
  const each = ROOMS.filter((name) => rooms[name].count > 0).map(
    (name) => `${name} ${timeText(rooms[name].p50)}/${timeText(rooms[name].p99)}`,
  );
  return each.length === 0 ? '' : `\ntime in each room (p50/p99): ${each.join(', ')}`;
}

function tableSection(snapshot: Snapshot, files: number): string {
  const { counts, activeMs, filesTouched } = snapshot;
  if (filesTouched === 0)
    return files === 0
      ? 'there was nothing to read'
      : `nothing new was read (${counted(files, 'file')} known)`;
  const all = rowOf(`all of ${counted(filesTouched, 'file')}`, counts, activeMs);
  const few = filesTouched <= FILES_SHOWN;
  const shown = few ? snapshot.files.toSorted(byName) : worstOf(snapshot.files);
  const rows = shown.map((file) => rowOf(nameOf(file.name), file, file.lastMs - file.firstMs));
  if (!few && rows.length > 0)
    return `${tableText(HEADER, [all])}\n\n${tableText(['most rejected', ...HEADER.slice(1)], rows)}`;
  return tableText(HEADER, [...rows, all]);
}

function byName(a: FileAccount, b: FileAccount): number {
  return a.name < b.name ? -1 : Number(a.name > b.name);
}

function worstOf(files: readonly FileAccount[]): readonly FileAccount[] {
  return files
    .filter((file) => file.rejected > 0)
    .toSorted((a, b) => b.rejected - a.rejected || byName(a, b))
    .slice(0, WORST_SHOWN);
}

function rowOf(name: string, counts: Counts, ms: number): string[] {
  const { records, inserted, duplicates, rejected } = counts;
  const seconds = ms / 1000;
  // Below a millisecond a rate says nothing.
  const rate = ms < 1 ? '-' : count(records / seconds);
  return [name, ...[records, inserted, duplicates, rejected].map(count), seconds.toFixed(2), rate];
}

/** The end of a long path is what tells files apart. */
function nameOf(name: string): string {
  const text = printable(name);
  return text.length <= NAME_COLUMNS_MAX ? text : `...${text.slice(3 - NAME_COLUMNS_MAX)}`;
}

function conflictSection({ conflicting }: Snapshot): string {
  const are = conflicting === 1 ? '1 duplicate has' : `${count(conflicting)} duplicates have`;
  return `${are} other values than the stored event; the first one stays, see duplicate_conflict in millrace.rejects`;
}

function rejectSection({ counts, rejects, rejectsByCode }: Snapshot): string {
  const codes = [...rejectsByCode].toSorted((a, b) => b[1] - a[1]);
  const byCode = codes.map(([code, records]) => `${code} ${count(records)}`).join(', ');
  const head = `${counted(counts.rejected, 'record')} rejected${byCode === '' ? '' : ` (${byCode})`}`;
  if (rejects.length === 0) return `${head}; see table millrace.rejects`;
  const rest =
    counts.rejected > rejects.length ? `the first ${rejects.length}, all in millrace.rejects:` : '';
  return [
    `${head}${rest === '' ? ':' : `; ${rest}`}`,
    ...rejects.map((reject) => `  ${rejectLine(reject)}`),
  ].join('\n');
}

/** `orders.csv:12:price: decimal: price "abc" is not ...`; `-` stands for the column where the whole record is at fault. */
export function rejectLine({ file, line, column, code, sentence }: RejectSample): string {
  return printable(`${file}:${line}:${column ?? '-'}: ${code}: ${sentence}`);
}

function troubleSection(word: string, { count: all, first }: TroubleList): string {
  const lines = first
    .slice(0, FILES_SHOWN)
    .map(({ name, reason }) => `  ${printable(name === null ? reason : `${name}: ${reason}`)}`);
  const more =
    all > lines.length ? [`  and ${count(all - lines.length)} more; millrace status lists them`] : [];
  return [`${counted(all, 'file')} ${word}:`, ...lines, ...more].join('\n');
}

/** Troubles that were overcome; a person wants to know that they happened. */
function incidents({ retries, restarts, restedMs }: Snapshot): string[] {
  const tries = [...retries].map(([sqlstate, times]) => `${sqlstate} ${counted(times, 'time')}`);
  const again = tries.length === 0 ? [] : [`tried again after database errors: ${tries.join(', ')}`];
  const rests =
    restedMs === 0
      ? []
      : [`slowed down for the sake of the database: lanes rested for ${timeText(restedMs)} in all`];
  return [
    ...rests,
    ...again,
    ...restarts.map((reason) => `began again from the checkpoint: ${printable(reason)}`),
  ];
}
