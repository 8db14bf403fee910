// The files that have something to read, oldest modification time first, then by name: a binary heap, since a folder may hold 100,000
// of them. Nothing is known here of what they are.

import type { SourceFile } from './file.ts';

interface Place {
  readonly file: SourceFile;
  readonly mtimeNs: bigint;
}

export class ReadyFiles {
  readonly #heap: Place[] = [];

  get size(): number {
    return this.#heap.length;
  }

  first(): SourceFile | null {
    return this.#heap[0]?.file ?? null;
  }

  /** A file must be in at most once; `file.queued` keeps that. Its place is that of its mtime now. */
  put(file: SourceFile): void {
    this.#heap.push({ file, mtimeNs: file.stamp.mtimeNs });
    file.queued = true;
    let index = this.#heap.length - 1;
    while (index > 0 && this.#isBefore(index, (index - 1) >> 1)) {
      this.#swap(index, (index - 1) >> 1);
      index = (index - 1) >> 1;
    }
  }

  takeFirst(): SourceFile | null {
    const first = this.#heap[0];
    const last = this.#heap.pop();
    if (first === undefined || last === undefined) return null;
    first.file.queued = false;
    if (this.#heap.length === 0) return first.file;
    this.#heap[0] = last;
    this.#sink();
    return first.file;
  }

  #sink(): void {
    for (let index = 0; ;) {
      const left = 2 * index + 1;
      const child = left + 1 < this.#heap.length && this.#isBefore(left + 1, left) ? left + 1 : left;
      if (child >= this.#heap.length || !this.#isBefore(child, index)) return;
      this.#swap(child, index);
      index = child;
    }
  }

  #isBefore(a: number, b: number): boolean {
    return isOlder(this.#heap[a], this.#heap[b]);
  }

  #swap(a: number, b: number): void {
    const [placeA, placeB] = [this.#heap[a], this.#heap[b]];
    if (placeA === undefined || placeB === undefined) return;
    this.#heap[a] = placeB;
    this.#heap[b] = placeA;
  }
}

function isOlder(a: Place | undefined, b: Place | undefined): boolean {
  if (a === undefined || b === undefined) return a !== undefined;
  if (a.mtimeNs !== b.mtimeNs) return a.mtimeNs < b.mtimeNs;
  return a.file.nameKey < b.file.nameKey;
}

/** Which of two files goes first; the order in which tasks are made. */
export function goesFirst(a: SourceFile, b: SourceFile): boolean {
  return isOlder({ file: a, mtimeNs: a.stamp.mtimeNs }, { file: b, mtimeNs: b.stamp.mtimeNs });
}
