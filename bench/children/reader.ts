// The independent reader of the latency runs: a thread with a connection of its own that knows when each file was meant to arrive
// and which key it brings, and polls until that key is visible. It knows nothing of Millrace.

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import pg from 'pg';

export interface Arrival {
  readonly key: string;
  /** Monotonic ms of the whole machine (`process.hrtime`), the same in every thread. */
  readonly intendedMs: number;
}

export interface ReaderTask {
  readonly url: string;
  readonly arrivals: readonly Arrival[];
  /** A file that is not visible so long after its time ends the run. */
  readonly patienceMs: number;
}

/**
 * More outstanding files than this are asked for with a pause between, the longer the more they are, so that the reader does not eat the
 * machine: where hundreds wait, latencies are far above this resolution.
 */
const EAGER_MAX = 4;
const PAUSE_MS_PER_FILE = 0.02;
const PAUSE_MS_MAX = 20;

const task = workerData as ReaderTask;
const client = new pg.Client(task.url);
await client.connect();
parentPort?.postMessage('ready');
parentPort?.postMessage(await readAll());
await client.end();

async function readAll(): Promise<number[]> {
  const times = task.arrivals.map(() => NaN);
  const outstanding = new Map<string, number>();
  let next = 0;
  for (let seen = 0; seen < times.length;) {
    for (; next < times.length && intendedMs(next) <= nowMs(); next += 1)
      outstanding.set(task.arrivals[next]!.key, next);
    if (outstanding.size === 0) {
      await sleep(Math.max(1, intendedMs(next) - nowMs()));
      continue;
    }
    for (const key of await visible([...outstanding.keys()])) {
      const index = outstanding.get(key)!;
      times[index] = nowMs() - intendedMs(index);
      outstanding.delete(key);
      seen += 1;
    }
    for (const [key, index] of outstanding)
      if (nowMs() - intendedMs(index) > task.patienceMs)
        throw new Error(`file ${index} (${key}) was not visible after ${task.patienceMs} ms`);
    await (outstanding.size > EAGER_MAX ? sleep(pauseMs(outstanding.size)) : nextTurn());
  }
  return times;
}

function pauseMs(outstanding: number): number {
  return Math.min(PAUSE_MS_MAX, Math.max(1, outstanding * PAUSE_MS_PER_FILE));
}

async function visible(keys: readonly string[]): Promise<string[]> {
  const { rows } = await client.query<{ key: string }>({
    name: 'visible',
    text: 'SELECT event_id::text AS key FROM events WHERE event_id = ANY($1::uuid[])',
    values: [keys],
  });
  return rows.map(({ key }) => key);
}

function intendedMs(index: number): number {
  return task.arrivals[index]!.intendedMs;
}

function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
