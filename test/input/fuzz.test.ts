// Drives the fuzz target: 30 seconds, or as long as MILLRACE_FUZZ_SECONDS says; MILLRACE_FUZZ_SEED=N repeats the round that failed.

import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { seededRandom } from '../../src/schema/random.ts';
import { fuzzRound } from '../support/fuzz.ts';

const { MILLRACE_FUZZ_SECONDS: seconds = '30', MILLRACE_FUZZ_SEED: only } = process.env;

test(
  'any bytes: no crash, nothing lost, both paths and every cut agree',
  { timeout: Number(seconds) * 1000 + 120_000 },
  (t) => {
    const end = performance.now() + Number(seconds) * 1000;
    let rounds = 0;
    for (
      let seed = Number(only ?? randomInt(2 ** 31));
      rounds === 0 || performance.now() < end;
      seed = (seed + 1) % 2 ** 31
    ) {
      try {
        fuzzRound(seededRandom(seed, 0));
      } catch (cause) {
        throw new Error(`MILLRACE_FUZZ_SEED=${seed} repeats it`, { cause });
      }
      rounds += 1;
      if (only !== undefined) break;
    }
    t.diagnostic(`${rounds} rounds`);
  },
);
