// `check` on real files, through the real parse path, as a process: the counts, the places, and the exit codes.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { millrace } from '../support/cli.ts';
import { HEADER, event, quotedEvent } from '../support/events.ts';

interface Checked {
  readonly files: number;
  readonly records: number;
  readonly inserted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly refusedFiles: number;
  readonly refused: readonly { file: string; reason: string }[];
  readonly rejects: readonly {
    file: string;
    line: number;
    column: string | null;
    code: string;
    offset: number;
  }[];
}

const folder = mkdtempSync(join(tmpdir(), 'millrace-check-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, lines: readonly string[], end = '\n'): string {
  const path = join(folder, name);
  writeFileSync(path, lines.join('\n') + end);
  return path;
}

async function checked(
  ...args: readonly string[]
): Promise<{ code: number | null; summary: Checked; stderr: string }> {
  const { code, stdout, stderr } = await millrace(['check', '--json', ...args]);
  assert.equal(stdout.split('\n').length, 2, stdout + stderr);
  return { code, summary: JSON.parse(stdout) as Checked, stderr };
}

test('good files: counts and exit 0, a record of several lines and a missing last line end included', async () => {
  const path = file('good.csv', [HEADER, event(1).text, quotedEvent(2).text, event(3).text], '');
  const { code, summary } = await checked(path);
  assert.equal(code, 0);
  const { files, records, inserted, duplicates, rejected, refusedFiles, rejects } = summary;
  assert.deepEqual(
    [files, records, inserted, duplicates, rejected, refusedFiles, rejects],
    [1, 3, 3, 0, 0, 0, []],
  );
});

test('each reject has its place in the file, behind lines of quoted records too, and the exit code is 1', async () => {
  const bad = event(4).text.replace(/[^,]*$/, 'abc');
  const path = file('bad.csv', [HEADER, quotedEvent(2).text, bad, 'one,two', event(5).text]);
  const { code, summary, stderr } = await checked(path);
  assert.equal(code, 1);
  assert.deepEqual([summary.records, summary.inserted, summary.rejected], [4, 2, 2]);
  const before = Buffer.byteLength(`${HEADER}\n${quotedEvent(2).text}\n`);
  assert.deepEqual(
    summary.rejects.map(({ line, column, code: fault, offset }) => [line, column, fault, offset]),
    [
      [4, 'price', 'decimal', before],
      [5, null, 'too_few_fields', before + Buffer.byteLength(`${bad}\n`)],
    ],
  );
  assert.match(stderr, /bad\.csv:4:price: decimal: price 'abc' is not/);
  assert.match(stderr, /bad\.csv:5:-: too_few_fields: /);
});

test('a key counts as a duplicate within a file and across files, in any spelling', async () => {
  const shouted = event(1).text.replace(event(1).key, event(1).key.toUpperCase());
  const one = file('one.csv', [HEADER, event(1).text, event(2).text, event(1, 5).text]);
  const two = file('two.csv', [HEADER, shouted, event(3).text]);
  const { code, summary } = await checked(one, two);
  assert.equal(code, 0);
  assert.deepEqual([summary.files, summary.records, summary.inserted, summary.duplicates], [2, 5, 3, 2]);
});

test('a file of several slices is read without a seam, and line numbers go on', async () => {
  const lines = Array.from({ length: 120_000 }, (_, i) =>
    i % 1_000 === 7 ? quotedEvent(i).text : event(i).text,
  );
  lines.push('broken');
  const path = file('large.csv', [HEADER, ...lines]);
  const { summary } = await checked(path);
  assert.deepEqual(
    [summary.records, summary.inserted, summary.duplicates, summary.rejected],
    [120_001, 120_000, 0, 1],
  );
  const physical = [HEADER, ...lines].join('\n').split('\n').length;
  assert.deepEqual(
    summary.rejects.map(({ line }) => line),
    [physical],
  );
});

test('a refused file is named with its reason, others are checked all the same, and the exit code is 1', async () => {
  const refused = file('header.csv', ['a,b', '1,2']);
  const good = file('good2.csv', [HEADER, event(1).text]);
  const { code, summary } = await checked(refused, good);
  assert.equal(code, 1);
  assert.deepEqual([summary.refusedFiles, summary.records], [1, 1]);
  assert.equal(summary.refused[0]?.file, refused);
});

test('at most --rejects-shown rejects are printed, and the rest is told; JSON lists more', async () => {
  const path = file('many.csv', [HEADER, ...Array.from({ length: 50 }, () => 'bad')]);
  const { stdout } = await millrace(['check', '--rejects-shown', '3', path]);
  assert.equal(stdout.match(/too_few_fields/g)?.length, 3);
  assert.match(stdout, /and 47 more/);
  assert.equal((await checked(path)).summary.rejects.length, 50);
});

test('more rejects than are listed are still counted', async () => {
  const path = file('very-many.csv', [HEADER, ...Array.from({ length: 10_500 }, () => 'bad')]);
  const { summary } = await checked(path);
  assert.deepEqual([summary.rejected, summary.rejects.length], [10_500, 10_000]);
});

test('what cannot be read stops with a sentence and exit 5', async () => {
  const pipe = join(folder, 'pipe.csv');
  execFileSync('sh', ['-c', 'mkfifo "$0"', pipe]);
  mkdirSync(join(folder, 'sub'));
  const cases = [
    [join(folder, 'nowhere.csv'), /cannot read .*nowhere\.csv: it is not there/],
    [join(folder, 'sub'), /cannot check .*sub: it is a folder/],
    [pipe, /cannot check .*pipe\.csv: it is no regular file/],
  ] as const;
  for (const [path, message] of cases) {
    const { code, stdout, stderr } = await millrace(['check', path]);
    assert.deepEqual([code, stdout], [5, '']);
    assert.match(stderr, message);
  }
});

test(
  'a file without permission is named as such',
  { skip: process.getuid?.() === 0 && 'root reads everything' },
  async () => {
    const path = file('secret.csv', [HEADER]);
    chmodSync(path, 0);
    const { code, stderr } = await millrace(['check', path]);
    assert.equal(code, 5);
    assert.match(stderr, /its permissions do not allow it/);
  },
);

test('a file name cannot move the cursor', async () => {
  const path = file('evil\u001b[2J\u202e.csv', [HEADER, 'bad']);
  const { stdout } = await millrace(['check', path]);
  // oxlint-disable-next-line no-control-regex -- exactly these must not be there
  assert.doesNotMatch(stdout, /\u001b|\u202e/);
  assert.match(stdout, /evil\\x1b\[2J\\u\{202e\}\.csv:2:-: too_few_fields/);
});
