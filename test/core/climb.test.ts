// The hill climb over any curve, and the brake over any measure: bounds, and that neither goes up and down for ever.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Brake, SHARE_MIN } from '../../src/core/brake.ts';
import { Climb } from '../../src/core/climb.ts';

/** Drives a climb over a curve for so long, a second at a time; the numbers it was at. */
function climbed(climb: Climb, rate: (n: number) => number, seconds: number): number[] {
  return Array.from({ length: seconds }, () => {
    if (climb.judge(rate(climb.now))) climb.loaded(1_000, rate(climb.now));
    return climb.now;
  });
}

describe('a climb', () => {
  test('finds the top of any curve with one top, and leaves it only for a trial now and then', () => {
    const gain = fc.double({ min: 1.06, max: 2, noNaN: true });
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 16 }), gain, (top, each) => {
        const rate = (n: number): number => each ** -Math.abs(n - top);
        const went = climbed(new Climb({ start: 2, max: 16 }, 'up and down'), rate, 3_000);
        const away = went.slice(200).filter((n) => n !== top).length;
        assert.ok(away <= 60, `away from the top for ${away} s of 2,800`);
      }),
    );
  });

  test('stays between its start and its bound, whatever is measured and whatever comes between', () => {
    const step = fc.oneof(
      fc.record({ rate: fc.double({ min: 0, max: 1e6, noNaN: true }) }),
      fc.constantFrom('interrupted' as const, 'refused' as const, 'suffices' as const),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.nat(8), fc.array(step), (start, more, steps) => {
        const climb = new Climb({ start, max: start + more }, 'up and down');
        for (const each of steps) {
          if (typeof each === 'string') climb[each]();
          else if (climb.judge(each.rate)) climb.loaded(5_000, each.rate);
          assert.ok(climb.now >= start && climb.now <= start + more);
        }
      }),
    );
  });

  test('that was given one number tries nothing', () => {
    assert.deepEqual(
      new Set(climbed(new Climb({ start: 3, max: 3 }, 'up and down'), (n) => n, 500)),
      new Set([3]),
    );
  });

  test('keeps nothing that was not proven when the load ends in the middle of a trial', () => {
    const climb = new Climb({ start: 2, max: 16 }, 'up and down');
    climb.loaded(1_000, 100);
    assert.equal(climb.now, 3);
    climb.interrupted();
    assert.equal(climb.now, 2);
  });

  test('waits longer after each trial in vain', () => {
    const went = climbed(new Climb({ start: 2, max: 4 }, 'up and down'), () => 1, 1_000);
    const trials = went.flatMap((n, second) => (n === 3 ? [second] : []));
    const pauses = trials.slice(1).map((second, index) => second - (trials[index] ?? 0));
    assert.ok(pauses.length >= 3);
    assert.deepEqual(
      pauses,
      pauses.toSorted((a, b) => a - b),
    );
  });
});

test('a climb of what never goes back keeps still at its bound', () => {
  const went = climbed(new Climb({ start: 1, max: 3 }, 'up'), (n) => n, 1_000);
  assert.deepEqual(new Set(went.slice(10)), new Set([3]));
});

describe('a brake', () => {
  const measure = fc.double({ min: 0, max: 1e4, noNaN: true });

  test('never stops the lanes, and says begun and over in turns', () => {
    fc.assert(
      fc.property(fc.array(measure), (values) => {
        const brake = new Brake(100, 'level');
        const said = values.flatMap((value) => {
          const turn = brake.look(value);
          assert.ok(brake.share >= SHARE_MIN && brake.share <= 1);
          return turn ?? [];
        });
        assert.deepEqual(
          said,
          said.map((_, index) => (index % 2 === 0 ? 'begun' : 'over')),
        );
      }),
    );
  });

  test('does nothing below the bound, and is back at full speed a while after it is below it again', () => {
    fc.assert(
      fc.property(fc.array(measure), (values) => {
        const brake = new Brake(100, 'level');
        assert.equal(brake.look(100), null);
        assert.equal(brake.share, 1);
        for (const value of values) brake.look(value);
        for (let look = 0; look < 15; look += 1) brake.look(100);
        assert.equal(brake.share, 1);
        assert.equal(brake.isOn, false);
      }),
    );
  });

  test('brakes harder while the measure grows, and no further where that changes nothing', () => {
    for (const kind of ['level', 'backlog'] as const) {
      const brake = new Brake(100, kind);
      assert.equal(brake.look(400), 'begun');
      for (let look = 0; look < 20; look += 1) brake.look(look % 2 === 0 ? 450 : 350);
      assert.equal(brake.share, 1 / 2);
      brake.look(600);
      assert.equal(brake.share, 1 / 4);
    }
  });

  test('waits for a backlog that falls, and brakes on for a level that is still too high', () => {
    const [backlog, level] = [new Brake(100, 'backlog'), new Brake(100, 'level')];
    for (const value of [400, 300, 200]) for (const brake of [backlog, level]) brake.look(value);
    assert.deepEqual([backlog.share, level.share], [1 / 2, 1 / 8]);
  });

  test('finds a speed for a measure that follows it, and does not tell of it again and again', () => {
    const brake = new Brake(100, 'level');
    const said = Array.from({ length: 300 }, () => brake.look(300 * brake.share)).filter(
      (turn) => turn !== null,
    );
    assert.deepEqual(said, ['begun']);
  });
});
