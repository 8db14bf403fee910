// One measured load: a fresh table, the side at its start line, the clock, the samples, the verification. A number that is not
// verified never leaves this file.

import type { Load } from '../load.ts';
import type { Scratch, Server } from '../scratch.ts';
import { checksum, freshDatabase, walBytes } from '../scratch.ts';
import type { Side } from '../sides/side.ts';
import type { Utilization } from './sampler.ts';
import { startSampler } from './sampler.ts';

export interface Measured {
  readonly seconds: number;
  /** From the start of the clock to the begin of the first transaction that left rows: start-up, as the database saw it. */
  readonly firstRowSeconds: number;
  readonly walBytes: number;
  readonly used: Utilization;
}

/** Holds what the first verified table looked like; every other must look the same. */
export interface Verification {
  expected: string | null;
}

/** @throws an Error when the side fails, or its table is not what the first one was */
export async function measureSide(
  server: Server,
  side: Side,
  load: Load,
  verification: Verification,
): Promise<Measured> {
  const scratch = await freshDatabase(server);
  try {
    const open = await side.open(scratch, load);
    const measured = await timed(server, scratch, (sampler) => open.run(sampler));
    await open.close();
    verify(side, load, await checksum(scratch), verification);
    return measured;
  } finally {
    await scratch.drop();
  }
}

/** The clock, the samples and the log of changes around any work on a scratch database. */
export async function timed(
  server: Server,
  scratch: Scratch,
  work: (sampler: Awaited<ReturnType<typeof startSampler>>) => Promise<void>,
): Promise<Measured> {
  const walBefore = await walBytes(scratch);
  const sampler = await startSampler(server);
  const [clock, begun] = [Date.now(), performance.now()];
  let seconds;
  let used;
  try {
    await work(sampler);
    seconds = (performance.now() - begun) / 1000;
  } finally {
    used = await sampler.stop();
  }
  const wal = (await walBytes(scratch)) - walBefore;
  return { seconds, firstRowSeconds: await firstRowSeconds(scratch, clock), walBytes: wal, used };
}

function verify({ title }: Side, load: Load, found: string, verification: Verification): void {
  if (!found.startsWith(`${load.rows} rows,`))
    throw new Error(`${title} stored ${found} of ${load.rows} rows: its number does not count`);
  verification.expected ??= found;
  if (found !== verification.expected)
    throw new Error(`${title} stored ${found}, others ${verification.expected}: its number does not count`);
}

/** The server's clock: on another machine it may be off by what the two clocks differ. NaN for an empty table. */
async function firstRowSeconds(scratch: Scratch, clockMs: number): Promise<number> {
  const [row] = await scratch.query<{ ms: string | null }>(
    "SELECT extract(epoch FROM min(created_at) AT TIME ZONE 'UTC') * 1000 AS ms FROM events",
  );
  return (Number(row?.ms ?? NaN) - clockMs) / 1000;
}
