// A first load: while a large backlog goes into an empty table, the primary key stays and the other indexes are away; then they are built
// again, each in one go. That is some 1.4 times as fast as carrying them along, for 1 M rows. When what happens is here; the work is done
// in index-work.ts, its SQL stands in deferred.ts.
//
//   undecided --first batch--> loading --backlog committed--> building --> over
//       '--small backlog, or the table is not empty--> over
//
// The judge of uniqueness never leaves, so nothing that is promised of rows rests on this file. What is deferred stands in
// millrace.deferred_indexes: whoever opens the table next finishes it. Lanes wait while it is undecided, and while indexes are built.

import { Bell } from '../../core/bell.ts';
import { failPoint } from '../../failpoints.ts';
import type { TableName } from '../../schema/table.ts';
import type { WriteResult } from '../sink.ts';
import { orAborted, pause } from './backoff.ts';
import type { Waits } from './connector.ts';
import type { Prospect } from './deferred.ts';
import { RestartNeeded } from './fault.ts';
import { IndexWork } from './index-work.ts';
import type { Setup, Standing } from './standing.ts';

/** 200,000 rows of the usual 96 bytes: below, building the indexes again costs more than it saves. */
const BACKLOG_BYTES_MIN = 200_000 * 96;
/** So little is no backlog: a tail that waits for its end, files just arriving. */
const CAUGHT_UP_BYTES = 2 ** 20;
/** Where more keeps coming as fast as it is written, queries do not wait for their indexes for ever. */
const BACKLOGS_MAX = 4;
/** Lanes that have had nothing to write for so long are not what the indexes must wait for. Longer than a lane may rest (10 s, core/pace.ts). */
const IDLE_MS = 15_000;
const POLL_MS = 250;

export interface FirstLoadOptions {
  /** never: no index is dropped; what an earlier run has dropped is built again all the same. */
  readonly mode: 'auto' | 'never';
  /** Bytes that the source knows of and that are not committed yet. */
  readonly backlogBytes: () => number;
  /** That is all that waits: the source has looked at everything once. */
  readonly backlogIsWhole: () => boolean;
  /** Nothing is begun once it fires, and a build is given up. */
  readonly stop: AbortSignal;
  /** What a person wants to read in the log. */
  readonly told: (text: string) => void;
  /** What the lanes wait for while indexes are built; null when they go on. */
  readonly building: (text: string | null) => void;
}

export interface FirstLoadTools {
  readonly options: FirstLoadOptions;
  readonly tableName: TableName;
  readonly setup: Setup;
  readonly standing: Standing;
  readonly waits: Waits;
  /** A restart in process is needed. */
  readonly onBroken: (reason: string) => void;
  readonly onFailed: (error: unknown) => void;
  /** Fires when the sink leaves. */
  readonly closing: AbortSignal;
}

type Stage = 'undecided' | 'loading' | 'building' | 'over';

/** One per opening of the sink. */
export class FirstLoad {
  readonly #tools: FirstLoadTools;
  readonly #abort: AbortSignal;
  readonly #work: IndexWork;
  readonly #bell = new Bell();
  readonly #ended: Promise<void>;
  #stage: Stage;
  #gate: PromiseWithResolvers<void> | null = null;
  #arrived = false;
  #finishing = false;
  #writing = 0;
  #writtenMs = performance.now();
  #committedBytes = 0;
  /** Known to be dropped, not known to be built. */
  #left: Set<string>;

  constructor(tools: FirstLoadTools, prospect: Prospect) {
    this.#tools = tools;
    this.#left = new Set(prospect.deferred);
    this.#abort = AbortSignal.any([tools.closing, tools.options.stop]);
    this.#work = new IndexWork(tools, this.#abort);
    const isAffair = this.#left.size > 0 || (tools.options.mode === 'auto' && prospect.empty);
    this.#stage = isAffair ? 'undecided' : 'over';
    this.#ended = isAffair ? this.#oversee() : Promise.resolve();
  }

  /** Every lane with every batch: waits until it may be written. */
  async pass(abort: AbortSignal): Promise<void> {
    this.#arrived = true;
    if (this.#stage === 'undecided') this.#bell.ring();
    while (this.#gate !== null && !abort.aborted) await orAborted(this.#gate.promise, abort);
    this.#writing += 1;
  }

  /** After each `pass`, whatever became of the batch (null: it failed for good). */
  written(result: WriteResult | null): void {
    this.#writing -= 1;
    this.#writtenMs = performance.now();
    if (result?.kind !== 'committed') return;
    for (const { start, end } of result.settled.flatMap(({ slices }) => slices))
      this.#committedBytes += end - start;
  }

  /** Nothing more comes: builds what is left, unless asked to stop; then says so. */
  async finish(): Promise<void> {
    this.#finishing = true;
    this.#bell.ring();
    await this.#ended;
    const { options, setup } = this.#tools;
    if (options.stop.aborted && this.#left.size > 0)
      setup.events.notice(
        `stopped before ${indexes(this.#left.size)} of ${setup.tableText} could be built again after the first load: queries are slower until the next run builds ${this.#left.size === 1 ? 'it' : 'them'}`,
      );
  }

  /** Resolves when nothing of it is under way any more; after `closing` has fired. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  async #oversee(): Promise<void> {
    const { onBroken, onFailed } = this.#tools;
    const wake = (): void => this.#bell.ring();
    this.#abort.addEventListener('abort', wake);
    this.#enter(this.#stage);
    try {
      await (this.#left.size > 0 ? this.#goOn() : this.#begin());
      if (this.#left.size > 0 && !this.#abort.aborted) await this.#build();
    } catch (error) {
      // The watch ends the flow, or begins it again.
      if (error instanceof RestartNeeded) onBroken(error.message);
      else if (!this.#abort.aborted) onFailed(error);
    } finally {
      this.#abort.removeEventListener('abort', wake);
      this.#work.close();
      this.#enter('over');
    }
  }

  /** The gate is shut while it is undecided, and while indexes are built. */
  #enter(stage: Stage): void {
    this.#stage = stage;
    if (stage === 'undecided' || stage === 'building') {
      this.#gate ??= Promise.withResolvers();
      return;
    }
    this.#gate?.resolve();
    this.#gate = null;
  }

  /** A table that is empty: the first batch asks how much there is to come. */
  async #begin(): Promise<void> {
    const { options, setup } = this.#tools;
    while (!this.#arrived && !this.#isEnding) await this.#bell.wait();
    // Of 100,000 small files the first are here before the last ones are seen.
    await this.#until(() => this.#isMuch || options.backlogIsWhole());
    if (!this.#arrived || this.#abort.aborted || !this.#isMuch) return;
    this.#left = new Set(await this.#work.drop());
    if (this.#left.size === 0) return;
    options.told(
      `first load: ${indexes(this.#left.size)} of ${setup.tableText} dropped, to be built again when ${options.backlogIsWhole() ? '' : 'at least '}${megabytes(options.backlogBytes())} are loaded; until then queries are slower`,
    );
    await this.#load();
  }

  /** An earlier first load was not finished: it goes on where there is still much to load, else the indexes are built at once. */
  async #goOn(): Promise<void> {
    const { options, setup } = this.#tools;
    await this.#until(() =>
      this.#arrived ? this.#isMuch || options.backlogIsWhole() : this.#isIdle && !this.#isMuch,
    );
    const goesOn = options.mode === 'auto' && this.#arrived && this.#isMuch;
    options.told(
      `${indexes(this.#left.size)} of ${setup.tableText} dropped by an earlier first load: ${goesOn ? 'it goes on' : 'building them now'}`,
    );
    if (goesOn) await this.#load();
  }

  /** Until what was there at the beginning is committed, by its size; what a compressed file holds is known only once it is unpacked. */
  async #load(): Promise<void> {
    const { backlogBytes, backlogIsWhole } = this.#tools.options;
    let atFirst = backlogBytes();
    let isWhole = backlogIsWhole();
    const before = this.#committedBytes;
    this.#writtenMs = performance.now(); // lanes that waited for us were not idle
    this.#enter('loading');
    await this.#until(() => {
      const committed = this.#committedBytes - before;
      if (!isWhole) {
        isWhole = backlogIsWhole();
        atFirst = Math.max(atFirst, committed + backlogBytes());
        return this.#isIdle;
      }
      const small = committed < atFirst ? CAUGHT_UP_BYTES : BACKLOG_BYTES_MIN;
      return this.#isIdle || committed >= BACKLOGS_MAX * atFirst || backlogBytes() < small;
    });
  }

  get #isMuch(): boolean {
    return this.#tools.options.backlogBytes() >= BACKLOG_BYTES_MIN;
  }

  get #isIdle(): boolean {
    return this.#writing === 0 && performance.now() - this.#writtenMs >= IDLE_MS;
  }

  get #isEnding(): boolean {
    return this.#finishing || this.#abort.aborted;
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.#isEnding) await this.#nap(POLL_MS);
  }

  async #nap(ms: number): Promise<void> {
    const timer = new AbortController();
    await this.#bell.wait(pause(ms, timer.signal));
    timer.abort();
  }

  async #build(): Promise<void> {
    const { options, setup } = this.#tools;
    const all = [...this.#left];
    this.#enter('building');
    options.told(`building ${indexes(all.length)} of ${setup.tableText}; writing waits meanwhile`);
    await this.#work.analyze(this.#committedBytes > 0);
    const begunMs = performance.now();
    await this.#work.build(all, (index) => this.#left.delete(index));
    if (this.#left.size === 0) failPoint('indexes-done');
    this.#enter('over');
    const built = all.length - this.#left.size;
    if (built > 0) options.told(`built ${indexes(built)} of ${setup.tableText} in ${seconds(begunMs)}`);
  }
}

/** "1 index", "4 indexes" */
function indexes(count: number): string {
  return count === 1 ? '1 index' : `${count} indexes`;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}

function seconds(begunMs: number): string {
  return `${((performance.now() - begunMs) / 1000).toFixed(1)} s`;
}
