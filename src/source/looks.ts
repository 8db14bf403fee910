// What a look at the folder means for the files that are known: found, grown, touched, cut short, renamed, replaced, gone.

import { fstatSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';

import { disturb, dropVanished, sayLink } from './asleep.ts';
import type { Compared } from './content.ts';
import { codeOf, compare, compareOpen, readRangeSync, withFileSync } from './content.ts';
import type { Desk } from './desk.ts';
import {
  beginReading,
  closeIfUnused,
  enter,
  forget,
  isHidden,
  noticeOnce,
  renew,
  unpackAgain,
  voidFlights,
  wake,
} from './desk.ts';
import type { SourceFile } from './file.ts';
import { contentSize, newFile } from './file.ts';
import { follow } from './ledger.ts';
import { bytesOfKey, joinBytes, nameKey, printableName } from './names.ts';
import { extent, isCommitted, joinTornLine } from './reading.ts';
import type { Entry, ScanResult } from './scan.ts';
import { lstatQuietly } from './scan.ts';
import type { FileStamp } from '../core/slice.ts';
import { birthsConflict, changeBetween, inodeKey, sameKey, stampOf } from './stamp.ts';
import { rest, retryNow, trouble } from './trouble.ts';
import { isPackedName } from './unpack.ts';

/** Its name means another file, or none: the scan will tell. */
const GONE_REST_MS = 100;

/** One entry of the folder was looked at. Gives the file when it is new to this process. */
export function meet(desk: Desk, entry: Entry, lookNumber: number): SourceFile | null {
  const { key, stamp } = entry;
  const sleeper = desk.asleep.get(stamp.ino);
  if (sleeper !== undefined) {
    const change = disturb(desk, sleeper, entry, lookNumber);
    if (change === null) return null;
    if (change === 'grown') return adoptGrown(desk, entry, lookNumber);
  }
  const known = desk.byInode.get(inodeKey(stamp));
  if (known === undefined || birthsConflict(known.stamp, stamp)) {
    if (known !== undefined && known.lookNumber > lookNumber) return null;
    return adopt(desk, entry, lookNumber);
  }
  const moved = known.nameKey !== key || known.place !== 'folder';
  if (moved) {
    if (known.place === 'folder' && isStillThere(desk, known)) {
      sayLink(desk, key, known.info.name);
      return null;
    }
    rename(desk, known, key);
  }
  takeName(desk, known);
  if (isWorthATry(known, moved)) retryNow(desk, known);
  applyLook(desk, known, stamp, lookNumber);
  // A rename that left no trace in its times.
  if (moved && known.nameIsNew && isReadable(known)) compareFirst(desk, known, 'all');
  return null;
}

/** A file that may not be read is opened for a moment first: back and forth with each scan, it would keep --once from ending. */
function isWorthATry(file: SourceFile, moved: boolean): boolean {
  if (file.phase.kind === 'resting') return moved;
  if (file.phase.kind !== 'waiting') return false;
  const always = (): boolean => true;
  return withFileSync(file.path, always, always) === true;
}

function isReadable(file: SourceFile): boolean {
  const { kind } = file.phase;
  return kind === 'reading' || kind === 'done' || kind === 'finishing';
}

function adopt(desk: Desk, entry: Entry, lookNumber: number): SourceFile {
  const { key, stamp } = entry;
  const reused = desk.byInode.get(inodeKey(stamp));
  const previous = desk.byName.get(key);
  if (reused !== undefined) forget(desk, reused);
  const file = newFile(entry, desk.rule.folder, lookNumber, desk.settings.now(), desk.settings.dialect);
  if (previous !== undefined) file.info = { ...file.info, replaces: previous.info.id };
  desk.byInode.set(inodeKey(stamp), file);
  desk.byGeneration.set(file.info.id, file);
  takeName(desk, file);
  enter(desk, file, { kind: 'asking' });
  desk.unknown.add(file);
  desk.counts.seen += 1;
  return file;
}

/** Somebody appends to it: its last record is not taken before it has been still for long. */
function adoptGrown(desk: Desk, entry: Entry, lookNumber: number): SourceFile {
  const file = adopt(desk, entry, lookNumber);
  file.stillness = { ...file.stillness, grew: true };
  return file;
}

function isStillThere(desk: Desk, file: SourceFile): boolean {
  const stats = lstatQuietly(file.path);
  return stats !== null && sameKey(file.stamp, stampOf(stats, desk.rule.birthsKept));
}

/** Whoever had this name before is elsewhere or gone; the scan will tell. */
function takeName(desk: Desk, file: SourceFile): void {
  desk.byName.set(file.nameKey, file);
}

function rename(desk: Desk, file: SourceFile, key: string): void {
  if (desk.byName.get(file.nameKey) === file) desk.byName.delete(file.nameKey);
  const nameBytes = bytesOfKey(key);
  file.nameBytes = nameBytes;
  file.nameKey = key;
  file.isPacked = isPackedName(nameBytes);
  file.path = joinBytes(desk.rule.folder, nameBytes);
  file.place = 'folder';
  file.info = { ...file.info, name: printableName(nameBytes), nameBytes };
  file.nameIsNew = true;
}

/** Files that a scan has seen. */
export function applyEntries(desk: Desk, entries: readonly Entry[], lookNumber: number): void {
  for (const entry of entries) {
    const file = meet(desk, entry, lookNumber);
    if (file !== null) desk.counts.foundByScan += 1;
  }
}

/** A scan is complete, and its entries are applied: files that it did not see are not in the folder any more. */
export function applyScan(desk: Desk, result: ScanResult, lookNumber: number): void {
  for (const { nameBytes, why } of result.skipped) {
    noticeOnce(desk, `skip:${why}:${nameKey(nameBytes)}`, `${printableName(nameBytes)} is ignored: ${why}`);
  }
  dropVanished(desk, lookNumber);
  const seen = new Set(result.entries.map(({ key }) => key));
  for (const file of desk.byInode.values()) {
    const owner = seen.has(file.nameKey) && desk.byName.get(file.nameKey) === file;
    const moving = file.phase.kind === 'done' && file.phase.after === 'moving';
    if (owner || moving || file.lookNumber > lookNumber || file.place !== 'folder') continue;
    if (desk.hidden.size > 0 && isHidden(desk, file.nameKey)) continue;
    vanish(desk, file);
  }
}

/** Not in the folder any more. With an open descriptor the rest of it can still be read; nothing of it is lost then. */
function vanish(desk: Desk, file: SourceFile): void {
  const unread = !isCommitted(file.reading, contentSize(file));
  const { kind } = file.phase;
  const readable = kind === 'reading' || kind === 'comparing' || kind === 'resting';
  if (unread && readable && file.handle !== null) {
    if (desk.byName.get(file.nameKey) === file) desk.byName.delete(file.nameKey);
    file.place = 'nowhere';
    desk.settings.events.notice(
      `${file.info.name} left the folder while it was being read: the rest of it is read all the same`,
    );
    enter(desk, file, { kind: 'reading' });
    wake(desk, file);
    return;
  }
  if (unread && readable && file.reading.pieces.length > 0) {
    desk.settings.events.notice(`${file.info.name} left the folder before all of it was committed`);
  }
  forget(desk, file);
}

/** Looks at one known file at once, by descriptor where there is one. False when it is not there any more. */
export function lookAgain(desk: Desk, file: SourceFile): boolean {
  desk.looks += 1;
  if (file.isPacked && file.place === 'nowhere') {
    // Its unpacked copy is all that there is, and does not change.
    applyLook(desk, file, file.stamp, desk.looks);
    return true;
  }
  const handle = file.isPacked ? null : file.handle;
  let stats: BigIntStats | null;
  try {
    stats = handle === null ? lstatQuietly(file.path) : fstatSync(handle.fd, { bigint: true });
  } catch (error) {
    // It is there, and what it is like is not known: the caller's next step waits until it is tried again.
    trouble(desk, file, error);
    return true;
  }
  if (stats === null || !stats.isFile()) return false;
  const stamp = stampOf(stats, desk.rule.birthsKept);
  if (!sameKey(file.stamp, stamp)) return false;
  applyLook(desk, file, stamp, desk.looks);
  return true;
}

/** Compares two looks at one file and draws the consequences. Older answers than the last one applied are ignored. */
export function applyLook(desk: Desk, file: SourceFile, stamp: FileStamp, lookNumber: number): void {
  const { kind } = file.phase;
  if (lookNumber < file.lookNumber) return;
  file.lookNumber = lookNumber;
  if (kind === 'waiting' || kind === 'resting' || kind === 'gone') return;
  const change = changeBetween(file.stamp, stamp);
  noteStillness(desk, file, stamp, change);
  if (change === 'none' || kind === 'asking') return;
  if (kind === 'done' && file.phase.after === 'moving') return;
  if (kind === 'refused' || kind === 'parked') {
    if (change === 'handled') return;
    if (kind === 'parked' && change === 'grown' && file.reading.pieces.length > 0 && !file.isPacked)
      void judgeGrown(desk, file);
    else revive(desk, file, kind === 'parked' ? 'mended' : null);
    return;
  }
  if (file.isPacked && change !== 'replaced') {
    unpackAgain(desk, file);
    return;
  }
  if (change === 'replaced' || (change === 'shrunk' && stamp.size < extent(file.reading))) {
    renew(desk, file, 'overwritten');
    return;
  }
  if (change === 'rewritten' || change === 'shrunk') voidFlights(desk, file);
  compareFirst(desk, file, change === 'grown' ? 'ends' : 'all');
}

/** Read again from its beginning; at ever longer intervals when somebody appends line by line to a file that is bad from its first one. */
function revive(desk: Desk, file: SourceFile, warning: 'mended' | null): void {
  const { settleMs, settleGrowingMs } = desk.settings;
  renew(desk, file, warning);
  rest(desk, file, Math.min(settleMs * 2 ** file.revivals, Math.max(settleMs, settleGrowingMs)), true);
  file.revivals += 1;
}

/** A parked file became longer: mended, when what is committed has changed; otherwise its producer goes on, and a person decides. */
async function judgeGrown(desk: Desk, file: SourceFile): Promise<void> {
  const { phase } = file;
  try {
    const found = await compareFile(desk, file, 'ends');
    if (file.phase !== phase) return;
    if (found === 'other') revive(desk, file, 'mended');
    else if (found === 'same') tellGrown(desk, file);
  } catch (error) {
    noticeOnce(desk, `unread:${file.info.id}`, `${file.info.name} cannot be compared (${codeOf(error)})`);
  }
}

export function tellGrown(desk: Desk, { info }: SourceFile): void {
  noticeOnce(
    desk,
    `grown:${info.id}`,
    `${info.name} is parked and has grown: nothing more of it is read until millrace resume or millrace undo`,
  );
}

/** Keeps the stamp, and when it was first and last seen. */
export function noteStillness(
  desk: Desk,
  file: SourceFile,
  stamp: FileStamp,
  change: ReturnType<typeof changeBetween>,
): void {
  const nowMs = desk.settings.now();
  file.stamp = { ...stamp, birthNs: stamp.birthNs ?? file.stamp.birthNs };
  const { sinceMs, grew } = file.stillness;
  file.stillness = {
    sinceMs: change === 'none' ? sinceMs : nowMs,
    lookedMs: nowMs,
    grew: grew || change === 'grown',
  };
  if (change === 'grown') file.seenMs = nowMs;
}

/** Nothing is read on before what is committed has been found to be what stands there. */
function compareFirst(desk: Desk, file: SourceFile, what: 'ends' | 'all'): void {
  if (file.isPacked) unpackAgain(desk, file);
  else if (file.phase.kind === 'comparing') {
    file.phase.again = true;
    if (what === 'all') file.phase.what = 'all';
  } else if (file.reading.pieces.length === 0) {
    readOn(desk, file);
  } else {
    enter(desk, file, { kind: 'comparing', what, again: false });
    void runComparison(desk, file);
  }
}

async function runComparison(desk: Desk, file: SourceFile): Promise<void> {
  const phase = file.phase;
  if (phase.kind !== 'comparing') return;
  phase.again = false;
  try {
    const found = await compareFile(desk, file, phase.what);
    if (file.phase !== phase) return;
    if (found === 'other') renew(desk, file, 'overwritten');
    else if (found === 'gone') rest(desk, file, GONE_REST_MS, true);
    else if (phase.again) void runComparison(desk, file);
    else readOn(desk, file);
  } catch (error) {
    if (file.phase === phase) trouble(desk, file, error);
  }
}

/** By its descriptor where there is one: the name may mean another file by now. */
async function compareFile(desk: Desk, file: SourceFile, what: 'ends' | 'all'): Promise<Compared> {
  const { handle } = file;
  const pieces = [...file.reading.pieces];
  if (handle === null) {
    return compare(file.path, pieces, what, (stats) =>
      sameKey(file.stamp, stampOf(stats, desk.rule.birthsKept)),
    );
  }
  handle.users += 1;
  try {
    return await compareOpen(handle.fd, pieces, what);
  } finally {
    handle.users -= 1;
    closeIfUnused(desk, handle);
  }
}

/** The committed part stands: goes on, and says so when an end that was taken as final was torn. */
export function readOn(desk: Desk, file: SourceFile): void {
  const last = file.reading.pieces.at(-1);
  if (file.tailTaken && last !== undefined && contentSize(file) > last.end) {
    file.tailTaken = false;
    warnOfTornTail(desk, file, last.end, last.firstLine + last.lines - 1);
  }
  if (file.nameIsNew && file.registered) follow(desk, file);
  file.nameIsNew = false;
  beginReading(desk, file);
}

function warnOfTornTail(desk: Desk, file: SourceFile, end: number, line: number): void {
  const lineEnd = file.info.dialect.newline === 'cr' ? 0x0d : 0x0a;
  const fits = (): boolean => true;
  const bytes = withFileSync(file.path, fits, (fd) => readRangeSync(fd, end - 2, 2));
  if (bytes === null || bytes.includes(lineEnd, -1)) return;
  // In UTF-16 LE a line end is two bytes, the second of which is zero.
  if (bytes[1] === 0 && bytes[0] === lineEnd) return;
  joinTornLine(file.reading);
  desk.settings.events.notice(
    `torn_tail: ${file.info.name} grew behind its last line ${line}, which had no line end and was taken as it stood`,
  );
}
