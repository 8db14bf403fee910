// A short share of the torture (`make torture` runs it for as long as one says), and the proof that its checker can fail.

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';

import { describe, killsOf, torture } from './torture.ts';

/** `make torture` goes on for as long as one says; here it must not outweigh all other tests. */
const KILLS_MIN = 20;

test(
  `${KILLS_MIN} random kills and as many other faults: every record is accounted for once, and the table is what was written`,
  { timeout: 590_000 },
  async (t) => {
    const seed = randomInt(1_000_000);
    t.diagnostic(`make torture ARGS="--seed ${seed}" does the same things again`);
    const evidence = await torture({
      seed,
      evilsPerRound: 40,
      goesOn: (soFar) => killsOf(soFar) < KILLS_MIN && soFar.violations.length === 0,
      say: (line) => t.diagnostic(line),
    });
    t.diagnostic(describe(evidence));
    assert.deepEqual(evidence.violations, []);
    assert.ok(killsOf(evidence) >= KILLS_MIN, `${killsOf(evidence)} kills`);
  },
);
