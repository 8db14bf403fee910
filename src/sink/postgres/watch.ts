// The watch: what must stay true while nothing is written. Every few seconds, and at once when a connection closes, it reads the lease and
// looks for commits that have vanished, over the connection of the books.

import type { Bell } from '../../core/bell.ts';
import { orAborted, pause } from './backoff.ts';
import type { Slot, Waits } from './connector.ts';
import { drop, sessionOf, untilDone, withDeadline } from './connector.ts';
import { RestartNeeded, during } from './fault.ts';
import { readLease } from './fence.ts';
import { verifyCommits } from './recover.ts';
import { askReplicas } from './replicas.ts';
import { destroy } from './session.ts';
import type { Session } from './session.ts';
import type { Setup, Standing } from './standing.ts';
import type { Turns } from './turns.ts';

const EVERY_MS = 3_000;
const LOOK_MS_MAX = 15_000;

export interface WatchTools {
  readonly setup: Setup;
  readonly standing: Standing;
  readonly slot: Slot;
  readonly lanes: readonly Slot[];
  readonly waits: Waits;
  readonly turns: Turns;
  /** Rung when a connection has closed, or a restart is needed. */
  readonly bell: Bell;
}

/** The reason for a restart in process, or null when `abort` fires. Throws 'fenced', and what the books failed with for good. */
export async function watchOver(tools: WatchTools, abort: AbortSignal): Promise<string | null> {
  const { standing, turns, bell } = tools;
  while (!abort.aborted) {
    await bell.wait(pause(EVERY_MS, abort));
    if (standing.failed !== null) throw standing.failed.error;
    if (standing.broken !== null) return standing.broken;
    if (abort.aborted) break;
    try {
      const turn = turns.take(() =>
        untilDone(() => look(tools), tools.waits, tools.setup.target.describe, abort),
      );
      // A conversation of the books that stands may hold the turn for a minute: at the end nobody waits for it, `leave` cuts it off.
      await orAborted(turn, abort);
    } catch (error) {
      if (error instanceof RestartNeeded) return error.message;
      throw error;
    }
  }
  return null;
}

async function look({ setup, standing, slot, lanes, bell }: WatchTools): Promise<void> {
  try {
    const session = await sessionOf(slot, setup, standing, () => bell.ring());
    await withDeadline(session, LOOK_MS_MAX, async () => {
      await verifyCommits(session, standing);
      await readLease(session, setup, standing);
      await cutOrphans(session, lanes);
      const { events } = setup;
      const replicas = events.replicas === undefined ? null : await askReplicas(session);
      events.replicas?.(replicas ?? { lagBytes: 0, hidden: 0 }); // who may no longer see them is not slowed by what was last seen
    });
  } catch (error) {
    drop(slot);
    throw error;
  }
}

/** A lane whose backend is gone while its own socket knows nothing of it (a network that swallows everything) would wait for ever. */
async function cutOrphans({ client }: Session, lanes: readonly Slot[]): Promise<void> {
  const sessions = lanes.flatMap((lane) => lane.session ?? []);
  if (sessions.length === 0) return;
  const { rows } = await during('connect', client, () =>
    client.query<{ pid: number }>(
      `SELECT a.pid FROM pg_stat_activity a JOIN unnest($1::integer[], $2::timestamptz[]) AS lane (pid, started_at)
       ON a.pid = lane.pid AND a.backend_start = lane.started_at`,
      [sessions.map(({ backend }) => backend.pid), sessions.map(({ backend }) => backend.startedAt)],
    ),
  );
  const alive = new Set(rows.map((row) => row.pid));
  for (const session of sessions) if (!alive.has(session.backend.pid)) destroy(session.client);
}
