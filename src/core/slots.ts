// The bound of everything in flight. A slot belongs to a task from dispatch until its slices are committed or dropped, so memory is
// slots x (slice + encoded rows), about 10 MB each (four times that for a long slice), whatever the files are. Large slices may have so many
// of them as keep everybody busy and no more, since each touches memory of its own; small tasks may have all. So a new small file never waits
// for a slot behind a large backlog.

/** Of what size a task is: less than a slice of files, one slice of a large file, or a long slice of a very large one (source/offer.ts). */
export type TaskSize = 'small' | 'slice' | 'long';

/** At most so many tasks in flight, and so many of them that are slices of large files; none more of those when so many of them are long. */
export interface SlotLimits {
  readonly all: number;
  readonly large: number;
  readonly long: number;
}

/** The largest task that there is room for. */
export type Room = TaskSize | 'none';

interface SlotTask {
  readonly size: TaskSize;
}

export class Slots {
  readonly #limits: () => SlotLimits;
  readonly #taken = new Set<SlotTask>();
  readonly #count: Record<TaskSize, number> = { small: 0, slice: 0, long: 0 };

  /** The limits may change at any time; what is taken stays taken. */
  constructor(limits: () => SlotLimits) {
    this.#limits = limits;
  }

  get inFlight(): number {
    return this.#taken.size;
  }

  get room(): Room {
    const { all, large, long } = this.#limits();
    if (this.#taken.size >= all) return 'none';
    if (this.#count.slice + this.#count.long >= large) return 'small';
    if (long === 0) return 'slice';
    return this.#count.long < long ? 'long' : 'small';
  }

  take(task: SlotTask): void {
    if (this.#taken.has(task)) return;
    this.#taken.add(task);
    this.#count[task.size] += 1;
  }

  /** The same slot goes on with another task. */
  swap(task: SlotTask, next: SlotTask): void {
    this.release(task);
    this.take(next);
  }

  release(task: SlotTask): void {
    if (this.#taken.delete(task)) this.#count[task.size] -= 1;
  }
}
