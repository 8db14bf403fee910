// One file of the folder as this process knows it: where it is, which content it has, how far that is read, and what is to be done
// next. State only; who moves it from phase to phase is told beside each phase.

import { randomUUID } from 'node:crypto';

import type { Dialect, FileStamp, GenerationId, GenerationInfo } from '../core/slice.ts';
import type { Stillness } from './finality.ts';
import { bytesOfKey, joinBytes, printableName } from './names.ts';
import type { Parsed, Reading } from './reading.ts';
import { startReading } from './reading.ts';
import type { Entry } from './scan.ts';
import { isPackedName } from './unpack.ts';

/** An open descriptor, shared with workers. Closed when it is let go and no task uses it any more. */
export interface Handle {
  readonly fd: number;
  users: number;
  letGo: boolean;
}

export type Phase =
  /** The books are asked, or its content is compared, before anything is read. */
  | { readonly kind: 'asking' }
  /** Ranges may be cut. */
  | { readonly kind: 'reading' }
  /** Compressed, and waiting to be unpacked or being so. */
  | { readonly kind: 'unpacking'; readonly running: boolean }
  /** Grown or touched: what is committed is compared before reading goes on. `again`: it changed once more meanwhile. */
  | { readonly kind: 'comparing'; what: 'ends' | 'all'; again: boolean }
  /** All committed and still: the books are being asked to confirm it. */
  | { readonly kind: 'finishing' }
  /** Confirmed. `after`: what remains to be done with the file itself. */
  | { readonly kind: 'done'; after: 'wait' | 'moving' | 'nothing' }
  | { readonly kind: 'refused' }
  | { readonly kind: 'parked' }
  /** Not readable for us: tried again at each scan. */
  | { readonly kind: 'waiting' }
  /** A fault that may pass: tried again at that time. `blocks`: --once still waits for it. */
  | { readonly kind: 'resting'; readonly untilMs: number; readonly blocks: boolean }
  /** Not in the folder any more. */
  | { readonly kind: 'gone' };

export interface SourceFile {
  nameBytes: Buffer;
  nameKey: string;
  path: Buffer;
  /** 'archive': moved there by us and grown since. 'nowhere': deleted, but an open descriptor still reads it. */
  place: 'folder' | 'archive' | 'nowhere';
  info: GenerationInfo;
  /** As of the last look. */
  stamp: FileStamp;
  /** Number of the last look that was applied; older answers are not believed. */
  lookNumber: number;
  stillness: Stillness;
  /** When the newest bytes were first seen. */
  seenMs: number;
  phase: Phase;
  reading: Reading;
  /** Records accepted, and those of them that were rejected: known to be in the books or on their way. */
  records: number;
  rejected: number;
  /** A person decided to read on after it was parked: no error budget stops it again. */
  resumed: boolean;
  blankLines: number;
  handle: Handle | null;
  /** Compressed, by its name: read from an unpacked copy without a name, which `handle` holds. */
  isPacked: boolean;
  /** Length of that copy; 0 until there was one. */
  unpackedBytes: number;
  /** The books have a row of this generation, or will have one. */
  registered: boolean;
  /** As what the batch on its way writes it down as done. */
  endsAs: GenerationInfo | null;
  /** Read in tasks of its own: its task killed a worker together with others. */
  alone: boolean;
  /** The books were asked; before that nothing of it may be read. */
  identified: boolean;
  /** Renamed since its content was compared: it may be another file that took over the inode. */
  nameIsNew: boolean;
  /** Faults in a row. */
  faults: number;
  /** How often it was read again after it had been refused or parked. */
  revivals: number;
  /** In one of the queues of files that have something to read. */
  queued: boolean;
  /** An end of the file was taken as final: growth directly behind an unterminated record tears it. */
  tailTaken: boolean;
}

/** A file that was just found; the books must be asked about it. */
export function newFile(
  { key, stamp }: Entry,
  folder: Uint8Array,
  lookNumber: number,
  nowMs: number,
  dialect: Dialect,
): SourceFile {
  const nameBytes = bytesOfKey(key);
  return {
    nameBytes,
    nameKey: key,
    path: joinBytes(folder, nameBytes),
    place: 'folder',
    info: newInfo(nameBytes, stamp, null, dialect),
    stamp,
    lookNumber,
    stillness: { sinceMs: nowMs, lookedMs: nowMs, grew: false },
    seenMs: nowMs,
    phase: { kind: 'asking' },
    reading: startReading([]),
    records: 0,
    rejected: 0,
    resumed: false,
    blankLines: 0,
    handle: null,
    isPacked: isPackedName(nameBytes),
    unpackedBytes: 0,
    registered: false,
    endsAs: null,
    alone: false,
    identified: false,
    nameIsNew: false,
    faults: 0,
    revivals: 0,
    queued: false,
    tailTaken: false,
  };
}

/** Length of what is read of a file: of its unpacked content when it is compressed. */
export function contentSize(file: SourceFile): number {
  return file.isPacked ? file.unpackedBytes : file.stamp.size;
}

/** A content of its own, with an id that nobody chose before. */
function newInfo(
  nameBytes: Buffer,
  stamp: FileStamp,
  replaces: GenerationId | null,
  dialect: Dialect,
): GenerationInfo {
  // Random by construction: the brand is given here and when the books are read.
  const id = randomUUID() as GenerationId;
  return { id, name: printableName(nameBytes), nameBytes, stamp, replaces, dialect };
}

/** Takes the place of the content read so far. */
export function startGeneration(file: SourceFile, replaces: GenerationId | null, dialect: Dialect): void {
  file.info = newInfo(file.nameBytes, file.stamp, replaces, dialect);
  file.reading = startReading([]);
  file.records = 0;
  file.rejected = 0;
  file.resumed = false;
  file.blankLines = 0;
  file.registered = false;
  file.endsAs = null;
  file.tailTaken = false;
  file.nameIsNew = false;
}

/** Counts what an accepted slice brought. */
export function countResult(file: SourceFile, result: Parsed): void {
  file.records += result.records;
  file.rejected += result.rejected;
  file.blankLines += result.blankLines;
  file.faults = 0;
  file.registered = true;
}

/** --once has nothing more to expect of it. */
export function isSettled(phase: Phase): boolean {
  switch (phase.kind) {
    case 'asking':
    case 'reading':
    case 'unpacking':
    case 'comparing':
    case 'finishing':
      return false;
    case 'done':
      return phase.after === 'nothing';
    case 'resting':
      return !phase.blocks;
    case 'refused':
    case 'parked':
    case 'waiting':
    case 'gone':
      return true;
    default:
      return phase satisfies never;
  }
}
