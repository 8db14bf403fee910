// Connections that are kept open: opened when needed, with back-off while the database is away, checked before any other use, and
// destroyed after any fault. One slot per lane, and one for the books and the watch.

import { StepFault, during, policyFor, stopped } from './fault.ts';
import { endBackend } from './fence.ts';
import { Backoff } from './backoff.ts';
import { verifyCommits } from './recover.ts';
import { destroy, openSession } from './session.ts';
import type { Backend, Session } from './session.ts';
import { makeStageSql } from './stage.ts';
import type { Setup, Standing } from './standing.ts';
import type { SinkEvents } from '../sink.ts';

/** A place for one connection, which comes and goes. */
export interface Slot {
  readonly kind: 'lane' | 'books';
  session: Session | null;
  /** A session that is being opened; who asks meanwhile waits for the same one. */
  opening: Promise<Session> | null;
  /** The backend of a connection that was given up: it must be gone before the next one is used. */
  former: Backend | null;
}

export function newSlot(kind: Slot['kind']): Slot {
  return { kind, session: null, opening: null, former: null };
}

/** Gives the connection up; the server rolls back what it was doing. */
export function drop(slot: Slot): void {
  if (slot.session === null) return;
  slot.former = slot.session.backend;
  destroy(slot.session.client);
  slot.session = null;
}

/**
 * The slot's session, or a new one that has passed all checks. Throws StepFault when the database is away just now, MillraceError when a
 * person must mend something, RestartNeeded when it is not what we believe.
 */
export async function sessionOf(
  slot: Slot,
  setup: Setup,
  standing: Standing,
  onEnd: () => void,
): Promise<Session> {
  if (slot.session !== null) return slot.session;
  slot.opening ??= openFor(slot, setup, standing, onEnd).finally(() => (slot.opening = null));
  return slot.opening;
}

async function openFor(slot: Slot, setup: Setup, standing: Standing, onEnd: () => void): Promise<Session> {
  const session = await openSession(setup.target, setup.synchronousCommit);
  try {
    await verifyCommits(session, standing);
    const { former } = slot;
    if (former !== null) await during('connect', session.client, () => endBackend(session.client, former));
    if (slot.kind === 'lane')
      await during('connect', session.client, () => session.client.query(makeStageSql(setup.table)));
  } catch (error) {
    destroy(session.client);
    throw error;
  }
  session.client.once('end', onEnd);
  slot.former = null;
  slot.session = session;
  return session;
}

/** Tells once per reason that the sink waits, and once that it goes on. */
export class Waits {
  readonly #events: SinkEvents;
  #reason: string | null = null;

  constructor(events: SinkEvents) {
    this.#events = events;
  }

  tell(reason: string): void {
    if (reason === this.#reason) return;
    this.#reason = reason;
    this.#events.waiting(reason);
  }

  over(): void {
    if (this.#reason === null) return;
    this.#reason = null;
    this.#events.waiting(null);
  }
}

/**
 * Repeats `work` with back-off until it succeeds; null when `abort` fires. Only faults that may pass are waited for; all others end it.
 * `work` must give up its own connection when it fails.
 */
export async function untilDone<T>(
  work: () => Promise<T>,
  waits: Waits,
  describe: string,
  abort: AbortSignal,
): Promise<T | null> {
  const backoff = new Backoff();
  while (!abort.aborted) {
    try {
      const result = await work();
      waits.over();
      return result;
    } catch (error) {
      if (abort.aborted) return null;
      if (!(error instanceof StepFault)) throw error;
      if (policyFor(error) !== 'wait') throw stopped(error, describe);
      waits.tell(reasonOf(error, describe));
      await backoff.wait(abort);
    }
  }
  return null;
}

/**
 * Does not wait on for `work` when `abort` fires: it may stand behind a lock that somebody holds for hours. Only for work that owns its
 * connection; `discard` gets what comes of it later all the same.
 */
export async function unlessAborted<T>(
  work: Promise<T>,
  abort: AbortSignal,
  discard: (late: T) => void,
): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const give = (): void => {
    work.then(discard, () => {}); // nobody else is left to hear of it
    reject(new Error('asked to end'));
  };
  abort.addEventListener('abort', give, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    abort.removeEventListener('abort', give);
  }
}

export function reasonOf(fault: StepFault, describe: string): string {
  return `${describe} cannot take data just now (${fault.fault.sqlstate}): ${(fault.cause as Error).message}`;
}

/**
 * Cuts the connection off when `work` takes longer: a network that swallows everything gives no error for a quarter of an hour. Only for
 * conversations that are short and may be repeated; a batch may wait for a lock as long as it likes.
 */
export async function withDeadline<T>(session: Session, ms: number, work: () => Promise<T>): Promise<T> {
  const timer = setTimeout(() => destroy(session.client), ms);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
}
