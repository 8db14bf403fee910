// The option table and the judge of the command line: one form of message, the right precedence, and help that cannot go stale.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { MillraceError } from '../src/errors.ts';
import { COMMAND_NAMES, FILES_MIN, OPTIONS, environmentName, optionsOf } from '../src/options.ts';
import type { GenerateOptions, OptionsOf, ResetOptions, RunOptions } from '../src/options.ts';
import { commandHelp, optionsAsMarkdown, programHelp } from '../src/options/help.ts';
import { duration, size } from '../src/options/kinds.ts';
import { idleVariables } from '../src/options/environment.ts';
import { readCommandLine } from '../src/options/read.ts';
import type { Environment } from '../src/options/read.ts';

const SNAPSHOT = new URL('snapshots/help.txt', import.meta.url);
const README = new URL('../README.md', import.meta.url);

function judged(line: string, env: Environment = {}): unknown {
  const request = readCommandLine(line.split(' '), env, '1.2.3', 100);
  return request.kind === 'run' ? request.options : assert.fail(`${line} prints something`);
}

function run(line: string, env: Environment = {}): RunOptions {
  return judged(line, env) as RunOptions;
}

function complaint(line: string, env: Environment = {}): string {
  try {
    readCommandLine(
      line.split(' ').filter((word) => word !== ''),
      env,
      '1.2.3',
      100,
    );
  } catch (error) {
    assert.ok(error instanceof MillraceError, String(error));
    assert.equal(error.code, 'usage');
    return error.message;
  }
  return assert.fail(`"${line}" was accepted`);
}

describe('values', () => {
  test('every command has a good default for every option', () => {
    for (const name of COMMAND_NAMES) judged((FILES_MIN[name] ?? 0) > 0 ? `${name} a.csv` : name);
    const values = run('run');
    assert.equal(values.inputDir, resolve('data/input_data'));
    assert.deepEqual(values.table, { schema: 'public', name: 'events' });
    assert.equal(values.dedupMemoryBytes, 256 * 2 ** 20);
    assert.equal(values.settleGrowingMs, 600_000);
    assert.equal(values.archiveDir, null);
    assert.deepEqual(
      [values.workers, values.lanes, values.slots, values.throttle],
      [null, null, null, 'auto'],
    );
    assert.deepEqual([values.commitMsMax, values.replicaLagMax], [1_000, 2 ** 30]);
  });

  test('what rejects does is its first word, and options of the export belong to it alone', () => {
    const said = (words: string): unknown => {
      const { action, paths } = judged(words) as OptionsOf<'rejects'>;
      return [action, paths];
    };
    assert.deepEqual(said('rejects'), ['list', []]);
    assert.deepEqual(said('rejects a.csv b.csv'), ['list', ['a.csv', 'b.csv']]);
    assert.deepEqual(said('rejects replay a.csv'), ['replay', ['a.csv']]);
    assert.deepEqual(said('rejects export --to out --neutralize-formulas'), ['export', []]);
    assert.throws(() => judged('rejects replay --to out'), /--to: means nothing with rejects replay/);
    assert.throws(() => judged('resume'), /resume: needs at least one FILE/);
  });

  test('each kind of value is read as it is written', () => {
    const values = run(
      'run --scan-every 500ms --settle 1.5s --settle-growing 2h --dedup-memory 0 --pattern *.csv,*.tsv --table shop.orders --lanes=3 --once --no-recursive',
    );
    assert.deepEqual(
      [
        values.scanEveryMs,
        values.settleMs,
        values.settleGrowingMs,
        values.dedupMemoryBytes,
        values.lanes,
        values.once,
      ],
      [500, 1500, 7_200_000, 0, 3, true],
    );
    assert.deepEqual(values.patterns, ['*.csv', '*.tsv']);
    assert.deepEqual(values.table, { schema: 'shop', name: 'orders' });
    const generate = judged(
      'generate --rows-per-file 5-7 --duplicates 2.5% --invalid 0.25',
    ) as GenerateOptions;
    assert.deepEqual(generate.rowsPerFile, { min: 5, max: 7 });
    assert.deepEqual([generate.duplicates, generate.invalid, generate.seed], [0.025, 0.25, null]);
  });

  test('a number may be left to the program by a word', () => {
    const { workers, lanes, slots } = run('run --workers 3 --lanes auto --slots 7');
    assert.deepEqual([workers, lanes, slots], [3, null, 7]);
  });

  test('a value that does not fit is refused in one form, with what it must be and what it is', () => {
    const faults = {
      'run --lanes 0': '--lanes: must be at least 1, got 0',
      'run --lanes -1': '--lanes: must be at least 1, got -1',
      'run --lanes 65': '--lanes: must be at most 64, got 65',
      'run --lanes two': '--lanes: must be a whole number, got two',
      'run --lanes=': '--lanes: must be a whole number, got nothing',
      'run --scan-every 49ms': '--scan-every: must be at least 50ms, got 49ms',
      'run --after burn': '--after: must be keep, archive or delete, got burn',
      'run --newline crlf': '--newline: must be lf or cr, got crlf',
      'run --table millrace.files':
        '--table: must not lie in a schema that belongs to Millrace or PostgreSQL, got millrace.files',
      'generate --duplicates 101%': '--duplicates: must be a share from 0 to 1, or from 0% to 100%, got 101%',
      'generate --rows-per-file 9-8': '--rows-per-file: must not end below its beginning, got 9-8',
      'generate --rate 0': '--rate: must be a number above 0, got 0',
      'run --once=banana': '--once: must be true or false, got banana',
      'run --once=yes': '--once: must be true or false, got yes',
    };
    for (const [line, message] of Object.entries(faults)) assert.equal(complaint(line), message);
  });

  test('nothing but a number with a known unit is a time or a size', () => {
    for (const text of ['', '5', 's', '-1s', '1e3s', '1 s', '1S', 'Infinitys', '0x1s', '1sec'])
      assert.match(complaintOf(duration(0, 1e9).judge(text)), /^must be a time with a unit/, text);
    for (const text of ['', '5', '64MB', '64M', '64mib', '-1MiB', '1_000B'])
      assert.match(complaintOf(size(0, 1e9).judge(text)), /^must be 0 or a size with a unit/, text);
  });

  test('a table name is a plain identifier whatever is tried', () => {
    for (const text of [
      'a"b',
      "a'b",
      'a.b.c',
      'Events',
      'a b',
      '',
      '.a',
      'a.',
      '1a',
      'a;',
      'x'.repeat(64),
      'pg_catalog.x',
    ])
      assert.match(complaint(`run --table=${text.replaceAll(' ', '\u00a0')}`), /^--table: must/, text);
    fc.assert(
      fc.property(fc.string(), (text) => {
        const value = OPTIONS.table.kind.judge(text);
        if ('name' in value)
          assert.match(`${value.schema}.${value.name}`, /^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$/);
      }),
    );
  });

  test('an archive needs its folder, which may not lie in the watched one', () => {
    assert.match(complaint('run --after archive'), /^--archive-dir: must be given with --after archive/);
    assert.match(complaint('run --archive-dir x'), /^--archive-dir: means nothing with --after keep/);
    for (const folder of ['in', 'in/', 'in/old', './in/a/../b'])
      assert.match(
        complaint(`run --input in --after archive --archive-dir ${folder}`),
        /must not lie inside/,
        folder,
      );
    for (const folder of ['in2', 'in..old', '../in', '.'])
      assert.equal(run(`run --input in --after archive --archive-dir ${folder}`).archiveDir, resolve(folder));
  });
});

describe('the command line', () => {
  test('an unknown option or command is refused, with the nearest one', () => {
    assert.equal(complaint('run --lans 3'), '--lans: run has no such option');
    assert.equal(complaint('status --lanes 3'), '--lanes: status has no such option');
    assert.equal(complaint('run -x'), '-x: run has no such option');
    assert.equal(complaint('go'), 'there is no command "go"');
    assert.equal(complaint(''), 'no command was given');
    assert.throws(() => readCommandLine(['run', '--lans', '3'], {}, '1', 100), { wayOut: /--lanes/ });
  });

  test('a stray argument is refused', () => {
    for (const line of ['run x', 'run -- x', 'run --once x'])
      assert.equal(complaint(line), 'run: takes no argument "x"');
  });

  test('an option without its value is refused, also when another option follows', () => {
    for (const line of ['run --lanes', 'run --lanes --once', 'run --input'])
      assert.match(complaint(line), /^--(lanes|input): needs a value$/);
    assert.match(complaint('run --no-lanes'), /^--lanes: needs a value/);
  });

  test('a repeated option is refused instead of becoming a list', () => {
    assert.equal(complaint('run --lanes 2 --lanes 3'), '--lanes: was given 2 times (2, 3)');
    assert.equal(run('run --once --once').once, true);
  });

  test('check takes files, whatever they are called', () => {
    assert.deepEqual(judged('check a 02 -- -b --json'), {
      json: false,
      newline: 'lf',
      delimiter: null,
      nulls: null,
      encoding: 'auto',
      unpackDir: tmpdir(),
      unpackedBytesMax: 16 * 2 ** 30,
      rejectsShown: 20,
      paths: ['a', '02', '-b', '--json'],
    });
    assert.equal(complaint('check'), 'check: needs at least one FILE');
    assert.equal(complaint('why'), 'why: needs one EVENT_ID');
    assert.equal(complaint('diff'), 'diff: needs one FILE');
    assert.equal(complaint('why a b'), 'why: takes one EVENT_ID, got 2: a b');
    assert.equal(complaint('diff a.csv b.csv'), 'diff: takes one FILE, got 2: a.csv b.csv');
  });
});

describe('the environment', () => {
  test('it stands between the command line and the default', () => {
    const env = { MILLRACE_LANES: '5', MILLRACE_ONCE: '1', MILLRACE_INPUT: '' };
    assert.equal(run('run', env).lanes, 5);
    assert.equal(run('run --lanes 6', env).lanes, 6);
    assert.equal(run('run', env).once, true);
    assert.equal(run('run --no-once', env).once, false);
    assert.equal(run('run', env).inputDir, resolve('data/input_data'));
  });

  test('a bad value is refused under the name of the variable', () => {
    assert.equal(complaint('run', { MILLRACE_LANES: 'x' }), 'MILLRACE_LANES: must be a whole number, got x');
    assert.equal(complaint('run', { MILLRACE_ONCE: 'x' }), 'MILLRACE_ONCE: must be true or false, got x');
  });

  test('a variable that no option has is named, with the nearest one; others of the neighbourhood are not', () => {
    const env = {
      MILLRACE_LANE: '4',
      MILLRACE_SCANEVERY: '1s',
      MILLRACE_TURBO: '1',
      MILLRACE_YES: '1',
      MILLRACE_EMPTY: '',
      MILLRACE_LANES: '4',
      MILLRACE_FAILPOINT: 'begun:kill',
      MILLRACE_SERVICE_HOST: '10.0.0.1',
      MILLRACE_PORT_9100_TCP_ADDR: '10.0.0.1',
      PATH: '/bin',
    };
    assert.deepEqual(idleVariables(env), [
      'MILLRACE_LANE is ignored: there is no such option; did you mean MILLRACE_LANES?',
      'MILLRACE_SCANEVERY is ignored: there is no such option; did you mean MILLRACE_SCAN_EVERY?',
      'MILLRACE_TURBO is ignored: there is no such option; millrace --help lists what there is',
      'MILLRACE_YES is ignored: --yes must be said each time',
    ]);
  });

  test('what removes something must be said each time', () => {
    const env = { MILLRACE_YES: '1', MILLRACE_EVENTS: '1', MILLRACE_CHECKPOINT: '1' };
    const { yes, events, checkpoint } = judged('reset', env) as ResetOptions;
    assert.deepEqual([yes, events, checkpoint], [false, false, false]);
  });

  test('no two options of a command share a name', () => {
    for (const name of COMMAND_NAMES) {
      const names = optionsOf(name).map(([, spec]) => environmentName(spec.flag));
      assert.equal(new Set(names).size, names.length);
    }
  });
});

describe('help', () => {
  test('is asked for in every usual way', () => {
    const print = (line: string): string => {
      const request = readCommandLine(line.split(' '), {}, '1.2.3', 100);
      return request.kind === 'print' ? request.text : assert.fail(line);
    };
    for (const line of ['--help', '-h', 'help']) assert.equal(print(line), programHelp(100));
    for (const line of ['run --help', 'run -h', 'help run', 'run --lanes 0 --help', 'run --bogus --help'])
      assert.equal(print(line), commandHelp('run', 100), line);
    assert.equal(print('--version'), '1.2.3');
  });

  test('fits the width', () => {
    for (const width of [60, 80, 100])
      for (const line of [programHelp(width), ...COMMAND_NAMES.map((name) => commandHelp(name, width))]
        .join('\n')
        .split('\n'))
        assert.ok(line.length <= width || /^ {2}\S/.test(line), `${width}: ${line}`);
  });

  test('names every option of the command, and only those', () => {
    for (const name of COMMAND_NAMES) {
      const flags = [...commandHelp(name, 100).matchAll(/^ {2}--([a-z-]+)/gm)].map((match) => match[1]);
      assert.deepEqual(flags, [...optionsOf(name).map(([, spec]) => spec.flag), 'help', 'version']);
    }
  });

  test('reads as it did (UPDATE_SNAPSHOTS=1 accepts a change)', () => {
    const text = [programHelp(100), ...COMMAND_NAMES.map((name) => commandHelp(name, 100))].join(
      `\n\n${'='.repeat(100)}\n\n`,
    );
    if (process.env['UPDATE_SNAPSHOTS'] === '1') writeFileSync(SNAPSHOT, `${text}\n`);
    assert.equal(`${text}\n`, readFileSync(SNAPSHOT, 'utf8'));
  });

  test("the README's table is the option table", (context) => {
    const readme = existsSync(README) ? readFileSync(README, 'utf8') : '';
    const table = /<!-- options -->\n([\s\S]*?)<!-- \/options -->/.exec(readme)?.[1];
    if (table === undefined) return context.skip('the README has no <!-- options --> markers');
    return assert.equal(table.trim(), optionsAsMarkdown().trim());
  });
});

function complaintOf(value: unknown): string {
  return typeof value === 'object' && value !== null && 'fault' in value
    ? String(value.fault)
    : assert.fail(String(value));
}
