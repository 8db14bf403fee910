// What the parts of the directory source share: the files and their tables, the queues of what can be read, and the few moves
// between phases that every part needs. It touches the file system only to close descriptors.

import { closeSync } from 'node:fs';

import type { Bell } from '../core/bell.ts';
import { dialectText, sameDialect } from '../core/booked-dialect.ts';
import type { Books } from '../core/books.ts';
import type { ParsedChunk } from '../core/chunk.ts';
import type { FileStamp, GenerationId } from '../core/slice.ts';
import type { Sleeper } from './asleep.ts';
import { codeOf } from './content.ts';
import type { Handle, Phase, SourceFile } from './file.ts';
import { contentSize, isSettled, startGeneration } from './file.ts';
import { isFinal } from './finality.ts';
import type { Warning } from './identity.ts';
import type { Settings } from './options.ts';
import type { ReadyFiles } from './ready.ts';
import type { Cut } from './reading.ts';
import { extent, inFlight, isCommitted, uncutBytes, voidAll, waitsForTail } from './reading.ts';
import type { ScanRule } from './scan.ts';
import type { SourceTask } from './source.ts';
import { inodeKey } from './stamp.ts';
import type { Whereabouts } from './whereabouts.ts';

/** Large files that are open at once; each holds one descriptor and may hold back a few slices that came out of order. */
export const OPEN_FILES_MAX = 8;

/** One cut inside a task. */
export interface Flight {
  readonly file: SourceFile;
  readonly cut: Cut;
  readonly generation: GenerationId;
  /** The descriptor that it is read from; null when the worker opens the path. */
  readonly handle: Handle | null;
  /** The number of the file's last look when it was sent, and what that look saw. */
  readonly lookNumber: number;
  readonly stamp: FileStamp;
  readonly seenMs: number;
  /** When it was handed out: whoever reads it looks at the file after that. */
  readonly sentMs: number;
}

/** An answer that waits for its predecessor. */
export interface Landed {
  readonly task: SourceTask;
  readonly flight: Flight;
  readonly chunk: ParsedChunk;
}

export interface Desk {
  readonly settings: Settings;
  /** Which folder, and what in it. */
  readonly rule: ScanRule;
  readonly whereabouts: Whereabouts;
  readonly bell: Bell;
  readonly byInode: Map<string, SourceFile>;
  readonly byName: Map<string, SourceFile>;
  readonly byGeneration: Map<GenerationId, SourceFile>;
  /** By inode number. None of them is in the three tables above. */
  readonly asleep: Map<bigint, Sleeper>;
  readonly small: ReadyFiles;
  readonly large: ReadyFiles;
  readonly flights: Map<SourceTask, readonly Flight[]>;
  readonly landed: Map<Cut, Landed>;
  /** Withheld tasks that became void while nobody asked; dropped with the next answer of a worker. */
  readonly retired: SourceTask[];
  /** Files about which the books must be asked. */
  readonly unknown: Set<SourceFile>;
  /** Files for which time decides: still? final? rested? */
  readonly pending: Set<SourceFile>;
  /** Files that --once waits for. */
  readonly busy: Set<SourceFile>;
  /** Files that could not be read so far. */
  readonly unread: Set<SourceFile>;
  /** Places that the last scan could not look into, by `nameKey`: what is in them is unknown, not gone. */
  hidden: ReadonlySet<string>;
  readonly told: Set<string>;
  readonly counts: { seen: number; done: number; refused: number; foundByScan: number };
  /** Writes to the books on their way; `close` waits for them. */
  readonly writing: Set<Promise<void>>;
  books: Books | null;
  /** Raised by `open`: what was asked before is not believed any more. */
  era: number;
  /** Numbers looks, so that an older answer never overrides a newer one. */
  looks: number;
  /** Slices of large files since nothing was ready last. */
  cutsSinceIdle: number;
  openFiles: number;
  /** Compressed files that are being unpacked just now. */
  unpacking: number;
  closed: boolean;
  /** Asks for a scan soon. */
  requestScan: () => void;
}

export function enter(desk: Desk, file: SourceFile, phase: Phase): void {
  uncount(desk, file.phase, phase);
  file.phase = phase;
  if (isSettled(phase)) desk.busy.delete(file);
  else desk.busy.add(file);
  if (phase.kind === 'waiting' || (phase.kind === 'resting' && !phase.blocks)) desk.unread.add(file);
  else desk.unread.delete(file);
}

/** A file that was done or refused and is read again is neither any more; one that left after that still counts. */
function uncount(desk: Desk, before: Phase, after: Phase): void {
  if (after.kind === 'gone' || after.kind === before.kind) return;
  if (before.kind === 'done') desk.counts.done -= 1;
  if (before.kind === 'refused' || before.kind === 'parked') desk.counts.refused -= 1;
}

/** Puts a file where it belongs now: into the queue of what can be read, or among those for which time decides. */
export function wake(desk: Desk, file: SourceFile): void {
  if (file.phase.kind !== 'reading' || desk.closed) return;
  const bytes = uncutBytes(file.reading, contentSize(file), takesEnd(desk, file));
  if (bytes > 0) {
    if (!file.queued) queueFor(desk, file, bytes).put(file);
    desk.bell.ring();
  } else if (!inFlight(file.reading) && isAtRest(file)) {
    desk.pending.add(file);
  }
}

function isAtRest(file: SourceFile): boolean {
  return isCommitted(file.reading, contentSize(file)) || waitsForTail(file.reading, contentSize(file));
}

/** Whether an unterminated last record is decided: a compressed file is not read before it is whole. */
export function takesEnd(desk: Desk, file: SourceFile): boolean {
  return file.isPacked || isFinal(file.stillness, desk.settings);
}

/** Ranges of it may be cut from now on; of a compressed one once it is unpacked. */
export function beginReading(desk: Desk, file: SourceFile): void {
  if (file.isPacked && file.handle === null) {
    enter(desk, file, { kind: 'unpacking', running: false });
    desk.pending.add(file);
    desk.bell.ring();
    return;
  }
  if (contentSize(file) > extent(file.reading)) sayOtherDialect(desk, file);
  enter(desk, file, { kind: 'reading' });
  wake(desk, file);
}

/** One content is read in one dialect: what is committed of it cannot be taken back here, and nobody could read the file again in two. */
function sayOtherDialect(desk: Desk, file: SourceFile): void {
  const { dialect, id, name } = file.info;
  if (sameDialect(dialect, desk.settings.dialect)) return;
  noticeOnce(
    desk,
    `dialect:${id}`,
    `${name} was begun with ${dialectText(dialect)} and is read on so, not with ${dialectText(desk.settings.dialect)} as said now: ` +
      `millrace undo and then millrace resume read it anew`,
  );
}

/** A compressed file that changed, or was read and has something to be read again: from a fresh copy, compared first. */
export function unpackAgain(desk: Desk, file: SourceFile): void {
  voidFlights(desk, file);
  letGo(desk, file);
  beginReading(desk, file);
}

/** Files with an open descriptor stay among the large ones until they are wholly committed. */
function queueFor(desk: Desk, file: SourceFile, bytes: number): ReadyFiles {
  return file.handle !== null || bytes >= desk.settings.sliceBytes ? desk.large : desk.small;
}

/** Whatever of a file is in flight is of no use any more; what was accepted stays. */
export function voidFlights(desk: Desk, file: SourceFile): void {
  for (const cut of voidAll(file.reading)) retire(desk, cut);
}

function retire(desk: Desk, cut: Cut): void {
  const landed = desk.landed.get(cut);
  if (landed === undefined) return;
  desk.landed.delete(cut);
  desk.retired.push(landed.task);
}

/** Says why a file is read again. */
export function warn(desk: Desk, name: string, warning: Warning): void {
  const why =
    warning === 'mended'
      ? 'was parked and has changed since'
      : 'was overwritten where it had been read already';
  desk.settings.events.notice(`${name} ${why}: it is read again from its beginning`);
}

/** Reads the file again from 0 as another content. */
export function renew(desk: Desk, file: SourceFile, warning: Warning | null): void {
  voidFlights(desk, file);
  const old = file.info;
  if (warning !== null && !file.nameIsNew) warn(desk, old.name, warning);
  desk.byGeneration.delete(old.id);
  startGeneration(file, old.id, desk.settings.dialect);
  file.stillness = { ...file.stillness, grew: false };
  desk.byGeneration.set(file.info.id, file);
  desk.settings.events.found(file.info.name, file.stamp.size);
  if (file.isPacked) letGo(desk, file);
  beginReading(desk, file);
}

/** Drops a file from all tables. */
export function forget(desk: Desk, file: SourceFile): void {
  voidFlights(desk, file);
  enter(desk, file, { kind: 'gone' });
  if (desk.byInode.get(inodeKey(file.stamp)) === file) desk.byInode.delete(inodeKey(file.stamp));
  if (desk.byName.get(file.nameKey) === file) desk.byName.delete(file.nameKey);
  if (desk.byGeneration.get(file.info.id) === file) desk.byGeneration.delete(file.info.id);
  desk.pending.delete(file);
  desk.unknown.delete(file);
  letGo(desk, file);
  desk.bell.ring();
}

/** Gives up an open descriptor; it is closed once no task uses it. */
export function letGo(desk: Desk, file: SourceFile): void {
  const handle = file.handle;
  if (handle === null) return;
  file.handle = null;
  handle.letGo = true;
  closeIfUnused(desk, handle);
}

export function closeIfUnused(desk: Desk, handle: Handle): void {
  if (!handle.letGo || handle.users > 0) return;
  desk.openFiles -= 1;
  try {
    closeSync(handle.fd);
  } catch (error) {
    // Nothing was written through it, and it is closed all the same (close(2)).
    noticeOnce(desk, 'close', `a file could not be closed (${codeOf(error)})`);
  }
  // A large file may have waited for a free descriptor.
  desk.bell.ring();
}

/** In a place that cannot be looked into just now. */
export function isHidden(desk: Desk, key: string): boolean {
  for (const place of desk.hidden)
    if (place === '' || key === place || key.startsWith(`${place}/`)) return true;
  return false;
}

/** A notice that would repeat with every scan is given once. */
export function noticeOnce(desk: Desk, key: string, text: string): void {
  if (desk.told.has(key)) return;
  if (desk.told.size > 10_000) desk.told.clear();
  desk.told.add(key);
  desk.settings.events.notice(text);
}

/** Runs a write to the books in the background; `close` waits for it. */
export function inBackground(desk: Desk, work: Promise<void>): void {
  desk.writing.add(work);
  void work.finally(() => desk.writing.delete(work));
}
