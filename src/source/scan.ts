// Looks at the input folder: readdir and lstat, nothing else. The scan is the truth about what is there; a watcher only says
// when to look. What the entries mean is decided elsewhere.

import { lstatSync, readdirSync } from 'node:fs';
import type { BigIntStats, Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';

import type { FileStamp } from '../core/slice.ts';
import { codeOf } from './content.ts';
import {
  bytesOfKey,
  deletingGeneration,
  folderOf,
  isIgnored,
  isPlain,
  joinBytes,
  nameKey,
  textOfKey,
} from './names.ts';
import { stampOf } from './stamp.ts';

/** lstat without a thread costs 5 to 10 us; between so many the event loop gets its turn. */
const LSTATS_AT_A_TIME = 128;

/** Files that are handed on at once while a scan goes on. */
const PORTION_FILES = 2000;

/** A regular file. Small, since a folder may hold 100,000: no buffers, which cost memory of their own each, and of its stats what is used. */
export interface Entry {
  /** Path below the input folder, as `nameKey` gives it. */
  readonly key: string;
  readonly stamp: FileStamp;
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
  /** The same as text; null when it is not UTF-8. */
  readonly folderText: string | null;
  readonly recursive: boolean;
  /** Judges the last part of a name. */
  readonly accepts: (name: string) => boolean;
  /** The file system of the folder keeps birth times. */
  readonly birthsKept: boolean;
}

/**
 * Lists all regular files that match, in no particular order. Never throws for what is in the folder. `handOn` gets them while the scan
 * goes on, some at a time, and each once: looking at 20,000 takes half a second, in which the database would have nothing to do.
 */
export async function scan(
  rule: ScanRule,
  handOn: (entries: readonly Entry[]) => Promise<void>,
): Promise<ScanResult> {
  const result = { entries: [] as Entry[], skipped: [], deleting: [], unreadable: [] } satisfies ScanResult;
  const folders = [''];
  let handedOn = 0;
  const found = async (atLeast: number): Promise<void> => {
    const { length } = result.entries;
    if (length - handedOn < atLeast) return;
    const portion = result.entries.slice(handedOn);
    handedOn = length;
    await handOn(portion);
  };
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    await scanFolder(rule, folder, folders, result, () => found(PORTION_FILES));
  }
  await found(1);
  return result;
}

interface Growing {
  readonly entries: Entry[];
  readonly skipped: { nameBytes: Buffer; why: Skipped }[];
  readonly deleting: Entry[];
  readonly unreadable: Unreadable[];
}

/** `folder`: as `nameKey` gives it, below the input folder. */
async function scanFolder(
  rule: ScanRule,
  folder: string,
  folders: string[],
  result: Growing,
  pause: () => Promise<void>,
): Promise<void> {
  let children: readonly (string | Dirent<Buffer>)[];
  const place = bytesOfKey(folder);
  const path = joinBytes(rule.folder, place);
  try {
    // Only who looks for folders needs the kinds; 'latin1' is byte for byte, as in `nameKey`, and without a buffer for each.
    children = rule.recursive
      ? await readdir(path, { encoding: 'buffer', withFileTypes: true })
      : await readdir(path, { encoding: 'latin1' });
  } catch (error) {
    result.unreadable.push({ place, isFolder: true, code: codeOf(error) });
    return;
  }
  const prefix = folder === '' ? '' : `${folder}/`;
  for (const [index, child] of children.entries()) {
    if (index % LSTATS_AT_A_TIME === LSTATS_AT_A_TIME - 1) {
      await pause();
      await setImmediate();
    }
    if (typeof child === 'string') examine(rule, prefix, child, null, folders, result);
    else examine(rule, prefix, nameKey(child.name), child, folders, result);
  }
}

/** `kind`: null when lstat has to tell. */
function examine(
  rule: ScanRule,
  prefix: string,
  name: string,
  kind: Dirent<Buffer> | null,
  folders: string[],
  result: Growing,
): void {
  const text = textOfKey(name);
  const key = prefix + name;
  if (deletingGeneration(text) !== null) {
    const entry = look(rule, key);
    if (entry !== null) result.deleting.push(entry);
    return;
  }
  if (kind?.isDirectory() === true) {
    if (!isIgnored(text)) folders.push(key);
    return;
  }
  if (!rule.accepts(text)) return;
  if (kind?.isSymbolicLink() === true) result.skipped.push({ nameBytes: bytesOfKey(key), why: 'symlink' });
  else takeFile(rule, key, result);
}

function takeFile(rule: ScanRule, key: string, result: Growing): void {
  let stats: BigIntStats | undefined;
  try {
    stats = lstatSync(pathOf(rule, key), { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    noteUnreadable(bytesOfKey(key), codeOf(error), result);
    return;
  }
  if (stats === undefined) return;
  if (stats.isFile()) result.entries.push({ key, stamp: stampOf(stats, rule.birthsKept) });
  else
    result.skipped.push({
      nameBytes: bytesOfKey(key),
      why: stats.isSymbolicLink() ? 'symlink' : 'not a regular file',
    });
}

/** As text where that is the same bytes: most names are, and a buffer of their own would cost twice the time of the call. */
function pathOf({ folder, folderText }: ScanRule, key: string): string | Buffer {
  return folderText !== null && isPlain(key) ? `${folderText}/${key}` : joinBytes(folder, bytesOfKey(key));
}

/** In a folder without the right to search it all names can be read and no file can be looked at: that is said of the folder, once. */
function noteUnreadable(nameBytes: Buffer, code: string, { unreadable }: Growing): void {
  const ofFolder = code === 'EACCES';
  const place = ofFolder ? Buffer.from(folderOf(nameBytes)) : nameBytes;
  const last = unreadable.at(-1);
  if (last?.isFolder === true && ofFolder && last.place.equals(place)) return;
  unreadable.push({ place, isFolder: ofFolder, code });
}

/** lstat of one name; null when there is no regular file (any more), or it cannot be looked at. */
export function look(rule: ScanRule, key: string): Entry | null {
  const stats = lstatQuietly(pathOf(rule, key));
  return stats?.isFile() === true ? { key, stamp: stampOf(stats, rule.birthsKept) } : null;
}

export function lstatQuietly(path: Buffer | string): BigIntStats | null {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false }) ?? null;
  } catch {
    return null; // ENOTDIR, EACCES on the folder, ENAMETOOLONG: not a file that we can see just now
  }
}

/**
 * Every regular file of the folders that a scan enters, under whatever name. At once, and not cheap: for the rare caller that must not wait
 * for the next look. Folders that cannot be read are passed over.
 */
export function walk(rule: ScanRule, met: (path: Buffer, stamp: FileStamp) => void): void {
  const folders = [rule.folder];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const child of namesIn(folder)) {
      const path = joinBytes(folder, child);
      const stats = lstatQuietly(path);
      if (stats?.isFile() === true) met(path, stampOf(stats, rule.birthsKept));
      else if (rule.recursive && stats?.isDirectory() === true && !isIgnored(textOfKey(nameKey(child))))
        folders.push(path);
    }
  }
}

function namesIn(folder: Buffer): Buffer[] {
  try {
    return readdirSync(folder, { encoding: 'buffer' });
  } catch {
    return []; // gone, or not for us: what is in it cannot be read either
  }
}
