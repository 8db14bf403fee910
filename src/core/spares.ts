// Memory of rows that are committed, kept for the tasks that come. Fresh memory for each task would be 6 MB per slice that the collector
// has to account for: a full collection every 12 MB or so, an eighth of the processor time of a load. Pure; who may still read it is the
// road's business.

import { SLICE_BYTES } from './slice.ts';

/** Smaller pieces are cheaper made anew than kept. Anew, one of some hundred KiB for each of many files leaves holes in the memory of the process. */
const BYTES_MIN = 64 * 1024;

/** Under load a piece that comes back leaves again with the next task; what is left when all is quiet is bounded by this. */
const COUNT_MAX = 4;
/** Two of a long slice, when a very large file is over. */
const KEPT_BYTES_MAX = 64 * 2 ** 20;

/** A piece of a long slice is not for a usual one: ten of those would hold it in the end. */
const USUAL_BYTES_MAX = 3 * SLICE_BYTES;

/** Rows and what belongs to them take up to so many times the bytes of their file; what is too small for a task would be thrown away. */
const NEEDED_SHARE = 1.5;

export class Spares {
  /** By size. */
  readonly #kept: ArrayBuffer[] = [];

  /** For a task of so many bytes of file, the smallest that may do; null when there is none, or when a small task does not need it. */
  take(taskBytes: number): ArrayBuffer | null {
    if (taskBytes < BYTES_MIN) return null;
    const least = taskBytes * NEEDED_SHARE;
    const most = Math.max(USUAL_BYTES_MAX, 2 * least);
    const index = this.#kept.findIndex(({ byteLength }) => byteLength >= least && byteLength <= most);
    return index < 0 ? null : (this.#kept.splice(index, 1)[0] ?? null);
  }

  put(memory: ArrayBuffer): void {
    if (memory.byteLength < BYTES_MIN) return;
    this.#kept.push(memory);
    this.#kept.sort((a, b) => a.byteLength - b.byteLength);
    if (this.#kept.length > COUNT_MAX) this.#kept.shift();
    while (this.#keptBytes > KEPT_BYTES_MAX) this.#kept.pop();
  }

  get #keptBytes(): number {
    return this.#kept.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }
}
