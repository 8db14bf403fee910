// The arithmetic of the benchmark: what a median, a ratio and a change are, and in which order sides run.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { secondsAt } from '../../bench/benchmarks/scale.ts';
import { changeOf, pairRatios, slopeOf, spreadOf } from '../../bench/measure/statistics.ts';
import { readOptions } from '../../bench/options.ts';
import { orderOf } from '../../bench/rounds.ts';

test('a spread has the middle number, the smallest and the largest', () => {
  assert.deepEqual(spreadOf([3, 1, 2]), { median: 2, min: 1, max: 3, count: 3 });
  assert.equal(spreadOf([4, 1, 2, 3]).median, 2.5);
  assert.throws(() => spreadOf([]), RangeError);
});

test('a pair ratio compares within a round, so that a slow round cancels out', () => {
  const ratio = pairRatios([10, 100, 12], [5, 50, 6]);
  assert.deepEqual(ratio, { median: 2, min: 2, max: 2, count: 3 });
});

test('a change counts only when the ranges do not touch and the medians are apart', () => {
  const before = spreadOf([100, 104, 108]);
  assert.equal(changeOf(before, spreadOf([107, 112, 120])), 'within noise');
  assert.equal(changeOf(before, spreadOf([109, 112, 120])), 'higher');
  assert.equal(changeOf(before, spreadOf([90, 95, 99])), 'lower');
  assert.equal(changeOf(spreadOf([100]), spreadOf([200, 210, 220])), 'measured once');
  assert.equal(changeOf(before, spreadOf([1])), 'measured once');
});

test('a line through points has their slope, and one point has none', () => {
  assert.equal(
    slopeOf([
      [0, 1],
      [1, 3],
      [2, 5],
    ]),
    2,
  );
  assert.equal(slopeOf([[0, 1]]), 0);
});

test('over the rounds each side stands at every place once, and behind every other one once', () => {
  const sides = ['a', 'b', 'c', 'd'];
  const orders = sides.map((_, round) => orderOf(sides, round));
  for (const order of orders) assert.deepEqual(order.toSorted(), sides);
  for (const place of sides.keys())
    assert.equal(new Set(orders.map((order) => order[place])).size, sides.length);
  const pairs = orders.flatMap((order) => order.slice(1).map((side, index) => `${order[index]}${side}`));
  assert.equal(new Set(pairs).size, sides.length * (sides.length - 1));
  assert.deepEqual(orderOf(['a', 'b', 'c'], 1).toSorted(), ['a', 'b', 'c']);
});

test('progress between two looks is on the straight line', () => {
  const progress = [
    [0, 0],
    [1, 100],
    [3, 200],
  ] as const;
  assert.equal(secondsAt(progress, 50), 0.5);
  assert.equal(secondsAt(progress, 150), 2);
  assert.equal(secondsAt(progress, 200), 3);
});

test('arguments are judged before anything is touched', () => {
  assert.throws(() => readOptions(['througput']), /benchmark: must be one of throughput, .*, got througput/);
  assert.throws(() => readOptions(['--against', 'copy,oracle']), /--against: must be one of .*, got oracle/);
  assert.throws(
    () => readOptions(['--rounds', '2']),
    /--rounds: must be a whole number of at least 3, got 2/,
  );
  assert.throws(() => readOptions(['scale', 'parse', '--rounds', '1']), /at least 3, got 1/);
  assert.equal(readOptions(['scale', '--rounds', '1'])?.rounds, 1);
  assert.throws(() => readOptions(['--rows', '1e']), /--rows: .*, got 1e/);
  assert.equal(readOptions(['--help']), null);
  const options = readOptions(['latency', '--rows', '10_000', '--args', '--lanes 4', '--checkout', '../a']);
  assert.deepEqual(
    [options?.benchmarks, options?.rows, options?.runArgs, options?.checkout],
    [['latency'], 10_000, ['--lanes', '4'], '../a'],
  );
});
