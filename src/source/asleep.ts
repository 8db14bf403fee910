// Files that a start finds done in the books and standing in the folder as they stood then. Nothing is to be done with them, and there may
// be 100,000: only name and stamp are kept, the books are not asked for more, and whatever happens to one makes it a file just found.

import { setTimeout } from 'node:timers/promises';

import { BooksClosed } from '../core/books.ts';
import type { FileStamp } from '../core/slice.ts';
import type { Desk } from './desk.ts';
import { isHidden, noticeOnce } from './desk.ts';
import { complain } from './ledger.ts';
import { bytesOfKey, joinBytes, printableName } from './names.ts';
import type { Entry } from './scan.ts';
import { lstatQuietly } from './scan.ts';
import type { Change } from './stamp.ts';
import { changeBetween, inodeKey, sameKey, stampOf } from './stamp.ts';

export interface Sleeper {
  readonly key: string;
  readonly stamp: FileStamp;
  /** Number of the last look that saw it. */
  lookNumber: number;
}

/** Files asked about in one call: each is one index probe and one number in the answer. */
const QUESTIONS_MAX = 5_000;
const RETRY_MS = 500;

/** Lets those of the first scan fall asleep that can. Not with archive or delete: there the books confirm each file once more. */
export async function recognise(desk: Desk, entries: readonly Entry[], lookNumber: number): Promise<void> {
  if (desk.settings.after !== 'keep') return;
  const { era } = desk;
  for (let from = 0; from < entries.length; from += QUESTIONS_MAX) {
    const asked = entries.slice(from, from + QUESTIONS_MAX);
    const unchanged = await ask(desk, asked);
    if (desk.era !== era || desk.closed) return;
    for (const index of unchanged) {
      const entry = asked[index];
      if (entry !== undefined) fallAsleep(desk, entry, lookNumber);
    }
  }
}

async function ask(desk: Desk, entries: readonly Entry[]): Promise<readonly number[]> {
  const { era } = desk;
  const files = entries.map(({ key, stamp }) => ({ nameKey: key, stamp }));
  while (desk.era === era && !desk.closed) {
    try {
      return (await desk.books?.unchanged(files)) ?? [];
    } catch (error) {
      if (error instanceof BooksClosed) return [];
      complain(desk, 'find', error);
      await setTimeout(RETRY_MS);
    }
  }
  return [];
}

function fallAsleep(desk: Desk, { key, stamp }: Entry, lookNumber: number): void {
  // A look met it while the books were asked; or the same number on another device below.
  if (desk.byInode.has(inodeKey(stamp)) || desk.asleep.has(stamp.ino)) return;
  desk.asleep.set(stamp.ino, { key, stamp, lookNumber });
  desk.counts.seen += 1;
  desk.counts.done += 1;
  desk.counts.foundByScan += 1;
}

/**
 * What a look at a file says of the one asleep with its inode number: null when nothing is to be done; else what has happened to it, and it
 * is none of the sleepers any more ('replaced': the entry is another file).
 */
export function disturb(
  desk: Desk,
  sleeper: Sleeper,
  { key, stamp }: Entry,
  lookNumber: number,
): Change | null {
  if (sleeper.stamp.dev !== stamp.dev) return 'replaced';
  if (sleeper.lookNumber > lookNumber) return null;
  if (!sameKey(sleeper.stamp, stamp)) {
    desk.asleep.delete(stamp.ino);
    return 'replaced';
  }
  const change = changeBetween(sleeper.stamp, stamp);
  if (sleeper.key === key && change === 'none') {
    sleeper.lookNumber = lookNumber;
    return null;
  }
  if (sleeper.key !== key && isStillThere(desk, sleeper)) {
    sayLink(desk, key, printableName(bytesOfKey(sleeper.key)));
    return null;
  }
  desk.asleep.delete(stamp.ino);
  // It is counted again as a file that is found.
  desk.counts.seen -= 1;
  desk.counts.done -= 1;
  return change;
}

function isStillThere(desk: Desk, { key, stamp }: Sleeper): boolean {
  const stats = lstatQuietly(joinBytes(desk.rule.folder, bytesOfKey(key)));
  return stats !== null && sameKey(stamp, stampOf(stats, desk.rule.birthsKept));
}

/** A hard link. */
export function sayLink(desk: Desk, key: string, name: string): void {
  noticeOnce(desk, `link:${key}`, `${printableName(bytesOfKey(key))} is the same file as ${name}: read once`);
}

/** A complete scan did not see these: they have left the folder. */
export function dropVanished(desk: Desk, lookNumber: number): void {
  for (const [ino, { key, lookNumber: seen }] of desk.asleep) {
    if (seen >= lookNumber || (desk.hidden.size > 0 && isHidden(desk, key))) continue;
    desk.asleep.delete(ino);
  }
}
