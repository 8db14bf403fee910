// The program itself, as a process: exit codes, signals, closed pipes, and what an unexpected error looks like. Where a command must
// misbehave, a stub takes the place of `status`.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bareEnv, millrace, start } from './support/cli.ts';
import type { StartOptions } from './support/cli.ts';

/** Runs `status` with this body instead of its own; `io` and `MillraceError` are at hand. */
function stub(body: string, env: NodeJS.ProcessEnv = {}): StartOptions {
  const errors = new URL('../src/errors.ts', import.meta.url).href;
  const source = `import { MillraceError } from '${errors}'; export async function status(options, io) { ${body} }`;
  const hook = `import { registerHooks } from 'node:module';
    registerHooks({ load: (url, context, next) => url.endsWith('/commands/status.ts')
      ? { format: 'module', source: ${JSON.stringify(source)}, shortCircuit: true } : next(url, context) });`;
  return { node: ['--import', `data:text/javascript,${encodeURIComponent(hook)}`], env: bareEnv(env) };
}

const HANG = `io.stdout.write('ready\\n'); setInterval(() => {}, 1000); await new Promise(() => {});`;

describe('exit codes', () => {
  test('help and version are results: standard output, exit 0', async () => {
    const help = await millrace(['--help']);
    assert.equal(help.code, 0);
    assert.match(help.stdout, /^millrace <command>/);
    assert.equal(help.stderr, '');
    const version = await millrace(['--version']);
    assert.deepEqual([version.code, version.stdout], [0, '0.1.0\n']);
  });

  test('wrong usage: a sentence with the way out on standard error, exit 2, and no I/O before', async () => {
    const wrong = await millrace(['run', '--input', '/nonexistent', '--lanes', '0']);
    assert.deepEqual(wrong, {
      code: 2,
      signal: null,
      stdout: '',
      stderr: 'millrace: --lanes: must be at least 1, got 0\n',
    });
    const none = await millrace([]);
    assert.equal(none.code, 2);
    assert.match(none.stderr, /^millrace: no command was given\n {2}commands: run, /);
  });

  test('a variable that means nothing is named on standard error, and the command goes on', async () => {
    const ended = await millrace(['status'], stub('return 0;', { MILLRACE_INPUTS: '/in' }));
    assert.deepEqual(
      [ended.code, ended.stderr],
      [0, 'millrace: MILLRACE_INPUTS is ignored: there is no such option; did you mean MILLRACE_INPUT?\n'],
    );
  });

  test('a MillraceError gives its sentence, its way out and its exit code', async () => {
    const fail = `throw new MillraceError('fenced', 'taken over', { wayOut: 'do this' });`;
    const ended = await millrace(['status'], stub(fail));
    assert.deepEqual([ended.code, ended.stderr], [4, 'millrace: taken over\n  do this\n']);
  });

  test('what a command returns is the exit code', async () => {
    assert.equal((await millrace(['status'], stub('return 3;'))).code, 3);
  });

  test('a bug shows its stack and exits 5, wherever it happens', async () => {
    for (const body of [
      `throw new TypeError('oops');`,
      `setTimeout(() => { throw new TypeError('oops'); }); ${HANG}`,
      `void Promise.reject(new TypeError('oops')); ${HANG}`,
    ]) {
      const ended = await millrace(['status'], stub(body));
      assert.equal(ended.code, 5, body);
      assert.match(ended.stderr, /TypeError: oops\n {4}at /);
    }
  });

  test('a password never reaches the terminal', async () => {
    const env = { PGPASSWORD: 'hunter2secret' };
    const body = `throw new Error('postgres://u:other@h/d does not like ' + process.env.PGPASSWORD);`;
    const ended = await millrace(['status'], stub(body, env));
    assert.equal(ended.code, 5);
    assert.doesNotMatch(ended.stderr.split('\n')[1] ?? '', /other|hunter2secret/);
    assert.match(ended.stderr, /postgres:\/\/u:\*\*\*@h\/d does not like \*\*\*/);
  });

  test('a command that never ends and holds nothing is a bug, not a success', async () => {
    assert.notEqual((await millrace(['status'], stub('await new Promise(() => {});'))).code, 0);
  });

  test('a handle that a command left open does not keep the program', async () => {
    assert.equal((await millrace(['status'], stub('setInterval(() => {}, 1000); return 0;'))).code, 0);
  });
});

describe('signals', () => {
  const FINISH = `const stop = Promise.withResolvers(); io.signal.addEventListener('abort', stop.resolve);
    const alive = setInterval(() => {}, 1000); io.stdout.write('ready\\n'); await stop.promise; clearInterval(alive);
    io.stdout.write('finished\\n'); return 0;`;

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    test(`the first ${signal} lets the command finish`, async () => {
      const { child, ended, said } = start(['status'], stub(FINISH));
      await said('ready');
      child.kill(signal);
      const { code, stdout } = await ended;
      assert.deepEqual([code, stdout], [0, 'ready\nfinished\n']);
    });

  test('the second one ends at once with 130', async () => {
    const seen = `io.signal.addEventListener('abort', () => io.stdout.write('first\\n')); ${HANG}`;
    const { child, ended, said } = start(['status'], stub(seen));
    await said('ready');
    child.kill('SIGTERM');
    await said('first');
    child.kill('SIGINT');
    assert.equal((await ended).code, 130);
  });

  test('a command that does not finish is ended with a sentence', async () => {
    const { child, ended, said } = start(['status'], stub(HANG));
    await said('ready');
    child.kill('SIGINT');
    const { code, stderr } = await ended;
    assert.equal(code, 5);
    assert.match(stderr, /did not finish within 10 s of SIGINT/);
  });
});

describe('closed pipes', () => {
  test('nobody reads on: the command is asked to end, and nothing is complained about', async () => {
    const endless = `while (!io.signal.aborted) { io.stdout.write('line\\n'.repeat(1000)); await new Promise(setImmediate); } return 0;`;
    const { child, ended, said } = start(['status'], stub(endless));
    await said('line');
    child.stdout?.destroy();
    const { code, stderr } = await ended;
    assert.deepEqual([code, stderr], [0, '']);
  });

  test('standard error may be closed too', async () => {
    const chatty = `io.stdout.write('ready\\n');
      for (let i = 0; i < 100; i += 1) { io.stderr.write('line\\n'.repeat(1000)); await new Promise((go) => setTimeout(go, 1)); } return 0;`;
    const { child, ended, said } = start(['status'], stub(chatty));
    await said('ready');
    child.stderr?.destroy();
    assert.equal((await ended).code, 0);
  });
});
