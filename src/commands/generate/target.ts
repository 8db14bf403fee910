// Where generated records go: many files that appear whole, or one that grows. Synchronous calls: a small file costs four of
// them, and a hop to the thread pool for each would cost more than the calls.

import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { HEADER } from '../../core/generate/record.ts';
import { MillraceError } from '../../errors.ts';
import { makeFolders } from '../../folders.ts';

/** Calls go begin, write, ..., write, finish, and again; `close` at the end. All throw MillraceError('input'). */
export interface Target {
  begin(fileNumber: number): void;
  /** Appends whole records. */
  write(records: Uint8Array): void;
  finish(): void;
  /** Takes a file away that was begun and not finished. */
  close(): void;
  /** Files that exist because of this run. */
  files(): number;
}

const GROWING_NAME = 'events-growing.csv';
const HEADER_BYTES = Buffer.from(HEADER);
const LINE_FEED = 0x0a;

/** Way out per errno; anything else gets the general one. */
const WAYS_OUT: Readonly<Record<string, string>> = {
  ENOSPC: 'Make room on that disk, or choose another folder with --output.',
  EDQUOT: 'Make room in your quota, or choose another folder with --output.',
  EACCES: 'Allow this user to write there, or choose another folder with --output.',
  EPERM: 'Allow this user to write there, or choose another folder with --output.',
  EROFS: 'That disk is mounted read-only: choose another folder with --output.',
  ENOENT: 'Nothing can be made there: choose another folder with --output.',
  ENOTDIR: 'A part of that path is a file: choose another folder with --output.',
  EEXIST: 'There is a file of that name: choose another folder with --output.',
};

/** Runs file system calls and says what they were for when one fails. */
function reporting<T>(path: string, calls: () => T): T {
  try {
    return calls();
  } catch (error) {
    if (error instanceof MillraceError || !(error instanceof Error) || !('code' in error)) throw error;
    throw new MillraceError('input', `cannot write ${path}: ${error.message}`, {
      wayOut: WAYS_OUT[String(error.code)] ?? 'Check that path, or choose another folder with --output.',
      cause: error,
    });
  }
}

/**
 * Files `events-<seed>-<number>.csv`, each under a dot name until it is whole. When the seed was used in this folder before, the
 * names say which run this is, e.g. `events-7-r2-00000001.csv`: nothing is ever overwritten.
 */
export function folderTarget(folder: string, seed: number): Target {
  const prefix = reporting(folder, () => {
    makeFolders(folder);
    return freePrefix(readdirSync(folder), seed);
  });
  let current: { readonly fd: number; readonly hidden: string; readonly path: string } | null = null;
  let files = 0;
  return {
    begin(fileNumber) {
      const name = `${prefix}${String(fileNumber).padStart(8, '0')}.csv`;
      const path = join(folder, name);
      const hidden = join(folder, `.${name}.${process.pid}.tmp`);
      current = reporting(hidden, () => ({ fd: openSync(hidden, 'w'), hidden, path }));
      this.write(HEADER_BYTES);
    },
    write(records) {
      const { fd, path } = begun(current);
      reporting(path, () => writeWhole(fd, records));
    },
    finish() {
      const { fd, hidden, path } = begun(current);
      reporting(path, () => {
        if (existsSync(path))
          throw new MillraceError('input', `${path} exists already, made by somebody else meanwhile`);
        renameSync(hidden, path);
      });
      current = null;
      files += 1;
      closeSync(fd);
    },
    close() {
      if (current === null) return;
      closeSync(current.fd);
      rmSync(current.hidden, { force: true });
      current = null;
    },
    files: () => files,
  };
}

function begun<T>(current: T | null): T {
  if (current === null)
    throw new MillraceError('internal', 'records were written to a file that was not begun');
  return current;
}

/** `events-<seed>-`, or with the number of the next run when names of that seed are taken. */
function freePrefix(names: readonly string[], seed: number): string {
  const pattern = new RegExp(`^\\.?events-${seed}-(?:r(\\d+)-)?\\d{8,}\\.csv`);
  let lastRun = 0;
  for (const name of names) {
    const match = pattern.exec(name);
    if (match !== null) lastRun = Math.max(lastRun, Number(match[1] ?? 1));
  }
  return lastRun === 0 ? `events-${seed}-` : `events-${seed}-r${lastRun + 1}-`;
}

function writeWhole(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
}

/** One file that grows by whole records; goes on with the file of an earlier run when that fits. */
export function growingTarget(folder: string): Target {
  const path = join(folder, GROWING_NAME);
  const fd = reporting(path, () => {
    makeFolders(folder);
    return openGrowing(path);
  });
  return {
    begin: () => undefined,
    write: (records) => reporting(path, () => appendWhole(fd, records)),
    finish: () => undefined,
    close: () => closeSync(fd),
    files: () => 1,
  };
}

/** Opened for appending and reading; with a header when it is new. */
function openGrowing(path: string): number {
  const fd = openSync(path, 'a+');
  const { size } = fstatSync(fd);
  if (size === 0) {
    appendWhole(fd, HEADER_BYTES);
    return fd;
  }
  const head = Buffer.alloc(HEADER_BYTES.length);
  readSync(fd, head, 0, head.length, 0);
  const tail = Buffer.alloc(1);
  readSync(fd, tail, 0, 1, size - 1);
  if (head.equals(HEADER_BYTES) && tail[0] === LINE_FEED) return fd;
  closeSync(fd);
  throw new MillraceError(
    'input',
    `${path} cannot be appended to: it does not begin with the header of the events, or its last line has no end`,
    { wayOut: 'Move it away, or choose another folder with --output.' },
  );
}

/** One write where the system allows it; after a failure the file is as long as before, so that no record is torn. */
function appendWhole(fd: number, bytes: Uint8Array): void {
  const { size } = fstatSync(fd);
  try {
    writeWhole(fd, bytes);
  } catch (error) {
    ftruncateSync(fd, size);
    throw error;
  }
}
