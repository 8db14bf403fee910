// The bound of everything in flight. A slot belongs to a task from dispatch until its slices are committed or dropped, so memory is
// slots x (slice + encoded rows), about 10 MB each, whatever the files are. One slot is kept for small tasks: a new small file never
// waits behind a large backlog.

export class Slots {
  readonly #count: () => number;
  readonly #taken = new Set<object>();

  /** How many there are may change at any time; what is taken stays taken. */
  constructor(count: () => number) {
    this.#count = count;
  }

  get inFlight(): number {
    return this.#taken.size;
  }

  /** What a new task may be: any, only a small one (the last slot), or none. */
  get room(): 'any' | 'small' | 'none' {
    const count = this.#count();
    const free = count - this.#taken.size;
    if (free <= 0) return 'none';
    return free === 1 && count > 1 ? 'small' : 'any';
  }

  take(task: object): void {
    this.#taken.add(task);
  }

  /** The same slot goes on with another task. */
  swap(task: object, next: object): void {
    this.#taken.delete(task);
    this.#taken.add(next);
  }

  release(task: object): void {
    this.#taken.delete(task);
  }
}
