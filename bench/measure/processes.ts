// Processor time and memory of processes and threads, from Linux's /proc (the manual page proc(5)). Elsewhere everything is null
// and the report says so. Reads only; who is watched and how often is the sampler's business.

import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ: fixed at 100 for user space on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

/** Seconds of processor time. */
export interface CpuTimes {
  readonly own: number;
  /** Of children that ended and were waited for, with theirs. */
  readonly children: number;
}

/** Null when there is no such process (any more). */
export function cpuOf(pid: number | 'self', tid?: number): CpuTimes | null {
  const path = tid === undefined ? `/proc/${pid}/stat` : `/proc/${pid}/task/${tid}/stat`;
  const fields = statFields(path);
  if (fields === null) return null;
  const seconds = (index: number): number => Number(fields[index]) / TICKS_PER_SECOND;
  return { own: seconds(11) + seconds(12), children: seconds(13) + seconds(14) };
}

export function parentOf(pid: number): number | null {
  const fields = statFields(`/proc/${pid}/stat`);
  return fields === null ? null : Number(fields[1]);
}

export interface ThreadTime {
  readonly tid: number;
  /** As the kernel knows it, e.g. WorkerThread; MainThread for the process's first one. */
  readonly name: string;
  readonly cpuSeconds: number;
}

/** Processor time of the threads that a process has now. One that ended is not listed any more. */
export function threadsOf(pid: number): ThreadTime[] {
  return listed(`/proc/${pid}/task`).flatMap((tid) => {
    const name = textOf(`/proc/${pid}/task/${tid}/comm`)?.trim();
    const cpu = cpuOf(pid, tid);
    if (name === undefined || cpu === null) return [];
    return [{ tid, name: tid === pid ? 'MainThread' : name, cpuSeconds: cpu.own }];
  });
}

/** Resident memory in MiB: now, and the peak so far as the kernel keeps it. */
export function memoryOf(pid: number): { nowMiB: number; peakMiB: number } | null {
  const status = textOf(`/proc/${pid}/status`);
  const field = (name: string): number | undefined => {
    const found = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status ?? '')?.[1];
    return found === undefined ? undefined : Number(found) / 1024;
  };
  const [nowMiB, peakMiB] = [field('VmRSS'), field('VmHWM')];
  return nowMiB === undefined || peakMiB === undefined ? null : { nowMiB, peakMiB };
}

/** All processes below one, itself first. */
export function familyOf(pid: number): number[] {
  const family = [pid];
  for (const member of family)
    for (const task of listed(`/proc/${member}/task`)) {
      const children = textOf(`/proc/${member}/task/${task}/children`) ?? '';
      family.push(...children.split(' ').filter(Boolean).map(Number));
    }
  return family;
}

/** Busy processor seconds of the whole machine since it started; null elsewhere. */
export function machineBusySeconds(): number | null {
  const line = textOf('/proc/stat')?.split('\n', 1)[0];
  if (line === undefined) return null;
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0] = line.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softIrq) / TICKS_PER_SECOND;
}

/** The fields from the third on: the second is the name, in parentheses, and may hold anything. */
function statFields(path: string): string[] | null {
  const text = textOf(path);
  return text === null ? null : text.slice(text.lastIndexOf(')') + 2).split(' ');
}

function listed(path: string): number[] {
  try {
    return readdirSync(path).map(Number);
  } catch {
    return []; // the process has ended
  }
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null; // the process has ended, or this system has no /proc
  }
}
