// An open-loop load of files: each has its intended time, whatever the one before did, and its latency counts from there to the moment
// an independent reader sees its rows. So a stall is paid by every file that was due meanwhile (no coordinated omission).

import { once } from 'node:events';
import { renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import type { Arrival, ReaderTask } from './children/reader.ts';
import { firstKey } from './load.ts';
import type { NamedHistogram } from './outcome.ts';
import { histogramOf } from './measure/times.ts';

const READER = new URL('./children/reader.ts', import.meta.url);
const PATIENCE_MS = 60_000;
/** From handing the reader its list to the first file. */
const LEAD_MS = 100;

export interface OpenLoop {
  readonly url: string;
  /** Files that lie ready on the same file system, to be renamed into `inbox`. */
  readonly staged: readonly string[];
  readonly inbox: string;
  /** When each file is due, in ms from the start; ascending. */
  readonly dueMs: readonly number[];
}

/** The latencies in ms, in the order of the files. */
export async function runOpenLoop(loop: OpenLoop): Promise<number[]> {
  const beginMs = nowMs() + LEAD_MS + 400;
  const arrivals: Arrival[] = loop.staged.map((path, index) => ({
    key: firstKey(path),
    intendedMs: beginMs + loop.dueMs[index]!,
  }));
  const workerData: ReaderTask = { url: loop.url, arrivals, patienceMs: PATIENCE_MS };
  const reader = new Worker(READER, { workerData });
  // From the beginning: a thread that ends before its last message was heard tells of both at once.
  const exited = once(reader, 'exit');
  exited.catch(() => undefined); // its error is that of the message that is waited for
  await once(reader, 'message');
  const times = once(reader, 'message') as Promise<[number[]]>;
  times.catch(() => undefined); // awaited below, after the last file is on its way
  for (const [index, path] of loop.staged.entries()) {
    const waitMs = arrivals[index]!.intendedMs - nowMs();
    if (waitMs > 1) await sleep(waitMs); // the timer is never early; what it is late counts against us
    renameSync(path, join(loop.inbox, basename(path)));
  }
  const [found] = await times;
  await exited;
  return found;
}

export function named(name: string, timesMs: readonly number[], startedMs: number): NamedHistogram {
  return { name, histogram: histogramOf(timesMs), timesMs, startedMs, endedMs: Date.now() };
}

/** Even steps at `perSecond`. */
export function evenly(count: number, perSecond: number): number[] {
  return Array.from({ length: count }, (_, index) => (index * 1000) / perSecond);
}

export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
