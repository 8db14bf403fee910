// The controller on machines that are not there: in the cost model of pace-model.ts it must end near the best fixed numbers, keep still there,
// and not touch what is idle. Controllers that are planted to be bad must be found out by the same judge.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PaceControl, slotsFor } from '../../src/core/pace.ts';
import type { Controller, World } from './pace-model.ts';
import { autoFor, fixedAt, simulate } from './pace-model.ts';

const FOR_MS = 240_000;
/** Of the best fixed numbers. */
const NEAR = 0.9;
/** In the last third of the time: a trial now and then is two changes. */
const CHANGES_MAX = 10;

const here = null;
const strong = { cores: 32, roundTripMs: 1 };
const WORLDS: readonly World[] = [
  { name: '1 core, database on it', cores: 1, remote: here, contention: 0.05 },
  { name: '2 cores, database on them', cores: 2, remote: here, contention: 0.05 },
  { name: '4 cores, database on them', cores: 4, remote: here, contention: 0.05 },
  { name: '16 cores, database on them', cores: 16, remote: here, contention: 0.05 },
  { name: '2 cores, a strong database', cores: 2, remote: strong, contention: 0.02 },
  { name: '4 cores, a strong database', cores: 4, remote: strong, contention: 0.02 },
  { name: '16 cores, a strong database', cores: 16, remote: strong, contention: 0.02 },
  { name: '16 cores, a database of 4', cores: 16, remote: { cores: 4, roundTripMs: 1 }, contention: 0.1 },
  { name: '4 cores, a hot lock', cores: 4, remote: { cores: 8, roundTripMs: 1 }, contention: 0.3 },
  {
    name: '4 cores, a database far away',
    cores: 4,
    remote: { cores: 16, roundTripMs: 80 },
    contention: 0.05,
  },
  { name: '16 cores, rows that cost little', cores: 16, remote: strong, contention: 0, rowUs: 2 },
  { name: '16 cores, slow parsing', cores: 16, remote: strong, contention: 0, parseUs: 8 },
  { name: '16 cores, noise', cores: 16, remote: strong, contention: 0.05, noise: 0.1 },
];

const COUNTS = [1, 2, 3, 4, 6, 8, 11, 16];

function bestFixed(world: World): number {
  const { lanes, workers } = autoFor(world);
  const rates = COUNTS.filter((count) => count <= lanes.max).flatMap((lane) =>
    [...new Set([1, 2, 4, 8].filter((count) => count <= workers.max))].map(
      (worker) => simulate({ ...world, noise: 0 }, fixedAt(lane, worker), 'backlog', 30_000).rate,
    ),
  );
  return Math.max(...rates);
}

/** Null when a controller does well in a world; otherwise what is wrong. */
function complaint(world: World, control: Controller, best = bestFixed(world)): string | null {
  const { rate, changes } = simulate(world, control, 'backlog', FOR_MS);
  if (rate < NEAR * best)
    return `${Math.round(rate)} rows/s, and ${Math.round(best)} are to be had; ${JSON.stringify(changes)}`;
  const late = changes.filter(([ms]) => ms > (2 * FOR_MS) / 3).length;
  return late > CHANGES_MAX ? `changes ${late} times at the end: ${JSON.stringify(changes)}` : null;
}

describe('under load, auto ends near the best fixed numbers and keeps still', () => {
  for (const world of WORLDS)
    test(world.name, () => assert.equal(complaint(world, new PaceControl(autoFor(world))), null));
});

describe('the judge of this file finds', () => {
  const sixteen: World = { name: '', cores: 16, remote: strong, contention: 0.02 };
  const contended: World = { name: '', cores: 4, remote: { cores: 4, roundTripMs: 1 }, contention: 0.3 };

  test('a controller that never moves', () => {
    assert.match(complaint(sixteen, fixedAt(2, 1)) ?? '', /are to be had/);
  });

  test('one that takes all that it may', () => {
    assert.match(complaint(contended, fixedAt(16, 3)) ?? '', /are to be had/);
  });

  test('one that swings', () => {
    const flat: World = { name: '', cores: 2, remote: here, contention: 0 };
    class Swinging extends PaceControl {
      #batches = 0;
      override get lanes(): number {
        return 2 + (Math.floor(this.#batches / 20) % 2);
      }
      override wrote(): number {
        this.#batches += 1;
        return 0;
      }
    }
    assert.match(complaint(flat, new Swinging(autoFor(flat)), 1) ?? '', /changes \d+ times/);
  });
});

describe('with one lane, or two cores', () => {
  test('nothing is tried where nothing is to be gained: two cores with the database on them', () => {
    const world: World = { name: '', cores: 2, remote: here, contention: 0 };
    const { changes } = simulate(world, new PaceControl(autoFor(world)), 'backlog', FOR_MS);
    assert.deepEqual(changes, [[0, 2, 1]]);
    assert.equal(slotsFor(1, 2), 10);
  });

  test('what was given stays, however much waits', () => {
    const world: World = { name: '', cores: 16, remote: strong, contention: 0 };
    const fixed = { start: 5, max: 5 };
    const control = new PaceControl({ lanes: fixed, workers: fixed, throttle: null });
    assert.deepEqual(simulate(world, control, 'backlog', 60_000).changes, [[0, 5, 5]]);
  });
});

describe('when idle', () => {
  for (const cores of [2, 4, 16])
    test(`ten small files a second are stored as fast as with fixed numbers on ${cores} cores, and nothing is tried`, () => {
      const world: World = { name: '', cores, remote: here, contention: 0.05 };
      const load = { everyMs: 100, rows: 50 };
      const auto = simulate(world, new PaceControl(autoFor(world)), load, 60_000);
      const fixed = simulate(world, fixedAt(2, 1), load, 60_000);
      assert.deepEqual(auto.latencies, fixed.latencies);
      assert.equal(auto.changes.length, 1);
    });

  test('half of what two lanes can write leaves them two, and a row waits for little more than its batch', () => {
    const world: World = { name: '', cores: 16, remote: here, contention: 0 };
    const auto = simulate(world, new PaceControl(autoFor(world)), { everyMs: 50, rows: 5_000 }, 60_000);
    assert.equal(auto.changes.length, 1);
    assert.ok((auto.latencies[Math.floor(auto.latencies.length * 0.99)] ?? Infinity) < 500);
  });
});

describe('rests', () => {
  const throttle = { commitMsMax: 100, replicaLagMax: 1_000 };
  const fixed = { start: 2, max: 2 };
  const control = (): PaceControl => new PaceControl({ lanes: fixed, workers: fixed, throttle });

  /** A batch of one second on lane 0; how long it rests then. */
  const restAfter = (pace: PaceControl, nowMs: number): number => {
    pace.took(0, nowMs - 1_000);
    return pace.wrote(0, nowMs, 1, false);
  };

  test('begin when the median of a few commits is above the bound, and end below it', () => {
    const pace = control();
    assert.equal(pace.committed(1_000, 5_000), null);
    assert.equal(pace.committed(1_100, 20), null);
    assert.equal(pace.committed(1_200, 20), null); // one slow one among three is not the median
    for (const nowMs of [2_000, 2_100]) assert.equal(pace.committed(nowMs, 150), null);
    const turn = { measure: 'commit', what: 'begun', value: 150, bound: 100 };
    assert.deepEqual(pace.committed(2_200, 150), turn);
    assert.equal(restAfter(pace, 3_000), 1_000); // as long as the batch took: half of the speed
    const turns = Array.from({ length: 60 }, (_, index) => pace.committed(4_000 + index * 300, 10)?.what);
    assert.deepEqual(
      turns.filter((what) => what !== undefined),
      ['over'],
    );
    assert.equal(restAfter(pace, 40_000), 0);
  });

  test('follow a replica, too, and the slower of two measures decides', () => {
    const pace = control();
    assert.equal(pace.lagged(0, 1_000), null);
    assert.equal(pace.lagged(0, 1_001)?.what, 'begun');
    pace.lagged(0, 2_000);
    for (const nowMs of [600, 700, 800]) pace.committed(nowMs, 150);
    assert.equal(pace.share, 1 / 4);
    assert.equal(restAfter(pace, 3_000), 3_000);
  });

  test('are bounded, and there are none with --throttle off', () => {
    const pace = control();
    for (let look = 0; look < 10; look += 1) pace.lagged(0, 1e9 * (look + 1));
    assert.equal(restAfter(pace, 1_000), 7_000);
    pace.took(0, 0);
    assert.equal(pace.wrote(0, 100_000, 1, false), 10_000);
    const off = new PaceControl({ lanes: fixed, workers: fixed, throttle: null });
    assert.equal(off.lagged(0, 1e12), null);
    assert.equal(restAfter(off, 1_000), 0);
  });
});
