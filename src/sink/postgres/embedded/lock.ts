// One program at a time: a lock file that names its holder, so that the lock of a dead program can be broken.
// Not for anything that must survive two machines sharing a disk: process ids mean nothing there.
import { linkSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { MillraceError } from '../../../errors.ts';
import { isAlive, thisProcess } from './process.ts';
import type { ProcessMark } from './process.ts';

/** A first start on a slow disk copies 60 MB, runs initdb and recovers a crashed server: minutes at the worst. */
const WAIT_MS_MAX = 600_000;
/** Breaking a lock takes two system calls; whoever holds the guard longer than this has died in between. */
const GUARD_MS_MAX = 5_000;

/**
 * Runs `work` while holding the lock file `path`; a second program waits, and `whenWaiting` is told once.
 * The file is linked into place with its content, so nobody ever reads a half-written holder.
 */
export async function withLock<T>(
  path: string,
  work: () => Promise<T>,
  whenWaiting: (holder: number) => void = () => {},
): Promise<T> {
  const own = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  writeFileSync(own, JSON.stringify(thisProcess()), { flag: 'wx', mode: 0o644 });
  try {
    await acquire(path, own, whenWaiting);
    try {
      return await work();
    } finally {
      unlinkSync(path);
    }
  } finally {
    unlinkSync(own);
  }
}

async function acquire(path: string, own: string, whenWaiting: (holder: number) => void): Promise<void> {
  const end = performance.now() + WAIT_MS_MAX;
  let told = false;
  while (!tryLink(own, path)) {
    const holder = readHolder(path);
    if (holder === undefined) continue; // released between the two looks
    if (!isAlive(holder)) {
      if (breakDead(path, own)) continue;
    } else if (!told && holder.pid !== process.pid) {
      told = true;
      whenWaiting(holder.pid);
    }
    if (performance.now() > end) {
      throw new MillraceError('embedded', `${path} is held by process ${holder.pid} for ten minutes`, {
        wayOut: 'end that process, or use another data folder',
      });
    }
    await sleep(15);
  }
}

/**
 * Removes the lock of a dead holder, under a guard so that only one program looks and removes: without it the second
 * of two breakers would take away the fresh lock of the first.
 */
function breakDead(path: string, own: string): boolean {
  const guard = `${path}.break`;
  if (!tryLink(own, guard)) {
    // A clock that was set back must not keep a dead breaker's guard for hours: far in the future is as old as far in the past.
    const since = Date.now() - (statSync(guard, { throwIfNoEntry: false })?.ctimeMs ?? Date.now());
    if (Math.abs(since) > GUARD_MS_MAX) removeIfThere(guard);
    return false;
  }
  try {
    const holder = readHolder(path);
    if (holder !== undefined && !isAlive(holder)) removeIfThere(path);
    return true;
  } finally {
    removeIfThere(guard);
  }
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function readHolder(path: string): ProcessMark | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ProcessMark;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
