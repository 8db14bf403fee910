// When the next generated file is due: at an interval, at a rate of events, or at once.

import { setTimeout as sleep } from 'node:timers/promises';

export interface PaceOptions {
  /** From the beginning of one file to the beginning of the next; 0: none. */
  readonly intervalMs: number;
  /** Events per second in all; null: no limit. */
  readonly rate: number | null;
}

/** Waits until a file may be written before which `rowsBefore` rows were written; at most until the signal. */
export type Pace = (rowsBefore: number, signal: AbortSignal) => Promise<void>;

/** The first file is due at once. A rate that was missed is made up for; a missed interval is not. */
export function openPace({ intervalMs, rate }: PaceOptions): Pace {
  const started = performance.now();
  let lastFile = -Infinity;
  return async (rowsBefore, signal) => {
    const dueByRate = rate === null ? 0 : started + (rowsBefore * 1000) / rate;
    const due = Math.max(lastFile + intervalMs, dueByRate);
    const waitMs = due - performance.now();
    if (waitMs > 0) await sleepUntilSignal(waitMs, signal);
    lastFile = Math.max(due, performance.now());
  };
}

async function sleepUntilSignal(waitMs: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(waitMs, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
