// The random driver: rounds of a seeded producer, a nemesis and a checker, each on a fresh folder and database. The seed decides
// operations, contents, evils and pauses; what meets what in time is up to the machine.

import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { seededRandom } from '../../src/schema/random.ts';
import type { Random } from '../../src/schema/random.ts';
import { startFaultProxy } from '../support/fault-proxy.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { Road } from '../support/road.ts';
import type { Checked } from './checker.ts';
import { check } from './checker.ts';
import { CHECKED_USER } from './content.ts';
import { Producer } from './folder.ts';
import type { Damage } from './nemesis.ts';
import { nextEvil, noDamage } from './nemesis.ts';
import { Supervisor } from './supervisor.ts';

/** Everything must be read so long after the last evil. */
const REST_MS_MAX = 120_000;

export interface Evidence {
  readonly rounds: number;
  readonly starts: number;
  readonly kills: number;
  readonly stops: number;
  readonly freezes: number;
  readonly takeOvers: number;
  readonly cuts: number;
  readonly damage: Damage;
  readonly files: number;
  readonly generations: number;
  readonly records: number;
  readonly inserted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly violations: readonly string[];
}

interface RoundPlan {
  readonly seed: number;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly checked: boolean;
  readonly after: string;
}

export interface TortureSettings {
  readonly seed: number;
  /** Evils in one round. */
  readonly evilsPerRound: number;
  /** Asked after each round. */
  readonly goesOn: (soFar: Evidence) => boolean;
  readonly say: (line: string) => void;
  /** Gets each evil as it comes. */
  readonly sayEach?: (line: string) => void;
  /** For the program; a test switches a safety device off with it. */
  readonly env?: NodeJS.ProcessEnv;
}

export async function torture(settings: TortureSettings): Promise<Evidence> {
  const server = await startTestServer({ settings: { wal_writer_delay: '1s' } });
  let evidence = NOTHING;
  try {
    for (let round = 0; round === 0 || settings.goesOn(evidence); round += 1) {
      const plan = planOf(settings.seed + round, settings.env ?? {});
      const one = await playRound(server, plan, settings);
      evidence = addUp(evidence, one);
      settings.say(
        `${describe(one)}; ${plan.args.slice(-10).join(' ')}${plan.checked ? ' with a CHECK' : ''}, seed ${plan.seed}`,
      );
      for (const violation of one.violations) settings.say(`VIOLATION (seed ${plan.seed}): ${violation}`);
    }
  } finally {
    await server.stop();
  }
  return evidence;
}

function planOf(seed: number, env: NodeJS.ProcessEnv): RoundPlan {
  const random = seededRandom(seed, 3);
  const pick = (...values: string[]): string => values[random.below(values.length)] ?? '';
  const after = pick('keep', 'keep', 'keep', 'archive', 'delete');
  const args = ['--scan-every', '200ms', '--settle', '1s', '--log-level', 'warn', '--log-format', 'json'];
  // A bad byte is one bad record here, not another encoding of the whole file.
  args.push('--encoding', 'utf-8');
  args.push('--quiet', '--workers', pick('1', '2'), '--lanes', pick('1', '2', '3'));
  args.push('--dedup-memory', pick('0', '1MiB', '256MiB'));
  args.push('--synchronous-commit', pick('on', 'on', 'off'), '--after', after);
  return { seed, args, env, after, checked: random.below(3) === 0 };
}

async function playRound(server: TestServer, plan: RoundPlan, settings: TortureSettings): Promise<Evidence> {
  const road = new Road(await server.createDatabase());
  const proxy = await startFaultProxy(server.port);
  const archive = `${road.folder}-archive`;
  try {
    if (plan.checked) await addCheck(road);
    const url = new URL(road.database.url);
    url.port = String(proxy.port);
    const args = plan.after === 'archive' ? [...plan.args, '--archive-dir', archive] : plan.args;
    const program = new Supervisor(road, args, { ...plan.env, DATABASE_URL: url.href });
    const producer = new Producer(
      { folder: road.folder, taste: { checked: plan.checked }, mayChange: plan.after === 'keep' },
      seededRandom(plan.seed, 1),
    );
    const damage = noDamage();
    const random = seededRandom(plan.seed, 2);
    const over = new AbortController();
    const producing = produce(producer, seededRandom(plan.seed, 4), over.signal);
    for (let turn = 0; turn < settings.evilsPerRound; turn += 1) {
      await sleep(random.below(4) === 0 ? 1_000 + random.below(1_500) : random.below(1_000));
      const { name, evil } = nextEvil(random);
      settings.sayEach?.(`${turn + 1}: ${name}`);
      await evil({ program, server, database: road.database, proxy }, random, damage);
    }
    over.abort();
    await producing;
    settings.sayEach?.('rest');
    proxy.shape(0, 0);
    await program.settles('all files to be done', () => isAtRest(road, producer), REST_MS_MAX);
    await program.stop();
    const checked = await check(road, producer.live, producer.contents, await producer.inodes());
    const violations = [
      ...program.violations,
      ...checked.violations.slice(0, 20),
      ...(await readsNothing(road, plan.after)),
    ];
    return {
      rounds: 1,
      ...program.counts,
      cuts: proxy.cuts,
      damage,
      files: producer.counts.files,
      ...checked,
      violations,
    };
  } finally {
    await road.clean();
    await proxy.close();
    rmSync(archive, { recursive: true, force: true });
  }
}

/** The user's own table with a constraint that refuses some good rows: they are found by bisecting. */
async function addCheck(road: Road): Promise<void> {
  await road.put('first.csv', '');
  await road.once();
  await road.query(`ALTER TABLE events ADD CONSTRAINT no_such_user CHECK (user_id <> '${CHECKED_USER}')`);
}

async function produce(producer: Producer, random: Random, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    await producer.step();
    await sleep(random.below(300));
  }
}

/** Every file that is there, or was when it was last written, is done in the books. */
async function isAtRest(road: Road, producer: Producer): Promise<boolean> {
  const done = await road
    .query<{ name: string; size: number }>(
      "SELECT name, size::float8 FROM millrace.files WHERE state = 'done'",
    )
    .catch(() => []);
  const known = new Set(done.map(({ name, size }) => `${name} ${size}`));
  for (const [name, content] of producer.live)
    if (!known.has(`${name} ${content.bytes.length}`)) return false;
  return true;
}

/** The next start finds everything done. */
async function readsNothing(road: Road, after: string): Promise<string[]> {
  if (after !== 'keep') return [];
  const again = await road.once();
  return again.records === 0 ? [] : [`the next start read ${again.records} records again`];
}

const NOTHING: Evidence = {
  rounds: 0,
  starts: 0,
  kills: 0,
  stops: 0,
  freezes: 0,
  takeOvers: 0,
  cuts: 0,
  damage: noDamage(),
  files: 0,
  generations: 0,
  records: 0,
  inserted: 0,
  duplicates: 0,
  rejected: 0,
  violations: [],
};

function addUp(a: Evidence, b: Evidence): Evidence {
  const sum = { ...a } as Record<string, unknown>;
  for (const [name, value] of Object.entries(b))
    if (typeof value === 'number') sum[name] = Number(sum[name] ?? 0) + value;
  const damage = { ...a.damage };
  for (const name of Object.keys(damage) as (keyof Damage)[]) damage[name] += b.damage[name];
  return { ...(sum as unknown as Evidence), damage, violations: [...a.violations, ...b.violations] };
}

/** Kills of the program, of the whole server, and of single backends, which the server answers by ending all sessions. */
export function killsOf({ kills, damage }: Evidence): number {
  return kills + damage.serverKills + damage.backendKills;
}

export function describe(e: Evidence & Partial<Checked>): string {
  const d = e.damage;
  return [
    `${e.rounds} rounds: ${e.kills} kills of the program, ${d.serverKills} of the server, ${d.backendKills} of a backend`,
    `${e.cuts} cut connections, ${d.terminations} terminated, ${d.silences} silences, ${d.serverStops} server stops, ${d.locks} locks, ${d.readOnly} times read-only`,
    `${e.stops} orderly ends, ${e.freezes} freezes, ${e.takeOvers} take-overs`,
    `${e.files} files in ${e.generations} generations, ${e.records} records = ${e.inserted} inserted + ${e.duplicates} duplicates + ${e.rejected} rejected`,
    `${e.violations.length} violations`,
  ].join('; ');
}
