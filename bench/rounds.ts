// Rounds: every side once per round, in an order that rotates, so that none always runs first or after the same neighbour.

import type { Bench } from './bench.ts';
import type { Load } from './load.ts';
import type { Measured, Verification } from './measure/measure.ts';
import { measureSide } from './measure/measure.ts';
import type { Side, SideName } from './sides/side.ts';

export interface SideRounds {
  readonly side: Side;
  readonly rounds: readonly Measured[];
}

/**
 * Williams' design: over as many rounds as there are sides, each side stands once at every place, and (for an even number of sides) once
 * behind every other one. A plain rotation would leave each side behind the same neighbour in every round.
 */
export function orderOf<T>(sides: readonly T[], round: number): T[] {
  const count = sides.length;
  const zigzag = (place: number): number => (place % 2 === 1 ? (place + 1) / 2 : count - place / 2);
  return sides.map((_, place) => sides[(zigzag(place) + round) % count]!);
}

/** Leaves out the sides that cannot run here, each with a sentence. */
export async function presentSides(
  sides: readonly Side[],
): Promise<{ present: Side[]; sentences: string[] }> {
  const present: Side[] = [];
  const sentences: string[] = [];
  for (const side of sides) {
    const reason = await side.absent();
    if (reason === null) present.push(side);
    else sentences.push(`Left out: ${side.title}; ${reason}.`);
  }
  return { present, sentences };
}

export async function runRounds(
  bench: Bench,
  sides: readonly Side[],
  load: Load,
): Promise<Map<SideName, SideRounds>> {
  for (const side of sides) await side.prepare(load);
  const measured = new Map<SideName, Measured[]>(sides.map(({ name }) => [name, []]));
  const verification: Verification = { expected: null };
  for (let round = 0; round < bench.options.rounds; round += 1)
    for (const side of orderOf(sides, round)) {
      const one = await measureSide(bench.server, side, load, verification);
      measured.get(side.name)?.push(one);
      const rate = (load.rows / one.seconds / 1000).toFixed(1);
      bench.say(
        `  round ${round + 1}  ${side.title.padEnd(32)} ${one.seconds.toFixed(2)} s  ${rate} k rows/s`,
      );
    }
  bench.say(`  every table verified: ${verification.expected}`);
  return new Map(sides.map((side) => [side.name, { side, rounds: measured.get(side.name) ?? [] }]));
}
