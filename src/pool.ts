// Room 2: the pool of parse workers. Knows piscina and nothing of files or the database. A worker that dies on a task is
// replaced and the task tried again; the caller is told when that does not help.

import { availableParallelism } from 'node:os';
import { FixedQueue, Piscina } from 'piscina';

import type { ParsedChunk, Rows } from './core/chunk.ts';
import type { Range } from './core/climb.ts';
import type { ParseOrder, ParseTask } from './core/slice.ts';
import { Spares } from './core/spares.ts';
import { expectTransfers } from './core/transfers.ts';
import { MillraceError } from './errors.ts';

export interface Pool {
  readonly workers: number;
  /** Rejects with the last error when the task failed `ATTEMPTS` times, and with a MillraceError when no task ever can succeed. */
  parse(task: ParseTask): Promise<ParsedChunk>;
  /** Takes rows back whose transaction is known to have committed: their memory serves a later task. Nobody may read them any more. */
  reuse(rows: Rows): void;
  /** Tasks that wait for a worker. */
  readonly tasksWaiting: number;
  /** Threads from now on, at most. More are made when tasks wait for them; one that is there stays. */
  allow(workers: number): void;
  /** Share of time the workers were busy, 0 to 1. */
  utilization(): number;
  /** Lets running tasks end, at most `deadlineMs`, then ends the threads. */
  close(deadlineMs: number): Promise<void>;
}

const WORKERS_MAX = 8;
const ATTEMPTS = 3;

/** How workers/entry.cts begins what it says of code that cannot be loaded; an error that crosses threads keeps no more than its message. */
const CANNOT_LOAD = 'cannot load the code of a worker thread';

/** A slice parses in 20 to 200 ms; a worker that has not answered by then is spinning or stuck in a dead file system. */
const TASK_MS_MAX = 120_000;

/** Threads that parse: one more only where lanes starve, and one processor is left to the main thread. */
export function workersRange(given: number | null): Range {
  if (given !== null) return { start: given, max: given };
  return { start: 1, max: Math.max(1, Math.min(WORKERS_MAX, availableParallelism() - 1)) };
}

export interface PoolOptions {
  /** Threads at first, and as long as `allow` does not say otherwise. */
  readonly workers: number;
  readonly onError: (error: Error) => void;
  readonly taskMsMax?: number;
}

export function openPool(options: PoolOptions): Pool {
  expectTransfers();
  const piscina = new Piscina<ParseOrder, ParsedChunk>({
    filename: new URL('../workers/entry.cts', import.meta.url).href,
    name: 'parse',
    minThreads: options.workers,
    maxThreads: options.workers,
    idleTimeout: 2 ** 31 - 1,
    concurrentTasksPerWorker: 1,
    taskQueue: new FixedQueue(),
    // Not 'sync': a thread that is ended while it loads would begin to wait in Atomics.wait() all the same, and the process for it, for ever
    // (17 of 300 ends in the moments before it is ready). What a message costs instead is little beside a task of 20 to 200 ms.
    atomics: 'disabled',
    // Bounds the JavaScript heap only; buffers are bounded by the number of slices in flight.
    resourceLimits: { maxOldGenerationSizeMb: 512, maxYoungGenerationSizeMb: 16 },
  });
  const spares = new Spares();
  piscina.on('error', options.onError); // errors after a task returned are seen by nobody else
  return {
    get workers() {
      return piscina.threads.length;
    },
    get tasksWaiting() {
      return piscina.queueSize;
    },
    allow: (workers) => allow(piscina, workers),
    parse: (task) => parseWithRetry(piscina, task, spares, options),
    reuse: ({ bytes }) => spares.put(bytes.buffer),
    utilization: () => piscina.utilization,
    close: (deadlineMs) => closeWithin(piscina, deadlineMs),
  };
}

/** piscina reads its live options at each task; the minimum is what it fills up when a thread has died. */
function allow({ options }: Piscina<ParseOrder, ParsedChunk>, workers: number): void {
  if (workers <= options.maxThreads) return;
  options.maxThreads = workers;
  options.minThreads = workers;
}

async function parseWithRetry(
  piscina: Piscina<ParseOrder, ParsedChunk>,
  task: ParseTask,
  spares: Spares,
  { onError, taskMsMax = TASK_MS_MAX }: PoolOptions,
): Promise<ParsedChunk> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const spare = spares.take(bytesOf(task));
      const transferList = spare === null ? [] : [spare];
      return await piscina.run({ ...task, spare }, { transferList, signal: AbortSignal.timeout(taskMsMax) });
    } catch (error) {
      if ((error as Error).message.startsWith(CANNOT_LOAD)) throw incomplete(error as Error);
      if (attempt === ATTEMPTS) throw error;
      onError(error as Error);
    }
  }
}

/** No fault of the files, which must not be parked for it. */
function incomplete(cause: Error): MillraceError {
  return new MillraceError('internal', cause.message, {
    wayOut:
      'files of the program are missing or were replaced while it ran: install it again; nothing is lost',
    cause,
  });
}

function bytesOf({ slices }: ParseTask): number {
  return slices.reduce((sum, { start, end }) => sum + end - start, 0);
}

async function closeWithin(piscina: Piscina<ParseOrder, ParsedChunk>, deadlineMs: number): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, deadlineMs);
  await Promise.race([piscina.close(), late.promise]); // close() alone waits for a hung task
  clearTimeout(timer);
  await piscina.destroy();
}
