// Named places at which a test may make this program fail: dead unless the environment switches one on, and refused in production.
//
//   MILLRACE_FAILPOINT=committed:kill      at the first time that the place is reached
//   MILLRACE_FAILPOINT=parse:throw:3       at the third
//
// A leaf. Not for behaviour: nothing may depend on a fail-point but tests.

import { writeSync } from 'node:fs';

import { MillraceError } from './errors.ts';

/** Every place, in the order of the road. */
export const FAIL_POINTS = [
  'prepared', // sink: migrated, table and lease are there
  'fence-taken', // sink: this instance is the one that may write
  'parse', // worker: a task has arrived
  'begun', // lane: the transaction is open, the fence passed
  'rows-sent', // lane: the rows are in the transaction
  'before-commit', // lane: rows and rejects are in the transaction; positions too, unless they travel with COMMIT
  'committed', // lane: the answer to COMMIT is here, nobody has been told
  'indexes-dropped', // first load: they are gone and written down
  'indexes-analyzed', // first load: the statistics are there, the first CREATE comes next
  'index-building', // first load: the record of one is deleted, its CREATE comes next
  'index-built', // first load: it is there, COMMIT comes next
  'indexes-done', // first load: all are there, nothing is recorded any more
  'finished', // books: a file was written down as done
  'archiving', // source: a file is about to be moved into the archive
  'archived', // source: it has been moved, nobody has been told
  'hidden', // source: a file that is being deleted has its hidden name
] as const;

export type FailPoint = (typeof FAIL_POINTS)[number];

/** `kill`: SIGKILL to the whole program. `exit`: this thread ends. `stall`: this thread does nothing else for `STALL_MS`. */
export const FAIL_ACTIONS = ['kill', 'throw', 'exit', 'stall'] as const;

export type FailAction = (typeof FAIL_ACTIONS)[number];

const STALL_MS = 4_000;

interface Armed {
  readonly point: FailPoint;
  readonly action: FailAction;
  left: number;
}

/** @throws {MillraceError} `usage` for what is not in the lists, and for any fail-point in production */
export function armedBy(env: Readonly<Record<string, string | undefined>>): Armed | null {
  const text = env['MILLRACE_FAILPOINT'];
  if (text === undefined || text === '') return null;
  if (env['NODE_ENV'] === 'production')
    throw new MillraceError('usage', 'MILLRACE_FAILPOINT is set, and NODE_ENV is production', {
      wayOut: 'take the variable away: it makes the program fail on purpose, for its own tests',
    });
  const [name, deed, count = '1'] = text.split(':');
  const point = FAIL_POINTS.find((one) => one === name);
  const action = FAIL_ACTIONS.find((one) => one === deed);
  if (point === undefined || action === undefined || !/^[1-9]\d{0,8}$/.test(count))
    throw new MillraceError('usage', `MILLRACE_FAILPOINT=${text} is no fail-point`, {
      wayOut: `PLACE:ACTION or PLACE:ACTION:COUNT, places ${FAIL_POINTS.join(', ')}, actions ${FAIL_ACTIONS.join(', ')}`,
    });
  return { point, action, left: Number(count) };
}

const armed = armedBy(process.env);

/** Stands at a place, in one line. */
export function failPoint(place: FailPoint): void {
  if (armed === null || armed.point !== place) return;
  armed.left -= 1;
  if (armed.left === 0) fail(armed.action, place);
}

function fail(action: FailAction, place: FailPoint): void {
  // Not through a thread's own stream: the process may be gone with the next line.
  writeSync(2, `millrace: fail-point ${place}: ${action}\n`);
  switch (action) {
    case 'kill':
      process.kill(process.pid, 'SIGKILL');
      break;
    case 'throw':
      throw new Error(`fail-point ${place}`);
    case 'exit':
      process.exit(1);
      break;
    case 'stall':
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, STALL_MS);
      break;
    default:
      action satisfies never;
  }
}
