// A bell: "something changed, look again". Rings coalesce, so a loop that looks, then waits, misses nothing and never spins.

export class Bell {
  #rung = false;
  #wake: (() => void) | null = null;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
    this.#wake = null;
  }

  /** Resolves at the next ring, or at once when it rang since the last wait. One waiter at a time. */
  async wait(): Promise<void> {
    if (!this.#rung) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    this.#rung = false;
  }
}
