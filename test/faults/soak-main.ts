// `make soak ARGS="--minutes 30 --seed 7"`: full speed is measured, then the load runs at a share of it with an evil every 20 s. Prints a
// line per evil and one closing line of evidence; exit code 1 when anything was violated. Needs some 5 GB below the temporary folder.

import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';

import { evidenceOf } from './soak-evidence.ts';
import { soak } from './soak.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    seed: { type: 'string', default: String(randomInt(1_000_000)) },
    /** Of full speed, in percent. */
    share: { type: 'string', default: '70' },
    'evil-every': { type: 'string', default: '20' },
    'rows-per-file': { type: 'string', default: '2000' },
    quiet: { type: 'boolean', default: false },
  },
});
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const seed = Number(values.seed);
say(`soak: seed ${seed}, ${values.minutes} minutes at ${values.share} % of full speed`);
const soaked = await soak({
  seed,
  seconds: Number(values.minutes) * 60,
  evilEveryMs: Number(values['evil-every']) * 1000,
  share: Number(values.share) / 100,
  measureMs: 20_000,
  rowsPerFile: Number(values['rows-per-file']),
  drainEveryMs: 20_000,
  rowsPerSecondMax: Infinity,
  say: (line) => {
    if (!values.quiet) say(line);
  },
});
for (const violation of soaked.violations) say(`VIOLATION: ${violation}`);
say(`soak: ${evidenceOf(soaked, 60_000)}; seed ${seed}`);
process.exitCode = soaked.violations.length === 0 ? 0 : 1;
