// Slows down while a measure of the database stands above its bound: half of the speed at each look, a quarter more again below it. Not for
// what is measured, nor for how the lanes rest (pace.ts).

/** "Slows", not "stops": a replica that is gone for good must not end the ingestion. */
export const SHARE_MIN = 1 / 8;
/** Full speed for so many looks before it counts as over, else a measure at its bound is told of again and again. */
const CALM_LOOKS = 3;
/** A measure that falls by itself needs no harder braking: what is slowed today shows in a replica's lag much later. */
const FALLING = 0.98;

export class Brake {
  readonly bound: number;
  #share = 1;
  #on = false;
  #calm = 0;
  #last = 0;

  constructor(bound: number) {
    this.bound = bound;
  }

  /** The share of time in which lanes may write, `SHARE_MIN` to 1. */
  get share(): number {
    return this.#share;
  }

  /** From the first look above the bound until it is over. */
  get isOn(): boolean {
    return this.#on;
  }

  /** One look at the measure. Says when braking has just begun or is just over. */
  look(value: number): 'begun' | 'over' | null {
    const falling = this.#on && value < this.#last * FALLING;
    this.#last = value;
    if (value > this.bound) {
      this.#calm = 0;
      if (!falling) this.#share = Math.max(SHARE_MIN, this.#share / 2);
      const begun = !this.#on;
      this.#on = true;
      return begun ? 'begun' : null;
    }
    this.#calm = this.#share === 1 ? this.#calm + 1 : 0;
    // Far below, the rest of the way is no risk.
    this.#share = Math.min(1, this.#share * (value < this.bound / 2 ? 2 : 1.25));
    if (!this.#on || this.#calm < CALM_LOOKS) return null;
    this.#on = false;
    return 'over';
  }
}
