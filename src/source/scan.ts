// Looks at the input folder: readdir and lstat, nothing else. The scan is the truth about what is there; a watcher only says
// when to look. What the entries mean is decided elsewhere.

import { lstatSync } from 'node:fs';
import type { BigIntStats, Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';

import { codeOf } from './content.ts';
import { deletingGeneration, folderOf, isIgnored, joinBytes, looseText } from './names.ts';

/** lstat without a thread costs 5 to 10 us; between so many the event loop gets its turn. */
const LSTATS_AT_A_TIME = 128;

export interface Entry {
  /** Path below the input folder. */
  readonly nameBytes: Buffer;
  readonly path: Buffer;
  readonly stats: BigIntStats;
}

export type Skipped = 'symlink' | 'not a regular file';

export interface ScanResult {
  readonly entries: readonly Entry[];
  /** Names that match but are not regular files. */
  readonly skipped: readonly { readonly nameBytes: Buffer; readonly why: Skipped }[];
  /** Files that wait to be deleted under a hidden name of ours. */
  readonly deleting: readonly Entry[];
  /** Folders that could not be read, and files that could not be looked at (errno name): what is there is unknown, not gone. */
  readonly unreadable: readonly Unreadable[];
}

export interface Unreadable {
  /** Path below the input folder; empty for that folder itself. */
  readonly place: Buffer;
  readonly isFolder: boolean;
  readonly code: string;
}

export interface ScanRule {
  /** Absolute path of the input folder. */
  readonly folder: Buffer;
  readonly recursive: boolean;
  /** Judges the last part of a name. */
  readonly accepts: (name: string) => boolean;
}

/** Lists all regular files that match, in no particular order. Never throws for what is in the folder. */
export async function scan(rule: ScanRule): Promise<ScanResult> {
  const result = { entries: [] as Entry[], skipped: [], deleting: [], unreadable: [] } satisfies ScanResult;
  const folders: Buffer[] = [Buffer.alloc(0)];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    await scanFolder(rule, folder, folders, result);
  }
  return result;
}

interface Growing {
  readonly entries: Entry[];
  readonly skipped: { nameBytes: Buffer; why: Skipped }[];
  readonly deleting: Entry[];
  readonly unreadable: Unreadable[];
}

async function scanFolder(rule: ScanRule, folder: Buffer, folders: Buffer[], result: Growing): Promise<void> {
  let children: Dirent<Buffer>[];
  try {
    children = await readdir(joinBytes(rule.folder, folder), { encoding: 'buffer', withFileTypes: true });
  } catch (error) {
    result.unreadable.push({ place: folder, isFolder: true, code: codeOf(error) });
    return;
  }
  for (const [index, child] of children.entries()) {
    if (index % LSTATS_AT_A_TIME === LSTATS_AT_A_TIME - 1) await setImmediate();
    examine(rule, joinBytes(folder, child.name), child, folders, result);
  }
}

function examine(
  rule: ScanRule,
  nameBytes: Buffer,
  child: Dirent<Buffer>,
  folders: Buffer[],
  result: Growing,
): void {
  const text = looseText(child.name);
  if (deletingGeneration(text) !== null) {
    const entry = look(rule, nameBytes);
    if (entry?.stats.isFile() === true) result.deleting.push(entry);
    return;
  }
  if (child.isDirectory()) {
    if (rule.recursive && !isIgnored(text)) folders.push(nameBytes);
    else if (!rule.recursive && rule.accepts(text))
      result.skipped.push({ nameBytes, why: 'not a regular file' });
    return;
  }
  if (!rule.accepts(text)) return;
  if (child.isSymbolicLink()) result.skipped.push({ nameBytes, why: 'symlink' });
  else takeFile(rule, nameBytes, result);
}

function takeFile(rule: ScanRule, nameBytes: Buffer, result: Growing): void {
  const path = joinBytes(rule.folder, nameBytes);
  let stats: BigIntStats | undefined;
  try {
    stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    noteUnreadable(nameBytes, codeOf(error), result);
    return;
  }
  if (stats === undefined) return;
  if (stats.isFile()) result.entries.push({ nameBytes, path, stats });
  else result.skipped.push({ nameBytes, why: stats.isSymbolicLink() ? 'symlink' : 'not a regular file' });
}

/** In a folder without the right to search it all names can be read and no file can be looked at: that is said of the folder, once. */
function noteUnreadable(nameBytes: Buffer, code: string, { unreadable }: Growing): void {
  const ofFolder = code === 'EACCES';
  const place = ofFolder ? Buffer.from(folderOf(nameBytes)) : nameBytes;
  const last = unreadable.at(-1);
  if (last?.isFolder === true && ofFolder && last.place.equals(place)) return;
  unreadable.push({ place, isFolder: ofFolder, code });
}

/** lstat of one name; null when it is not there (any more) or cannot be looked at. */
export function look(rule: ScanRule, nameBytes: Buffer): Entry | null {
  const path = joinBytes(rule.folder, nameBytes);
  const stats = lstatQuietly(path);
  return stats === null ? null : { nameBytes, path, stats };
}

export function lstatQuietly(path: Buffer): BigIntStats | null {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false }) ?? null;
  } catch {
    return null; // ENOTDIR, EACCES on the folder, ENAMETOOLONG: not a file that we can see just now
  }
}
