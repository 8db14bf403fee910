// A cost model of the road, for machines that are not there: workers, lanes, a database here or behind a network, cores that are shared, with
// the figures measured on two cores. A virtual clock in steps, no chance but a seeded one. It drives the real controller (src/core/pace.ts),
// or fixed numbers. Not a model of what is promised of rows.

import { largeSlotsFor } from '../../src/core/pace.ts';
import type { PaceControl, PaceOptions } from '../../src/core/pace.ts';

export interface World {
  readonly name: string;
  readonly cores: number;
  /** Null: on the same cores. */
  readonly remote: { readonly cores: number; readonly roundTripMs: number } | null;
  /** What each further lane costs all of them: share of the work of a row, e.g. on a hot lock. */
  readonly contention: number;
  /** Work of a row in the database and in a worker, us of one core; 10 and 0.77 were measured. */
  readonly rowUs?: number;
  readonly parseUs?: number;
  /** Work of a row on the main thread (dedup, sending), of which there is one. */
  readonly mainUs?: number;
  /** Speed differs by up to this share from one second to the next, e.g. by checkpoints. */
  readonly noise?: number;
}

/** What a controller, real or planted, must offer. */
export type Controller = Pick<
  PaceControl,
  'lanes' | 'lanesWanted' | 'workers' | 'granted' | 'took' | 'wrote' | 'committed'
>;

/** Rows that arrive at a moment; `backlog` never ends. */
export type Load = 'backlog' | { readonly everyMs: number; readonly rows: number };

export interface Outcome {
  /** Rows a second over the last third. */
  readonly rate: number;
  /** Arrival to commit, ms, sorted; empty with a backlog. */
  readonly latencies: readonly number[];
  /** [ms, lanes, workers] at each change. */
  readonly changes: readonly (readonly [number, number, number])[];
}

const STEP_MS = 10;
const SLICE_ROWS = 44_000;
const BATCH_ROWS = 50_000;
const ROUND_TRIPS = 3;
const COMMIT_MS = 4;
/** Batches differ: lanes that march in step would all wait for the network at once, which no real ones do. */
const JITTER = 0.2;

interface Chunk {
  readonly rows: number;
  readonly arrivedMs: number;
}

/** A lane at work: rows left to store, then ms left of waiting for network and disk. */
interface Writing {
  readonly chunks: readonly Chunk[];
  readonly beganMs: number;
  rowsLeft: number;
  waitLeft: number;
}

export function fixedAt(lanes: number, workers: number): Controller {
  const nothing = (): null => null;
  return {
    lanes,
    lanesWanted: lanes,
    workers,
    granted: nothing,
    took: nothing,
    wrote: () => 0,
    committed: nothing,
  };
}

export function autoFor({ cores, remote }: World): PaceOptions {
  const lanesMax = remote === null ? Math.min(16, Math.max(2, cores)) : 16;
  return {
    lanes: { start: 2, max: lanesMax },
    workers: { start: 1, max: Math.max(1, Math.min(8, cores - 1)) },
    throttle: { commitMsMax: 1_000, replicaLagMax: 2 ** 30 },
  };
}

/** Runs the world for so long. */
export function simulate(world: World, controller: Controller, load: Load, forMs: number): Outcome {
  return new Simulation(world, controller, load).run(forMs);
}

class Simulation {
  readonly #world: World;
  readonly #control: Controller;
  readonly #load: Load;
  readonly #tasks: Chunk[] = [];
  readonly #parsing: (Chunk & { left: number })[] = [];
  readonly #ready: Chunk[] = [];
  readonly #lanes: (Writing | null)[] = Array.from({ length: 64 }, () => null);
  readonly #restUntil: number[] = Array.from({ length: 64 }, () => 0);
  readonly #latencies: number[] = [];
  readonly #changes: [number, number, number][] = [];
  #inFlight = 0;
  /** That the main thread could judge by now. */
  #mainRows = 0;
  #rows = 0;
  #seed = 1;
  #speed = 1;

  constructor(world: World, control: Controller, load: Load) {
    this.#world = world;
    this.#control = control;
    this.#load = load;
  }

  run(forMs: number): Outcome {
    let [atTwoThirds, rows] = [0, 0];
    for (let nowMs = 0; nowMs < forMs; nowMs += STEP_MS) {
      this.#arrive(nowMs);
      this.#adjust(nowMs);
      this.#take(nowMs);
      this.#work(nowMs + STEP_MS);
      if (atTwoThirds === 0 && nowMs >= (2 * forMs) / 3) [atTwoThirds, rows] = [nowMs, this.#rows];
    }
    return {
      rate: ((this.#rows - rows) / (forMs - atTwoThirds)) * 1000,
      latencies: this.#latencies.toSorted((a, b) => a - b),
      changes: this.#changes,
    };
  }

  #arrive(nowMs: number): void {
    const load = this.#load;
    if (load !== 'backlog') {
      if (nowMs % load.everyMs < STEP_MS) this.#tasks.push({ rows: load.rows, arrivedMs: nowMs });
      return;
    }
    const slots = largeSlotsFor(this.#control.workers, this.#control.lanes);
    for (; this.#inFlight < slots; this.#inFlight += 1)
      this.#tasks.push({ rows: SLICE_ROWS, arrivedMs: nowMs });
  }

  #adjust(nowMs: number): void {
    const control = this.#control;
    if (control.lanesWanted > control.lanes) control.granted(nowMs);
    const last = this.#changes.at(-1);
    if (last?.[1] !== control.lanes || last[2] !== control.workers)
      this.#changes.push([nowMs, control.lanes, control.workers]);
    if (nowMs % 1000 === 0) this.#speed = 1 + (this.#world.noise ?? 0) * (2 * this.#chance() - 1);
  }

  #take(nowMs: number): void {
    while (this.#parsing.length < this.#control.workers && this.#tasks.length > 0) {
      const task = this.#tasks.shift() as Chunk;
      this.#parsing.push({ ...task, left: task.rows });
    }
    for (let lane = 0; lane < this.#control.lanes; lane += 1) {
      if (this.#lanes[lane] !== null || this.#ready.length === 0) continue;
      if (nowMs < (this.#restUntil[lane] ?? 0)) continue;
      this.#control.took(lane, nowMs);
      this.#lanes[lane] = this.#batch(nowMs);
    }
  }

  #batch(nowMs: number): Writing {
    const chunks: Chunk[] = [];
    let rows = 0;
    for (let next = this.#ready[0]; next !== undefined; next = this.#ready[0]) {
      if (chunks.length > 0 && rows + next.rows > BATCH_ROWS) break;
      rows += next.rows;
      chunks.push(next);
      this.#ready.shift();
    }
    const waitLeft = COMMIT_MS + ROUND_TRIPS * (this.#world.remote?.roundTripMs ?? 0);
    const rowsLeft = rows * (1 + JITTER * (this.#chance() - 0.5));
    return { chunks, beganMs: nowMs, rowsLeft, waitLeft };
  }

  /** One step of work: everybody who can use a core gets the same share of what there is. */
  #work(nowMs: number): void {
    const { cores, remote, contention, rowUs = 10, parseUs = 0.77, mainUs = 0.6 } = this.#world;
    const storing = this.#lanes.filter((writing) => writing !== null && writing.rowsLeft > 0).length;
    const [here, there] =
      remote === null ? [this.#parsing.length + storing, 0] : [this.#parsing.length, storing];
    const share = Math.min(1, cores / Math.max(1, here));
    const theirs = remote === null ? share : Math.min(1, remote.cores / Math.max(1, there));
    const parsed = (STEP_MS * 1000 * share) / parseUs;
    const stored = (STEP_MS * 1000 * theirs * this.#speed) / (rowUs * (1 + contention * (storing - 1)));
    for (const task of this.#parsing) task.left -= parsed;
    this.#mainRows = Math.min(this.#mainRows + (STEP_MS * 1000) / mainUs, SLICE_ROWS);
    for (const done of this.#parsing.filter(({ left }) => left <= 0)) {
      if (this.#mainRows <= 0) break;
      this.#mainRows -= done.rows;
      this.#parsing.splice(this.#parsing.indexOf(done), 1);
      this.#ready.push(done);
    }
    for (const [lane, writing] of this.#lanes.entries())
      if (writing !== null) this.#store(lane, writing, stored, nowMs);
  }

  #store(lane: number, writing: Writing, stored: number, nowMs: number): void {
    if (writing.rowsLeft > 0) {
      this.#rows += Math.min(stored, writing.rowsLeft);
      writing.rowsLeft -= stored;
    } else writing.waitLeft -= STEP_MS;
    if (writing.rowsLeft > 0 || writing.waitLeft > 0) return;
    const rows = writing.chunks.reduce((sum, chunk) => sum + chunk.rows, 0);
    this.#lanes[lane] = null;
    this.#inFlight -= writing.chunks.length;
    if (this.#load !== 'backlog')
      this.#latencies.push(...writing.chunks.map(({ arrivedMs }) => nowMs - arrivedMs));
    this.#control.committed(nowMs, COMMIT_MS);
    this.#restUntil[lane] = nowMs + this.#control.wrote(lane, nowMs, rows, this.#tasks.length > 0);
  }

  /** 0 to 1, the same in every run. */
  #chance(): number {
    this.#seed = (this.#seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return this.#seed / 2 ** 31;
  }
}
