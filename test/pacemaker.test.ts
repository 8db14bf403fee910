// The pacemaker: that what the controller decides is carried out, connections come first, and nobody rests once asked to hurry. Not for what
// is decided: that is test/core/pace.test.ts.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { largeSlotsFor, slotsFor } from '../src/core/pace.ts';
import { Pacemaker } from '../src/pacemaker.ts';
import type { PacemakerOptions } from '../src/pacemaker.ts';

const NOBODY = { number: 1, chunks: [], allUnsure: false };

/** A pacemaker with a clock of its own; `load` lets its lanes write so many batches of a second, one right after the other. */
class Bench {
  readonly opened: number[] = [];
  readonly allowed: number[] = [];
  readonly pace: Pacemaker;
  #nowMs = 0;

  constructor(options: Partial<PacemakerOptions> = {}) {
    this.pace = new Pacemaker({
      lanes: { start: 2, max: 8 },
      workers: { start: 1, max: 4 },
      throttle: { commitMsMax: 1_000, replicaLagMax: 1_000 },
      slots: null,
      slotsMax: 30,
      pool: { tasksWaiting: 0, allow: (workers) => void this.allowed.push(workers) },
      openLane: async (lane) => this.opened.push(lane) > 0,
      turned: () => {},
      changed: () => {},
      rested: () => {},
      now: () => this.#nowMs,
      ...options,
    });
  }

  load(batches: number): void {
    const { lanes } = this.pace;
    for (let batch = 0; batch < batches; batch += 1) {
      for (let lane = 0; lane < lanes; lane += 1) this.pace.took(lane);
      this.#nowMs += 1_000;
      for (let lane = 0; lane < lanes; lane += 1) this.pace.wrote(lane, NOBODY);
    }
  }
}

describe('lanes', () => {
  test('that are wanted get their connections first', async () => {
    const bench = new Bench();
    bench.load(5);
    assert.deepEqual([bench.opened, bench.pace.lanes], [[2], 2]);
    await setImmediate();
    assert.equal(bench.pace.lanes, 3);
  });

  test('for which the database gives no connection stay away, and are not asked for at once again', async () => {
    let asked = 0;
    const bench = new Bench({ openLane: async () => (asked += 1) < 0 });
    for (let second = 0; second < 15; second += 1) {
      bench.load(1);
      await setImmediate();
    }
    assert.deepEqual([asked, bench.pace.lanes], [1, 2]);
  });

  test('are taken back when the database goes away before they have shown their worth', async () => {
    const bench = new Bench();
    bench.load(5);
    await setImmediate();
    bench.pace.disturbed();
    assert.equal(bench.pace.lanes, 2);
  });
});

describe('slots', () => {
  test('follow the lanes and workers in force, and are ten at first', () => {
    assert.deepEqual(new Bench().pace.slots, { all: slotsFor(1, 2), large: largeSlotsFor(1, 2), long: 4 });
    assert.deepEqual(new Bench().pace.slots, { all: 10, large: 5, long: 4 });
  });

  test('stay within the memory, unless a number was given', () => {
    const many = { lanes: { start: 16, max: 16 }, workers: { start: 4, max: 4 } };
    assert.deepEqual(new Bench(many).pace.slots, { all: 30, large: 29, long: 0 });
    assert.deepEqual(new Bench({ ...many, slots: 500 }).pace.slots, { all: 500, large: 499, long: 0 });
  });

  test('are long where the memory suffices for all four of them, each taking that of three more', () => {
    const long = [10, 21, 22, 100].map((slotsMax) => new Bench({ slotsMax }).pace.slots.long);
    assert.deepEqual(long, [0, 0, 4, 4]);
  });
});

describe('a rest', () => {
  /** Lane 0 and lane 1 must rest for a second each; its clock stands still. */
  function tired(): Pacemaker {
    const bench = new Bench();
    bench.pace.lagged(1_000_000);
    bench.load(1);
    return bench.pace;
  }

  test('is over as soon as somebody hurries', async () => {
    const pace = tired();
    const hurry = new AbortController();
    let over = false;
    const resting = pace.rest(0, hurry.signal).then(() => (over = true));
    await setImmediate();
    assert.equal(over, false);
    hurry.abort();
    await setImmediate();
    assert.equal(over, true);
    await resting;
  });

  test('does not begin when somebody hurries already, and is the affair of its lane alone', async () => {
    const pace = tired();
    let over = false;
    const both = [pace.rest(0, AbortSignal.abort()), pace.rest(2, new AbortController().signal)];
    const all = Promise.all(both).then(() => (over = true));
    await setImmediate();
    assert.equal(over, true);
    await all;
  });
});
