// The PostgreSQL sink: wiring only. It brings the database to this program's version, makes the table, takes the source over, and hands
// batches to its lanes. What one transaction is stands in lane.ts, what is done after a failure in write.ts.

import { randomUUID } from 'node:crypto';
import type { Batch } from '../../core/batch.ts';
import { Bell } from '../../core/bell.ts';
import { BooksClosed } from '../../core/books.ts';
import type { Books } from '../../core/books.ts';
import type { GenerationInfo } from '../../core/slice.ts';
import { MillraceError } from '../../errors.ts';
import { failPoint } from '../../failpoints.ts';
import { quoteTable } from '../../schema/ddl.ts';
import type { TableDefinition, TableName } from '../../schema/table.ts';
import type { Sink, SinkEvents, WriteResult } from '../sink.ts';
import { PostgresBooks } from './books.ts';
import { Waits, drop, newSlot, sessionOf, unlessAborted, untilDone } from './connector.ts';
import type { Slot } from './connector.ts';
import { readProspect } from './deferred.ts';
import type { Prospect } from './deferred.ts';
import { RestartNeeded, during } from './fault.ts';
import { registerSource, takeFence } from './fence.ts';
import { FirstLoad } from './first-load.ts';
import type { FirstLoadOptions } from './first-load.ts';
import { migrate } from './migrate.ts';
import { destroy, openSession, refuseTransactionPooling } from './session.ts';
import type { Session } from './session.ts';
import type { Setup, Standing } from './standing.ts';
import { ensureTable } from './table.ts';
import type { DatabaseTarget } from './target.ts';
import { Turns } from './turns.ts';
import { watchOver } from './watch.ts';
import { writeBatch } from './write.ts';

export interface PostgresSinkOptions {
  readonly target: DatabaseTarget;
  readonly table: TableDefinition;
  readonly tableName: TableName;
  /** Name of the lease, normally the absolute path of the input folder. */
  readonly source: string;
  /** Connections that write at the same time, at most; one more is used for the books. */
  readonly lanes: number;
  /** false: commits are acknowledged before they are on disk; rows and positions may vanish together in a crash. */
  readonly synchronousCommit: boolean;
  readonly events: SinkEvents;
  /** Default: none is begun, one that an earlier run has begun is ended. */
  readonly firstLoad?: FirstLoadOptions;
  readonly programVersion: string;
  /** Ends the waiting for a database that is away. */
  readonly abort?: AbortSignal;
}

export interface PostgresSink extends Sink {
  /** The table did not exist and was made now. */
  readonly tableCreated: boolean;
}

/**
 * Waits with back-off while the database is away, migrates it and makes sure of the table. Takes nothing over: that is `open`.
 * Null when `abort` fires meanwhile. Throws MillraceError ('database', 'migration', 'table') for what a person must mend.
 */
export async function openPostgresSink(options: PostgresSinkOptions): Promise<PostgresSink | null> {
  const waits = new Waits(options.events);
  const abort = options.abort ?? new AbortController().signal;
  const prepared = await untilDone(
    () => unlessAborted(prepare(options), abort, ({ session }) => destroy(session.client)),
    waits,
    options.target.describe,
    abort,
  );
  if (prepared === null) return null;
  const { setup, unreadable } = prepared;
  if (unreadable.length > 0) options.events.notice(cannotCompare(setup.tableText, unreadable));
  return new LanesAndBooks(prepared, options, waits);
}

const NO_FIRST_LOAD: FirstLoadOptions = {
  mode: 'never',
  backlogBytes: () => 0,
  backlogIsWhole: () => true,
  stop: new AbortController().signal,
  told: () => {},
  building: () => {},
};

/** Not being able to tell must be heard: the count of conflicts would look like none. */
function cannotCompare(tableText: string, unreadable: readonly string[]): string {
  const columns = unreadable.join(', ');
  return `this user may not read ${columns} of ${tableText}, so an event that comes again with other values counts as a plain duplicate and its record is not kept; GRANT SELECT (${columns}) ON ${tableText} to this user, or run what "millrace roles" prints`;
}

interface Prepared {
  readonly setup: Setup;
  /** Goes on as the one that takes over, and then as that of the books: a new one for the take-over was 12 to 41 ms of a start. */
  readonly session: Session;
  readonly created: boolean;
  readonly unreadable: readonly string[];
}

async function prepare(options: PostgresSinkOptions): Promise<Prepared> {
  const { target, table, tableName, source, synchronousCommit, events, programVersion } = options;
  const tableText = `${tableName.schema}.${tableName.name}`;
  const session = await openSession(target, true); // a lease that vanished in a crash would look like a take-over
  const { client } = session;
  try {
    return await during('connect', client, async () => {
      await refuseTransactionPooling(session, target);
      await migrate(client, { program: programVersion });
      const { created, unreadable } = await ensureTable(client, table, tableName);
      const sourceId = await registerSource(client, source, tableText);
      failPoint('prepared');
      const names = { tableSql: quoteTable(tableName), tableText, source, sourceId };
      const compares = unreadable.length === 0;
      const setup = { target, table, ...names, compares, synchronousCommit, events };
      if (!synchronousCommit) await client.query('SET synchronous_commit = off');
      return { setup, session, created, unreadable };
    });
  } catch (error) {
    destroy(client);
    throw error;
  }
}

/** Lanes that are connected before there is a batch for them: 20 ms sooner on the way to the first row. */
const LANES_AT_ONCE = 2;

interface TakenOver {
  readonly session: Session;
  readonly standing: Standing;
  readonly prospect: Prospect;
}

/** From one `open` to the next `leave`. */
interface Opened {
  readonly standing: Standing;
  readonly lanes: readonly Slot[];
  readonly booksSlot: Slot;
  readonly books: Books;
  readonly firstLoad: FirstLoad;
  readonly turns: Turns;
  readonly bell: Bell;
  readonly closing: AbortController;
}

class LanesAndBooks implements PostgresSink {
  readonly lanes: number;
  readonly tableCreated: boolean;
  readonly #setup: Setup;
  readonly #options: PostgresSinkOptions;
  readonly #waits: Waits;
  readonly #epoch = randomUUID();
  /** Connected, and of no use to anybody yet. */
  #ready: Session | null;
  #taken = false;
  #opened: Opened | null = null;

  constructor({ setup, session, created }: Prepared, options: PostgresSinkOptions, waits: Waits) {
    this.#setup = setup;
    this.#ready = session;
    this.#options = options;
    this.lanes = options.lanes;
    this.#waits = waits;
    this.tableCreated = created;
  }

  async open(abort: AbortSignal): Promise<{ forget: bigint; books: Books } | null> {
    const taken = await untilDone(
      () => unlessAborted(this.#takeOver(), abort, ({ session }) => destroy(session.client)),
      this.#waits,
      this.#setup.target.describe,
      abort,
    );
    if (taken === null) return null;
    this.#taken = true;
    this.#opened = this.#furnish(taken);
    return { forget: taken.standing.forget, books: this.#opened.books };
  }

  async prepare(lane: number): Promise<boolean> {
    const slot = this.#opened?.lanes[lane];
    if (this.#opened === null || slot === undefined) return false;
    const { standing, bell, closing } = this.#opened;
    return this.#connectAhead(slot, standing, bell, closing.signal);
  }

  async write(lane: number, batch: Batch, abort: AbortSignal): Promise<WriteResult> {
    const { standing, lanes, books, firstLoad, bell, closing } = this.#here();
    const slot = lanes[lane];
    if (slot === undefined) throw new RangeError(`there is no lane ${lane}`);
    const park = (info: GenerationInfo, reason: string): Promise<void> =>
      books.end({ info, stamp: info.stamp, blankLines: 0 }, 'parked', reason).catch((error: unknown) => {
        // Seen while a file was written down as parked: for a lane it is what it would be in its own transaction.
        throw error instanceof BooksClosed ? new RestartNeeded(error.message) : error;
      });
    const tools = { setup: this.#setup, standing, slot, waits: this.#waits, onEnd: () => bell.ring(), park };
    const ending = AbortSignal.any([abort, closing.signal]);
    await firstLoad.pass(ending);
    let result: WriteResult | null = null;
    try {
      return (result = await writeBatch(tools, batch, ending));
    } finally {
      firstLoad.written(result);
    }
  }

  async finish(): Promise<string | null> {
    const { standing, firstLoad } = this.#here();
    await firstLoad.finish();
    if (standing.failed !== null) throw standing.failed.error;
    return standing.broken;
  }

  watch(abort: AbortSignal): Promise<string | null> {
    const { standing, lanes, booksSlot: slot, turns, bell, closing } = this.#here();
    const tools = { setup: this.#setup, standing, slot, lanes, waits: this.#waits, turns, bell };
    return watchOver(tools, AbortSignal.any([abort, closing.signal]));
  }

  async leave(): Promise<void> {
    const [opened, ready] = [this.#opened, this.#ready];
    this.#opened = null;
    this.#ready = null;
    if (ready !== null) destroy(ready.client);
    if (opened === null) return;
    opened.closing.abort();
    for (const slot of [...opened.lanes, opened.booksSlot]) drop(slot);
    await Promise.all([opened.firstLoad.ended, opened.turns.take(async () => drop(opened.booksSlot))]);
  }

  /** The same epoch at every try: after a lost answer only that one is accepted. */
  async #takeOver(): Promise<TakenOver> {
    const ready = this.#ready;
    this.#ready = null;
    const session = ready ?? (await openSession(this.#setup.target, this.#setup.synchronousCommit));
    try {
      const forget = await takeFence(session, this.#setup, this.#epoch, !this.#taken);
      failPoint('fence-taken');
      const prospect = await readProspect(session, this.#setup);
      return { session, standing: standingOf(session, this.#epoch, forget), prospect };
    } catch (error) {
      destroy(session.client);
      if (error instanceof RestartNeeded)
        throw new MillraceError('database', error.message, { cause: error });
      throw error;
    }
  }

  #furnish({ session, standing, prospect }: TakenOver): Opened {
    const [bell, turns, closing] = [new Bell(), new Turns(), new AbortController()];
    const booksSlot: Slot = { ...newSlot('books'), session };
    session.client.once('end', () => bell.ring());
    const onBroken = (reason: string): void => {
      standing.broken ??= reason;
      bell.ring();
    };
    const onFailed = (error: unknown): void => {
      standing.failed ??= { error };
      bell.ring();
    };
    const shared = { setup: this.#setup, standing, slot: booksSlot, waits: this.#waits, turns };
    const books = new PostgresBooks({
      ...shared,
      onEnd: () => bell.ring(),
      onBroken,
      onFailed,
      closing: closing.signal,
    });
    const { tableName, firstLoad: options = NO_FIRST_LOAD } = this.#options;
    const loadTools = { setup: this.#setup, standing, tableName, options, waits: this.#waits };
    const firstLoad = new FirstLoad({ ...loadTools, onBroken, onFailed, closing: closing.signal }, prospect);
    const lanes = Array.from({ length: this.lanes }, () => newSlot('lane'));
    for (const lane of lanes.slice(0, LANES_AT_ONCE))
      void this.#connectAhead(lane, standing, bell, closing.signal);
    return { standing, lanes, booksSlot, books, firstLoad, turns, bell, closing };
  }

  /** Before there is a batch for it. A failure is left to the lane, which connects when it has something to write, or to the watch. */
  async #connectAhead(lane: Slot, standing: Standing, bell: Bell, closed: AbortSignal): Promise<boolean> {
    try {
      await sessionOf(lane, this.#setup, standing, () => bell.ring());
    } catch {
      return false;
    }
    if (closed.aborted) drop(lane);
    return !closed.aborted;
  }

  #here(): Opened {
    if (this.#opened === null) throw new MillraceError('internal', 'the sink is not open');
    return this.#opened;
  }
}

function standingOf({ cluster }: Session, epoch: string, forget: bigint): Standing {
  return {
    epoch,
    forget,
    cluster,
    unflushed: new Map(),
    registered: new Set(),
    looks: 0,
    broken: null,
    failed: null,
  };
}
