// What a signal finds and nobody would tidy up: children at work, a folder full of files, a scratch database. A terminal sends Ctrl-C to
// the children too, `kill` and a supervisor do not.

import type { ChildProcess } from 'node:child_process';
import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
export type Interruption = (typeof SIGNALS)[number];

const living = new Set<ChildProcess>();

/** Will be killed when we are interrupted. */
export function endWithUs<C extends ChildProcess>(child: C): C {
  living.add(child);
  return child.once('close', () => living.delete(child)).once('error', () => living.delete(child));
}

/** Kills all children at once, and waits until they are gone. */
export async function endChildren(): Promise<void> {
  const gone = [...living].map((child) => new Promise((resolve) => child.once('close', resolve)));
  for (const child of living) child.kill('SIGKILL');
  await Promise.all(gone);
}

/** The outcome of the work, or the signal that came before it. Further ones change nothing: `timeout` sends two. */
export async function untilInterrupted<T>(
  work: Promise<T>,
): Promise<{ kind: 'done'; result: T } | { kind: Interruption }> {
  const { promise, resolve } = Promise.withResolvers<{ kind: Interruption }>();
  for (const kind of SIGNALS) process.on(kind, () => resolve({ kind }));
  return Promise.race([work.then((result) => ({ kind: 'done', result }) as const), promise]);
}

/** As a shell says it. */
export function exitCodeOf(signal: Interruption): number {
  return 128 + constants.signals[signal];
}
