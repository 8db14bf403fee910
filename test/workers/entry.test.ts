// What piscina loads in a thread: never an ES module by require(), whatever the moment at which the thread is ended.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { setTimeout } from 'node:timers/promises';
import { test } from 'node:test';
import { types } from 'node:util';
import { Piscina } from 'piscina';
import { generate } from '../../workers/generate.ts';
import { parse } from '../../workers/parse.ts';

const ENTRY = new URL('../../workers/entry.cts', import.meta.url).href;

test('the entry is no ES module, and names the function of each kind of task', async () => {
  const entry = createRequire(import.meta.url)('../../workers/entry.cts') as Record<string, unknown>;
  // Node aborts the process where a thread ends while it requires one.
  assert.equal(types.isModuleNamespaceObject(entry), false);
  assert.deepEqual(Object.keys(entry), ['parse', 'generate']);
  assert.equal(await entry['parse'], parse);
  assert.equal(await entry['generate'], generate);
});

// One that waits in Atomics.wait() would never end.
test('a thread may be ended at any moment of its load', { timeout: 60_000 }, async () => {
  for (let ms = 0; ms < 100; ms += 5) {
    const pool = new Piscina({
      filename: ENTRY,
      name: 'parse',
      minThreads: 1,
      maxThreads: 1,
      atomics: 'disabled',
    });
    await setTimeout(ms);
    await pool.destroy();
    assert.equal(pool.threads.length, 0);
  }
});
