// Finds by trying how many of something are worth having while there is more work than they can do: more of them, kept when the rate grew
// by a worthwhile share, else back. Measured windows in, a number out; not for when a window is worth measuring (pace.ts).

/** Less gain than this is noise, or not worth a connection or a thread. */
const WORTHWHILE = 1.05;
/** Fewer are as good when no more than this is lost. Far enough from the above: no rate lets both pass, so nothing goes up and down. */
const AS_GOOD = 0.98;
/** Of load, after a trial that failed; doubled each time. A trial costs at most one window. */
const PAUSE_MS_FIRST = 20_000;
const PAUSE_MS_MAX = 600_000;

export interface Range {
  readonly start: number;
  /** Equal to `start`: nothing is ever tried. */
  readonly max: number;
}

interface Trial {
  readonly from: number;
  readonly rate: number;
}

export class Climb {
  readonly #range: Range;
  readonly #ways: 'up' | 'up and down';
  #now: number;
  #trial: Trial | null = null;
  /** Doubled while it pays: 2, 3, 5, 9, 16. Halved when it does not, since the best may lie between. */
  #step = 1;
  #direction: 1 | -1 = 1;
  #restMs = 0;
  #pauseMs = PAUSE_MS_FIRST;

  /** `up`: fewer are never tried, since what is there costs nothing while it has no work. */
  constructor(range: Range, ways: 'up' | 'up and down') {
    this.#range = range;
    this.#ways = ways;
    this.#now = range.start;
  }

  /** Between `start` and `max`. */
  get now(): number {
    return this.#now;
  }

  /** One more (or fewer) is being tried: the next window judges it. */
  get isTrying(): boolean {
    return this.#trial !== null;
  }

  /** A window of load, all of it at `now`, while nothing is being tried: may begin a trial. `rate` in any unit. */
  loaded(ms: number, rate: number): void {
    this.#restMs = Math.max(0, this.#restMs - ms);
    if (this.#restMs === 0) this.#try(rate);
  }

  /** The rate with what is being tried. Returns whether it was measured at `now` still. */
  judge(rate: number): boolean {
    if (this.#trial === null) return true;
    const { from, rate: before } = this.#trial;
    this.#trial = null;
    const bar = this.#direction === 1 ? WORTHWHILE : AS_GOOD;
    const kept = rate >= before * bar;
    if (kept) this.#keep();
    else this.#goBack(from);
    return kept;
  }

  /** What is being tried has done away with the reason to try more. */
  suffices(): void {
    this.#trial = null;
  }

  /** The load has ended, or something else has changed: what is not proven is not kept. */
  interrupted(): void {
    if (this.#trial !== null) this.#now = this.#trial.from;
    this.#trial = null;
  }

  /** What was asked for last is not to be had. */
  refused(): void {
    this.interrupted();
    this.#pause();
  }

  #try(rate: number): void {
    const { start, max } = this.#range;
    if (this.#now === max && (start === max || this.#ways === 'up')) return;
    if (this.#now === max) this.#direction = -1;
    if (this.#now === start) this.#direction = 1;
    const step = this.#direction === 1 ? this.#step : -1;
    this.#trial = { from: this.#now, rate };
    this.#now = Math.min(max, this.#now + step);
  }

  #keep(): void {
    this.#step *= 2;
    if (this.#now === this.#range.max) this.#pause(); // now and then: are all of them still worth it?
  }

  #goBack(from: number): void {
    this.#now = from;
    if (this.#direction === 1 && this.#step > 1) {
      this.#step = Math.floor(this.#step / 2);
      return;
    }
    if (this.#ways === 'up and down') this.#direction = this.#direction === 1 ? -1 : 1;
    this.#pause();
  }

  #pause(): void {
    this.#step = 1;
    this.#restMs = this.#pauseMs;
    this.#pauseMs = Math.min(PAUSE_MS_MAX, 2 * this.#pauseMs);
  }
}
