// A bell: "something changed, look again". Rings coalesce, so a loop that looks, then waits, misses nothing and never spins.

export class Bell {
  #rung = false;
  readonly #waiting = new Set<() => void>();

  /** Wakes everyone who waits; with nobody waiting, the next wait returns at once. */
  ring(): void {
    if (this.#waiting.size === 0) this.#rung = true;
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /**
   * Resolves at the next ring, or at once when one went unheard; or with `enough`, and a ring after that is not heard by this wait but by the
   * next one. Look again afterwards: a ring promises nothing.
   */
  async wait(enough?: Promise<unknown>): Promise<void> {
    if (this.#rung) {
      this.#rung = false;
      return;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    if (enough === undefined) return promise;
    try {
      await Promise.race([promise, enough]);
    } finally {
      this.#waiting.delete(resolve);
    }
  }
}
