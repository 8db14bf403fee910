// Watches one side while it works: processor time by thread, memory, the database's processes and what its backends wait for, ten
// times a second. What this costs (some 2 % of a core) every side pays alike.

import pg from 'pg';

import type { ThreadTime } from './processes.ts';
import type { Server } from '../scratch.ts';
import { SCRATCH_NAME } from '../scratch.ts';
import { cpuOf, familyOf, machineBusySeconds, memoryOf, parentOf, threadsOf } from './processes.ts';

const SAMPLE_MS = 100;

/** What a backend is doing at one look. */
const DOINGS = ['running', 'client', 'wal', 'disk', 'lock', 'other'] as const;
export type Doing = (typeof DOINGS)[number];

/** One moment: cores in use since the moment before, and resident memory. */
export interface Moment {
  readonly atSeconds: number;
  readonly clientCores: number;
  readonly databaseCores: number;
  readonly clientMiB: number;
}

export interface Utilization {
  /** Processor seconds. Null where the system does not tell, or the server is on another machine. */
  readonly clientCpuSeconds: number | null;
  readonly databaseCpuSeconds: number | null;
  /** Of all processes, these and others. */
  readonly machineCpuSeconds: number | null;
  readonly mainThreadSeconds: number | null;
  readonly workerSeconds: number | null;
  readonly peakMiB: number | null;
  /** Share of looks at the side's backends, adding up to 1; all 0 when none was seen. */
  readonly doings: Readonly<Record<Doing, number>>;
  /** Connections that were at work, on average over the looks that saw one. */
  readonly connections: number;
  readonly moments: readonly Moment[];
}

export interface Sampler {
  /** Takes a process, and what it starts, into the side's account. */
  watch(pid: number): void;
  stop(): Promise<Utilization>;
}

export async function startSampler(server: Server): Promise<Sampler> {
  const client = new pg.Client({ ...server.client, application_name: 'millrace bench sampler' });
  await client.connect();
  const sampler = new RunningSampler(client, await postmasterOf(client));
  sampler.start();
  return sampler;
}

/** Null when the server does not run on this machine, as far as we can see. */
async function postmasterOf(client: pg.Client): Promise<number | null> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const backend = rows[0]?.pid ?? 0;
  const looksLikeOne = threadsOf(backend).length === 1 && memoryOf(backend) !== null;
  return looksLikeOne ? parentOf(backend) : null;
}

class RunningSampler implements Sampler {
  readonly #client: pg.Client;
  readonly #postmaster: number | null;
  readonly #watched: number[] = [];
  readonly #lastCpu = new Map<number, number>();
  /** By thread id: a thread that has ended keeps what it was last seen with. */
  readonly #threads = new Map<number, ThreadTime>();
  readonly #peaksMiB = new Map<number, number>();
  readonly #doings: Record<Doing, number> = { running: 0, client: 0, wal: 0, disk: 0, lock: 0, other: 0 };
  readonly #moments: Moment[] = [];
  readonly #begunMs = performance.now();
  readonly #reapedAtStart = cpuOf('self')?.children ?? 0;
  readonly #databaseAtStart: number | null;
  readonly #machineAtStart = machineBusySeconds();
  #last = { atMs: this.#begunMs, client: 0, database: 0 };
  #looks = 0;
  #timer: NodeJS.Timeout | undefined;
  #asking: Promise<void> = Promise.resolve();

  constructor(client: pg.Client, postmaster: number | null) {
    this.#client = client;
    this.#postmaster = postmaster;
    this.#databaseAtStart = this.#databaseSeconds();
    this.#last.database = this.#databaseAtStart ?? 0;
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), SAMPLE_MS);
  }

  watch(pid: number): void {
    this.#watched.push(pid);
  }

  async stop(): Promise<Utilization> {
    clearInterval(this.#timer);
    await this.#asking;
    const database = this.#databaseSeconds();
    const machine = machineBusySeconds();
    await this.#client.end();
    const looked = Object.values(this.#doings).reduce((total, each) => total + each, 0);
    const share = (doing: Doing): number => (looked === 0 ? 0 : this.#doings[doing] / looked);
    return {
      clientCpuSeconds: this.#clientSeconds(),
      databaseCpuSeconds: difference(database, this.#databaseAtStart),
      machineCpuSeconds: difference(machine, this.#machineAtStart),
      mainThreadSeconds: this.#threadSeconds('MainThread'),
      workerSeconds: this.#threadSeconds('WorkerThread'),
      peakMiB: this.#peaksMiB.size === 0 ? null : sum(this.#peaksMiB.values()),
      doings: {
        running: share('running'),
        client: share('client'),
        wal: share('wal'),
        disk: share('disk'),
        lock: share('lock'),
        other: share('other'),
      },
      connections: this.#looks === 0 ? 0 : looked / this.#looks,
      moments: this.#moments,
    };
  }

  #look(): void {
    let nowMiB = 0;
    for (const pid of this.#watched.flatMap(familyOf)) {
      const cpu = cpuOf(pid);
      const memory = memoryOf(pid);
      if (cpu === null || memory === null) continue;
      this.#lastCpu.set(pid, cpu.own);
      for (const thread of threadsOf(pid)) this.#threads.set(thread.tid, thread);
      this.#peaksMiB.set(pid, memory.peakMiB);
      nowMiB += memory.nowMiB;
    }
    this.#note(nowMiB);
    this.#asking = this.#asking.then(() => this.#askBackends());
  }

  #note(clientMiB: number): void {
    const atMs = performance.now();
    const [client, database] = [sum(this.#lastCpu.values()), this.#databaseSeconds() ?? 0];
    const seconds = (atMs - this.#last.atMs) / 1000;
    this.#moments.push({
      atSeconds: (atMs - this.#begunMs) / 1000,
      clientCores: Math.max(0, client - this.#last.client) / seconds,
      databaseCores: Math.max(0, database - this.#last.database) / seconds,
      clientMiB,
    });
    this.#last = { atMs, client, database };
  }

  async #askBackends(): Promise<void> {
    const { rows } = await this.#client.query<{ type: string | null; event: string | null }>({
      name: 'look',
      text: `SELECT wait_event_type AS type, wait_event AS event FROM pg_stat_activity
             WHERE datname = $1 AND state = 'active' AND backend_type = 'client backend'`,
      values: [SCRATCH_NAME],
    });
    if (rows.length > 0) this.#looks += 1;
    for (const { type, event } of rows) this.#doings[doingOf(type, event)] += 1;
  }

  /** The kernel's own sum of ended children is exact; one that nobody waited for is known as far as we saw it. */
  #clientSeconds(): number | null {
    const own = cpuOf('self');
    if (own === null || this.#watched.length === 0) return null;
    return Math.max(own.children - this.#reapedAtStart, sum(this.#lastCpu.values()));
  }

  #databaseSeconds(): number | null {
    if (this.#postmaster === null) return null;
    let seconds = 0;
    for (const pid of familyOf(this.#postmaster)) {
      const cpu = cpuOf(pid);
      if (cpu !== null) seconds += cpu.own + (pid === this.#postmaster ? cpu.children : 0);
    }
    return seconds;
  }

  #threadSeconds(name: string): number | null {
    const found = [...this.#threads.values()].filter((thread) => thread.name === name);
    return found.length === 0 ? null : sum(found.map((thread) => thread.cpuSeconds));
  }
}

/** Writing or flushing WAL, and waiting for one's place in it (WalSync, WALWrite, WALInsert, ...). */
const WAL_EVENT = /^wal/i;

/** Classes of wait events: the manual's page "The Cumulative Statistics System", table of wait event types. */
function doingOf(type: string | null, event: string | null): Doing {
  if ((type === 'IO' || type === 'LWLock') && WAL_EVENT.test(event ?? '')) return 'wal';
  switch (type) {
    case null:
      return 'running';
    case 'Client':
      return 'client';
    case 'IO':
      return 'disk';
    case 'Lock':
    case 'LWLock':
    case 'BufferPin':
    case 'Buffer':
      return 'lock';
    default:
      return 'other';
  }
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const each of numbers) total += each;
  return total;
}

function difference(after: number | null, before: number | null): number | null {
  return after === null || before === null ? null : after - before;
}
