// A short share of the torture: `make torture` runs it for as long as one says. That its checker can fail is proven in checker.pg.test.ts.

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';

import { describe, describePhases, killsOf } from './evidence.ts';
import { torture } from './torture.ts';

/** A kill costs a start of the program: about 0.6 s of an idle machine with two cores, and 4 s of a busy one. */
const KILLS = 60;
/** It must not outweigh all other tests: on a machine that is too slow or too busy for all of them it ends here, */
const SHARE_MS_MAX = 180_000;
/** and so many are still asked for. */
const KILLS_MIN = 20;

test(
  `${KILLS} random kills and as many other faults: every record is accounted for once, and the table is what was written`,
  { timeout: 590_000 },
  async (t) => {
    const seed = randomInt(1_000_000);
    t.diagnostic(`make torture ARGS="--seed ${seed}" does the same things again`);
    const endMs = performance.now() + SHARE_MS_MAX;
    const evidence = await torture({
      seed,
      evilsPerRound: 80,
      goesOn: (soFar) =>
        killsOf(soFar) < (performance.now() < endMs ? KILLS : KILLS_MIN) && soFar.violations.length === 0,
      say: (line) => t.diagnostic(line),
    });
    for (const line of describePhases(evidence)) t.diagnostic(line);
    t.diagnostic(describe(evidence));
    assert.deepEqual(evidence.violations, []);
    assert.ok(killsOf(evidence) >= KILLS_MIN, `${killsOf(evidence)} kills`);
  },
);
