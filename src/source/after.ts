// What becomes of a file that is done and final: archived or deleted, in steps of which each may be the last before a crash.
// A file is never overwritten, and one that grew in between is read on.

import type { BigIntStats } from 'node:fs';
import { constants } from 'node:fs';
import { copyFile, link, lstat, mkdir, open, rename, unlink, utimes } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';

import type { KnownGeneration } from '../core/books.ts';
import type { FileStamp } from '../core/slice.ts';
import { failPoint } from '../failpoints.ts';
import { codeOf } from './content.ts';
import type { Desk } from './desk.ts';
import { enter, forget, inBackground, noticeOnce } from './desk.ts';
import type { SourceFile } from './file.ts';
import { applyLook } from './looks.ts';
import {
  bytesOfKey,
  deletingGeneration,
  deletingName,
  folderOf,
  joinBytes,
  printableName,
  textOfKey,
} from './names.ts';
import type { Entry } from './scan.ts';
import { lstatQuietly } from './scan.ts';
import { inodeKey, sameKey, stampOf } from './stamp.ts';

/** Starts what `after` asks for; the file is 'done' and has just been looked at. */
export function tidy(desk: Desk, file: SourceFile): void {
  enter(desk, file, { kind: 'done', after: 'moving' });
  desk.pending.delete(file);
  const work = desk.settings.after === 'delete' ? remove(desk, file) : archive(desk, file);
  inBackground(
    desk,
    work.catch((error: unknown) => keepInstead(desk, file, error)),
  );
}

/** It stays where it is, done; the next start tries again. */
function keepInstead(desk: Desk, file: SourceFile, error: unknown): void {
  const what = desk.settings.after === 'delete' ? 'deleted' : 'archived';
  desk.settings.events.notice(
    `${file.info.name} could not be ${what} (${codeOf(error)}): it stays, and the next start tries again`,
  );
  if (file.phase.kind === 'done') enter(desk, file, { kind: 'done', after: 'nothing' });
  desk.bell.ring();
}

async function archive(desk: Desk, file: SourceFile): Promise<void> {
  const target = await reserve(desk, file);
  failPoint('archiving');
  try {
    await rename(file.path, target);
  } catch (error) {
    if (codeOf(error) !== 'EXDEV') {
      await unlink(target);
      throw error;
    }
    await archiveByCopy(desk, file, target);
    return;
  }
  failPoint('archived');
  await settleArchived(desk, file, target);
}

/** An empty file of ours under the first free name: two archives of one name never meet. Mode 0 tells it from a real one after a crash. */
async function reserve(desk: Desk, file: SourceFile): Promise<Buffer> {
  const folder = joinBytes(Buffer.from(desk.settings.archiveDirectory ?? ''), folderOf(file.nameBytes));
  const name = file.nameBytes.subarray(file.nameBytes.lastIndexOf(0x2f) + 1);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (let suffix = 0; ; suffix += 1) {
    const path = joinBytes(folder, suffix === 0 ? name : Buffer.concat([name, Buffer.from(`.${suffix}`)]));
    try {
      await (await open(path, 'wx', 0)).close();
      return path;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
      if (await isReservation(path)) return path;
    }
  }
}

async function isReservation(path: Buffer): Promise<boolean> {
  const stats = await lstat(path, { bigint: true });
  return stats.isFile() && stats.size === 0n && (stats.mode & 0o777n) === 0n;
}

/** What was moved may not be what was looked at, or may have grown in the last moment: a writer's descriptor goes with the file. */
async function settleArchived(desk: Desk, file: SourceFile, target: Buffer): Promise<void> {
  const stats = await lstat(target, { bigint: true });
  const stamp = stampOf(stats, desk.rule.birthsKept);
  if (!sameKey(file.stamp, stamp)) {
    await putBack(desk, target, file.path);
    forget(desk, file);
    return;
  }
  if (stamp.size === file.stamp.size && stamp.mtimeNs === file.stamp.mtimeNs) {
    forget(desk, file);
    return;
  }
  desk.settings.events.notice(
    `${file.info.name} was written to while it was being archived: read on from the archive`,
  );
  if (desk.byName.get(file.nameKey) === file) desk.byName.delete(file.nameKey);
  file.path = target;
  file.place = 'archive';
  enter(desk, file, { kind: 'done', after: 'nothing' });
  desk.looks += 1;
  applyLook(desk, file, stamp, desk.looks);
}

/** Another file system: a copy that is on disk before the original goes. */
async function archiveByCopy(desk: Desk, file: SourceFile, target: Buffer): Promise<void> {
  const partial = Buffer.concat([target, Buffer.from(`.${file.info.id}.part`)]);
  const before = await lstat(file.path, { bigint: true });
  await copyFile(file.path, partial, constants.COPYFILE_EXCL);
  const copy = await open(partial, 'r+');
  try {
    await copy.sync();
  } finally {
    await copy.close();
  }
  await utimes(partial, Number(before.atimeMs) / 1000, Number(before.mtimeMs) / 1000);
  const after = await lstat(file.path, { bigint: true });
  const unchanged = sameTimes(before, after) && sameKey(file.stamp, stampOf(after, desk.rule.birthsKept));
  if (!unchanged || Number(after.size) !== file.stamp.size) {
    await Promise.all([unlink(partial), unlink(target)]);
    enter(desk, file, { kind: 'done', after: 'wait' });
    desk.pending.add(file);
    return;
  }
  await rename(partial, target);
  await unlink(file.path);
  forget(desk, file);
}

function sameTimes(a: BigIntStats, b: BigIntStats): boolean {
  return a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs;
}

/** A hidden name first, so that nobody opens it any more; deleted when those who had it open have not written since. */
async function remove(desk: Desk, file: SourceFile): Promise<void> {
  const hidden = joinBytes(
    desk.rule.folder,
    joinBytes(folderOf(file.nameBytes), Buffer.from(deletingName(file.info.id))),
  );
  await rename(file.path, hidden);
  failPoint('hidden');
  await setTimeout(desk.settings.settleMs);
  const stats = await lstat(hidden, { bigint: true });
  const stamp = stampOf(stats, desk.rule.birthsKept);
  if (sameKey(file.stamp, stamp) && stamp.size === file.stamp.size && stamp.mtimeNs === file.stamp.mtimeNs) {
    await unlink(hidden);
    forget(desk, file);
    return;
  }
  desk.settings.events.notice(`${file.info.name} was written to while it was being deleted: it is put back`);
  await putBack(desk, hidden, file.path);
  forget(desk, file);
  desk.requestScan();
}

/** Back to its name, unless that is taken: then beside it. */
async function putBack(desk: Desk, from: Buffer, to: Buffer): Promise<void> {
  for (let suffix = 0; ; suffix += 1) {
    const path = suffix === 0 ? to : besideName(to, suffix);
    try {
      await link(from, path);
      await unlink(from);
      return;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
      if (suffix === 0)
        desk.settings.events.notice(`${printableName(to)} exists again: the older one is put beside it`);
    }
  }
}

/** The number goes in front, so that the patterns still find it. */
function besideName(path: Buffer, suffix: number): Buffer {
  const slash = path.lastIndexOf(0x2f) + 1;
  return Buffer.concat([path.subarray(0, slash), Buffer.from(`${suffix}-`), path.subarray(slash)]);
}

/** A file that waited to be deleted when the program ended: deleted when the books have all of it, else put back under its name. */
export async function finishDeleting(desk: Desk, entry: Entry): Promise<void> {
  const { key, stamp } = entry;
  const nameBytes = bytesOfKey(key);
  const path = joinBytes(desk.rule.folder, nameBytes);
  const generation = deletingGeneration(textOfKey(key.slice(key.lastIndexOf('/') + 1)));
  // Its own deletion is under way in this process.
  if (desk.byInode.has(inodeKey(stamp)) || desk.told.has(deletingKey(entry))) return;
  const known = (await desk.books?.find([{ nameBytes, ino: stamp.ino }])) ?? [];
  const own = known.find((one) => one.info.id === generation);
  if (own === undefined) {
    noticeOnce(
      desk,
      deletingKey(entry),
      `${printableName(nameBytes)} is not known to the books: it is left alone`,
    );
    return;
  }
  const ended = own.ended;
  const whole = own.state === 'done' && ended?.size === stamp.size && ended.mtimeNs === stamp.mtimeNs;
  const goes = whole && desk.settings.after === 'delete';
  if (!(await isStillOurs(desk, own, goes)) || !isAsSeen(path, stamp)) return;
  if (goes) await unlink(path);
  else await putBack(desk, path, joinBytes(desk.rule.folder, own.info.nameBytes));
  desk.requestScan();
}

/**
 * Reads the lease, and throws when another instance has it: whoever was taken over tidies up nothing, least of all what the younger one
 * has just hidden. `goes`: also confirms in that transaction that all of it is committed and flushed.
 */
async function isStillOurs(desk: Desk, own: KnownGeneration, goes: boolean): Promise<boolean> {
  const { books } = desk;
  if (books === null) return false;
  if (!goes) {
    await books.moved(own.info);
    return true;
  }
  const reach = own.slices.reduce((end, slice) => Math.max(end, slice.end), 0);
  const { info, blankLines } = own;
  return (await books.finish([{ info, stamp: info.stamp, reach, blankLines }])).has(info.id);
}

/** Nobody has written to it while the books were asked. */
function isAsSeen(path: Buffer, { ino, size, mtimeNs }: FileStamp): boolean {
  const now = lstatQuietly(path);
  return now !== null && now.ino === ino && Number(now.size) === size && now.mtimeNs === mtimeNs;
}

/** Only for the key of a notice. */
export function deletingKey({ key }: Entry): string {
  return `deleting:${key}`;
}
