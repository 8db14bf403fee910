// A bell: "something changed, look again". Rings coalesce, so a loop that looks, then waits, misses nothing and never spins.

export class Bell {
  #rung = false;
  #waiting: PromiseWithResolvers<void> | null = null;

  /** Wakes everyone who waits; with nobody waiting, the next wait returns at once. */
  ring(): void {
    if (this.#waiting === null) this.#rung = true;
    this.#waiting?.resolve();
    this.#waiting = null;
  }

  /** Resolves at the next ring, or at once when one went unheard. Look again afterwards: a ring promises nothing. */
  wait(): Promise<void> {
    if (this.#rung) {
      this.#rung = false;
      return Promise.resolve();
    }
    this.#waiting ??= Promise.withResolvers<void>();
    return this.#waiting.promise;
  }
}
