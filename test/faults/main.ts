// `make torture ARGS="--minutes 30 --seed 7"`: the random driver for as long as one says. Prints two lines per round and a closing line
// of evidence; exit code 1 when anything was violated.

import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';

import { describe, describePhases, killsOf } from './evidence.ts';
import { torture } from './torture.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(randomInt(1_000_000)) },
    /** Only so many rounds, for replaying one: the seed of a round is printed with it. */
    rounds: { type: 'string', default: '1000000' },
    /** As many in one round. */
    evils: { type: 'string', default: '40' },
    /** Tells each evil as it comes. */
    verbose: { type: 'boolean', default: false },
  },
});
const seed = Number(values.seed);
const begunMs = performance.now();
const end = begunMs + Number(values.minutes) * 60_000;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

say(`torture: seed ${seed}, ${values.minutes} minutes; --seed ${seed} does the same things again`);
let interrupted = false;
let rssBytesMax = 0;
process.once('SIGINT', () => {
  interrupted = true;
  say('torture: comes to rest and checks; a second Ctrl-C ends at once');
});
const evidence = await torture({
  seed,
  evilsPerRound: Number(values.evils),
  goesOn: ({ rounds }) => {
    rssBytesMax = Math.max(rssBytesMax, process.memoryUsage.rss());
    return !interrupted && performance.now() < end && rounds < Number(values.rounds);
  },
  say,
  ...(values.verbose && {
    sayEach: (line: string) => say(`${new Date().toISOString().slice(11, 19)} ${line}`),
  }),
});
const minutes = (performance.now() - begunMs) / 60_000;
for (const line of describePhases(evidence)) say(`torture: ${line}`);
say(
  `torture: ${minutes.toFixed(1)} minutes, ${(killsOf(evidence) / minutes).toFixed(1)} kills a minute, at most ${Math.ceil(rssBytesMax / 2 ** 20)} MiB`,
);
say(`torture: ${describe(evidence)}; seed ${seed}`);
process.exitCode = evidence.violations.length === 0 ? 0 : 1;
