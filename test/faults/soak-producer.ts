// The soak's generator, a thread of its own: writes files at a rate, whatever becomes of them (open loop), or keeps a backlog for the
// measurement of full speed. Each file appears whole, by a rename.

import { readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';

import { NO_SUMS, addSums, soakFile } from './soak-content.ts';
import type { Sums } from './soak-content.ts';

export interface ProducerTask {
  readonly folder: string;
  readonly seed: number;
  readonly rowsPerFile: number;
}

/** `backlog`: so many files are to lie in the folder. `rate`: rows per second, from now on. `stop`: answered with what was written. */
export type ProducerOrder =
  | { readonly kind: 'backlog'; readonly files: number }
  | { readonly kind: 'rate'; readonly rowsPerSecond: number }
  | { readonly kind: 'stop' };

export interface Produced extends Sums {
  readonly files: number;
  /** The longest that a file was late, in ms: a generator that cannot keep up is no open loop. */
  readonly lateMsMax: number;
}

const TICK_MS = 10;

const task = workerData as ProducerTask;
/** Since when which order holds, and how many files there were then. */
const now = { order: { kind: 'backlog', files: 0 } as ProducerOrder, sinceMs: 0, files: 0 };
let produced: Produced = { ...NO_SUMS, files: 0, lateMsMax: 0 };

parentPort?.on('message', (next: ProducerOrder) => {
  Object.assign(now, { order: next, sinceMs: performance.now(), files: produced.files });
});

for (let { order } = now; order.kind !== 'stop'; { order } = now) await sleep(writeOne(order) ? 0 : TICK_MS);
parentPort?.postMessage(produced);
parentPort?.close();

/** True when a file was due. */
function writeOne(current: Exclude<ProducerOrder, { kind: 'stop' }>): boolean {
  let lateMs = 0;
  switch (current.kind) {
    case 'backlog':
      if (readdirSync(task.folder).length >= current.files) return false;
      break;
    case 'rate': {
      const everyMs = (task.rowsPerFile * 1000) / current.rowsPerSecond;
      lateMs = performance.now() - now.sinceMs - (produced.files - now.files) * everyMs;
      if (lateMs < 0) return false;
      break;
    }
    default:
      current satisfies never;
  }
  const { text, sums } = soakFile(task.seed, produced.count, task.rowsPerFile);
  const name = `${produced.files}.csv`;
  writeFileSync(join(task.folder, `.${name}`), text);
  renameSync(join(task.folder, `.${name}`), join(task.folder, name));
  const lateMsMax = Math.max(produced.lateMsMax, lateMs);
  produced = { ...addSums(produced, sums), files: produced.files + 1, lateMsMax };
  return true;
}
