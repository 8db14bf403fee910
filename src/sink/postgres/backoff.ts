// How long to wait before something is tried again. Not whether: that is the failure table's business (errors.ts).

import { setTimeout as sleep } from 'node:timers/promises';

const FIRST_MS = 50;
const LAST_MS = 5_000;

/** Doubles from 50 ms to 5 s, each with jitter: lanes that failed together must not come back together. */
export class Backoff {
  #tries = 0;

  /** Failures since the last `reset`. */
  get tries(): number {
    return this.#tries;
  }

  reset(): void {
    this.#tries = 0;
  }

  /** Waits the next, longer while; ends early when `abort` fires. */
  async wait(abort: AbortSignal): Promise<void> {
    const ms = Math.min(LAST_MS, FIRST_MS * 2 ** this.#tries);
    this.#tries += 1;
    await pause(ms * (0.5 + Math.random() / 2), abort);
  }
}

/** Resolves after `ms`, or as soon as `abort` fires; never rejects. */
export async function pause(ms: number, abort: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal: abort });
  } catch (error) {
    if (!abort.aborted) throw error;
  }
}

/** Waits for `work`, and no longer than until `abort` fires; rejects as `work` does. */
export async function orAborted(work: Promise<unknown>, abort: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = (): void => resolve();
  abort.addEventListener('abort', end);
  try {
    await Promise.race([work, promise]);
  } finally {
    abort.removeEventListener('abort', end);
  }
}
