// THE road of a row, top to bottom: seven rooms, forward only. It is handed opened things and opens nothing; it knows the order in
// which things happen, and nothing of CSV, SQL, files or threads. Back-pressure is this loop not advancing.
//
//   1 find -> 2 dispatch -> 3 parse -> 4 dedup -> 5 batch -> 6 write -> 7 settle

import { ChunkQueue, type Batch } from './core/batch.ts';
import { Bell } from './core/bell.ts';
import type { JudgedChunk } from './core/chunk.ts';
import type { DedupSet } from './core/dedup.ts';
import type { GenerationId } from './core/slice.ts';
import { Slots } from './core/slots.ts';
import { MillraceError } from './errors.ts';
import type { Pace } from './pacemaker.ts';
import type { Pool } from './pool.ts';
import type { SettledChunk, Sink, WriteResult } from './sink/sink.ts';
import type { Source, SourceTask, Verdict } from './source/source.ts';

/** What the road reports as it goes; all times in milliseconds of the monotonic clock. */
export interface RoadMeters {
  /** Time that a slice, chunk or batch spent in a room. */
  room(name: 'find' | 'dispatch' | 'parse' | 'dedup' | 'batch' | 'write' | 'settle', ms: number): void;
  parsed(bytes: number, parseMs: number): void;
  written(batch: Batch): void;
  settled(chunk: SettledChunk): void;
  parked(reason: string, name: string | null): void;
  restarted(reason: string): void;
}

type Committed = Extract<WriteResult, { kind: 'committed' }>;

export interface Rooms {
  readonly source: Source;
  readonly pool: Pool;
  readonly dedup: DedupSet;
  readonly sink: Sink;
  readonly meters: RoadMeters;
  /** How many lanes write, how many tasks are in flight, how long lanes rest. */
  readonly pace: Pace;
}

/** `stop`: take nothing new, finish what is in flight. `abort`: roll back now. */
export interface Ending {
  readonly stop: AbortSignal;
  readonly abort: AbortSignal;
}

/**
 * Runs until the source is exhausted or `stop` fires. When what memory believes no longer holds (a vanished commit, rows taken away on
 * purpose), everything in flight is dropped and the road begins again from the checkpoint: nothing is repaired piece by piece.
 * Throws MillraceError for what a person must mend, and when another instance has taken over.
 */
export async function runPipeline(rooms: Rooms, ending: Ending): Promise<void> {
  const queue = new ChunkQueue();
  for (let vainRestarts = 0; ;) {
    const opened = await rooms.sink.open(ending.abort);
    if (opened === null || ending.stop.aborted) return;
    await rooms.source.open(opened.books);
    const flow = new Flow(rooms, queue, opened.forget, ending);
    const restart = (await flow.run()) ?? (await rooms.sink.finish());
    if (restart === null) return;
    rooms.meters.restarted(restart);
    vainRestarts = flow.progressed ? 0 : vainRestarts + 1;
    if (vainRestarts > VAIN_RESTARTS_MAX) throw noProgress(restart);
    await rooms.sink.leave();
    rooms.dedup.clear();
    queue.clear();
  }
}

/** A cause that a restart does not mend, e.g. books that somebody edits all the time, must not keep us busy for ever. */
const VAIN_RESTARTS_MAX = 20;

function noProgress(reason: string): MillraceError {
  return new MillraceError(
    'database',
    `began again from the checkpoint ${VAIN_RESTARTS_MAX + 1} times without a commit; the last time because ${reason}`,
    { wayOut: 'find out who changes the tables in schema millrace, then start again: nothing is lost' },
  );
}

/** One flow: from a checkpoint to the end, or to the next restart in process. */
class Flow {
  readonly #rooms: Rooms;
  readonly #queue: ChunkQueue;
  readonly #forget: bigint;
  readonly #ending: Ending;
  readonly #slots: Slots;
  readonly #over = new AbortController();
  readonly #abort: AbortSignal;
  /** Asked to end: nobody rests any more. */
  readonly #hurry: AbortSignal;
  readonly #parsing = new Set<Promise<void>>();
  readonly #dispatchedMs = new Map<SourceTask, number>();
  /** Chunks between dedup and the end of their transaction. */
  readonly #judged = new Map<JudgedChunk, { task: SourceTask; atMs: number }>();
  readonly #parked = new Set<GenerationId>();
  readonly #chunkBell = new Bell();
  /** At least one chunk was committed. */
  progressed = false;
  #fed = false;
  #restart: string | null = null;
  #failure: { error: unknown } | null = null;

  constructor(rooms: Rooms, queue: ChunkQueue, forget: bigint, ending: Ending) {
    this.#rooms = rooms;
    this.#queue = queue;
    this.#forget = forget;
    this.#ending = ending;
    this.#slots = new Slots(() => rooms.pace.slots);
    this.#abort = AbortSignal.any([ending.abort, this.#over.signal]);
    this.#hurry = AbortSignal.any([ending.stop, this.#abort]);
  }

  /** Null when everything is done or stopped; otherwise why a restart is needed. */
  async run(): Promise<string | null> {
    const wake = (): void => this.#wakeAll();
    this.#ending.stop.addEventListener('abort', wake);
    this.#abort.addEventListener('abort', wake);
    const lanes = Array.from({ length: this.#rooms.sink.lanes }, (_, lane) => this.#write(lane));
    await Promise.all([this.#feed(), ...lanes, this.#watch()].map((room) => this.#guard(room)));
    this.#ending.stop.removeEventListener('abort', wake);
    if (this.#failure !== null) throw this.#failure.error;
    return this.#restart;
  }

  /** Rooms 1 and 2: find what is new, dispatch it while slots are free. */
  async #feed(): Promise<void> {
    const { source } = this.#rooms;
    while (!this.#stopping) {
      const room = this.#slots.room;
      const task = room === 'none' ? null : source.take(room, this.#slots.inFlight);
      if (task !== null) {
        this.#slots.take(task);
        this.#dispatch(task);
      } else if (source.exhausted && this.#slots.inFlight === 0) break;
      else await source.bell.wait();
    }
    while (this.#parsing.size > 0) await Promise.all(this.#parsing);
    this.#fed = true;
    this.#chunkBell.ring();
  }

  #dispatch(task: SourceTask): void {
    this.#dispatchedMs.set(task, performance.now());
    const parsing = this.#guard(this.#parse(task)).finally(() => this.#parsing.delete(parsing));
    this.#parsing.add(parsing);
  }

  /** Room 3: bytes become a chunk in a worker; the source proves that its slices join those before them. */
  async #parse(task: SourceTask): Promise<void> {
    const { source, pool, meters } = this.#rooms;
    const parsed = await pool.parse(task.parse).catch((error: unknown) => {
      if (error instanceof MillraceError) throw error; // not the fault of a file
      return { failed: String(error) };
    });
    if (this.#abort.aborted) return;
    if ('failed' in parsed) return this.#follow(source.fail(task, parsed.failed));
    meters.parsed(parsed.bytesRead, parsed.parseMs);
    meters.room('dispatch', performance.now() - (this.#dispatchedMs.get(task) ?? 0) - parsed.parseMs);
    this.#follow(source.accept(task, parsed));
  }

  #follow(verdicts: readonly Verdict[]): void {
    for (const verdict of verdicts) {
      switch (verdict.kind) {
        case 'accepted':
          this.#judge(verdict);
          break;
        case 'again':
          this.#dispatchedMs.delete(verdict.task);
          this.#slots.swap(verdict.task, verdict.next);
          this.#dispatch(verdict.next);
          break;
        case 'dropped':
          this.#release(verdict.task);
          break;
        default:
          verdict satisfies never;
      }
    }
  }

  /** Rooms 4 and 5: memory says what is new; the chunk waits for a lane. */
  #judge({ task, chunk }: Extract<Verdict, { kind: 'accepted' }>): void {
    const { dedup, meters } = this.#rooms;
    const foundMs = Math.min(...chunk.slices.map((slice) => slice.seenMs));
    meters.room('find', (this.#dispatchedMs.get(task) ?? foundMs) - foundMs);
    const beganMs = performance.now();
    const judged = dedup.judge(chunk, this.#forget);
    const atMs = performance.now();
    meters.room('dedup', atMs - beganMs);
    this.#judged.set(judged, { task, atMs });
    this.#queue.put(judged);
    this.#chunkBell.ring();
  }

  /** Room 6: a lane takes whatever is ready as soon as it is free; small batches when idle, large ones under load. */
  async #write(lane: number): Promise<void> {
    const { source, sink, dedup, meters, pace } = this.#rooms;
    while (!this.#abort.aborted) {
      if (this.#queue.length > 0) await pace.rest(lane, this.#hurry);
      const sharers = source.hasMore ? 1 : pace.lanes; // at the end of what there is they end together
      const batch = lane < pace.lanes ? this.#queue.take((chunk) => dedup.isSuspect(chunk), sharers) : null;
      if (batch === null) {
        if (this.#fed) break;
        await this.#chunkBell.wait();
        continue;
      }
      pace.took(lane);
      const beganMs = performance.now();
      for (const chunk of batch.chunks)
        meters.room('batch', beganMs - (this.#judged.get(chunk)?.atMs ?? beganMs));
      const result = await sink.write(lane, batch, this.#abort);
      const writtenMs = performance.now();
      meters.room('write', writtenMs - beganMs);
      this.#settle(batch, result);
      pace.wrote(lane, result.kind === 'committed' ? batch : null);
      meters.room('settle', performance.now() - writtenMs);
    }
    if (this.#fed && this.#judged.size === 0) this.#over.abort();
  }

  /** Room 7: only positions come back. */
  #settle(batch: Batch, result: WriteResult): void {
    switch (result.kind) {
      case 'committed':
        if (result.violated) this.#rooms.dedup.suspect(batch.chunks);
        for (const settled of result.settled) this.#settleChunk(settled);
        this.#rooms.meters.written(batch);
        this.#park(batch, result);
        break;
      case 'restart':
        this.#restart = result.reason;
        this.#over.abort();
        break;
      case 'abandoned':
        break;
      default:
        result satisfies never;
    }
  }

  #settleChunk(settled: SettledChunk): void {
    const { dedup, source, pool, meters } = this.#rooms;
    this.progressed = true;
    dedup.settle(settled.chunk, settled.slices, settled.refusedRows, settled.conflictingRows);
    source.settle(settled.slices);
    meters.settled(settled);
    this.#finishChunk(settled.chunk);
    pool.reuse(settled.chunk.rows);
  }

  /** The chunks of a parked file leave the queue; their other files are read again. */
  #park(batch: Batch, { parked, returned }: Committed): void {
    const { source, meters } = this.#rooms;
    const generations = new Set(parked.map((file) => file.generation));
    for (const { generation, reason } of parked) {
      source.park(generation);
      if (this.#parked.has(generation)) continue; // another lane had rows of it too
      this.#parked.add(generation);
      const slice = batch.chunks.flatMap((chunk) => chunk.slices).find(({ file }) => file.id === generation);
      meters.parked(reason, slice?.file.name ?? null);
    }
    const queued = this.#queue.remove((chunk) =>
      chunk.slices.some((slice) => generations.has(slice.file.id)),
    );
    for (const chunk of [...returned, ...queued]) {
      source.giveBack(chunk);
      this.#finishChunk(chunk);
    }
  }

  #finishChunk(chunk: JudgedChunk): void {
    const task = this.#judged.get(chunk)?.task;
    this.#judged.delete(chunk);
    if (task !== undefined) this.#release(task);
  }

  #release(task: SourceTask): void {
    this.#slots.release(task);
    this.#dispatchedMs.delete(task);
    this.#rooms.source.bell.ring();
  }

  /** While nothing is written: is the lease still ours, is everything that was committed still there? */
  async #watch(): Promise<void> {
    const reason = await this.#rooms.sink.watch(this.#abort);
    if (reason === null) return;
    this.#restart = reason;
    this.#over.abort();
  }

  /** A room that fails ends the flow; the others finish or roll back what they hold. */
  async #guard(room: Promise<void>): Promise<void> {
    try {
      await room;
    } catch (error) {
      this.#failure ??= { error };
      this.#over.abort();
    }
  }

  get #stopping(): boolean {
    return this.#ending.stop.aborted || this.#abort.aborted;
  }

  #wakeAll(): void {
    this.#rooms.source.bell.ring();
    this.#chunkBell.ring();
  }
}
