// The random driver: rounds of a seeded producer, a nemesis and a checker, each on a fresh folder and database, so that it may go on for
// ever in bounded memory. The seed decides the options of the program, every file operation and its bytes, the evils with their figures,
// and which of both fall into the same turn. What meets what within a turn is up to the machine.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { seededRandom } from '../../src/schema/random.ts';
import { startFaultProxy } from '../support/fault-proxy.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { Road } from '../support/road.ts';
import { check } from './checker.ts';
import { REFUSAL } from './content.ts';
import type { Evidence } from './evidence.ts';
import { addUp, describe, evidenceOf, nothingYet } from './evidence.ts';
import { Producer } from './folder.ts';
import { nextEvil } from './nemesis.ts';
import { Sight } from './phases.ts';
import { Supervisor } from './supervisor.ts';
import type { Victims } from './victims.ts';
import { noDamage } from './victims.ts';

/** Everything must be read so long after the last evil, on the busiest machine. */
const REST_MS_MAX = 480_000;
/** At rest the books are asked this often. */
const REST_POLL_MS = 60;

/** Places that no statement shows, for starts that are to die by themselves. */
const PLACES = ['parse', 'rows-sent', 'before-commit', 'committed', 'finished'];

interface RoundPlan {
  readonly seed: number;
  readonly args: readonly string[];
  readonly checked: boolean;
  readonly after: string;
}

export interface TortureSettings {
  readonly seed: number;
  /** Evils in one round. */
  readonly evilsPerRound: number;
  /** Asked after each round, and after each evil: a round that is cut short rests and is checked as any other. */
  readonly goesOn: (soFar: Evidence) => boolean;
  readonly say: (line: string) => void;
  /** Gets each evil as it comes. */
  readonly sayEach?: (line: string) => void;
}

export async function torture(settings: TortureSettings): Promise<Evidence> {
  const server = await startTestServer({ settings: { wal_writer_delay: '1s' } });
  // Half of a start is reading its own source: the program starts with what an earlier one compiled.
  const cache = mkdtempSync(join(tmpdir(), 'millrace-compiled-'));
  let evidence = nothingYet();
  try {
    for (let round = 0; round === 0 || settings.goesOn(evidence); round += 1) {
      const plan = planOf(settings.seed + round);
      const goesOn = (soFar: Evidence): boolean => settings.goesOn(addUp(evidence, soFar));
      const played = await playRound(server, plan, { ...settings, goesOn }, cache);
      // A report may keep nothing but the violations: each says how to come back to it.
      const violations = played.violations.map((violation) => `seed ${plan.seed}: ${violation}`);
      const one = { ...played, violations };
      evidence = addUp(evidence, one);
      settings.say(
        `${describe(one)}; ${plan.args.slice(-10).join(' ')}${plan.checked ? ' with a CHECK' : ''}`,
      );
      settings.say(`  --seed ${plan.seed} --rounds 1 --evils ${one.evils} does it again`);
      for (const violation of one.violations) settings.say(`VIOLATION: ${violation}`);
    }
  } finally {
    await server.stop();
    rmSync(cache, { recursive: true, force: true });
  }
  return evidence;
}

function planOf(seed: number): RoundPlan {
  const random = seededRandom(seed, 3);
  const pick = (...values: string[]): string => values[random.below(values.length)] ?? '';
  const after = pick('keep', 'keep', 'keep', 'archive', 'delete');
  const args = ['--scan-every', '200ms', '--settle', '1s', '--log-level', 'warn', '--log-format', 'json'];
  // A bad byte is one bad record here, not another encoding of the whole file.
  args.push('--encoding', 'utf-8');
  args.push('--quiet', '--workers', pick('1', '2'), '--lanes', pick('1', '2', '3'));
  args.push('--dedup-memory', pick('0', '1MiB', '256MiB'));
  args.push('--synchronous-commit', pick('on', 'on', 'off'), '--after', after);
  return { seed, args, after, checked: random.below(3) === 0 };
}

async function playRound(
  server: TestServer,
  plan: RoundPlan,
  settings: TortureSettings,
  cache: string,
): Promise<Evidence> {
  const road = new Road(await server.createDatabase());
  const sight = new Sight();
  const proxy = await startFaultProxy(server.port, () => sight.open());
  const archive = `${road.folder}-archive`;
  const turn = { number: 0, starts: 0 };
  try {
    if (plan.checked) await addCheck(road);
    const url = new URL(road.database.url);
    url.port = String(proxy.port);
    const env = { DATABASE_URL: url.href, NODE_COMPILE_CACHE: cache };
    const args = plan.after === 'archive' ? [...plan.args, '--archive-dir', archive] : plan.args;
    using program = new Supervisor(road, args, sight, () => ({ ...env, ...failPointOf(plan, turn) }));
    const producer = new Producer(
      { folder: road.folder, taste: { checked: plan.checked }, mayChange: plan.after === 'keep' },
      seededRandom(plan.seed, 1),
    );
    const damage = noDamage();
    const victims = { program, server, database: road.database, proxy, sight };
    const soFar = (): Evidence => evidenceOf(program, damage, { evils: turn.number });
    while (turn.number < settings.evilsPerRound && settings.goesOn(soFar())) {
      Object.assign(turn, { number: turn.number + 1, starts: 0 });
      await playTurn(plan.seed, turn.number, producer, victims, damage, settings.sayEach);
    }
    const { number: evils } = turn;
    turn.number = 0;
    settings.sayEach?.('rest');
    proxy.shape(0, 0);
    await program.settles('all files to be done', () => isAtRest(road, producer), REST_MS_MAX);
    await program.stop();
    const checked = await check(road, producer.live, producer.contents, await producer.byInode());
    const again = await readsNothing(road, plan.after);
    const { files } = producer.counts;
    return evidenceOf(
      program,
      damage,
      { rounds: 1, evils, cuts: proxy.cuts, files, violations: again },
      checked,
    );
  } finally {
    await road.clean();
    await proxy.close();
    rmSync(archive, { recursive: true, force: true });
  }
}

/** One evil, and beside it some operations on files. Both are over when it returns. */
async function playTurn(
  seed: number,
  turn: number,
  producer: Producer,
  victims: Victims,
  damage: ReturnType<typeof noDamage>,
  sayEach: TortureSettings['sayEach'],
): Promise<void> {
  const random = seededRandom(seed, 1_000 + turn);
  const pauseMs = random.below(4) === 0 ? random.below(1_000) : random.below(200);
  const steps = 1 + random.below(3);
  const early = random.below(5) === 0;
  const { name, evil } = nextEvil(random);
  const produce = async (): Promise<void> => {
    for (let step = 0; step < steps; step += 1) await producer.step();
  };
  const harm = async (): Promise<void> => {
    await (early ? victims.program.begins() : victims.program.leads());
    await sleep(pauseMs);
    sayEach?.(`${turn}: ${name}, while it is ${victims.sight.phase()}`);
    await evil(victims, random, damage);
  };
  await Promise.all([produce(), harm()]);
}

/** Every fourth start or so dies at a place of its own. None does at rest. */
function failPointOf(
  { seed, after }: RoundPlan,
  turn: { number: number; starts: number },
): NodeJS.ProcessEnv {
  turn.starts += 1;
  const random = seededRandom(seed, 100_000 + turn.number * 100 + turn.starts);
  if (turn.number === 0 || random.below(4) > 0) return {};
  const moving = after === 'archive' ? ['archiving', 'archived'] : after === 'delete' ? ['hidden'] : [];
  const places = [...PLACES, ...moving, ...moving];
  return { MILLRACE_FAILPOINT: `${places[random.below(places.length)]}:kill:${1 + random.below(6)}` };
}

/** The user's own table with a constraint that refuses some good rows: they are found by bisecting. */
async function addCheck(road: Road): Promise<void> {
  await road.put('first.csv', '');
  await road.once();
  await road.query(`ALTER TABLE events ADD CONSTRAINT no_such_user CHECK (NOT (${REFUSAL}))`);
}

/** Every file that is there, or was when it was last written, is done in the books. */
async function isAtRest(road: Road, producer: Producer): Promise<boolean> {
  await sleep(REST_POLL_MS);
  const done = await road
    .query<{ name: string; size: number }>(
      "SELECT name, size::float8 FROM millrace.files WHERE state = 'done'",
    )
    .catch(() => []);
  const known = new Set(done.map(({ name, size }) => `${name} ${size}`));
  for (const [name, { diskSize }] of producer.live) if (!known.has(`${name} ${diskSize}`)) return false;
  return true;
}

/** The next start finds everything done. */
async function readsNothing(road: Road, after: string): Promise<string[]> {
  if (after !== 'keep') return [];
  const again = await road.once();
  return again.records === 0 ? [] : [`the next start read ${again.records} records again`];
}
