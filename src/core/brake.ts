// Slows down while a measure of the database stands above its bound, as far as that helps, and goes back to full speed below it. Not for
// what is measured, nor for how the lanes rest (pace.ts).

/** "Slows", not "stops": a replica that is gone for good must not end the ingestion. */
export const SHARE_MIN = 1 / 8;
/** Full speed for so many looks before it counts as over, else a measure at its bound is told of again and again. */
const CALM_LOOKS = 3;
/** Less of a change since braking is none: what does not answer to our speed is not mended by going slower still. */
const GROWN = 1.25;
const FALLEN = 0.8;

/**
 * `level`: answers to the speed at once, so it is braked for until it is below the bound. `backlog`: falls by itself once we are slow
 * enough, so falling is all that is wanted.
 */
export type MeasureKind = 'level' | 'backlog';

export class Brake {
  readonly bound: number;
  readonly #kind: MeasureKind;
  #share = 1;
  #on = false;
  #calm = 0;
  /** The measure when the speed was last halved. */
  #mark = 0;

  constructor(bound: number, kind: MeasureKind) {
    this.bound = bound;
    this.#kind = kind;
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
    return value > this.bound ? this.#above(value) : this.#below(value);
  }

  #above(value: number): 'begun' | null {
    this.#calm = 0;
    const falls = value < FALLEN * this.#mark && this.#kind === 'level';
    if (this.#share === 1 || value > GROWN * this.#mark || falls) {
      this.#share = Math.max(SHARE_MIN, this.#share / 2);
      this.#mark = value;
    }
    const begun = !this.#on;
    this.#on = true;
    return begun ? 'begun' : null;
  }

  /** Far below, the rest of the way is no risk. */
  #below(value: number): 'over' | null {
    this.#calm = this.#share === 1 ? this.#calm + 1 : 0;
    this.#share = Math.min(1, this.#share * (value < this.bound / 2 ? 2 : 1.25));
    if (!this.#on || this.#calm < CALM_LOOKS) return null;
    this.#on = false;
    return 'over';
  }
}
