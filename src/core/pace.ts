// The pace of the road: how many lanes and workers, and how much the lanes rest between batches. A pure controller: it is told what was
// measured and when, and has no clock of its own, so that a model can drive it through an hour in a blink (test/core/pace-model.ts). Not for
// batches: a free lane takes what is ready (batch.ts), small ones when idle, large ones under load.
//
//   lanes are always busy            -> one lane more pays, or not (climb.ts)
//   lanes starve while tasks wait    -> one worker more pays, or not
//   anything else                    -> enough of both: nothing is tried, nothing changes
//   commits or replicas are too slow -> lanes rest (brake.ts), and nothing is tried

import { Brake } from './brake.ts';
import { Climb } from './climb.ts';
import type { Range } from './climb.ts';
import { LONG_SLICES } from './slice.ts';

/** The rate of a window with fewer batches of each lane says little. */
const BATCHES_PER_LANE = 3;
const WINDOW_MS_MIN = 500;
/** After a change, what ends first has begun under other circumstances, and slows down what began later: it is not measured. */
const BATCHES_SKIPPED = 1;
/** Lanes that are idle for less of their time are busy; those that starve for more need workers. */
const BUSY_IDLE_MAX = 0.1;
const STARVED_MIN = 0.05;
/** Lanes that are idle for more of their time have no load that could judge anything. */
const LOAD_IDLE_MAX = 0.5;
/** The median of fewer commits is chance. */
const COMMITS_MIN = 3;
const LOOK_MS_MIN = 500;
/** A lane that rests for longer has forgotten the world. */
const REST_MS_MAX = 10_000;
/** Each worker has one slice at hand and one waiting; each lane what makes one batch at hand and one waiting. */
const SLOTS_PER_WORKER = 2;
const SLOTS_PER_LANE = 4;
/** With fewer in flight slices are small, see `sliceBytesNow` in source/offer.ts. */
const LARGE_SLOTS_MIN = 5;

export interface Bounds {
  /** Median time of a COMMIT, ms. */
  readonly commitMsMax: number;
  /** WAL that a replica has not replayed, bytes. */
  readonly replicaLagMax: number;
}

export interface PaceOptions {
  readonly lanes: Range;
  readonly workers: Range;
  /** Null: the lanes never rest. */
  readonly throttle: Bounds | null;
}

export const MEASURES = ['commit', 'lag'] as const;
/** Median time of the last COMMITs in ms; bytes that the slowest replica is behind. */
export type Measure = (typeof MEASURES)[number];

/** Worth telling a person. */
export interface Turn {
  readonly measure: Measure;
  readonly what: 'begun' | 'over';
  readonly value: number;
  readonly bound: number;
}

/** Tasks in flight for so many workers and lanes: many small ones make one batch. */
export function slotsFor(workers: number, lanes: number): number {
  return SLOTS_PER_WORKER * workers + SLOTS_PER_LANE * lanes;
}

/**
 * Of them large slices, each a batch of its own: one in each worker, and for each lane the one that it writes and the next. With 9 instead of 5
 * the same load of 1 M rows took 208 instead of 190 MiB and 2.07 instead of 1.90 s of processor time, and not less time.
 */
export function largeSlotsFor(workers: number, lanes: number): number {
  return Math.max(LARGE_SLOTS_MIN, workers + 2 * lanes);
}

/**
 * Of these as many long slices: one in each worker and each lane, and one that waits. Their workers are ahead of the lanes by far, and what is
 * in flight is what a stop waits for. None where the memory, in slots of the usual size, does not suffice for all.
 */
export function longSlotsFor(workers: number, lanes: number, slotsMax: number): number {
  const long = workers + lanes + 1;
  return slotsFor(workers, lanes) + long * (LONG_SLICES - 1) <= slotsMax ? long : 0;
}

/** Sums from `begunMs` on, with the same lanes in force all the time. */
interface Window {
  readonly begunMs: number;
  /** Ended batches that it needs. */
  readonly needs: number;
  /** Of batches that began in it. */
  batches: number;
  rows: number;
  wholeMs: number;
  /** All that lanes were busy, batches that began earlier included. */
  busyMs: number;
  /** Batches that ended while parse tasks waited for a worker, and all that ended. */
  waiting: number;
  ended: number;
}

function newWindow(begunMs: number, needs: number): Window {
  return { begunMs, needs, batches: 0, rows: 0, wholeMs: 0, busyMs: 0, waiting: 0, ended: 0 };
}

/** All times are ms of one monotonic clock, the caller's. */
export class PaceControl {
  readonly #lanes: Climb;
  readonly #workers: Climb;
  readonly #brakes: Readonly<Record<Measure, Brake>> | null;
  #lanesInForce: number;
  #window: Window;
  /** Nothing is judged until the first window after a change is over. */
  #settled = false;
  /** Lanes that write, and since when. */
  readonly #writing = new Map<number, number>();
  #commits: number[] = [];
  #lookedMs = 0;

  constructor({ lanes, workers, throttle }: PaceOptions) {
    this.#lanes = new Climb(lanes, 'up and down');
    this.#workers = new Climb(workers, 'up');
    this.#lanesInForce = lanes.start;
    this.#window = newWindow(0, BATCHES_SKIPPED * lanes.start);
    this.#brakes = throttle && {
      commit: new Brake(throttle.commitMsMax, 'level'),
      lag: new Brake(throttle.replicaLagMax, 'backlog'),
    };
  }

  /** Lanes that may take a batch; 1 at least. */
  get lanes(): number {
    return this.#lanesInForce;
  }

  /** More than `lanes`: their connections are needed first, see `granted` and `refused`. */
  get lanesWanted(): number {
    return this.#lanes.now;
  }

  get workers(): number {
    return this.#workers.now;
  }

  /** The share of time in which lanes may write, above 0 to 1. */
  get share(): number {
    return this.#brakes === null ? 1 : Math.min(...Object.values(this.#brakes).map(({ share }) => share));
  }

  get isBraking(): boolean {
    return this.#brakes !== null && Object.values(this.#brakes).some(({ isOn }) => isOn);
  }

  /** The wanted lanes have their connections. */
  granted(nowMs: number): void {
    this.#lanesInForce = this.#lanes.now;
    this.#settle(nowMs);
  }

  /** The database gives no further connection just now. */
  refused(): void {
    this.#lanes.refused();
  }

  /** Nothing that was measured counts: the database was away, indexes were built. */
  disturbed(nowMs: number): void {
    this.#interrupt(nowMs);
    this.#commits = [];
  }

  /** A lane has taken a batch. */
  took(lane: number, nowMs: number): void {
    this.#writing.set(lane, nowMs);
  }

  /** It has written it. `tasksWait`: parse tasks wait for a worker. Returns how long the lane rests before it takes another. */
  wrote(lane: number, nowMs: number, rows: number, tasksWait: boolean): number {
    const beganMs = this.#writing.get(lane) ?? nowMs;
    this.#writing.delete(lane);
    const window = this.#window;
    window.busyMs += nowMs - Math.max(beganMs, window.begunMs);
    window.ended += 1;
    if (tasksWait) window.waiting += 1;
    if (beganMs >= window.begunMs) {
      window.batches += 1;
      window.rows += rows;
      window.wholeMs += nowMs - beganMs;
      this.#close(nowMs);
    }
    return Math.min(REST_MS_MAX, (nowMs - beganMs) * (1 / this.share - 1));
  }

  /** COMMIT alone: what the user's deferred constraints and triggers take is not slower because of the load. */
  committed(nowMs: number, ms: number): Turn | null {
    if (this.#brakes === null) return null;
    this.#commits.push(ms);
    if (this.#commits.length < COMMITS_MIN || nowMs - this.#lookedMs < LOOK_MS_MIN) return null;
    this.#lookedMs = nowMs;
    return this.#look('commit', median(this.#commits.splice(0)), nowMs);
  }

  /** `bytes` 0: no replica, or none is behind. */
  lagged(nowMs: number, bytes: number): Turn | null {
    return this.#look('lag', bytes, nowMs);
  }

  #look(measure: Measure, value: number, nowMs: number): Turn | null {
    const brake = this.#brakes?.[measure];
    if (brake === undefined) return null;
    const what = brake.look(value);
    if (what !== null) this.#interrupt(nowMs);
    return what && { measure, what, value, bound: brake.bound };
  }

  #close(nowMs: number): void {
    const window = this.#window;
    const ms = nowMs - window.begunMs;
    if (window.batches < window.needs || (this.#settled && ms < WINDOW_MS_MIN)) return;
    const lanes = this.#lanesInForce;
    this.#window = newWindow(nowMs, BATCHES_PER_LANE * lanes);
    const judges = this.#settled && this.#lanes.now === lanes; // else connections are being opened
    this.#settled = true;
    if (judges && !this.isBraking) this.#judge(window, ms, nowMs);
    if (this.#lanes.now < lanes) this.granted(nowMs);
  }

  #judge(window: Window, ms: number, nowMs: number): void {
    const lanes = this.#lanesInForce;
    let { busyMs } = window;
    for (const beganMs of this.#writing.values()) busyMs += nowMs - Math.max(beganMs, window.begunMs);
    const idle = Math.max(0, 1 - busyMs / (lanes * ms));
    const busy = idle < BUSY_IDLE_MAX;
    const starved = idle * (window.waiting / window.ended) > STARVED_MIN;
    // Where lanes are busy: whole batches over the time that they took, free of what the ends of the window cut off.
    const rate = busy ? (lanes * window.rows) / window.wholeMs : window.rows / ms;
    const loaded = busy || starved || idle < LOAD_IDLE_MAX;
    if (this.#lanes.isTrying && !loaded) return this.#lanes.interrupted();
    // More lanes need more workers at times before they show what they are worth: then both are tried together.
    if (this.#lanes.isTrying && !this.#workers.isTrying && starved && !busy) {
      this.#workers.loaded(ms, rate);
      if (this.#workers.isTrying) return;
    }
    if (!this.#lanes.judge(rate)) return;
    if (busy || !starved) this.#workers.suffices();
    if (!this.#workers.judge(rate)) return;
    if (busy) this.#lanes.loaded(ms, rate);
    else if (starved) this.#workers.loaded(ms, rate);
  }

  #interrupt(nowMs: number): void {
    this.#workers.suffices(); // a thread is there by now, and costs nothing while it has no work
    this.#lanes.interrupted();
    this.#lanesInForce = Math.min(this.#lanesInForce, this.#lanes.now);
    this.#settle(nowMs);
  }

  #settle(nowMs: number): void {
    this.#window = newWindow(nowMs, BATCHES_SKIPPED * this.#lanesInForce);
    this.#settled = false;
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? 0)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
