// The Makefile as the first thing that a person types: what it brings, what it says and what it hands on. npm and an old
// Node are stand-ins here, so that nothing is fetched; that the pinned packages exist is proven by every fresh clone.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { type Ended, ROOT, run, temporaryFolder } from './support.ts';

const TARGETS = [
  'run',
  'generate',
  'bench',
  'bench-peers',
  'test',
  'check',
  'format',
  'sbom',
  'audit',
  'millrace',
  'psql',
  'clean',
  'help',
];

/** Prints what reached the program; `--fail` ends with 3, `--wait` waits for the first signal and then a little. */
const PROGRAM = `
const args = process.argv.slice(2);
const { MAKEFLAGS, ARGS, prepare } = process.env;
console.log(JSON.stringify({ args, leaked: [MAKEFLAGS, ARGS, prepare].filter((text) => text !== undefined) }));
if (args.includes('--fail')) process.exit(3);
if (args.includes('--wait')) {
  setInterval(() => undefined, 1000);
  process.on('SIGINT', () => {
    console.log('interrupted');
    setTimeout(() => process.exit(0), 300);
  });
  console.log('ready');
}
`;

/** npm that installs by linking the Node of this test, and writes down every call. */
const NPM = `#!/bin/sh
echo "$*|$NODE_ENV|$npm_config_cache" >>"$NPM_CALLS"
case "$*" in
  sbom*) echo '{"bomFormat":"CycloneDX","metadata":{"component":{"name":"folder"}},"components":[]}'; exit ;;
  audit*)
    failing=; case $AUDIT_FAILS in "$2"*) failing=yes ;; esac
    case $AUDIT_FAILS:$failing in
      *405:yes) echo '{"message":"405 Method Not Allowed","statusCode":405,"error":{"summary":"","detail":""}}' ;;
      *away:yes) echo '{"error":{"code":"ENOTFOUND","summary":"getaddrinfo ENOTFOUND","detail":""}}' ;;
      *mute:yes) ;;
      *:yes) echo '{"metadata":{"vulnerabilities":{"total":1}},"invalid":[{}],"missing":[]}' ;;
      *) echo '{"metadata":{"vulnerabilities":{"total":0}},"invalid":[],"missing":[]}' ;;
    esac
    [ -z "$failing" ]; exit ;;
esac
[ -z "$NPM_FAILS" ] || { echo 'npm error: no network' >&2; exit 1; }
sleep 0.3
if [ "$(echo "$*" | grep -c -- --prefix)" = 0 ]; then mkdir -p node_modules; echo 'added 3 packages'; exit; fi
for into do :; done
name=$(sed -n 's/.*"node_modules\\/\\([a-z0-9-]*\\)".*/\\1/p' "$into/package-lock.json")
mkdir -p "$into/node_modules/$name/bin"
ln -s "$REAL_NODE" "$into/node_modules/$name/bin/node"
`;

type Machine = { checkout: string; env: NodeJS.ProcessEnv; calls: () => string[] } & Disposable;

/** A checkout in a folder with blanks, a quote and a long name, on a machine whose Node is too old or new enough. */
function machine(node: 'old' | 'new', more: NodeJS.ProcessEnv = {}): Machine {
  const folder = temporaryFolder();
  const checkout = join(folder.path, "it's a folder", 'd'.repeat(120));
  const bin = join(folder.path, 'bin');
  for (const path of [bin, join(checkout, 'src'), join(checkout, 'test/core'), join(checkout, 'bench')]) {
    mkdirSync(path, { recursive: true });
  }
  for (const name of ['Makefile', 'package.json', 'package-lock.json'])
    cpSync(join(ROOT, name), join(checkout, name));
  for (const name of ['src/main.ts', 'bench/main.ts']) writeFileSync(join(checkout, name), PROGRAM);
  script(join(bin, 'npm'), NPM);
  script(
    join(bin, 'node'),
    node === 'old' ? '#!/bin/sh\nexit 1\n' : `#!/bin/sh\nexec '${process.execPath}' "$@"\n`,
  );
  const callsFile = join(folder.path, 'calls');
  const env = {
    PATH: `${bin}:/usr/bin:/bin`,
    HOME: folder.path,
    NPM_CALLS: callsFile,
    REAL_NODE: process.execPath,
    ...more,
  };
  const calls = (): string[] =>
    existsSync(callsFile) ? readFileSync(callsFile, 'utf8').trim().split('\n') : [];
  return { checkout, env, calls, [Symbol.dispose]: () => folder[Symbol.dispose]() };
}

function script(path: string, text: string): void {
  writeFileSync(path, text);
  chmodSync(path, 0o755);
}

function make({ checkout, env }: Machine, ...args: string[]): Promise<Ended> {
  return run('make', args, { cwd: checkout, env });
}

test('make alone lists every target with one line', async () => {
  using here = machine('old');
  const { code, out } = await make(here);
  assert.equal(code, 0);
  for (const target of TARGETS) assert.match(out, new RegExp(`^  make ${target} +\\S.{10,}$`, 'm'));
  assert.deepEqual(here.calls(), []);
});

test('the first command fetches Node and the packages, with one line each; the second fetches nothing', async () => {
  using here = machine('old', { NODE_ENV: 'production' });
  const first = await make(here, 'run');
  assert.equal(first.code, 0, first.err);
  assert.match(first.err, /^millrace: no Node\.js 24\.12[^\n]*\nmillrace: installing packages[^\n]*\n$/);
  const calls = here.calls();
  assert.equal(calls.length, 2);
  for (const call of calls)
    assert.match(call, /^ci --ignore-scripts --include=dev --include=optional .*\|\|/);
  const second = await make(here, 'generate');
  assert.deepEqual([second.code, second.err, here.calls().length], [0, '', 2]);
});

test('a Node that is new enough is used as it is', async () => {
  using here = machine('new');
  const { err } = await make(here, 'run');
  assert.match(err, /^millrace: installing packages[^\n]*\n$/);
  assert.equal(here.calls().length, 1);
});

test('another lockfile is installed again', async () => {
  using here = machine('new');
  await make(here, 'run');
  writeFileSync(join(here.checkout, 'package-lock.json'), '{}');
  assert.match((await make(here, 'run')).err, /installing packages/);
});

for (const [target, args] of [
  ['run', ['run', '--once']],
  ['generate', ['generate', '--once']],
  ['bench', ['--once']],
  ['millrace', ['--once']],
] as const) {
  test(`make ${target} hands ARGS on, works first, and leaves standard output to the program`, async () => {
    using here = machine('old');
    const { code, out } = await make(here, '-s', target, 'ARGS=--once');
    assert.equal(code, 0);
    assert.equal(out, `${JSON.stringify({ args, leaked: [] })}\n`);
  });
}

test('ARGS keeps quotes, and a dollar means what the shell makes of it', async () => {
  using here = machine('new');
  const { out } = await make(here, '-s', 'millrace', `ARGS=--input 'a b' "$HOME" '$HOME' "it's"`);
  const { args } = JSON.parse(out) as { args: string[] };
  assert.deepEqual(args, ['--input', 'a b', here.env['HOME'], '$HOME', "it's"]);
});

test('a failing program fails make, and its code is in what make says', async () => {
  using here = machine('new');
  const { code, err } = await make(here, '-s', 'millrace', 'ARGS=--fail');
  assert.equal(code, 2);
  assert.match(err, /Error 3/);
});

test('two makes at once install once', async () => {
  using here = machine('old');
  const ended = await Promise.all([
    make(here, 'run'),
    make(here, 'generate'),
    make(here, '-j', 'run', 'bench'),
  ]);
  assert.deepEqual(
    ended.map(({ code }) => code),
    [0, 0, 0],
  );
  assert.equal(here.calls().length, 2);
  assert.ok(!existsSync(join(here.checkout, '.toolchain/lock')));
});

test('a lock whose holder was killed is taken away', async () => {
  using here = machine('new');
  const gone = spawn('true');
  await new Promise((resolve) => gone.on('close', resolve));
  await run('ln', ['-s', String(gone.pid), 'lock'], { cwd: mkdir(here.checkout, '.toolchain') });
  const { code, err } = await make(here, 'run');
  assert.equal(code, 0);
  assert.doesNotMatch(err, /waiting/);
});

function mkdir(...parts: string[]): string {
  const path = join(...parts);
  mkdirSync(path, { recursive: true });
  return path;
}

test('when npm fails nothing counts as installed, and the sentence says what to do', async () => {
  using here = machine('old', { NPM_FAILS: 'yes' });
  for (let attempt = 1; attempt <= 2; attempt += 1) {
    const { code, err, out } = await make(here, 'run');
    assert.equal(code, 2);
    assert.equal(out, '');
    assert.match(err, /npm error: no network\nmillrace: npm could not fetch [^\n]* run make again/);
    assert.equal(here.calls().length, attempt);
  }
});

test('without npm the sentence names it', async () => {
  using here = machine('old');
  const { code, err } = await run('make', ['run'], {
    cwd: here.checkout,
    env: { ...here.env, PATH: toolsOnly(here) },
  });
  assert.equal(code, 2);
  assert.match(err, /millrace: npm is not on PATH: install/);
});

/** A PATH with the few standard tools that the Makefile uses, and neither node nor npm. */
function toolsOnly({ checkout }: Machine): string {
  const bin = mkdir(checkout, 'only');
  for (const tool of [
    'sh',
    'awk',
    'cat',
    'cksum',
    'ln',
    'mkdir',
    'mv',
    'readlink',
    'rm',
    'sleep',
    'uname',
    'make',
  ]) {
    symlinkSync(existsSync(`/usr/bin/${tool}`) ? `/usr/bin/${tool}` : `/bin/${tool}`, join(bin, tool));
  }
  return bin;
}

test('without a home folder npm keeps its cache in the checkout', async () => {
  using here = machine('new', { HOME: '/nonexistent' });
  const { code } = await make(here, 'run');
  assert.equal(code, 0);
  assert.match(here.calls()[0] ?? '', /\|[^|]*\/\.toolchain\/cache$/);
});

test('Ctrl-C reaches the program once, and make waits for it', async () => {
  using here = machine('new');
  await make(here, 'run');
  // A group of its own, signalled as a terminal does it: make, and everything that it started.
  const child = spawn('make', ['-s', 'run', 'ARGS=--wait'], {
    cwd: here.checkout,
    env: here.env,
    detached: true,
  });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
    if (text.includes('ready')) process.kill(-(child.pid ?? 0), 'SIGINT');
  });
  await new Promise((resolve) => child.on('close', resolve));
  assert.match(out, /ready\ninterrupted\n$/);
});

test('make test takes options, folders and files, and without any all tests', async () => {
  using here = machine('new');
  const body = (name: string): string =>
    `import { test } from 'node:test';\ntest('${name} one', () => {});\ntest('${name} two', () => {});\n`;
  writeFileSync(join(here.checkout, 'test/core/a.test.ts'), body('core'));
  writeFileSync(join(here.checkout, 'test/b.test.ts'), body('top'));
  const names = async (args: string): Promise<string[]> => {
    const { code, out } = await make(here, 'test', `ARGS=${args}`);
    assert.equal(code, 0, out);
    return (out.match(/✔ \w+ \w+/g) ?? []).map((line) => line.slice(2)).sort();
  };
  assert.deepEqual(await names(''), ['core one', 'core two', 'top one', 'top two']);
  assert.deepEqual(await names('test/core/'), ['core one', 'core two']);
  assert.deepEqual(await names('test/b.test.ts'), ['top one', 'top two']);
  assert.deepEqual(await names('test/core --test-name-pattern=one'), ['core one']);
  assert.deepEqual(await names(`"--test-name-pattern=top two"`), ['top two']);
});

test('make test fails when a test fails', async () => {
  using here = machine('new');
  writeFileSync(
    join(here.checkout, 'test/a.test.ts'),
    `import { test } from 'node:test';\ntest('x', () => { throw new Error('x'); });\n`,
  );
  const { code, out } = await make(here, 'test');
  assert.equal(code, 2);
  assert.match(out, /^ℹ fail 1$/m);
});

test('make check runs all four guards and names those that failed', async () => {
  using here = machine('new');
  await make(here, 'run');
  const bin = mkdir(here.checkout, 'node_modules/.bin');
  for (const tool of ['tsc', 'oxfmt']) script(join(bin, tool), '#!/bin/sh\n');
  for (const tool of ['oxlint', 'knip']) script(join(bin, tool), '#!/bin/sh\nexit 1\n');
  const bad = await make(here, 'check');
  assert.equal(bad.code, 2);
  assert.match(bad.err, /check: FAILED: rules and import walls, dead code and dependencies\n/);
  for (const tool of ['oxlint', 'knip']) script(join(bin, tool), '#!/bin/sh\n');
  const good = await make(here, 'check');
  assert.deepEqual([good.code, good.out.endsWith('check: passed\n')], [0, true]);
});

test('make sbom prints a bill of materials that is named after the package, or writes it to a file', async () => {
  using here = machine('new');
  const { code, out, err } = await make(here, '-s', 'sbom');
  assert.equal(code, 0, err);
  const bom = JSON.parse(out) as { bomFormat: string; metadata: { component: { name: string } } };
  assert.deepEqual([bom.bomFormat, bom.metadata.component.name], ['CycloneDX', 'millrace']);
  assert.match(here.calls().at(-1) ?? '', /^sbom --package-lock-only --sbom-format=cyclonedx /);
  const file = join(here.checkout, 'a bill.json');
  const written = await make(here, '-s', 'sbom', `ARGS="${file}"`);
  assert.deepEqual([written.code, written.out], [0, '']);
  assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), bom);
});

test('make audit asks for vulnerabilities and for signatures, and fails when either does', async () => {
  for (const failing of ['--json', 'signatures', 'neither']) {
    using here = machine('new', { AUDIT_FAILS: failing, NODE_ENV: 'production' });
    const { code, err, out } = await make(here, 'audit');
    assert.equal(code, failing === 'neither' ? 0 : 2, err);
    assert.equal(/audit: FAILED/.test(err), failing !== 'neither');
    assert.equal(out.includes('audit: passed'), failing === 'neither');
    const calls = here.calls().filter((call) => call.startsWith('audit') && call.includes('--json'));
    assert.deepEqual(calls, [
      'audit --json --loglevel=error||',
      'audit signatures --json --loglevel=error||',
    ]);
    if (failing === 'signatures') assert.match(here.calls().at(-1) ?? '', /^audit signatures --loglevel/); // for people
  }
});

test('make audit never passes when the registry has no audit, or nobody answers, and says so with a code of its own', async () => {
  for (const [failing, said] of [
    ['--json 405', /no answer: 405 Method Not Allowed\n/],
    ['signatures away', /no answer: getaddrinfo ENOTFOUND\n/],
    ['signatures mute', /no answer: npm could not ask\n/],
  ] as const) {
    using here = machine('new', { AUDIT_FAILS: failing });
    const { code, err, out } = await make(here, 'audit');
    assert.equal(code, 2);
    assert.match(err, said);
    assert.match(err, /audit: NOT DONE: [^\n]*nothing is known; ask one that has the audit endpoints/);
    assert.match(err, /Error 3/);
    assert.doesNotMatch(out + err, /audit: passed|audit: FAILED/);
  }
});

test('make check does not ask the network', async () => {
  const recipe = /^check:[^]*?(?=^\w)/m.exec(readFileSync(join(ROOT, 'Makefile'), 'utf8'))?.[0] ?? '';
  assert.match(recipe, /knip/);
  assert.doesNotMatch(recipe, /audit|npm/);
});

test('make psql hands the URL of the database and ARGS to psql, and says so where there is no psql', async () => {
  using here = machine('new');
  const bare = { ...here.env, PATH: toolsOnly(here) };
  const without = await run('make', ['psql'], { cwd: here.checkout, env: bare });
  assert.equal(without.code, 2);
  assert.match(without.err, /^millrace: psql is not installed .*database-url/);
  const psql = `${mkdir(here.checkout, 'client')}/psql`;
  script(psql, `#!/bin/sh\nprintf '<%s>' "$@"\n`);
  const env = { ...here.env, PATH: `${join(here.checkout, 'client')}:${here.env['PATH']}` };
  const { out } = await run('make', ['-s', 'psql', `ARGS=-c 'select 1'`], { cwd: here.checkout, env });
  assert.equal(out, '<{"args":["database-url","--start"],"leaked":[]}><-c><select 1>');
});

test('make psql keeps the password out of the arguments, which everybody on the machine can read', async () => {
  using here = machine('new');
  const client = mkdir(here.checkout, 'client');
  script(join(client, 'psql'), `#!/bin/sh\nprintf '<%s>' "$PGPASSWORD" "$@"\n`);
  const env = { ...here.env, PATH: `${client}:${here.env['PATH']}` };
  for (const [url, printed] of [
    ['postgresql://ann:p%20w%3A@localhost:5/d?x=1:2@3', '<p w:><postgresql://ann@localhost:5/d?x=1:2@3>'],
    ['postgresql://ann@localhost/d', '<><postgresql://ann@localhost/d>'],
  ] as const) {
    writeFileSync(join(here.checkout, 'src/main.ts'), `console.log('${url}');`);
    const { out, err } = await run('make', ['-s', 'psql'], { cwd: here.checkout, env });
    assert.equal(out, printed, err);
  }
});

test('make clean leaves data alone', async () => {
  using here = machine('old');
  await make(here, 'run');
  mkdir(here.checkout, 'data/postgres');
  await make(here, 'clean');
  const left = ['.toolchain', 'node_modules', 'data/postgres', 'src'].filter((name) =>
    existsSync(join(here.checkout, name)),
  );
  assert.deepEqual(left, ['data/postgres', 'src']);
});

for (const failing of ['check', 'test', 'neither']) {
  test(`.ci/run calls make check and make test with no standard input, and ${failing} of them fails`, async () => {
    using folder = temporaryFolder();
    const bin = mkdir(folder.path, 'bin');
    cpSync(join(ROOT, '.ci/run'), join(mkdir(folder.path, '.ci'), 'run'));
    script(
      join(bin, 'make'),
      `#!/bin/sh\nread -r line && echo "read: $line"\necho "make $*"\n[ "$1" != ${failing} ]\n`,
    );
    const { code, out } = await run(join(folder.path, '.ci/run'), [], {
      cwd: '/',
      env: { PATH: `${bin}:/usr/bin:/bin`, CI: 'true' },
    });
    assert.equal(out, 'make check\nmake test\n');
    assert.equal(code, failing === 'neither' ? 0 : 1);
  });
}
