// The worker that makes rows: the same bytes as the main thread would make, in a buffer that can change threads.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Piscina } from 'piscina';
import type { GeneratedBlock, GenerateTask } from '../../src/core/generate/block.ts';
import { generateBlock } from '../../src/core/generate/block.ts';

const pool = new Piscina<GenerateTask, GeneratedBlock>({
  filename: new URL('../../workers/entry.cts', import.meta.url).href,
  name: 'generate',
  maxThreads: 1,
});
after(() => pool.destroy());

const TASK: GenerateTask = {
  recipe: { seed: 5, duplicates: 0.1, invalid: 0.1, quoted: 0.5 },
  first: 90,
  count: 300,
};

test('a worker hands back the same block that the main thread would make', async () => {
  const { bytes, ...counts } = await pool.run(TASK);
  const { bytes: expected, ...expectedCounts } = generateBlock(TASK);
  assert.deepEqual(counts, expectedCounts);
  assert.ok(Buffer.from(expected).equals(bytes));
  assert.equal(counts.rows, 300);
});

test('its bytes have a buffer of their own, whole, so that they can change threads without a copy', async () => {
  for (const { bytes } of [generateBlock({ ...TASK, count: 1 }), await pool.run({ ...TASK, count: 1 })]) {
    assert.ok(bytes.buffer instanceof ArrayBuffer);
    assert.equal(bytes.buffer.byteLength, bytes.byteLength);
  }
});
