// Gives the road its pace: carries out what the controller (core/pace.ts) decides, with a clock and a timer. The road asks it how many lanes
// may write and lets them rest; the sink tells it how long commits take and how far replicas are behind. Opens and measures nothing itself.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Batch } from './core/batch.ts';
import { PaceControl, largeSlotsFor, longSlotsFor, slotsFor } from './core/pace.ts';
import type { PaceOptions, Turn } from './core/pace.ts';
import type { SlotLimits } from './core/slots.ts';

/** What the road sees of it. */
export interface Pace {
  /** Lanes that may take a batch; the others wait. */
  readonly lanes: number;
  /** Tasks in flight at most. */
  readonly slots: SlotLimits;
  /** Before a lane takes a batch: waits until it has rested; not at all when nothing is slow, and no longer once `hurry` fires. */
  rest(lane: number, hurry: AbortSignal): Promise<void>;
  took(lane: number): void;
  /** Null: it was not committed. */
  wrote(lane: number, batch: Batch | null): void;
}

export interface PacemakerOptions extends PaceOptions {
  /** Null: as many as the workers and lanes in force need, at most `slotsMax`. */
  readonly slots: number | null;
  readonly slotsMax: number;
  readonly pool: { readonly tasksWaiting: number; allow(workers: number): void };
  /** Opens the connection of a further lane before a batch rests on it; false when the database gives none. */
  readonly openLane: (lane: number) => Promise<boolean>;
  /** A measure has gone above its bound, or is below it again. */
  readonly turned: (turn: Turn) => void;
  /** Other numbers are in force. */
  readonly changed: (workers: number, lanes: number) => void;
  readonly rested: (ms: number) => void;
  /** Monotonic ms. */
  readonly now?: () => number;
}

export class Pacemaker implements Pace {
  readonly #options: PacemakerOptions;
  readonly #control: PaceControl;
  readonly #now: () => number;
  readonly #restUntilMs = new Map<number, number>();
  #opening = false;
  #told = '';

  constructor(options: PacemakerOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#control = new PaceControl(options);
    this.#follow();
  }

  /** Whether it wants to know of commits and replicas. */
  get throttles(): boolean {
    return this.#options.throttle !== null;
  }

  get lanes(): number {
    return this.#control.lanes;
  }

  get slots(): SlotLimits {
    const { slots, slotsMax } = this.#options;
    const { workers, lanes } = this.#control;
    // Of a number that was given one is kept for small tasks, and each means a slice of the usual size.
    if (slots !== null) return { all: slots, large: slots - 1, long: 0 };
    const all = Math.min(slotsMax, slotsFor(workers, lanes));
    // Rests are bounded (REST_MS_MAX): behind a long batch they would be too short to slow anything.
    const long = this.#control.isBraking ? 0 : longSlotsFor(workers, lanes, slotsMax);
    const large = Math.min(all - 1, largeSlotsFor(workers, lanes));
    return { all, large, long };
  }

  async rest(lane: number, hurry: AbortSignal): Promise<void> {
    const beganMs = this.#now();
    const ms = (this.#restUntilMs.get(lane) ?? 0) - beganMs;
    if (ms <= 0 || hurry.aborted) return;
    await sleep(ms, undefined, { signal: hurry }).catch(() => {}); // only `hurry` can end it early
    this.#options.rested(this.#now() - beganMs);
  }

  took(lane: number): void {
    this.#control.took(lane, this.#now());
  }

  wrote(lane: number, batch: Batch | null): void {
    const nowMs = this.#now();
    const rows = batch?.chunks.reduce((sum, chunk) => sum + chunk.rows.count, 0) ?? 0;
    const ms = this.#control.wrote(lane, nowMs, rows, this.#options.pool.tasksWaiting > 0);
    this.#restUntilMs.set(lane, nowMs + ms);
    if (batch === null) this.disturbed();
    this.#follow();
  }

  /** The answer to a COMMIT took so long. */
  committed(ms: number): void {
    this.#turn(this.#control.committed(this.#now(), ms));
  }

  /** The slowest replica is so many bytes of WAL behind; 0 when there is none. */
  lagged(bytes: number): void {
    this.#turn(this.#control.lagged(this.#now(), bytes));
  }

  /** Something stood in the way of the lanes that says nothing of speed. */
  disturbed(): void {
    this.#control.disturbed(this.#now());
    this.#follow();
  }

  #turn(turn: Turn | null): void {
    if (turn !== null) this.#options.turned(turn);
    this.#follow();
  }

  #follow(): void {
    const { pool, changed } = this.#options;
    const { workers, lanes, lanesWanted } = this.#control;
    pool.allow(workers);
    if (lanesWanted > lanes && !this.#opening) void this.#openUpTo(lanesWanted);
    const numbers = `${workers} ${lanes}`;
    if (numbers !== this.#told) changed(workers, lanes);
    this.#told = numbers;
  }

  async #openUpTo(wanted: number): Promise<void> {
    this.#opening = true;
    const further = Array.from({ length: wanted - this.lanes }, (_, index) => this.lanes + index);
    const opened = await Promise.all(further.map((lane) => this.#options.openLane(lane)));
    this.#opening = false;
    if (this.#control.lanesWanted !== wanted) return; // taken back meanwhile
    if (opened.every(Boolean)) this.#control.granted(this.#now());
    else this.#control.refused();
    this.#follow();
  }
}
