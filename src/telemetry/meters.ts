// What is counted and timed while rows go down the road, and one snapshot of it all for the progress line, the closing table and
// programs. Numbers only: no text for people is made here. Memory is bounded however long a run lasts.

import type { Batch } from '../core/batch.ts';
import type { JudgedChunk } from '../core/chunk.ts';
import type { AcceptedSlice, CommittedSlice, GenerationId } from '../core/slice.ts';
import { createRecentTimes, createTimes } from './histogram.ts';
import type { TimeSummary, Times } from './histogram.ts';

export const ROOMS = ['find', 'dispatch', 'parse', 'dedup', 'batch', 'write', 'settle'] as const;

export type Room = (typeof ROOMS)[number];

export interface Counts {
  /** = inserted + duplicates + rejected */
  readonly records: number;
  readonly inserted: number;
  readonly duplicates: number;
  readonly rejected: number;
}

/** A refused record in the user's coordinates. `column` is the header's name; null when the whole record is at fault. */
export interface RejectSample {
  readonly file: string;
  readonly line: number;
  readonly column: string | null;
  readonly code: string;
  readonly sentence: string;
  readonly offset: number;
}

/** A file that was refused as a whole, or parked in the middle. `name` is null where it is not known. */
export interface FileTrouble {
  readonly name: string | null;
  readonly reason: string;
}

/** What this run committed of one generation. Times are monotonic ms. */
export interface FileAccount extends Counts {
  readonly name: string;
  readonly bytes: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface Snapshot {
  readonly elapsedMs: number;
  /** From the first record's arrival to the last commit: start and end of a run, and waiting for files, tell nothing of speed. */
  readonly activeMs: number;
  readonly counts: Counts;
  /** Of the duplicates, those with other values than the stored row. */
  readonly conflicting: number;
  /** Of committed slices. */
  readonly bytes: number;
  readonly batches: number;
  /** Work of the parse workers. */
  readonly parse: { readonly bytes: number; readonly ms: number };
  /** Times are summed up when they are asked for. */
  readonly rooms: Readonly<Record<Room, TimeSummary>>;
  /** From the arrival of a record's bytes to its commit, counted per record: of the whole run, and of the last half minute or so. */
  readonly latency: TimeSummary;
  readonly latencyRecent: TimeSummary;
  /** Why nothing is written just now, or null. */
  readonly waiting: string | null;
  /** Measures for which lanes rest between batches just now. */
  readonly slowed: readonly string[];
  /** Rests of all lanes together. */
  readonly restedMs: number;
  /** Tries that were made again, by SQLSTATE. */
  readonly retries: ReadonlyMap<string, number>;
  readonly restarts: readonly string[];
  readonly refused: TroubleList;
  readonly parked: TroubleList;
  /** The first ones, at most `rejectsShown`. */
  readonly rejects: readonly RejectSample[];
  readonly rejectsByCode: ReadonlyMap<string, number>;
  /** The files that this run last wrote to, at most `FILES_MAX`. */
  readonly files: readonly FileAccount[];
  /** Files that it wrote to in all. */
  readonly filesTouched: number;
}

/** The first `TROUBLES_MAX`, and how many there were. */
export interface TroubleList {
  readonly count: number;
  readonly first: readonly FileTrouble[];
}

const FILES_MAX = 1_000;
const TROUBLES_MAX = 100;
/** About 1 MB; those beyond are counted again after a restart in process. */
const TROUBLE_NAMES_MAX = 10_000;
const RESTARTS_MAX = 20;
const RECENT_MS = 15_000;

type Changing<T> = { -readonly [K in keyof T]: T[K] };

export interface Meters {
  /** Time spent in a room, in ms. */
  room(name: Room, ms: number): void;
  parsed(bytes: number, parseMs: number): void;
  written(batch: Batch): void;
  /** A chunk is known to be committed: `slices[i]` belongs to `chunk.slices[i]`. */
  settled(chunk: JudgedChunk, slices: readonly CommittedSlice[]): void;
  /** From arrival to commit, for `records` records. `settled` calls it. */
  latency(ms: number, records: number): void;
  /** A refused record that `settled` does not bring: one that the database refused. */
  reject(sample: RejectSample, records?: number): void;
  waiting(reason: string | null): void;
  /** A measure of the database is too slow, or not any more, so that lanes rest between batches. */
  slowed(measure: string, now: boolean): void;
  /** A lane has rested. */
  rested(ms: number): void;
  retried(sqlstate: string): void;
  restarted(reason: string): void;
  refused(name: string | null, reason: string): void;
  parked(reason: string, name?: string | null): void;
  snapshot(): Snapshot;
}

export interface MetersOptions {
  /** Refused records kept as samples. */
  readonly rejectsShown: number;
  /** Monotonic ms. */
  readonly now?: () => number;
}

export function createMeters(options: MetersOptions): Meters {
  return new RunMeters(options.rejectsShown, options.now ?? (() => performance.now()));
}

class RunMeters implements Meters {
  readonly #now: () => number;
  readonly #rejectsShown: number;
  readonly #startMs: number;
  readonly #counts: Changing<Counts> = { records: 0, inserted: 0, duplicates: 0, rejected: 0 };
  readonly #parse = { bytes: 0, ms: 0 };
  readonly #rooms = Object.fromEntries(ROOMS.map((name) => [name, createTimes()])) as Record<Room, Times>;
  readonly #latency = createTimes();
  readonly #recent: Times;
  readonly #retries = new Map<string, number>();
  readonly #restarts: string[] = [];
  readonly #refused = newTroubles();
  readonly #parked = newTroubles();
  readonly #rejects: RejectSample[] = [];
  readonly #rejectsByCode = new Map<string, number>();
  readonly #files = new Map<GenerationId, Changing<FileAccount>>();
  #filesTouched = 0;
  #firstSeenMs = Infinity;
  #lastCommitMs = 0;
  #conflicting = 0;
  #bytes = 0;
  #batches = 0;
  #waiting: string | null = null;
  readonly #slowed = new Set<string>();
  #restedMs = 0;

  constructor(rejectsShown: number, now: () => number) {
    this.#rejectsShown = rejectsShown;
    this.#now = now;
    this.#startMs = now();
    this.#recent = createRecentTimes(RECENT_MS, now);
  }

  room(name: Room, ms: number): void {
    this.#rooms[name].record(ms);
  }

  parsed(bytes: number, parseMs: number): void {
    this.#parse.bytes += bytes;
    this.#parse.ms += parseMs;
    this.room('parse', parseMs);
  }

  written(_batch: Batch): void {
    this.#batches += 1;
  }

  settled(chunk: JudgedChunk, slices: readonly CommittedSlice[]): void {
    const nowMs = this.#now();
    for (const [index, committed] of slices.entries()) {
      const slice = chunk.slices[index];
      if (slice === undefined) continue;
      this.#count(committed);
      this.#firstSeenMs = Math.min(this.#firstSeenMs, slice.seenMs);
      this.#lastCommitMs = nowMs;
      this.#countFile(slice, committed, nowMs);
      this.latency(nowMs - slice.seenMs, committed.records);
      for (const { line, column, code, sentence, offset, records } of slice.rejects)
        this.reject({ file: slice.file.name, line, column, code, sentence, offset }, records);
    }
  }

  latency(ms: number, records: number): void {
    this.#latency.record(ms, records);
    this.#recent.record(ms, records);
  }

  reject(sample: RejectSample, records = 1): void {
    add(this.#rejectsByCode, sample.code, records);
    if (this.#rejects.length < this.#rejectsShown) this.#rejects.push(sample);
  }

  waiting(reason: string | null): void {
    this.#waiting = reason;
  }

  slowed(measure: string, now: boolean): void {
    if (now) this.#slowed.add(measure);
    else this.#slowed.delete(measure);
  }

  rested(ms: number): void {
    this.#restedMs += ms;
  }

  retried(sqlstate: string): void {
    add(this.#retries, sqlstate, 1);
  }

  restarted(reason: string): void {
    if (this.#restarts.length < RESTARTS_MAX) this.#restarts.push(reason);
  }

  refused(name: string | null, reason: string): void {
    note(this.#refused, { name, reason });
  }

  parked(reason: string, name: string | null = null): void {
    note(this.#parked, { name, reason });
  }

  snapshot(): Snapshot {
    const [all, latency, recent] = [this.#rooms, this.#latency, this.#recent];
    return {
      elapsedMs: this.#now() - this.#startMs,
      activeMs: Math.max(0, this.#lastCommitMs - this.#firstSeenMs),
      counts: { ...this.#counts },
      conflicting: this.#conflicting,
      bytes: this.#bytes,
      batches: this.#batches,
      parse: { ...this.#parse },
      // Percentiles of nine histograms were 0.1 s of a load of 1 M rows, most of it the compiling of what reads them: only for who asks.
      get rooms() {
        const summaries = ROOMS.map((name) => [name, all[name].summary()]);
        return Object.fromEntries(summaries) as Record<Room, TimeSummary>;
      },
      get latency() {
        return latency.summary();
      },
      get latencyRecent() {
        return recent.summary();
      },
      waiting: this.#waiting,
      slowed: [...this.#slowed],
      restedMs: this.#restedMs,
      retries: this.#retries,
      restarts: this.#restarts,
      refused: this.#refused,
      parked: this.#parked,
      rejects: this.#rejects,
      rejectsByCode: this.#rejectsByCode,
      files: [...this.#files.values()],
      filesTouched: this.#filesTouched,
    };
  }

  #count(slice: CommittedSlice): void {
    addCounts(this.#counts, slice);
    this.#conflicting += slice.conflicting;
    this.#bytes += slice.end - slice.start;
  }

  /** The file written to last stands last, so that the first one is the one to forget. */
  #countFile({ file, seenMs }: AcceptedSlice, slice: CommittedSlice, nowMs: number): void {
    const account = this.#files.get(file.id) ?? this.#newAccount(file.name, seenMs);
    this.#files.delete(file.id);
    this.#files.set(file.id, account);
    addCounts(account, slice);
    account.bytes += slice.end - slice.start;
    account.firstMs = Math.min(account.firstMs, seenMs);
    account.lastMs = nowMs;
  }

  #newAccount(name: string, seenMs: number): Changing<FileAccount> {
    this.#filesTouched += 1;
    if (this.#files.size >= FILES_MAX) this.#forgetFile();
    return {
      name,
      bytes: 0,
      records: 0,
      inserted: 0,
      duplicates: 0,
      rejected: 0,
      firstMs: seenMs,
      lastMs: seenMs,
    };
  }

  /** Files with rejects are what the closing table is for, so one without goes first. */
  #forgetFile(): void {
    let oldest: GenerationId | undefined;
    for (const [id, account] of this.#files) {
      oldest ??= id;
      if (account.rejected > 0) continue;
      oldest = id;
      break;
    }
    if (oldest !== undefined) this.#files.delete(oldest);
  }
}

function addCounts(sum: Changing<Counts>, more: Counts): void {
  sum.records += more.records;
  sum.inserted += more.inserted;
  sum.duplicates += more.duplicates;
  sum.rejected += more.rejected;
}

function add(map: Map<string, number>, key: string, count: number): void {
  map.set(key, (map.get(key) ?? 0) + count);
}

interface Troubles {
  count: number;
  readonly first: FileTrouble[];
  /** After a restart in process the source tells again what it finds refused: a file counts once. */
  readonly names: Set<string>;
}

function newTroubles(): Troubles {
  return { count: 0, first: [], names: new Set() };
}

function note(list: Troubles, trouble: FileTrouble): void {
  const { name } = trouble;
  if (name !== null && list.names.has(name)) return;
  if (name !== null && list.names.size < TROUBLE_NAMES_MAX) list.names.add(name);
  list.count += 1;
  if (list.first.length < TROUBLES_MAX) list.first.push(trouble);
}
