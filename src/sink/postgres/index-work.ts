// The connections of a first load, and how its work is tried again: dropping indexes, building them two at a time, saying how far they are.
// What the database refuses is told of, and loading goes on. When any of it is done is first-load.ts.

import { MillraceError } from '../../errors.ts';
import { failPoint } from '../../failpoints.ts';
import { pause } from './backoff.ts';
import type { Slot } from './connector.ts';
import { drop, newSlot, sessionOf, untilDone, withDeadline } from './connector.ts';
import type { Built } from './deferred.ts';
import {
  analyze,
  buildIndex,
  buildsUnderWay,
  dropIndexes,
  hasStatistics,
  isJustTaken,
  progressText,
  readProspect,
  watchClient,
} from './deferred.ts';
import { StepFault } from './fault.ts';
import { endBackend } from './fence.ts';
import type { FirstLoadTools } from './first-load.ts';
import type { Session } from './session.ts';

const PROGRESS_MS = 1_000;
/** A program that ends has 10 s in all. */
const CUT_MS_MAX = 2_000;
/** A person who cancels a build again and again means it. */
const CANCELS_MAX = 3;
const CANCELED = '57014';
const SERIALIZATION_FAILURE = '40001';

type Work<T> = (session: Session) => Promise<T>;

/** All of it ends when `abort` fires. Throws RestartNeeded, and MillraceError for what concerns more than indexes ('fenced'). */
export class IndexWork {
  readonly #tools: FirstLoadTools;
  readonly #abort: AbortSignal;
  readonly #first: Slot = newSlot('books');
  /** Two builds at once fill two processors, and each has its own memory for sorting. */
  readonly #builders: readonly Slot[] = [this.#first, newSlot('books')];
  readonly #looker: Slot = newSlot('books');

  constructor(tools: FirstLoadTools, abort: AbortSignal) {
    this.#tools = tools;
    this.#abort = abort;
    abort.addEventListener('abort', () => this.#cut(), { once: true });
  }

  /** The names that are away now, by this try or by an earlier one whose answer was lost. */
  async drop(): Promise<readonly string[]> {
    const { setup, standing, tableName, options } = this.#tools;
    const outcome = await this.#persist(this.#first, async (session) => {
      const { deferred } = await readProspect(session, setup);
      if (deferred.length > 0) return { kind: 'dropped', names: deferred } as const;
      return dropIndexes(session, setup, standing, tableName);
    }).catch((error: unknown) => ({ kind: 'kept', reason: forGood(error).message }) as const);
    if (outcome?.kind === 'dropped') return outcome.names;
    if (outcome !== null && outcome.reason !== null) options.told(`no first load: ${outcome.reason}`);
    return [];
  }

  /** Tells of each that is there, and logs why one cannot be. */
  async build(indexes: readonly string[], onBuilt: (index: string) => void): Promise<void> {
    const over = new AbortController();
    const queue = [...indexes];
    let done = 0;
    const each = async (slot: Slot): Promise<void> => {
      for (let index = queue.shift(); index !== undefined; index = queue.shift()) {
        const problem = await this.#buildOne(slot, index);
        if (this.#abort.aborted) return;
        done += 1;
        if (problem === null) onBuilt(index);
        else this.#tellMissing(index, problem);
      }
    };
    const showing = this.#show(() => `building indexes, ${done} of ${indexes.length} done`, over.signal);
    try {
      await Promise.all(this.#builders.map(each));
    } finally {
      over.abort();
      await showing;
      if (this.#abort.aborted) await this.#endBuilds();
    }
  }

  /**
   * Statistics of an empty table make bad plans until autovacuum comes by. Before the builds: what is recorded then makes the next start do
   * it again after a crash. `loaded`: there are new rows; without, only a table that has none yet gets them. In the user's path: it calls
   * functions that are indexed.
   */
  async analyze(loaded: boolean): Promise<void> {
    const { setup, options } = this.#tools;
    const refused = giveUpWhenCanceled();
    const work: Work<void> = async (session) => {
      if (!loaded && (await hasStatistics(session, setup))) return;
      options.building(`ANALYZE of ${setup.tableText}`);
      await analyze(session, setup).catch(refused);
    };
    await this.#persist(this.#first, work).catch((error: unknown) =>
      setup.events.notice(`ANALYZE of ${setup.tableText} failed: ${forGood(error).message}`),
    );
    options.building(null);
    failPoint('indexes-analyzed');
  }

  close(): void {
    for (const slot of [...this.#builders, this.#looker]) drop(slot);
  }

  /** Null when the index is there; else why it is not. */
  async #buildOne(slot: Slot, index: string): Promise<string | null> {
    const { setup, standing } = this.#tools;
    const refused = giveUpWhenCanceled();
    const attempt = async (session: Session): Promise<Built> => {
      await watchClient(session);
      return buildIndex(session, setup, standing, index).catch((error: unknown) =>
        refused(isJustTaken(error) ? tryAgain(error) : error),
      );
    };
    const built = await this.#persist(slot, attempt).catch((error: unknown) => forGood(error));
    if (built instanceof Error) return built.message;
    return built === 'taken' ? 'something else has its name' : built === null ? 'interrupted' : null;
  }

  #tellMissing(index: string, problem: string): void {
    const { tableText, events } = this.#tools.setup;
    events.notice(
      `${tableText} is without its index ${index} since a first load, and it cannot be built: ${problem}; every run of the owner of the table tries again (its statement is in millrace.deferred_indexes)`,
    );
  }

  /** Says every second how far the builds are; never in their way. */
  async #show(heading: () => string, over: AbortSignal): Promise<void> {
    const { options, setup } = this.#tools;
    const look: Work<string> = (session) =>
      withDeadline(session, CUT_MS_MAX, async () =>
        (await buildsUnderWay(session.client, setup.tableSql)).map(progressText).join(', '),
      );
    options.building(heading());
    for (await pause(PROGRESS_MS, over); !over.aborted; await pause(PROGRESS_MS, over)) {
      const builds = await this.#attempt(this.#looker, look).catch(() => ''); // what is wrong, the builders tell
      if (!over.aborted && builds !== '') options.building(`${heading()}: ${builds}`);
    }
    options.building(null);
  }

  /** Repeats `work` on the slot's connection until it is done; null when it is to end. Throws as `untilDone` does. */
  #persist<T>(slot: Slot, work: Work<T>): Promise<T | null> {
    const { waits, setup } = this.#tools;
    return untilDone(() => this.#attempt(slot, work), waits, setup.target.describe, this.#abort);
  }

  async #attempt<T>(slot: Slot, work: Work<T>): Promise<T> {
    const { setup, standing } = this.#tools;
    try {
      const session = await sessionOf(slot, setup, standing, () => {});
      this.#abort.throwIfAborted();
      return await work(session);
    } catch (error) {
      drop(slot);
      throw error;
    }
  }

  #cut(): void {
    for (const slot of this.#builders) drop(slot);
  }

  /** A backend that sorts does not notice that nobody waits for it: ended, so that it holds up no other writer. */
  async #endBuilds(): Promise<void> {
    const { setup, standing } = this.#tools;
    const formers = this.#builders.flatMap(({ former }) => former ?? []);
    const ending = async (): Promise<void> => {
      const { client } = await sessionOf(this.#looker, setup, standing, () => {});
      for (const backend of formers) await endBackend(client, backend);
    };
    // A server that does not answer ends them itself when it finds their client gone: what was not committed is rolled back either way.
    const ended = ending().catch(() => undefined);
    const deadline = new AbortController();
    await Promise.race([ended, pause(CUT_MS_MAX, deadline.signal)]);
    deadline.abort();
  }
}

/** Of all tries of one piece of work: throws what it is given, and after some cancels that somebody means it. */
function giveUpWhenCanceled(): (error: unknown) => never {
  let cancels = 0;
  return (error) => {
    cancels += error instanceof StepFault && error.fault.sqlstate === CANCELED ? 1 : 0;
    if (cancels >= CANCELS_MAX) throw new MillraceError('database', 'somebody cancels every try');
    throw error;
  };
}

/** A refusal that says something of indexes only. Throws everything else. */
function forGood(error: unknown): MillraceError {
  if (error instanceof MillraceError && error.code === 'database') return error;
  throw error;
}

/** An index of that name came between our look and our CREATE: the next try sees it. */
function tryAgain({ step, cause }: StepFault): StepFault {
  return new StepFault(step, { sqlstate: SERIALIZATION_FAILURE }, cause as Error);
}
