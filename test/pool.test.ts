// The pool of parse workers: as many threads as are allowed, and more only when tasks wait for them. Not for what they parse.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, cpSync, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { DEFAULT_DIALECT } from '../src/core/booked-dialect.ts';
import type { GenerationId, ParseTask } from '../src/core/slice.ts';
import { openPool } from '../src/pool.ts';
import { csv, events } from './support/events.ts';

/** A task of one small file, which is there as long as the test runs. */
function smallTask(t: TestContext): ParseTask {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-pool-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'a.csv');
  const text = csv(events(0, 200));
  writeFileSync(path, text);
  const fd = openSync(path, 'r');
  t.after(() => closeSync(fd));
  const slice = { generation: 'g' as GenerationId, path, fd, start: 0, end: text.length };
  return {
    slices: [{ ...slice, exact: true, limit: text.length, final: true }],
    dialect: DEFAULT_DIALECT,
    rejectsMax: 10,
  };
}

test('a worker that hangs is ended at the deadline, the task is tried again, and the pool goes on', async (t) => {
  const task = smallTask(t);
  // Read by each new thread: every one stands still for 4 s at its first task.
  process.env['MILLRACE_FAILPOINT'] = 'parse:stall';
  t.after(() => delete process.env['MILLRACE_FAILPOINT']);
  const errors: Error[] = [];
  const pool = openPool({ workers: 1, onError: (error) => void errors.push(error), taskMsMax: 1_000 });
  t.after(() => pool.close(10_000));
  await assert.rejects(pool.parse(task), { name: 'AbortError' });
  assert.deepEqual(
    errors.map(({ name }) => name),
    ['AbortError', 'AbortError'],
  );
  delete process.env['MILLRACE_FAILPOINT'];
  // The thread that took the place of the last one may still be armed.
  const parsed = await pool.parse(task).catch(() => pool.parse(task));
  assert.equal(parsed.rows.count, 200);
});

test('a pool has one thread until more are allowed and tasks wait for them, and keeps those it has', async (t) => {
  const task = smallTask(t);
  const pool = openPool({ workers: 1, onError: (error) => assert.ifError(error) });
  t.after(() => pool.close(10_000));
  const parse = (count: number): Promise<unknown> =>
    Promise.all(Array.from({ length: count }, () => pool.parse(task)));

  const few = parse(20);
  assert.ok(pool.tasksWaiting > 0);
  await few;
  assert.equal(pool.workers, 1);
  assert.equal(pool.tasksWaiting, 0);
  pool.allow(3);
  await parse(1);
  assert.equal(pool.workers, 1);
  await parse(20);
  assert.equal(pool.workers, 3);
  pool.allow(1);
  await parse(20);
  assert.equal(pool.workers, 3);
});

test('code that a worker cannot load ends the run, and no file is blamed for it', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-incomplete-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const root = join(import.meta.dirname, '..');
  for (const part of ['src', 'package.json', join('workers', 'entry.cts')])
    cpSync(join(root, part), join(folder, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const program = `
    import { openPool } from './src/pool.ts';
    const pool = openPool({ workers: 1, onError: console.log });
    const task = { slices: [], dialect: { newline: 'lf' }, rejectsMax: 1 };
    const error = await pool.parse(task).then(() => null, (error) => error);
    console.log(JSON.stringify([error.name, error.code, error.message]));
    await pool.close(0);`;
  const args = ['--input-type=module', '--eval', program];
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  const [name, code, message] = JSON.parse(stdout || '[]') as (string | undefined)[];
  assert.deepEqual([name, code], ['MillraceError', 'internal'], stderr);
  assert.match(message ?? '', /^cannot load the code of a worker thread: .*Cannot find module .*parse\.ts/);
});
