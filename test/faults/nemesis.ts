// What happens to the program, to the server and to the network between them. Which evil comes next depends on the seed alone.

import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

import type { Random } from '../../src/schema/random.ts';
import type { FaultProxy } from '../support/fault-proxy.ts';
import type { TestDatabase, TestServer } from '../support/postgres.ts';
import type { Supervisor } from './supervisor.ts';

export interface Victims {
  readonly program: Supervisor;
  readonly server: TestServer;
  readonly database: TestDatabase;
  readonly proxy: FaultProxy;
}

export interface Damage {
  serverKills: number;
  serverStops: number;
  backendKills: number;
  terminations: number;
  locks: number;
  readOnly: number;
  silences: number;
}

export function noDamage(): Damage {
  return {
    serverKills: 0,
    serverStops: 0,
    backendKills: 0,
    terminations: 0,
    locks: 0,
    readOnly: 0,
    silences: 0,
  };
}

type Evil = (victims: Victims, random: Random, damage: Damage) => Promise<void>;

/** Names are for the log of a run; weights say how often. */
export const EVILS: readonly { readonly name: string; readonly weight: number; readonly evil: Evil }[] = [
  { name: 'kill', weight: 34, evil: ({ program }) => program.kill() },
  {
    name: 'kill, and again during recovery',
    weight: 8,
    evil: ({ program }, random) => program.kill(random.below(900)),
  },
  {
    name: 'kill three times',
    weight: 3,
    evil: ({ program }, random) => program.kill(random.below(500), random.below(1_200)),
  },
  { name: 'stop and start', weight: 4, evil: ({ program }) => program.restart() },
  { name: 'freeze', weight: 3, evil: ({ program }, random) => program.freeze(random.below(1_500)) },
  { name: 'second instance', weight: 2, evil: ({ program }) => program.takeOver(0) },
  {
    name: 'second instance while the first is frozen',
    weight: 2,
    evil: ({ program }, random) => program.takeOver(1_000 + random.below(4_000)),
  },
  { name: 'kill the server', weight: 12, evil: killServer },
  { name: 'kill program and server', weight: 4, evil: killBoth },
  { name: 'stop the server', weight: 3, evil: stopServer },
  { name: 'kill a backend', weight: 6, evil: killBackend },
  { name: 'terminate backends', weight: 5, evil: terminate },
  { name: 'freeze a backend', weight: 2, evil: freezeBackend },
  { name: 'lock the table', weight: 2, evil: lockTable },
  { name: 'read-only', weight: 1, evil: readOnly },
  { name: 'cut all connections', weight: 5, evil: ({ proxy }) => Promise.resolve(proxy.cutAll()) },
  {
    name: 'cut before COMMIT',
    weight: 6,
    evil: ({ proxy }) => Promise.resolve(proxy.cutNextCommit('before')),
  },
  {
    name: 'cut after COMMIT',
    weight: 10,
    evil: ({ proxy }) => Promise.resolve(proxy.cutNextCommit('after')),
  },
  {
    name: 'cut in an answer',
    weight: 6,
    evil: ({ proxy }, random) => Promise.resolve(proxy.cutAfterAnswer(1 + random.below(3_000))),
  },
  { name: 'silence', weight: 2, evil: silence },
  { name: 'slow network', weight: 2, evil: slow },
];

export function nextEvil(random: Random): (typeof EVILS)[number] {
  let die = random.below(EVILS.reduce((sum, { weight }) => sum + weight, 0));
  const chosen = EVILS.find(({ weight }) => (die -= weight) < 0);
  return chosen ?? EVILS[0]!;
}

async function killServer({ server }: Victims, random: Random, damage: Damage): Promise<void> {
  const awayMs = random.below(500);
  await server.crash();
  damage.serverKills += 1;
  await sleep(awayMs);
  await server.start();
}

async function killBoth(victims: Victims, random: Random, damage: Damage): Promise<void> {
  await Promise.all([victims.program.kill(), killServer(victims, random, damage)]);
}

async function stopServer({ server }: Victims, random: Random, damage: Damage): Promise<void> {
  const signal = (['SIGINT', 'SIGQUIT'] as const)[random.below(2)];
  const awayMs = random.below(500);
  await server.end(signal);
  damage.serverStops += 1;
  await sleep(awayMs);
  await server.start();
}

/** kill -9 of one backend: the server ends all sessions and recovers. */
async function killBackend(victims: Victims, random: Random, damage: Damage): Promise<void> {
  const pids = await backends(victims);
  const pid = pids[random.below(Math.max(1, pids.length))];
  if (pid === undefined || !signalTo(pid, 'SIGKILL')) return;
  damage.backendKills += 1;
}

async function terminate(victims: Victims, _random: Random, damage: Damage): Promise<void> {
  const rows = await ask(
    victims,
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'millrace%' AND datname = current_database()",
  );
  damage.terminations += rows.length;
}

async function freezeBackend(victims: Victims, random: Random): Promise<void> {
  const pids = await backends(victims);
  const pid = pids[random.below(Math.max(1, pids.length))];
  const ms = random.below(1_500);
  if (pid === undefined || !signalTo(pid, 'SIGSTOP')) return;
  await sleep(ms);
  signalTo(pid, 'SIGCONT');
}

async function lockTable({ database }: Victims, random: Random, damage: Damage): Promise<void> {
  const client = new pg.Client(database.client);
  client.on('error', () => {});
  const ms = random.below(1_500);
  try {
    await client.connect();
    await client.query("SET lock_timeout = '2s'");
    await client.query('BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE');
    damage.locks += 1;
    await sleep(ms);
  } catch {
    // No table yet, or a server that recovers: nothing was locked, nothing is counted.
  } finally {
    await client.end().catch(() => {});
  }
}

async function readOnly(victims: Victims, random: Random, damage: Damage): Promise<void> {
  const name = victims.database.name;
  const ms = random.below(1_500);
  const rows = await ask(victims, `ALTER DATABASE ${name} SET default_transaction_read_only = on`, 'done');
  if (rows.length > 0) damage.readOnly += 1;
  await terminate(victims, random, damage);
  await sleep(ms);
  await makeWritable(victims);
  await terminate(victims, random, damage);
}

async function makeWritable(victims: Victims): Promise<void> {
  const sql = `BEGIN READ WRITE; ALTER DATABASE ${victims.database.name} RESET default_transaction_read_only; COMMIT`;
  for (;;) {
    if ((await ask(victims, sql, 'done')).length > 0) return;
    await sleep(100);
  }
}

async function silence({ proxy }: Victims, random: Random, damage: Damage): Promise<void> {
  proxy.swallow(true);
  damage.silences += 1;
  await sleep(random.below(1_500));
  proxy.swallow(false);
}

async function slow({ proxy }: Victims, random: Random): Promise<void> {
  proxy.shape(random.below(50), 50_000 + random.below(500_000));
  await sleep(500 + random.below(1_500));
  proxy.shape(0, 0);
}

async function backends(victims: Victims): Promise<number[]> {
  const rows = await ask(
    victims,
    "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'millrace%' AND datname = current_database() ORDER BY pid",
  );
  return rows.map((row) => Number(row['pid']));
}

/** Past the proxy. A server that is just recovering gives no rows; `done` gives one when the statement went through. */
async function ask({ database }: Victims, sql: string, done?: 'done'): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(database.client);
  client.on('error', () => {});
  try {
    await client.connect();
    const result = await client.query<Record<string, unknown>>(sql);
    return done === undefined ? result.rows : [{}];
  } catch {
    return [];
  } finally {
    await client.end().catch(() => {});
  }
}

function signalTo(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false; // gone in the meantime
  }
}
