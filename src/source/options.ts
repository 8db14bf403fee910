// What a directory source is told, and the judging of it before anything is read: folders that exist, and an archive that is not
// inside the folder it is filled from.

import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isAbsolute, relative, sep } from 'node:path';

import type { Dialect } from '../core/slice.ts';
import { SLICE_BYTES } from '../core/slice.ts';
import { MillraceError } from '../errors.ts';
import { makeFolders } from '../folders.ts';
import { codeOf } from './content.ts';
import type { SettleRule } from './finality.ts';
import type { UnpackRule } from './unpack.ts';

const UNPACKED_BYTES_MAX = 16 * 2 ** 30;

export type WatchMode = 'auto' | 'poll' | 'off';
export type AfterCommit = 'keep' | 'archive' | 'delete';

/** What the source tells while it works; names are printable. */
export interface DirectoryEvents {
  notice(text: string): void;
  /** A file is read for the first time by this process, or again under a new generation. */
  found(name: string, bytes: number): void;
  refused(name: string, reason: string, state: 'refused' | 'parked'): void;
  /** Everything in it is committed and confirmed. */
  ended(name: string, bytes: number): void;
}

export interface DirectoryOptions {
  /** Absolute path. */
  readonly directory: string;
  /** Globs on the last part of a name; default ['*.csv']. */
  readonly patterns?: readonly string[];
  readonly recursive?: boolean;
  readonly watch?: WatchMode;
  /** Reconciling scan, in ms; a folder that takes long to scan is scanned less often. */
  readonly scanEveryMs?: number;
  readonly settleMs?: number;
  readonly settleGrowingMs?: number;
  readonly once?: boolean;
  readonly after?: AfterCommit;
  /** Absolute path; needed with after = 'archive'. */
  readonly archiveDirectory?: string;
  readonly dialect?: Dialect;
  readonly rejectsMaxPerFile?: number;
  readonly sliceBytes?: number;
  /** For compressed files. */
  readonly unpacking?: UnpackRule;
  /** A file with more rejected records is parked; null: no limit. */
  readonly rejectsMax?: number | null;
  /** The same as a share of the file's records, 0 to 1. */
  readonly rejectsMaxShare?: number | null;
  readonly events: DirectoryEvents;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}

export interface Settings extends Required<Omit<DirectoryOptions, 'archiveDirectory'>>, SettleRule {
  readonly archiveDirectory: string | null;
}

/** Fills in defaults and judges the folders. Throws MillraceError 'input'. */
export async function judgeOptions(options: DirectoryOptions): Promise<Settings> {
  const settings = withDefaults(options);
  if (!isAbsolute(settings.directory)) {
    throw new MillraceError('input', `the input folder must be an absolute path, got ${settings.directory}`);
  }
  const input = await judgeFolder(settings.directory, 'input folder', constants.R_OK | constants.X_OK);
  if (settings.after === 'archive') await judgeArchive(input, settings.archiveDirectory);
  return settings;
}

function withDefaults(options: DirectoryOptions): Settings {
  return {
    directory: options.directory,
    patterns: options.patterns ?? ['*.csv'],
    recursive: options.recursive ?? false,
    watch: options.watch ?? 'auto',
    scanEveryMs: options.scanEveryMs ?? 2000,
    settleMs: options.settleMs ?? 1000,
    settleGrowingMs: options.settleGrowingMs ?? 600_000,
    once: options.once ?? false,
    after: options.after ?? 'keep',
    archiveDirectory: options.archiveDirectory ?? null,
    dialect: options.dialect ?? { newline: 'lf' },
    rejectsMaxPerFile: options.rejectsMaxPerFile ?? 10_000,
    sliceBytes: options.sliceBytes ?? SLICE_BYTES,
    unpacking: options.unpacking ?? { folder: tmpdir(), bytesMax: UNPACKED_BYTES_MAX },
    rejectsMax: options.rejectsMax ?? null,
    rejectsMaxShare: options.rejectsMaxShare ?? null,
    events: options.events,
    now: options.now ?? ((): number => performance.now()),
  };
}

/** Gives the real path, with all symlinks resolved. */
async function judgeFolder(path: string, what: string, mode: number): Promise<string> {
  try {
    const stats = await stat(path);
    if (!stats.isDirectory()) {
      throw new MillraceError('input', `the ${what} ${path} is not a folder`, { wayOut: 'Name a folder.' });
    }
    await access(path, mode);
    return await realpath(path);
  } catch (error) {
    if (error instanceof MillraceError) throw error;
    const missing = codeOf(error) === 'ENOENT';
    throw new MillraceError(
      'input',
      `the ${what} ${path} ${missing ? 'does not exist' : `cannot be used (${codeOf(error)})`}`,
      {
        wayOut: missing
          ? `Make it: mkdir -p '${path}'`
          : 'Give this user the right to it, or name another one.',
        cause: error,
      },
    );
  }
}

async function judgeArchive(input: string, archiveDirectory: string | null): Promise<void> {
  if (archiveDirectory === null || !isAbsolute(archiveDirectory)) {
    throw new MillraceError('input', 'archiving needs an archive folder with an absolute path', {
      wayOut: 'Name one outside the input folder.',
    });
  }
  makeFolder(archiveDirectory);
  const archive = await judgeFolder(archiveDirectory, 'archive folder', constants.W_OK | constants.X_OK);
  const way = relative(input, archive);
  const outside = way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way);
  if (outside) return;
  throw new MillraceError('input', `the archive folder ${archiveDirectory} lies inside the input folder`, {
    wayOut: 'Archived files would be found and read again. Name a folder outside it.',
  });
}

/** As `mkdir -p`; for us alone, since it holds what others may not have been meant to read. */
function makeFolder(path: string): void {
  try {
    makeFolders(path, 0o700);
  } catch (error) {
    throw new MillraceError('input', `the archive folder ${path} cannot be made (${codeOf(error)})`, {
      wayOut: 'Make it, or name another one.',
      cause: error,
    });
  }
}
