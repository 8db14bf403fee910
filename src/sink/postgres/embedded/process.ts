// Who is alive: identifies a process by its id *and* its birth, since ids are used again. Not for starting or ending one.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process as written into files: `bornAt` is opaque, comparable on one machine, and '' when it could not be read. */
export interface ProcessMark {
  readonly pid: number;
  readonly bornAt: string;
}

export function thisProcess(): ProcessMark {
  return { pid: process.pid, bornAt: birthOf(process.pid) ?? '' };
}

/** True while the very process that was marked lives; a zombie is dead, another process with the same id is another. */
export function isAlive(mark: ProcessMark): boolean {
  const born = birthOf(mark.pid);
  return born !== undefined && (born === '' || mark.bornAt === '' || born === mark.bornAt);
}

/** The birth of a living process, '' when it lives but hides it (`hidepid`), undefined when there is none. */
export function birthOf(pid: number): string | undefined {
  if (process.platform === 'linux') return birthFromProc(pid);
  try {
    const line = execFileSync('ps', ['-o', 'state=,lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    return line === '' || line.startsWith('Z') ? undefined : line.replace(/^\S+\s+/, '');
  } catch {
    return signalReaches(pid) ? '' : undefined; // no `ps` here, or no such process
  }
}

/** The program a living process runs, or undefined when that cannot be told. */
export function programOf(pid: number): string | undefined {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
    return execFileSync('ps', ['-o', 'comm=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}

/** Waits until no process has this id; false when the deadline came first. */
export async function waitUntilGone(pid: number, deadlineMs: number): Promise<boolean> {
  const end = performance.now() + deadlineMs;
  while (birthOf(pid) !== undefined) {
    if (performance.now() > end) return false;
    await sleep(5);
  }
  return true;
}

function birthFromProc(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in brackets and may hold anything: count from its end (man 5 proc).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return `${bootId()}:${fields[19]}`;
  } catch {
    return signalReaches(pid) ? '' : undefined;
  }
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').slice(0, 8);
}

function signalReaches(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
