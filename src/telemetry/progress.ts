// What a running command shows of itself: on a terminal one live line, elsewhere a log line every 10 s, and only when something
// happened or is waited for. It looks at snapshots; nobody waits for it.

import type { Logger } from './log.ts';
import type { Meters, Snapshot } from './meters.ts';
import type { Screen } from './screen.ts';
import { bytesText, columnsOf, count, counted, printable, timeText } from './text.ts';

/** What only the source knows (`SourceState` fits). */
export interface FileGauges {
  readonly filesDone: number;
  readonly filesWaiting: number;
  readonly filesRefused: number;
  readonly bytesWaiting: number;
}

export interface ProgressOptions {
  readonly meters: Pick<Meters, 'snapshot'>;
  readonly files: () => FileGauges;
  readonly screen: Screen;
  readonly log: Pick<Logger, 'info'>;
}

export interface Progress {
  /** Takes the live line away and stops; before the closing table. */
  end(): void;
}

/** Five times a second: more is not read, and each costs a percentile of a histogram. */
const LIVE_MS = 200;
const LOG_MS = 10_000;
/** "Now" is the last so many ms: shorter jumps with every batch. */
const RATE_WINDOW_MS = 3_000;
/** Files just arriving are no backlog. */
const BACKLOG_BYTES_MIN = 2 ** 20;

/** A moment, for rates. */
interface Mark {
  readonly atMs: number;
  readonly records: number;
  readonly bytes: number;
}

/** Begins to show progress. Its timer does not keep the process alive. */
export function startProgress(options: ProgressOptions): Progress {
  const { meters, files, screen, log } = options;
  const marks: Mark[] = [];
  let before = '';
  const live = (): void => {
    const snapshot = meters.snapshot();
    screen.show(progressLine(snapshot, files(), rateNow(marks, snapshot), screen.columns));
  };
  const lines = (): void => {
    const snapshot = meters.snapshot();
    const gauges = files();
    const rate = rateNow(marks, snapshot);
    const state = JSON.stringify([snapshot.counts, snapshot.waiting, gauges]);
    if (state !== before || snapshot.waiting !== null)
      log.info(
        {
          ...progressFields(snapshot, gauges, rate),
          sentence: progressLine(snapshot, gauges, rate, Infinity),
        },
        'progress',
      );
    before = state;
  };
  before = JSON.stringify([meters.snapshot().counts, null, files()]);
  const timer = setInterval(screen.live ? live : lines, screen.live ? LIVE_MS : LOG_MS);
  timer.unref();
  return {
    end: () => {
      clearInterval(timer);
      screen.show(null);
    },
  };
}

/** Rows and bytes a second over the last few seconds. Keeps the marks that it needs. */
export interface Rates {
  readonly rows: number;
  readonly bytes: number;
}

function rateNow(marks: Mark[], { elapsedMs, counts, bytes }: Snapshot): Rates {
  marks.push({ atMs: elapsedMs, records: counts.records, bytes });
  while (marks.length > 2 && elapsedMs - (marks[1]?.atMs ?? 0) >= RATE_WINDOW_MS) marks.shift();
  const first = marks[0];
  if (first === undefined || elapsedMs <= first.atMs) return { rows: 0, bytes: 0 };
  const seconds = (elapsedMs - first.atMs) / 1000;
  return { rows: (counts.records - first.records) / seconds, bytes: (bytes - first.bytes) / seconds };
}

function rateOverall({ counts, activeMs }: Snapshot): number {
  return counts.records / Math.max(0.001, activeMs / 1000);
}

/** One line for a terminal; where it is narrow, what can be missed is left out. */
export function progressLine(snapshot: Snapshot, files: FileGauges, now: Rates, columns: number): string {
  const { counts, latencyRecent: latency, waiting, slowed } = snapshot;
  const pace =
    waiting === null
      ? `${count(now.rows)} rows/s (${count(rateOverall(snapshot))} in all)${slowed.length === 0 ? '' : ', slowed down'}`
      : `waiting: ${printable(waiting)}`;
  const backlog = files.bytesWaiting < BACKLOG_BYTES_MIN ? '' : backlogPart(files.bytesWaiting, now.bytes);
  const rejected = counts.rejected === 0 ? '' : `${count(counts.rejected)} rejected`;
  const duplicates = counts.duplicates === 0 ? '' : counted(counts.duplicates, 'duplicate');
  const times = latency.count === 0 ? '' : `p50 ${timeText(latency.p50)} p99 ${timeText(latency.p99)}`;
  const joined = (...parts: readonly string[]): string => parts.filter((part) => part !== '').join(' | ');
  const all = joined(
    pace,
    `${count(counts.records)} read`,
    filesPart(files),
    backlog,
    duplicates,
    rejected,
    times,
  );
  return columnsOf(all) <= columns ? all : joined(pace, filesPart(files), backlog, rejected, times);
}

function filesPart({ filesDone, filesWaiting, filesRefused }: FileGauges): string {
  const refused = filesRefused === 0 ? '' : `, ${count(filesRefused)} refused`;
  return `files ${count(filesDone)} done, ${count(filesWaiting)} waiting${refused}`;
}

function backlogPart(bytesWaiting: number, bytesPerSecond: number): string {
  const left = `${bytesText(bytesWaiting)} left`;
  return bytesPerSecond < 1 ? left : `${left}, ${timeText((bytesWaiting / bytesPerSecond) * 1000)}`;
}

/** The same for a log: plain fields, times in ms. */
function progressFields(snapshot: Snapshot, files: FileGauges, now: Rates): Record<string, unknown> {
  const { counts, latencyRecent: latency, waiting } = snapshot;
  const hundredth = (ms: number): number => Math.round(ms * 100) / 100;
  return {
    ...counts,
    rowsPerSecond: Math.round(now.rows),
    rowsPerSecondOverall: Math.round(rateOverall(snapshot)),
    filesDone: files.filesDone,
    filesWaiting: files.filesWaiting,
    filesRefused: files.filesRefused,
    bytesWaiting: files.bytesWaiting,
    ...(files.bytesWaiting >= BACKLOG_BYTES_MIN &&
      now.bytes >= 1 && { secondsLeft: Math.round(files.bytesWaiting / now.bytes) }),
    ...(latency.count > 0 && { p50Ms: hundredth(latency.p50), p99Ms: hundredth(latency.p99) }),
    ...(waiting !== null && { waiting }),
    ...(snapshot.slowed.length > 0 && { slowed: snapshot.slowed }),
  };
}
