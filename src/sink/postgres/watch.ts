// The watch: what must stay true while nothing is written. Every few seconds, and at once when a connection closes, it reads the lease and
// looks for commits that have vanished, over the connection of the books.

import type { Bell } from '../../core/bell.ts';
import { pause } from './backoff.ts';
import type { Slot, Waits } from './connector.ts';
import { drop, sessionOf, untilDone } from './connector.ts';
import { RestartNeeded } from './fault.ts';
import { readLease } from './fence.ts';
import { verifyCommits } from './recover.ts';
import type { Setup, Standing } from './standing.ts';
import type { Turns } from './turns.ts';

const EVERY_MS = 3_000;

export interface WatchTools {
  readonly setup: Setup;
  readonly standing: Standing;
  readonly slot: Slot;
  readonly waits: Waits;
  readonly turns: Turns;
  /** Rung when a connection has closed, or a restart is needed. */
  readonly bell: Bell;
}

/** The reason for a restart in process, or null when `abort` fires. Throws 'fenced'. */
export async function watchOver(tools: WatchTools, abort: AbortSignal): Promise<string | null> {
  const { standing, turns, bell } = tools;
  while (!abort.aborted) {
    await Promise.race([pause(EVERY_MS, abort), bell.wait()]);
    if (standing.broken !== null) return standing.broken;
    if (abort.aborted) break;
    try {
      await turns.take(() => untilDone(() => look(tools), tools.waits, tools.setup.target.describe, abort));
    } catch (error) {
      if (error instanceof RestartNeeded) return error.message;
      throw error;
    }
  }
  return null;
}

async function look({ setup, standing, slot, bell }: WatchTools): Promise<void> {
  try {
    const session = await sessionOf(slot, setup, standing, () => bell.ring());
    await verifyCommits(session, standing);
    await readLease(session, setup, standing);
  } catch (error) {
    drop(slot);
    throw error;
  }
}
