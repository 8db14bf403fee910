// Makes tasks, lazily and in order: the oldest file first; many small files in one task, a large one slice by slice.

import { closeSync, fstatSync, openSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';

import { sameDialect } from '../core/booked-dialect.ts';
import type { SliceTask } from '../core/slice.ts';
import { LONG_SLICES } from '../core/slice.ts';
import type { TaskSize } from '../core/slots.ts';
import { OPEN_FLAGS } from './content.ts';
import type { Desk, Flight } from './desk.ts';
import { OPEN_FILES_MAX, letGo, takesEnd, unpackAgain, wake } from './desk.ts';
import type { SourceFile } from './file.ts';
import { contentSize } from './file.ts';
import { noteStillness } from './looks.ts';
import type { Cut } from './reading.ts';
import { cutNext, uncutBytes, waitsForTail } from './reading.ts';
import { goesFirst } from './ready.ts';
import type { SourceTask } from './source.ts';
import { changeBetween, sameKey, stampOf } from './stamp.ts';
import { trouble } from './trouble.ts';

/**
 * Small files in one task; also bounds the arrays that cross to a worker. With 1024 the longer sorted runs saved the database nothing that
 * could be measured (three pairs), and the first rows came half a second later.
 */
const FILES_PER_TASK_MAX = 256;

/** A file with more slices than these to go is read in long ones. A million events are 20. */
const DEEP_SLICES = 32;

/** What part of a slice the first, the second, ... is on a road where nothing waited. With two in flight it begins at the third. */
const SHARES_AT_FIRST = [16, 16, 4, 2];

/** Of the rest of a file, two for each of two lanes; and the smallest part of a slice, since each is a transaction. */
const PARTS_AT_LAST = 4;

/** The next task, or null when there is nothing to read just now. `inFlight`: tasks that are not settled yet. */
export function offer(desk: Desk, room: TaskSize, inFlight: number): SourceTask | null {
  for (let largeBlocked = room === 'small'; ;) {
    const small = desk.small.first();
    const large = largeBlocked ? null : desk.large.first();
    if (small === null && large === null) {
      if (!hasMore(desk)) desk.cutsSinceIdle = 0;
      return null;
    }
    if (large === null || (small !== null && goesFirst(small, large))) {
      const task = packSmall(desk);
      if (task !== null) return task;
      continue;
    }
    const task = sliceLarge(desk, large, room, inFlight);
    if (task === 'blocked') largeBlocked = true;
    else if (task !== null) return task;
  }
}

/** Something is ready, whether or not there is room for it. */
export function hasMore({ small, large }: Desk): boolean {
  return small.size + large.size > 0;
}

/** Null when the file in front had nothing to give and left the queue. */
function sliceLarge(
  desk: Desk,
  file: SourceFile,
  room: TaskSize,
  inFlight: number,
): SourceTask | 'blocked' | null {
  if (file.phase.kind === 'reading' && file.handle === null && file.isPacked) unpackAgain(desk, file);
  if (file.phase.kind === 'reading' && file.handle === null) {
    if (desk.openFiles >= OPEN_FILES_MAX && !closeResting(desk)) return 'blocked';
    openHandle(desk, file);
  }
  // Opening may have shown that it changed.
  const bytes = sliceBytesNow(desk, file, room, inFlight);
  const cut = file.phase.kind === 'reading' && file.handle !== null ? cutOf(desk, file, bytes) : null;
  if (restOf(desk, file) === 0 || cut === null) {
    // Trouble with it may have put another one in front; then it leaves when its turn comes.
    if (desk.large.first() === file) desk.large.takeFirst();
    if (cut === null && restOf(desk, file) === 0) wake(desk, file);
  }
  if (cut === null) return null;
  desk.cutsSinceIdle += 1;
  return makeTask(desk, [flightOf(desk, file, cut)], bytes > desk.settings.sliceBytes ? 'long' : 'slice');
}

/** Files that wait for the rest of their last record, perhaps for minutes, need no descriptor; a file that left the folder keeps its own. */
function closeResting(desk: Desk): boolean {
  for (const file of desk.pending) {
    const { handle, reading, stamp } = file;
    if (handle === null || handle.users > 0 || file.place !== 'folder' || file.isPacked) continue;
    if (file.phase.kind !== 'reading' || !waitsForTail(reading, stamp.size)) continue;
    letGo(desk, file);
    return true;
  }
  return false;
}

function packSmall(desk: Desk): SourceTask | null {
  const flights: Flight[] = [];
  let bytes = 0;
  for (let file = desk.small.first(); file !== null; file = desk.small.first()) {
    if (file.phase.kind === 'reading' && file.isPacked && file.handle === null) unpackAgain(desk, file);
    const rest = restOf(desk, file);
    if (rest > 0 && (file.handle !== null || rest >= desk.settings.sliceBytes)) {
      desk.small.takeFirst();
      desk.large.put(file);
      continue;
    }
    if (flights.length > 0 && (bytes + rest > desk.settings.sliceBytes || file.alone)) break;
    if (flights[0] !== undefined && !sameDialect(flights[0].file.info.dialect, file.info.dialect)) break;
    desk.small.takeFirst();
    const { sliceBytes } = desk.settings;
    for (let cut = cutOf(desk, file, sliceBytes); cut !== null; cut = cutOf(desk, file, sliceBytes))
      flights.push(flightOf(desk, file, cut));
    if (rest === 0) wake(desk, file);
    bytes += rest;
    if (flights.length >= FILES_PER_TASK_MAX || (file.alone && rest > 0)) break;
  }
  return flights.length === 0 ? null : makeTask(desk, flights, 'small');
}

/** Bytes that could be cut now; 0 for a file that is not being read. */
function restOf(desk: Desk, file: SourceFile): number {
  if (file.phase.kind !== 'reading') return 0;
  return uncutBytes(file.reading, contentSize(file), takesEnd(desk, file));
}

function cutOf(desk: Desk, file: SourceFile, bytes: number): Cut | null {
  if (file.phase.kind !== 'reading') return null;
  return cutNext(file.reading, contentSize(file), takesEnd(desk, file), bytes);
}

/** So much of it is waiting that sorted runs are worth more than the next commit. */
function isDeep(desk: Desk, file: SourceFile): boolean {
  return restOf(desk, file) > DEEP_SLICES * desk.settings.sliceBytes;
}

/**
 * Small where lanes wait for their first rows, and small again where nothing comes behind this file, so that they end together (guided
 * self-scheduling). 300,000 rows: the first ones are committed 0.13 s sooner, the last ones 0.07 s.
 */
function sliceBytesNow(desk: Desk, file: SourceFile, room: TaskSize, inFlight: number): number {
  const { sliceBytes } = desk.settings;
  const share = SHARES_AT_FIRST[Math.max(inFlight, desk.cutsSinceIdle)];
  if (share !== undefined) return Math.ceil(sliceBytes / share);
  if (room === 'long' && isDeep(desk, file)) return LONG_SLICES * sliceBytes;
  if (desk.large.size > 1 || desk.small.size > 0) return sliceBytes;
  const part = Math.max(sliceBytes / PARTS_AT_LAST, Math.min(sliceBytes, restOf(desk, file) / PARTS_AT_LAST));
  return Math.ceil(part);
}

function flightOf(desk: Desk, file: SourceFile, cut: Cut): Flight {
  const { info, handle, lookNumber, stamp, seenMs } = file;
  return { file, cut, generation: info.id, handle, lookNumber, stamp, seenMs, sentMs: desk.settings.now() };
}

/** Also used to send what was sent before once more, from its true start or without the files that changed. */
export function makeTask(desk: Desk, flights: readonly Flight[], size: TaskSize): SourceTask {
  const [first] = flights;
  const { rejectsMaxPerFile } = desk.settings;
  // All of a task are read in one dialect.
  const dialect = first?.file.info.dialect ?? desk.settings.dialect;
  const left =
    flights.length === 1 && first !== undefined ? rejectsMaxPerFile - first.file.rejected : rejectsMaxPerFile;
  const task: SourceTask = {
    parse: { slices: flights.map(sliceTaskOf), dialect, rejectsMax: Math.max(1, left) },
    size,
  };
  for (const { handle } of flights) if (handle !== null) handle.users += 1;
  desk.flights.set(task, flights);
  return task;
}

function sliceTaskOf(flight: Flight): SliceTask {
  const { start, end, exact, limit, final } = flight.cut;
  return {
    generation: flight.generation,
    path: flight.file.path.toString('latin1'),
    fd: flight.handle?.fd ?? null,
    start,
    end,
    exact,
    limit,
    final,
  };
}

/** Opens a large file once, for all its slices, and makes sure that it is the one that was looked at. */
function openHandle(desk: Desk, file: SourceFile): void {
  let fd = -1;
  let stats: BigIntStats;
  try {
    fd = openSync(file.path, OPEN_FLAGS);
    stats = fstatSync(fd, { bigint: true });
  } catch (error) {
    if (fd >= 0) closeSync(fd);
    trouble(desk, file, error);
    return;
  }
  const stamp = stampOf(stats, desk.rule.birthsKept);
  if (!stats.isFile() || !sameKey(file.stamp, stamp)) {
    closeSync(fd);
    trouble(desk, file, 'ENOENT');
    return;
  }
  // A change since the last look is judged by the next one; growth is taken in now.
  if (changeBetween(file.stamp, stamp) === 'none') noteStillness(desk, file, stamp, 'none');
  file.handle = { fd, users: 0, letGo: false };
  desk.openFiles += 1;
}
