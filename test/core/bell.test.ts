// Nobody sleeps through a ring, whenever it comes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Bell } from '../../src/core/bell.ts';

/** Whether it has resolved by now. */
async function isOver(wait: Promise<void>): Promise<boolean> {
  let over = false;
  void wait.then(() => (over = true));
  await setImmediate();
  return over;
}

test('a ring wakes everyone who waits, once', async () => {
  const bell = new Bell();
  const waits = [bell.wait(), bell.wait(), bell.wait(new Promise(() => {}))];
  assert.deepEqual(await Promise.all(waits.map(isOver)), [false, false, false]);
  bell.ring();
  assert.deepEqual(await Promise.all(waits.map(isOver)), [true, true, true]);
  assert.equal(await isOver(bell.wait()), false);
});

test('rings that nobody hears become one for the next who waits', async () => {
  const bell = new Bell();
  bell.ring();
  bell.ring();
  assert.equal(await isOver(bell.wait()), true);
  assert.equal(await isOver(bell.wait()), false);
});

test('who has waited long enough takes no ring from the next one', async () => {
  const bell = new Bell();
  assert.equal(await isOver(bell.wait(Promise.resolve())), true);
  bell.ring(); // while nobody waits
  assert.equal(await isOver(bell.wait()), true);
});

test('who has waited long enough leaves the others waiting', async () => {
  const bell = new Bell();
  const patient = bell.wait();
  await bell.wait(Promise.resolve());
  assert.equal(await isOver(patient), false);
  bell.ring();
  assert.equal(await isOver(patient), true);
});
