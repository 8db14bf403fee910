// What the torture did and what came of it: counted per round, added up, said in one line. Counting only.

import type { Checked } from './checker.ts';
import { DAMAGE, noDamage } from './victims.ts';
import type { Damage } from './victims.ts';
import type { Supervisor } from './supervisor.ts';

const COUNTS = [
  'rounds',
  'evils',
  'starts',
  'kills',
  'tooEarly',
  'stops',
  'freezes',
  'takeOvers',
  'cuts',
  'files',
  'generations',
  'records',
  'inserted',
  'duplicates',
  'rejected',
] as const;

export interface Evidence extends Readonly<Record<(typeof COUNTS)[number], number>> {
  readonly damage: Damage;
  /** What the program was about when it was killed, and how often. */
  readonly phases: ReadonlyMap<string, number>;
  readonly violations: readonly string[];
}

export function nothingYet(): Evidence {
  const none = Object.fromEntries(COUNTS.map((name) => [name, 0])) as Record<(typeof COUNTS)[number], number>;
  return { ...none, damage: noDamage(), phases: new Map(), violations: [] };
}

/** Of one round, before its end or after it. */
export function evidenceOf(
  program: Supervisor,
  damage: Damage,
  more: Partial<Evidence>,
  checked?: Checked,
): Evidence {
  const { violations: found = [], ...counts } = checked ?? {};
  const violations = [...program.violations, ...found.slice(0, 20), ...(more.violations ?? [])];
  const { phases } = program;
  return { ...nothingYet(), ...program.counts, ...more, ...counts, damage, phases, violations };
}

export function addUp(a: Evidence, b: Evidence): Evidence {
  const sums = Object.fromEntries(COUNTS.map((name) => [name, a[name] + b[name]]));
  const damage = noDamage();
  for (const name of DAMAGE) damage[name] = a.damage[name] + b.damage[name];
  addInto(damage.phases, a.damage.phases, b.damage.phases);
  const phases = new Map<string, number>();
  addInto(phases, a.phases, b.phases);
  return { ...a, ...sums, damage, phases, violations: [...a.violations, ...b.violations] };
}

function addInto(sums: Map<string, number>, ...parts: readonly ReadonlyMap<string, number>[]): void {
  for (const part of parts) for (const [name, count] of part) sums.set(name, (sums.get(name) ?? 0) + count);
}

/** Kills of the program after it had begun, and of the whole server; not those of single backends. */
export function killsOf({ kills, damage }: Evidence): number {
  return kills + damage.serverKills;
}

export function describe(e: Evidence): string {
  const d = e.damage;
  return [
    `${e.rounds} rounds of ${e.evils} evils: ${killsOf(e)} kills, ${e.kills} of the program, ${d.serverKills} of the server`,
    `${e.tooEarly} kills before it had begun and ${d.backendKills} of a backend not counted`,
    `${e.cuts} cut connections, ${d.terminations} terminated, ${d.silences} silences, ${d.serverStops} server stops, ${d.locks} locks, ${d.readOnly} times read-only`,
    `${e.stops} orderly ends, ${e.freezes} freezes, ${e.takeOvers} take-overs`,
    `${e.files} files in ${e.generations} generations, ${e.records} records = ${e.inserted} inserted + ${e.duplicates} duplicates + ${e.rejected} rejected`,
    `${e.violations.length} violations`,
  ].join('; ');
}

/** The most frequent first. */
export function describePhases({ phases, damage }: Evidence): string[] {
  return [
    `the program was killed while ${histogram(phases)}`,
    `the server was killed while the program was ${histogram(damage.phases)}`,
  ];
}

function histogram(phases: ReadonlyMap<string, number>): string {
  const sorted = [...phases].toSorted(([, a], [, b]) => b - a);
  return sorted.map(([name, count]) => `${name} ${count}`).join(', ') || 'nothing 0';
}
