// What a run's pace rests on: the options that were given, the processors and memory of this machine, and where the database is; and what is
// said about it. The pace itself is found by core/pace.ts.

import { availableParallelism, totalmem } from 'node:os';
import { slotsFor } from '../core/pace.ts';
import type { Range } from '../core/climb.ts';
import type { Turn } from '../core/pace.ts';
import type { RunOptions } from '../options.ts';
import { Pacemaker } from '../pacemaker.ts';
import type { PacemakerOptions } from '../pacemaker.ts';
import type { Pool } from '../pool.ts';
import { sharesMachine } from '../sink/postgres/target.ts';
import type { DatabaseTarget } from '../sink/postgres/target.ts';
import type { Replicas } from '../sink/sink.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Meters } from '../telemetry/meters.ts';
import { bytesText, timeText } from '../telemetry/text.ts';

/** One lane leaves a processor of the database idle while it waits for the network or the disk. */
export const LANES_START = 2;
/** Connections are taken from somebody; 16 lanes write more than one main thread feeds. */
const LANES_MAX = 16;
/** A slice in flight, as file and as rows. */
const SLOT_BYTES = 12 * 2 ** 20;
/** Of the memory of this machine or container, for slices. */
const MEMORY_SHARE = 1 / 4;

/** A database on these very processors gains nothing from more lanes than there are of them. */
export function lanesRange(given: number | null, target: DatabaseTarget): Range {
  if (given !== null) return { start: given, max: given };
  const max = sharesMachine(target) ? Math.max(LANES_START, availableParallelism()) : LANES_MAX;
  return { start: LANES_START, max: Math.min(LANES_MAX, max) };
}

export interface Pacing {
  readonly options: RunOptions;
  readonly lanes: Range;
  readonly workers: Range;
  readonly pool: Pool;
  readonly openLane: PacemakerOptions['openLane'];
  readonly meters: Meters;
  readonly log: Logger;
}

export function openPacemaker({ options, lanes, workers, pool, openLane, meters, log }: Pacing): Pacemaker {
  const { commitMsMax, replicaLagMax } = options;
  const few = slotsFor(workers.start, lanes.start);
  const pacemaker: PacemakerOptions = {
    lanes,
    workers,
    throttle: options.throttle === 'auto' ? { commitMsMax, replicaLagMax } : null,
    slots: options.slots,
    slotsMax: Math.max(few, Math.floor((memoryBytes() * MEMORY_SHARE) / SLOT_BYTES)),
    pool,
    openLane,
    turned: (turn) => {
      const begun = turn.what === 'begun';
      meters.slowed(turn.measure, begun);
      log[begun ? 'warn' : 'info'](turnText(turn));
    },
    changed: (threads, connections) =>
      log.debug({ workers: threads, lanes: connections }, 'lanes and workers in force'),
    rested: (ms) => meters.rested(ms),
  };
  return new Pacemaker(pacemaker);
}

function memoryBytes(): number {
  const constrained = process.constrainedMemory(); // 0 or beyond all memory: there is no such bound
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

function turnText({ measure, what, value, bound }: Turn): string {
  const over = what === 'over';
  switch (measure) {
    case 'commit':
      return over
        ? `full speed again: COMMIT takes ${timeText(value)}`
        : `slowing down: COMMIT takes ${timeText(value)} (median), more than --commit-max ${timeText(bound)}; lanes rest between batches until it is faster. Look at the disk of the database and at synchronous replicas, or allow more with --commit-max, or --throttle off`;
    case 'lag':
      return over
        ? `full speed again: replicas are at most ${bytesText(value)} behind`
        : `slowing down: a replica is ${bytesText(value)} of WAL behind, more than --replica-lag-max ${bytesText(bound)}; lanes rest between batches until it has caught up. Look at replay_lsn in pg_stat_replication, or allow more with --replica-lag-max, or --throttle off`;
    default:
      return measure satisfies never;
  }
}

/** Says once that replicas are there and cannot be seen. */
export function replicaWatch(pacemaker: Pacemaker, log: Logger): (replicas: Replicas) => void {
  let said = false;
  return ({ lagBytes, hidden }) => {
    pacemaker.lagged(lagBytes);
    if (hidden === 0 || said) return;
    said = true;
    log.info(
      'the database has replicas, and this user may not see how far behind they are, so nothing slows down for them; GRANT pg_read_all_stats TO this user would show it',
    );
  };
}
