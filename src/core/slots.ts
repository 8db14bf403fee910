// The bound of everything in flight. A slot belongs to a task from dispatch until its slices are committed or dropped, so memory is
// slots x (slice + encoded rows), about 10 MB each, whatever the files are. Large slices may have so many of them as keep everybody busy and
// no more, since each touches memory of its own; small tasks may have all. So a new small file never waits behind a large backlog.

/** At most so many tasks in flight, and so many of them that are slices of large files. */
export interface SlotLimits {
  readonly all: number;
  readonly large: number;
}

interface SlotTask {
  /** Below the slice size. */
  readonly small: boolean;
}

export class Slots {
  readonly #limits: () => SlotLimits;
  readonly #taken = new Set<SlotTask>();
  #large = 0;

  /** The limits may change at any time; what is taken stays taken. */
  constructor(limits: () => SlotLimits) {
    this.#limits = limits;
  }

  get inFlight(): number {
    return this.#taken.size;
  }

  /** What a new task may be: any, only a small one, or none. */
  get room(): 'any' | 'small' | 'none' {
    const { all, large } = this.#limits();
    if (this.#taken.size >= all) return 'none';
    return this.#large < large ? 'any' : 'small';
  }

  take(task: SlotTask): void {
    if (this.#taken.has(task)) return;
    this.#taken.add(task);
    if (!task.small) this.#large += 1;
  }

  /** The same slot goes on with another task. */
  swap(task: SlotTask, next: SlotTask): void {
    this.release(task);
    this.take(next);
  }

  release(task: SlotTask): void {
    if (this.#taken.delete(task) && !task.small) this.#large -= 1;
  }
}
