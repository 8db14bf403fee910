// `millrace generate`: the files it leaves, what it says of them, and how it ends.

import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, describe, test } from 'node:test';
import { generate, writeEvents } from '../../src/commands/generate.ts';
import type { GenerateSummary } from '../../src/commands/generate.ts';
import { openPace } from '../../src/commands/generate/pace.ts';
import { folderTarget } from '../../src/commands/generate/target.ts';
import { generateRows, HEADER } from '../../src/core/generate/record.ts';
import { makeFolders } from '../../src/folders.ts';
import type { GenerateOptions } from '../../src/options.ts';
import { start } from '../support/cli.ts';

const root = mkdtempSync(join(tmpdir(), 'millrace-generate-'));
after(() => rmSync(root, { recursive: true, force: true }));

const NEVER = new AbortController().signal;
let folders = 0;

function freshFolder(): string {
  folders += 1;
  return join(root, `folder ${folders}`);
}

function optionsOf(changes: Partial<GenerateOptions> = {}): GenerateOptions {
  return {
    json: false,
    workers: 1,
    quiet: false,
    outputDir: freshFolder(),
    seed: 7,
    files: 3,
    rows: null,
    rowsPerFile: { min: 10, max: 100 },
    intervalMs: null,
    rate: null,
    duplicates: 0.1,
    invalid: 0.1,
    quoted: 0.1,
    append: false,
    ...changes,
  };
}

function contentOf(folder: string): Record<string, string> {
  const names = readdirSync(folder).toSorted();
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), 'latin1')]));
}

/** Runs the command and gives back what it printed. */
async function run(options: GenerateOptions, signal = NEVER): Promise<{ stdout: string; stderr: string }> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const said = Promise.all([text(stdout), text(stderr)]);
  try {
    assert.equal(await generate(options, { stdout, stderr, signal }), 0);
  } finally {
    stdout.end();
    stderr.end();
  }
  const [out, err] = await said;
  return { stdout: out, stderr: err };
}

describe('generate', () => {
  test('writes whole files with a header each, and nothing else stays in the folder', async () => {
    const options = optionsOf();
    const summary = await writeEvents(options, NEVER);
    const content = contentOf(options.outputDir);
    assert.deepEqual(Object.keys(content), [
      'events-7-00000001.csv',
      'events-7-00000002.csv',
      'events-7-00000003.csv',
    ]);
    for (const file of Object.values(content)) assert.ok(file.startsWith(HEADER) && file.endsWith('\n'));
    const expected = generateRows(
      { seed: 7, duplicates: 0.1, invalid: 0.1, quoted: 0.1 },
      0,
      summary.records,
    );
    assert.equal(
      Object.values(content)
        .map((file) => file.slice(HEADER.length))
        .join(''),
      expected.text,
    );
    assert.deepEqual(summary, {
      files: 3,
      records: summary.records,
      duplicates: expected.duplicates,
      invalid: expected.invalid,
      seed: 7,
    });
  });

  test('the same seed gives the same bytes, with any number of workers', async () => {
    const changes = { files: 2, rows: 45_000 };
    const [one, three] = [optionsOf(changes), optionsOf({ ...changes, workers: 3 })];
    const summaries = [await writeEvents(one, NEVER), await writeEvents(three, NEVER)];
    assert.deepEqual(summaries[0], summaries[1]);
    const [first, second] = [contentOf(one.outputDir), contentOf(three.outputDir)];
    assert.deepEqual(Object.keys(first), Object.keys(second));
    assert.ok(Object.entries(first).every(([name, file]) => file === second[name]));
  });

  test('a second run with the same seed takes other names and overwrites nothing', async () => {
    const options = optionsOf({ files: 1 });
    await writeEvents(options, NEVER);
    const before = contentOf(options.outputDir);
    await writeEvents(options, NEVER);
    await writeEvents(options, NEVER);
    const names = ['events-7-00000001.csv', 'events-7-r2-00000001.csv', 'events-7-r3-00000001.csv'];
    assert.deepEqual(Object.keys(contentOf(options.outputDir)), names);
    assert.equal(contentOf(options.outputDir)[names[0]!], before[names[0]!]);
  });

  test('without a seed it takes a random one and says which', async () => {
    const options = optionsOf({ seed: null, files: 1 });
    const { seed } = await writeEvents(options, NEVER);
    assert.deepEqual(Object.keys(contentOf(options.outputDir)), [`events-${seed}-00000001.csv`]);
  });

  test('--append grows one file, over several runs, with one header', async () => {
    const options = optionsOf({ append: true, files: 4 });
    const first = await writeEvents(options, NEVER);
    const second = await writeEvents({ ...options, seed: 8 }, NEVER);
    const content = contentOf(options.outputDir);
    assert.deepEqual(Object.keys(content), ['events-growing.csv']);
    const shares = { duplicates: 0.1, invalid: 0.1, quoted: 0.1 };
    const rows = [
      generateRows({ seed: 7, ...shares }, 0, first.records),
      generateRows({ seed: 8, ...shares }, 0, second.records),
    ];
    assert.equal(content['events-growing.csv'], HEADER + rows.map((made) => made.text).join(''));
    assert.equal(first.files, 1);
  });

  test('--append refuses a file that is not its own or ends in the middle of a line', async () => {
    for (const foreign of ['a,b\n1,2\n', `${HEADER}torn`, 'x']) {
      const options = optionsOf({ append: true });
      mkdirSync(options.outputDir);
      writeFileSync(join(options.outputDir, 'events-growing.csv'), foreign);
      await assert.rejects(writeEvents(options, NEVER), { code: 'input' });
      assert.equal(contentOf(options.outputDir)['events-growing.csv'], foreign);
    }
  });

  test('--json ends standard output with one object and speaks to people on standard error', async () => {
    const options = optionsOf({ json: true });
    const { stdout, stderr } = await run(options);
    assert.match(stdout, /^\{.*\}\n$/);
    const { files, records, duplicates, invalid, seed, ...rest } = JSON.parse(stdout) as GenerateSummary;
    assert.deepEqual([files, seed, rest], [3, 7, {}]);
    assert.ok(records > duplicates + invalid);
    assert.ok(
      stderr.includes(
        `${records - duplicates - invalid} inserted, ${duplicates} duplicates, ${invalid} rejected`,
      ),
    );
  });

  test('without --json the summary stands on standard output, and --quiet leaves it out', async () => {
    assert.match(
      (await run(optionsOf())).stdout,
      /^Wrote \d+ records in 3 files to .* \(seed 7\)\.\n.*rejected\.\n$/,
    );
    assert.deepEqual(await run(optionsOf({ quiet: true })), { stdout: '', stderr: '' });
  });

  test('a signal ends an endless run after the file at hand, with the summary of what is there', async () => {
    const stop = new AbortController();
    const options = optionsOf({ files: null, intervalMs: 60_000, json: true });
    const done = run(options, stop.signal);
    while (!readable(options.outputDir).some((name) => name.endsWith('.csv')))
      await new Promise((resolve) => setTimeout(resolve, 5));
    stop.abort();
    const summary = JSON.parse((await done).stdout) as GenerateSummary;
    assert.equal(summary.files, 1);
    assert.deepEqual(Object.keys(contentOf(options.outputDir)), ['events-7-00000001.csv']);
    assert.equal(contentOf(options.outputDir)['events-7-00000001.csv']?.startsWith(HEADER), true);
  });

  test('a signal before the start writes nothing', async () => {
    const options = optionsOf();
    assert.equal((await writeEvents(options, AbortSignal.abort())).files, 0);
    assert.deepEqual(contentOf(options.outputDir), {});
  });

  test('shares that add up to more than everything are refused before anything is written', async () => {
    const options = optionsOf({ duplicates: 0.6, invalid: 0.5 });
    await assert.rejects(writeEvents(options, NEVER), {
      code: 'usage',
      message: '--duplicates: must be at most what --invalid 0.5 leaves of 1, got 0.6',
    });
    assert.throws(() => readdirSync(options.outputDir), { code: 'ENOENT' });
  });

  test('a folder that cannot be written is named, with the way out', async () => {
    const file = join(root, 'a file');
    writeFileSync(file, '');
    for (const append of [false, true])
      await assert.rejects(
        writeEvents(optionsOf({ outputDir: join(file, 'below'), append }), NEVER),
        (error: Error & { code: string; wayOut: string }) => {
          assert.equal(error.code, 'input');
          assert.ok(error.message.includes(file));
          assert.match(error.wayOut, /--output/);
          return true;
        },
      );
  });
});

describe('the files of the generator', () => {
  test('are hidden until they are whole', () => {
    const folder = freshFolder();
    const target = folderTarget(folder, 7);
    target.begin(1);
    target.write(Buffer.from('x\n'));
    assert.match(readdirSync(folder).join(), /^\.events-7-00000001\.csv\.\d+\.tmp$/);
    target.finish();
    target.close();
    assert.deepEqual(contentOf(folder), { 'events-7-00000001.csv': `${HEADER}x\n` });
  });

  test('that were begun and not finished are taken away', () => {
    const folder = freshFolder();
    const target = folderTarget(folder, 7);
    target.begin(1);
    target.close();
    assert.deepEqual(contentOf(folder), {});
  });

  test('never replace a file that appeared meanwhile', () => {
    const folder = freshFolder();
    const target = folderTarget(folder, 7);
    target.begin(1);
    writeFileSync(join(folder, 'events-7-00000001.csv'), 'precious');
    assert.throws(() => target.finish(), { code: 'input' });
    target.close();
    assert.deepEqual(contentOf(folder), { 'events-7-00000001.csv': 'precious' });
  });
});

test('the pace lets a file pass at once when it is due, and waits no longer than the signal', async () => {
  const unlimited = openPace({ intervalMs: 0, rate: null });
  for (let file = 0; file < 1000; file += 1) await unlimited(file * 1000, NEVER);
  const slow = openPace({ intervalMs: 3_600_000, rate: 0.001 });
  await slow(0, NEVER);
  const stop = new AbortController();
  const waiting = slow(1, stop.signal);
  stop.abort();
  await waiting;
});

function readable(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

test('a folder where nothing can be made is refused with a sentence, not tried without end', async (t) => {
  if (!existsSync('/proc/self')) {
    t.skip('there is no /proc here');
    return;
  }
  // In a process of its own: Node's own recursive mkdir would never give this one back.
  for (const more of [[], ['--append']]) {
    const started = start(['generate', '--rows', '5', '--output', '/proc/none/here', ...more]);
    const guard = setTimeout(() => started.child.kill('SIGKILL'), 60_000);
    const { code, stderr } = await started.ended;
    clearTimeout(guard);
    assert.equal(code, 5, stderr);
    assert.match(stderr, /cannot write \/proc\/none.*ENOENT[^]*choose another folder with --output/);
  }
});

test('folders are made from the first that is missing; somebody who makes them too is no failure', () => {
  const base = freshFolder();
  assert.equal(makeFolders(join(base, 'a', 'b'), 0o700), base);
  assert.equal(statSync(join(base, 'a')).mode & 0o777, 0o700);
  assert.equal(makeFolders(join(base, 'a', 'b', 'c')), join(base, 'a', 'b', 'c'));
  assert.equal(makeFolders(base), undefined);
  writeFileSync(join(base, 'file'), '');
  assert.throws(() => makeFolders(join(base, 'file')), { code: 'EEXIST' });
  assert.throws(() => makeFolders(join(base, 'file', 'x')), { code: 'ENOTDIR' });
});
