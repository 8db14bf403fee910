// From measured utilisation to the sentence of what bounds a side. Thresholds stand here with their reasons; nothing is guessed:
// what was not measured is not named.

import { availableParallelism } from 'node:os';
import type { Measured } from './measure.ts';
import type { Utilization } from './sampler.ts';

/** Above this a thread has no room left: the rest is the scheduler's and the sampler's. */
const BUSY = 0.85;
/** All cores together never reach 100 % in /proc: start and end of a run are in the same seconds. */
const MACHINE_BUSY = 0.9;
/** More than the sampler and the system need: somebody else was at work. */
const OTHERS_MAX = 0.2;
/** A backend that waits this share of its time for one thing is bounded by it. */
const WAITING = 0.35;

/** One sentence without a full stop, e.g. "the processor: 1.55 of 2 cores by the database, 0.32 by the client". */
export function boundOf(used: Utilization, seconds: number, workers: number): string {
  const cores = availableParallelism();
  const parts = [
    othersBound(used, seconds),
    machineBound(used, seconds, cores),
    threadBound('the main thread', used.mainThreadSeconds, seconds, 1),
    threadBound(`the workers (${workers})`, used.workerSeconds, seconds, workers),
    backendBound(used),
  ].filter((part) => part !== null);
  return parts.length > 0 ? parts.join('; ') : `nothing that was measured: ${restText(used, seconds)}`;
}

/** The same of the round in the middle by its time. */
export function boundOfRounds(rounds: readonly Measured[], workers: number): string {
  const middle = rounds.toSorted((a, b) => a.seconds - b.seconds)[rounds.length >> 1];
  return middle === undefined ? 'nothing known' : boundOf(middle.used, middle.seconds, workers);
}

/** Cores in use by neither the side nor the database; the benchmark's own sampler is some 0.05 of them. */
function othersBound(used: Utilization, seconds: number): string | null {
  const { machineCpuSeconds: all, clientCpuSeconds: client, databaseCpuSeconds: database } = used;
  if (all === null || client === null || database === null) return null;
  const others = (all - client - database) / seconds;
  return others < OTHERS_MAX
    ? null
    : `OTHER PROGRAMS, which used ${others.toFixed(2)} cores: its numbers are in doubt`;
}

function machineBound(used: Utilization, seconds: number, cores: number): string | null {
  const { clientCpuSeconds: client, databaseCpuSeconds: database } = used;
  const busy = client === null || database === null ? 0 : (client + database) / seconds / cores;
  return busy < MACHINE_BUSY ? null : `the processor: ${restText(used, seconds)} of ${cores} cores`;
}

function threadBound(name: string, cpu: number | null, seconds: number, threads: number): string | null {
  const busy = cpu === null || threads === 0 ? 0 : cpu / seconds / threads;
  return busy < BUSY ? null : `${name}, ${percent(busy)} busy`;
}

function backendBound({ doings, connections }: Utilization): string | null {
  const each = `its ${connections < 1.5 ? 'connection' : `${connections.toFixed(1)} connections`}`;
  if (doings.wal >= WAITING)
    return `the WAL: ${each} waited ${percent(doings.wal)} of the time to write or flush it`;
  if (doings.disk >= WAITING) return `the disk: ${each} waited ${percent(doings.disk)} of the time for it`;
  if (doings.lock >= WAITING)
    return `locks inside the database: ${each} waited ${percent(doings.lock)} for them`;
  if (doings.client >= 0.5)
    return `the client: ${each} waited ${percent(doings.client)} of the time for rows`;
  if (doings.running >= 0.75)
    return `the lanes: ${each} worked inside the database ${percent(doings.running)} of the time`;
  return null;
}

function restText(used: Utilization, seconds: number): string {
  const cores = (cpu: number | null): string => (cpu === null ? 'unknown' : (cpu / seconds).toFixed(2));
  return `${cores(used.databaseCpuSeconds)} by the database, ${cores(used.clientCpuSeconds)} by the client`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
