// What lstat says of a file, and what two such answers say about each other. Pure: no file system here, and no content.

import type { BigIntStats } from 'node:fs';

import type { FileStamp } from '../core/slice.ts';

/**
 * `birthsKept`: the file system is known to keep birth times. Without that knowledge a birth time equal to the ctime may be the
 * stand-in of a system that has none; with it, it is the birth time of a file that was never touched since.
 */
export function stampOf(stats: BigIntStats, birthsKept: boolean): FileStamp {
  const birth = stats.birthtimeNs;
  const none = birth <= 0n || (!birthsKept && birth === stats.ctimeNs);
  return {
    dev: stats.dev,
    ino: stats.ino,
    birthNs: none ? null : birth,
    size: Number(stats.size),
    mtimeNs: stats.mtimeNs,
    ctimeNs: stats.ctimeNs,
  };
}

/** A birth time on one side only says nothing. */
export function birthsConflict(a: FileStamp, b: FileStamp): boolean {
  return a.birthNs !== null && b.birthNs !== null && a.birthNs !== b.birthNs;
}

/** The same entry of a file system, as far as numbers can tell. */
export function sameKey(a: FileStamp, b: FileStamp): boolean {
  return a.dev === b.dev && a.ino === b.ino && !birthsConflict(a, b);
}

/** Names the place of a file in a table of all files; the birth time is compared apart, since it may be unknown. */
export function inodeKey(stamp: FileStamp): string {
  return `${stamp.dev}:${stamp.ino}`;
}

/**
 * What happened between two looks at one path.
 * - `handled`: only the ctime moved: renamed, linked, or its mode changed; the content may still have been changed under a restored mtime.
 * - `rewritten`: the mtime moved without growth.
 */
export type Change = 'none' | 'grown' | 'handled' | 'rewritten' | 'shrunk' | 'replaced';

export function changeBetween(before: FileStamp, after: FileStamp): Change {
  if (!sameKey(before, after)) return 'replaced';
  if (after.size > before.size) return 'grown';
  if (after.size < before.size) return 'shrunk';
  if (after.mtimeNs !== before.mtimeNs) return 'rewritten';
  return after.ctimeNs === before.ctimeNs ? 'none' : 'handled';
}
