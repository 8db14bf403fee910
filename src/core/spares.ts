// Memory of rows that are committed, kept for the tasks that come. Fresh memory for each task would be 6 MB per slice that the collector
// has to account for: a full collection every 12 MB or so, an eighth of the processor time of a load. Pure; who may still read it is the
// road's business.

/** Smaller pieces are cheaper made anew than kept. Anew, one of some hundred KiB for each of many files leaves holes in the memory of the process. */
const BYTES_MIN = 64 * 1024;

/** Under load a piece that comes back leaves again with the next task; what is left when all is quiet is bounded by this. */
const COUNT_MAX = 4;

/** Rows and what belongs to them take up to so many times the bytes of their file; what is too small for a task would be thrown away. */
const NEEDED_SHARE = 1.5;

export class Spares {
  /** By size. */
  readonly #kept: ArrayBuffer[] = [];

  /** For a task of so many bytes of file, the smallest that may do; null when there is none, or when a small task does not need it. */
  take(taskBytes: number): ArrayBuffer | null {
    if (taskBytes < BYTES_MIN) return null;
    const index = this.#kept.findIndex(({ byteLength }) => byteLength >= taskBytes * NEEDED_SHARE);
    return index < 0 ? null : (this.#kept.splice(index, 1)[0] ?? null);
  }

  put(memory: ArrayBuffer): void {
    if (memory.byteLength < BYTES_MIN) return;
    this.#kept.push(memory);
    this.#kept.sort((a, b) => a.byteLength - b.byteLength);
    if (this.#kept.length > COUNT_MAX) this.#kept.shift();
  }
}
