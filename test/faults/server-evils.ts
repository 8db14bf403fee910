// What happens to the server, to its backends and in its database. Everything here goes past the proxy.

import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

import type { Random } from '../../src/schema/random.ts';
import { AIM_MS_MAX, anyAim } from './victims.ts';
import type { Damage, Victims } from './victims.ts';

export async function killServer(victims: Victims, random: Random, damage: Damage): Promise<void> {
  const { server, sight } = victims;
  const awayMs = random.below(400);
  const phase = sight.phase();
  damage.phases.set(phase, (damage.phases.get(phase) ?? 0) + 1);
  await server.crash();
  damage.serverKills += 1;
  await sleep(awayMs);
  await server.start();
}

export async function killServerAimed(victims: Victims, random: Random, damage: Damage): Promise<void> {
  const aim = anyAim(random);
  await victims.program.leads();
  await victims.sight.next(aim, AIM_MS_MAX);
  await killServer(victims, random, damage);
}

/** The second time hardly anybody has connected again, and the log of the first is still to be replayed or just has been. */
export async function killServerTwice(victims: Victims, random: Random, damage: Damage): Promise<void> {
  await killServer(victims, random, damage);
  await killServer(victims, random, damage);
}

export async function killBoth(victims: Victims, random: Random, damage: Damage): Promise<void> {
  await victims.program.begins();
  await Promise.all([victims.program.kill(), killServer(victims, random, damage)]);
}

export async function stopServer({ server }: Victims, random: Random, damage: Damage): Promise<void> {
  const signal = (['SIGINT', 'SIGQUIT'] as const)[random.below(2)];
  const awayMs = random.below(500);
  await server.end(signal);
  damage.serverStops += 1;
  await sleep(awayMs);
  await server.start();
}

/** kill -9 of one backend: the server ends all sessions and recovers. */
export async function killBackend(victims: Victims, random: Random, damage: Damage): Promise<void> {
  const pids = await backends(victims);
  const pid = pids[random.below(Math.max(1, pids.length))];
  if (pid === undefined || !signalTo(pid, 'SIGKILL')) return;
  damage.backendKills += 1;
}

export async function terminate(victims: Victims, _random: Random, damage: Damage): Promise<void> {
  const rows = await ask(
    victims,
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'millrace%' AND datname = current_database()",
  );
  damage.terminations += rows.length;
}

export async function freezeBackend(victims: Victims, random: Random): Promise<void> {
  const pids = await backends(victims);
  const pid = pids[random.below(Math.max(1, pids.length))];
  const ms = random.below(1_500);
  if (pid === undefined || !signalTo(pid, 'SIGSTOP')) return;
  await sleep(ms);
  signalTo(pid, 'SIGCONT');
}

export async function lockTable({ database }: Victims, random: Random, damage: Damage): Promise<void> {
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

export async function readOnly(victims: Victims, random: Random, damage: Damage): Promise<void> {
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
