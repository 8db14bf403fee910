// What an evil is done to and what is counted of it. Not for the evils themselves (nemesis.ts, server-evils.ts).

import type { Random } from '../../src/schema/random.ts';
import type { FaultProxy } from '../support/fault-proxy.ts';
import type { TestDatabase, TestServer } from '../support/postgres.ts';
import type { Phase, Sight } from './phases.ts';
import type { Supervisor } from './supervisor.ts';

export interface Victims {
  readonly program: Supervisor;
  readonly server: TestServer;
  readonly database: TestDatabase;
  readonly proxy: FaultProxy;
  readonly sight: Sight;
}

/** What was done to others than the program. */
export const DAMAGE = [
  'serverKills',
  'serverStops',
  'backendKills',
  'terminations',
  'locks',
  'readOnly',
  'silences',
] as const;

export interface Damage extends Record<(typeof DAMAGE)[number], number> {
  /** What the program was about when its server was killed, and how often. */
  readonly phases: Map<string, number>;
}

export function noDamage(): Damage {
  const none = { serverKills: 0, serverStops: 0, backendKills: 0, terminations: 0 };
  return { ...none, locks: 0, readOnly: 0, silences: 0, phases: new Map() };
}

export type Evil = (victims: Victims, random: Random, damage: Damage) => Promise<void>;

/** A statement that a kill waits for so long at most: with nothing to read none comes. */
export const AIM_MS_MAX = 2_000;

/** Hit at once, or when the answer has just gone to the program. */
const AIMS: readonly `${Phase} ${'asked' | 'answered'}`[] = [
  'begin asked',
  'rows asked',
  'rows answered',
  'stage asked',
  'stage answered',
  'positions asked',
  'positions answered',
  'rejects asked',
  'commit asked',
  'commit asked',
  'commit answered',
  'books asked',
];

export function anyAim(random: Random): (typeof AIMS)[number] {
  return AIMS[random.below(AIMS.length)] ?? 'commit asked';
}
