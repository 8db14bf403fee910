// Makes a cluster (PostgreSQL's word for a data folder) with initdb, so that it is there whole or not at all.
// Not for starting it.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { MillraceError } from '../../../errors.ts';
import { handOver, spawnAs } from './account.ts';
import type { Account } from './account.ts';
import type { Binaries } from './binaries.ts';

export const SUPERUSER = 'postgres';

export interface ClusterSpec {
  readonly binaries: Binaries;
  readonly account: Account;
  /** Absolute path of the cluster; its parent exists and the account can enter it. */
  readonly cluster: string;
  /** Holds the superuser's password; made here when absent. */
  readonly passwordFile: string;
  readonly extraArguments?: readonly string[];
}

/**
 * C.UTF-8 of the builtin provider: the same order and case rules on every machine and after every update of the
 * operating system (libc and ICU change theirs, which corrupts text indexes), at the price of byte order in ORDER BY.
 */
const INITDB_ARGUMENTS = [
  `--username=${SUPERUSER}`,
  '--auth=scram-sha-256',
  '--encoding=UTF8',
  '--locale=C',
  '--locale-provider=builtin',
  '--builtin-locale=C.UTF-8',
  '--no-instructions',
] as const;

/**
 * Runs initdb in a folder of a temporary name and renames it when all is done: an interrupted one leaves only a
 * `*.making-*` folder, which the next call removes. A cluster that exists is never touched.
 */
export async function makeCluster(spec: ClusterSpec): Promise<void> {
  removeUnfinished(spec.cluster);
  makePassword(spec.passwordFile, spec.account);
  const making = `${spec.cluster}.making-${randomBytes(4).toString('hex')}`;
  mkdirSync(making, { mode: 0o700 });
  handOver(making, spec.account);
  await runInitdb(spec, making);
  // Relative to the cluster's own folder, so that a checkout can be moved.
  appendFileSync(join(making, 'postgresql.conf'), "\ninclude_if_exists '../millrace.conf'\n");
  renameSync(making, spec.cluster);
}

/** @throws {MillraceError} `embedded` when the file is gone: nothing else holds the password. */
export function readPassword(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new MillraceError(
      'embedded',
      `the password of the embedded PostgreSQL cannot be read from ${path}`,
      {
        wayOut: `bring that file back, or move ${dirname(path)} away to begin with an empty database`,
        cause,
      },
    );
  }
}

/** Random, in a file that only the server's account and root can read; one of an interrupted start is used again. */
function makePassword(path: string, account: Account): void {
  if (existsSync(path)) return;
  const making = `${path}.making`;
  rmSync(making, { force: true });
  writeFileSync(making, randomBytes(24).toString('base64url'), { flag: 'wx', mode: 0o600 });
  handOver(making, account);
  renameSync(making, path);
}

function removeUnfinished(cluster: string): void {
  const prefix = `${basename(cluster)}.making-`;
  for (const name of readdirSync(dirname(cluster))) {
    if (!name.startsWith(prefix)) continue;
    // An initdb whose parent was killed may still be writing: what is left then goes at the next start.
    rmSync(join(dirname(cluster), name), { recursive: true, force: true, maxRetries: 3 });
  }
}

async function runInitdb(spec: ClusterSpec, folder: string): Promise<void> {
  const fixed = ['-D', folder, `--pwfile=${spec.passwordFile}`, ...INITDB_ARGUMENTS];
  const child = spawn(spec.binaries.initdb, [...fixed, ...(spec.extraArguments ?? [])], {
    cwd: '/',
    env: serverEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    ...spawnAs(spec.account),
  });
  const output: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => output.push(text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => output.push(text));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.once('error', (cause) => reject(initdbFailed(folder, cause.message, cause)));
  child.once('close', (code, signal) => {
    if (code === 0) resolve();
    else reject(initdbFailed(folder, `${output.join('').trim()} (${signal ?? `exit ${code}`})`));
  });
  await promise;
}

function initdbFailed(folder: string, detail: string, cause?: unknown): MillraceError {
  const wayOut =
    'mend what it names (disk space, permissions), or set DATABASE_URL to a PostgreSQL of your own';
  return new MillraceError('embedded', `initdb could not make ${folder}: ${detail}`, { wayOut, cause });
}

/** The server gets none of our environment: no secret of ours, and no PG* variable that would steer it. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
}
