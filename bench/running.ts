// A Millrace that watches a folder while a benchmark feeds it: started, warmed by one file, stopped.

import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { environmentOf } from './environment.ts';
import { MAIN } from './load.ts';
import type { Scratch } from './scratch.ts';
import { LIVE_ARGS } from './sides/millrace.ts';
import { endOf } from './sides/side.ts';

const READY_MS_MAX = 30_000;

export interface Running {
  readonly pid: number;
  /** @throws an Error when it ended, or ends, with anything but 0 */
  stop(): Promise<void>;
}

/** Resolves once its lease is in the books: it reads from then on. */
export async function startMillrace(
  scratch: Scratch,
  inbox: string,
  more: readonly string[],
): Promise<Running> {
  mkdirSync(inbox, { recursive: true });
  const before = await leaseOf(scratch);
  const child = spawn(process.execPath, [MAIN, 'run', '--quiet', '--input', inbox, ...LIVE_ARGS, ...more], {
    env: environmentOf(scratch.url),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = endOf(child, 'millrace');
  ended.catch(() => undefined); // told by stop(), or by the wait below
  const over = ended.then(() => {
    throw new Error('millrace ended before it was ready');
  });
  await Promise.race([
    until(async () => (await leaseOf(scratch)) !== before, READY_MS_MAX, 'millrace to start'),
    over,
  ]);
  over.catch(() => undefined);
  return {
    pid: child.pid ?? 0,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** Null before any. A table that is not there yet is no error: the program makes it at its start. */
async function leaseOf(scratch: Scratch): Promise<string | null> {
  const [there] = await scratch.query<{ there: boolean }>(
    "SELECT to_regclass('millrace.leases') IS NOT NULL AS there",
  );
  if (there?.there !== true) return null;
  const [row] = await scratch.query<{ epoch: string }>('SELECT epoch::text FROM millrace.leases LIMIT 1');
  return row?.epoch ?? null;
}

/** Asks every 5 ms. @throws an Error after `msMax` */
export async function until(holds: () => Promise<boolean>, msMax: number, what: string): Promise<void> {
  const begun = performance.now();
  while (!(await holds())) {
    if (performance.now() - begun > msMax) throw new Error(`waited ${msMax} ms for ${what}`);
    await sleep(5);
  }
}

/** What the books say of all files together. */
export async function booked(scratch: Scratch): Promise<{ inserted: number; duplicates: number }> {
  const [row] = await scratch.query<{ inserted: string; duplicates: string }>(
    'SELECT coalesce(sum(inserted), 0) AS inserted, coalesce(sum(duplicates), 0) AS duplicates FROM millrace.slices',
  );
  return { inserted: Number(row?.inserted ?? 0), duplicates: Number(row?.duplicates ?? 0) };
}
