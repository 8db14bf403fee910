// What happens to the program, to the server and to the network between them. Which evil comes, and with which figures, depends on the
// seed alone; kills that aim wait for a statement on the wire, never for a time.

import { setTimeout as sleep } from 'node:timers/promises';

import type { Random } from '../../src/schema/random.ts';
import type { Phase } from './phases.ts';
import {
  freezeBackend,
  killBackend,
  killBoth,
  killServer,
  killServerAimed,
  killServerTwice,
  lockTable,
  readOnly,
  stopServer,
  terminate,
} from './server-evils.ts';
import { AIM_MS_MAX, anyAim } from './victims.ts';
import type { Evil, Victims, Damage } from './victims.ts';

/** For a start. */
const EARLY_AIMS: readonly (Phase | `${Phase} ${'asked' | 'answered'}` | 'begun')[] = [
  'begun',
  'preparing asked',
  'preparing answered',
  'taking the lease asked',
  'taking the lease answered',
];

/** Names are for the log of a run; weights say how often. */
export const EVILS: readonly { readonly name: string; readonly weight: number; readonly evil: Evil }[] = [
  { name: 'kill', weight: 26, evil: killSoon },
  { name: 'kill at a statement', weight: 30, evil: killAimed },
  { name: 'kill, and again while it starts', weight: 10, evil: killEarly },
  { name: 'kill three times', weight: 5, evil: ({ program }, random) => program.kill(random.below(300), 0) },
  { name: 'kill, and again before it has begun', weight: 1, evil: killTooEarly },
  { name: 'stop and start', weight: 4, evil: ({ program }) => program.restart() },
  { name: 'freeze', weight: 2, evil: ({ program }, random) => program.freeze(random.below(1_500)) },
  { name: 'second instance', weight: 2, evil: ({ program }) => program.takeOver(0) },
  {
    name: 'second instance while the first is frozen',
    weight: 2,
    evil: ({ program }, random) => program.takeOver(500 + random.below(3_500)),
  },
  { name: 'kill the server', weight: 18, evil: killServer },
  { name: 'kill the server at a statement', weight: 34, evil: killServerAimed },
  { name: 'kill the server, and again while it recovers', weight: 10, evil: killServerTwice },
  { name: 'kill program and server', weight: 4, evil: killBoth },
  { name: 'stop the server', weight: 3, evil: stopServer },
  { name: 'kill a backend', weight: 4, evil: killBackend },
  { name: 'terminate backends', weight: 3, evil: terminate },
  { name: 'freeze a backend', weight: 2, evil: freezeBackend },
  { name: 'lock the table', weight: 2, evil: lockTable },
  { name: 'read-only', weight: 1, evil: readOnly },
  { name: 'cut all connections', weight: 3, evil: ({ proxy }) => Promise.resolve(proxy.cutAll()) },
  {
    name: 'cut before COMMIT',
    weight: 3,
    evil: cutCommit('before', () => 0),
  },
  {
    name: 'cut after COMMIT',
    weight: 5,
    evil: cutCommit('after', () => 0),
  },
  {
    name: 'cut in the answer to COMMIT',
    weight: 4,
    evil: cutCommit('after', (random) => 1 + random.below(18)),
  },
  {
    name: 'cut in an answer',
    weight: 3,
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

/** Such a death is not counted, but it must do no harm either. */
async function killTooEarly({ program }: Victims): Promise<void> {
  await program.kill();
  await program.kill();
}

async function killSoon({ program }: Victims, random: Random): Promise<void> {
  const delayMs = random.below(400);
  await program.leads();
  await sleep(delayMs);
  await program.kill();
}

async function killAimed({ program, sight }: Victims, random: Random): Promise<void> {
  const [aim, delayMs] = [anyAim(random), random.below(3)];
  await program.leads();
  await sight.next(aim, AIM_MS_MAX);
  if (delayMs > 0) await sleep(delayMs);
  await program.kill();
}

async function killEarly({ program, sight }: Victims, random: Random): Promise<void> {
  const aim = EARLY_AIMS[random.below(EARLY_AIMS.length)] ?? 'begun';
  await program.begins();
  await program.kill();
  await sight.next(aim, 5 * AIM_MS_MAX);
  await program.kill();
}

/** Lives to see what the program makes of it. `hears`: as many bytes of the answer reach it. */
function cutCommit(side: 'before' | 'after', hears: (random: Random) => number): Evil {
  return async ({ proxy, sight }, random) => {
    const lookMs = random.below(300);
    proxy.cutNextCommit(side, hears(random));
    if (await sight.next('commit asked', AIM_MS_MAX)) await sleep(lookMs);
  };
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
