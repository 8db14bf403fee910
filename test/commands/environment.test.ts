// Secrets in files, and variables that packages would obey: what is read, what is refused, what is taken out, what is told.

import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { withSecrets } from '../../src/commands/environment.ts';
import { pinEnvironment, tellingVariables } from '../../src/commands/pins.ts';
import { MillraceError } from '../../src/errors.ts';
import { secretsOf } from '../../src/telemetry/redact.ts';

const folder = mkdtempSync(join(tmpdir(), 'millrace-env-'));
after(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function secretFile(text: string, mode = 0o600): string {
  const path = join(folder, `secret-${(files += 1)}`);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

test('DATABASE_URL_FILE and PGPASSWORD_FILE give the content of a file without its line end', () => {
  const url = 'postgresql://ann:planted-one@localhost/shop';
  const found = withSecrets({ DATABASE_URL_FILE: secretFile(`${url}\n`), OTHER: 'x' });
  assert.deepEqual([found['DATABASE_URL'], found['OTHER']], [url, 'x']);
  assert.deepEqual(secretsOf(found), ['planted-one']);
  const link = join(folder, 'link');
  symlinkSync(secretFile(' planted two \r\n', 0o400), link);
  const password = withSecrets({ PGHOST: 'localhost', PGPASSWORD_FILE: link });
  assert.equal(password['PGPASSWORD'], ' planted two ');
});

test('a secret file that others have rights on is refused, with its mode', () => {
  for (const mode of [0o640, 0o604, 0o620, 0o644, 0o666])
    for (const name of ['DATABASE_URL_FILE', 'PGPASSWORD_FILE', 'PGPASSFILE']) {
      const env = {
        [name]: secretFile('*:*:*:*:planted', mode),
        ...(name !== 'DATABASE_URL_FILE' && { PGHOST: 'h' }),
      };
      assert.throws(
        () => withSecrets(env),
        (error: unknown) => {
          assert.ok(error instanceof MillraceError && error.code === 'usage');
          assert.match(error.message, new RegExp(`^${name}: others .* \\(mode 0${mode.toString(8)}\\)$`));
          assert.match(error.wayOut ?? '', /^chmod 600 /);
          assert.doesNotMatch(error.message, /planted/);
          return true;
        },
      );
    }
});

test('a secret file that is not there, empty, a folder, or given twice is refused with a sentence', () => {
  const cases: readonly (readonly [Record<string, string>, RegExp])[] = [
    [{ PGPASSWORD_FILE: join(folder, 'none') }, /PGPASSWORD_FILE: .* cannot be read \(ENOENT\)/],
    [{ PGPASSWORD_FILE: folder }, /is not a file/],
    [{ PGPASSWORD_FILE: secretFile('\n') }, /is empty/],
    [{ PGPASSWORD_FILE: secretFile('x'), PGPASSWORD: 'y' }, /only one of them/],
    [{ PGPASSFILE: '/dev/zero', PGHOST: 'h' }, /PGPASSFILE: \/dev\/zero is not a file/],
  ];
  for (const [env, why] of cases) assert.throws(() => withSecrets(env), why);
});

test('PGPASSFILE gives the password of the first line that fits, for a URL as well', () => {
  const file = secretFile(
    [
      '# localhost:5432:shop:ann:comment',
      'localhost:5433:shop:ann:other port',
      'localhost:5432:shop:bob:other user',
      String.raw`localhost:*:sh\:op:ann:escaped \\ \: and : plain`,
      'localhost:5432:shop:ann:',
      'localhost:5432:*:ann:first',
      '*:*:*:*:last',
    ].join('\r\n'),
  );
  const cases = {
    'postgresql://ann@localhost/shop': 'first',
    'postgresql://ann@/shop?host=/run/pg': 'first',
    'postgresql://ann@localhost/sh%3Aop': String.raw`escaped \ : and : plain`,
    'postgresql://bob@localhost/shop': 'other user',
    'postgresql://ann@[::1]/shop': 'last',
  };
  for (const [DATABASE_URL, password] of Object.entries(cases))
    assert.equal(withSecrets({ DATABASE_URL, PGPASSFILE: file })['PGPASSWORD'], password, DATABASE_URL);
  assert.equal(withSecrets({ PGHOST: 'h', PGUSER: 'u', PGPASSFILE: file })['PGPASSWORD'], 'last');
  const given = 'postgresql://ann:given@localhost/shop';
  assert.equal(withSecrets({ DATABASE_URL: given, PGPASSFILE: file })['PGPASSWORD'], undefined);
  assert.deepEqual(
    withSecrets({ PGPASSFILE: '/nonexistent' }),
    { PGPASSFILE: '/nonexistent' },
    'no database, no secret',
  );
});

test('variables that chokidar and pg would obey are taken out, and the time zone is UTC', () => {
  const env: NodeJS.ProcessEnv = {
    CHOKIDAR_USEPOLLING: '1',
    CHOKIDAR_INTERVAL: '9',
    NODE_PG_FORCE_NATIVE: '1',
    TZ: 'Asia/Tokyo',
    HOME: '/h',
  };
  pinEnvironment(env);
  assert.deepEqual(env, { TZ: 'UTC', HOME: '/h' });
});

test('variables that change Node.js or the connection are told by name, never by value', () => {
  const env = {
    PGHOST: 'planted',
    NODE_OPTIONS: '--planted',
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
    PGPORT: '',
    PGP: 'x',
    LANG: 'C',
  };
  assert.equal(
    tellingVariables(env),
    'set in the environment: NODE_OPTIONS, NODE_TLS_REJECT_UNAUTHORIZED, PGHOST, PGP',
  );
  assert.equal(tellingVariables({ HOME: '/h' }), null);
});
