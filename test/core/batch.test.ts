// Rooms 2 and 5: the bounds. Chunks leave in the order in which they came, batches never split one, a slot is kept for small files.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { BATCH_ROWS_MAX, ChunkQueue } from '../../src/core/batch.ts';
import { Bell } from '../../src/core/bell.ts';
import type { JudgedChunk } from '../../src/core/chunk.ts';
import { Slots } from '../../src/core/slots.ts';
import type { TaskSize } from '../../src/core/slots.ts';

function chunk(count: number, bytes = count * 90): JudgedChunk {
  return { rows: { count, bytes: new Uint8Array(bytes) } } as unknown as JudgedChunk;
}

const never = (): boolean => false;

describe('the chunk queue', () => {
  test('takes whole chunks in order up to the cap, and numbers the batches', () => {
    const queue = new ChunkQueue();
    const chunks = [chunk(20_000), chunk(20_000), chunk(20_000)];
    for (const each of chunks) queue.put(each);
    const first = queue.take(never)!;
    assert.deepEqual([first.number, first.chunks], [1, chunks.slice(0, 2)]);
    assert.deepEqual(queue.take(never)?.chunks, chunks.slice(2));
    assert.equal(queue.take(never), null);
  });

  test('takes a chunk larger than the cap alone', () => {
    const queue = new ChunkQueue();
    queue.put(chunk(BATCH_ROWS_MAX + 1));
    queue.put(chunk(1));
    assert.equal(queue.take(never)?.chunks.length, 1);
  });

  test('gives a lane its share of what waits, where nothing comes behind it, but no fewer rows than are worth a transaction', () => {
    const queue = new ChunkQueue();
    const fill = (...counts: number[]): void => counts.forEach((count) => queue.put(chunk(count)));
    const taken = (sharers: number): number[] | undefined =>
      queue.take(never, sharers)?.chunks.map(({ rows }) => rows.count);
    fill(11_000, 11_000, 11_000, 11_000);
    assert.deepEqual([taken(2), taken(2), taken(2)], [[11_000, 11_000], [11_000], [11_000]]);
    fill(4_000, 4_000, 4_000);
    assert.deepEqual([taken(2), taken(2)], [[4_000, 4_000], [4_000]]);
    fill(30_000, 30_000, 30_000);
    assert.deepEqual([taken(2), taken(1)], [[30_000], [30_000]]);
  });

  test('takes a chunk without rows: its positions are news too', () => {
    const queue = new ChunkQueue();
    queue.put(chunk(0));
    assert.equal(queue.take(never)?.chunks.length, 1);
  });

  test('sends a whole batch through the stage when one of its chunks is suspect', () => {
    const queue = new ChunkQueue();
    const bad = chunk(1);
    queue.put(chunk(1));
    queue.put(bad);
    assert.equal(queue.take((each) => each === bad)?.allUnsure, true);
  });

  test('goes on numbering after it was cleared', () => {
    const queue = new ChunkQueue();
    queue.put(chunk(1));
    queue.take(never);
    queue.put(chunk(1));
    queue.clear();
    assert.equal(queue.take(never), null);
    queue.put(chunk(1));
    assert.equal(queue.take(never)?.number, 2);
  });

  test('gives out the chunks that are asked for and keeps the order of the others', () => {
    const queue = new ChunkQueue();
    const [a, b, c] = [chunk(1), chunk(2), chunk(3)];
    for (const each of [a, b, c]) queue.put(each);
    assert.deepEqual(
      queue.remove((each) => each === b),
      [b],
    );
    assert.deepEqual(queue.take(never)?.chunks, [a, c]);
  });
});

describe('the slots', () => {
  const task = (size: TaskSize) => ({ size });

  test('have room for so many large tasks, and for small ones beside them', () => {
    let limits = { all: 3, large: 1, long: 0 };
    const slots = new Slots(() => limits);
    const [large, first, second] = [task('slice'), task('small'), task('small')];
    assert.equal(slots.room, 'slice');
    slots.take(first);
    assert.equal(slots.room, 'slice');
    slots.take(large);
    assert.equal(slots.room, 'small');
    slots.take(second);
    assert.equal(slots.room, 'none');
    slots.release(large);
    slots.release(large);
    assert.equal(slots.room, 'slice');
    limits = { all: 1, large: 0, long: 0 };
    assert.equal(slots.room, 'none');
    slots.release(first);
    slots.release(second);
    assert.deepEqual([slots.inFlight, slots.room], [0, 'small']);
  });

  test('have room for no further large task when so many are long', () => {
    let limits = { all: 9, large: 4, long: 2 };
    const slots = new Slots(() => limits);
    const [first, second, slice] = [task('long'), task('long'), task('slice')];
    for (const each of [slice, first]) {
      assert.equal(slots.room, 'long');
      slots.take(each);
    }
    slots.take(second);
    assert.equal(slots.room, 'small');
    slots.release(first);
    assert.equal(slots.room, 'long');
    limits = { all: 9, large: 4, long: 0 };
    assert.equal(slots.room, 'slice');
    slots.release(second);
    slots.release(slice);
    assert.deepEqual([slots.inFlight, slots.room], [0, 'slice']);
  });

  test('go on with another task in the same place', () => {
    const slots = new Slots(() => ({ all: 2, large: 1, long: 0 }));
    const [large, small, next] = [task('slice'), task('small'), task('slice')];
    slots.take(small);
    slots.swap(small, large);
    assert.deepEqual([slots.inFlight, slots.room], [1, 'small']);
    slots.swap(large, next);
    assert.deepEqual([slots.inFlight, slots.room], [1, 'small']);
    slots.swap(next, small);
    assert.deepEqual([slots.inFlight, slots.room], [1, 'slice']);
  });
});

describe('a bell', () => {
  test('rung with nobody waiting is heard by the next who waits, once', async () => {
    const bell = new Bell();
    bell.ring();
    bell.ring();
    await bell.wait();
    let heard = false;
    const waiting = bell.wait().then(() => (heard = true));
    await new Promise(setImmediate);
    assert.equal(heard, false);
    bell.ring();
    await waiting;
  });

  test('wakes everyone who waits', async () => {
    const bell = new Bell();
    const both = Promise.all([bell.wait(), bell.wait()]);
    bell.ring();
    await both;
  });
});
