// What a report must name so that its numbers mean something: the machine, the versions, the settings that matter, the commit.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, tmpdir, totalmem, type } from 'node:os';
import { fileURLToPath } from 'node:url';
import pg from 'pg';

import type { Server } from './scratch.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  /** Of the folder with the files, and of the server's data where it tells; e.g. "ext4". */
  readonly fileSystems: { readonly files: string; readonly database: string };
  readonly node: string;
  readonly postgres: string;
  readonly server: string;
  /** Settings of the server that move these numbers, as SHOW prints them. */
  readonly settings: Readonly<Record<string, string>>;
  readonly commit: string;
  readonly dirty: boolean | null;
  /** Processes that were running when the benchmark began, averaged over a minute: above 0.5 the numbers are in doubt. */
  readonly loadBefore: number;
}

const SETTINGS = [
  'shared_buffers',
  'max_wal_size',
  'checkpoint_timeout',
  'wal_compression',
  'wal_level',
  'wal_buffers',
  'fsync',
  'full_page_writes',
  'synchronous_commit',
  'wal_sync_method',
  'data_checksums',
  'maintenance_work_mem',
  'work_mem',
  'autovacuum',
  'io_method',
  'jit',
  'huge_pages_status',
] as const;

export async function describeMachine(server: Server, loadBefore: number): Promise<Machine> {
  const client = new pg.Client(server.client);
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string; value: string }>(
      'SELECT name, current_setting(name, true) AS value FROM pg_settings WHERE name = ANY($1) ORDER BY name',
      [[...SETTINGS, 'server_version']],
    );
    const shown = new Map(rows.map(({ name, value }) => [name, value]));
    const data = await dataFolder(client);
    return {
      processor: cpus()[0]?.model ?? 'unknown processor',
      cores: availableParallelism(),
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      kernel: `${type()} ${release()}`,
      fileSystems: {
        files: fileSystemOf(tmpdir()),
        database: data === null ? 'unknown' : fileSystemOf(data),
      },
      node: process.version,
      postgres: shown.get('server_version') ?? 'unknown',
      server: server.describe,
      settings: Object.fromEntries(SETTINGS.flatMap((name) => pairOf(shown, name))),
      ...checkout(),
      loadBefore,
    };
  } finally {
    await client.end();
  }
}

function pairOf(shown: ReadonlyMap<string, string>, name: string): [string, string][] {
  const value = shown.get(name);
  return value === undefined ? [] : [[name, value]];
}

/** Null when the user may not see it. */
async function dataFolder(client: pg.Client): Promise<string | null> {
  const { rows } = await client.query<{ value: string | null }>(
    "SELECT setting AS value FROM pg_settings WHERE name = 'data_directory'",
  );
  return rows[0]?.value ?? null;
}

/** The type of the mount that holds a path; Linux only. */
function fileSystemOf(path: string): string {
  const mounts = readIfThere('/proc/self/mounts')
    .split('\n')
    .map((line) => line.split(' '));
  const holding = mounts
    .filter(([, at = '-']) => path === at || path.startsWith(at === '/' ? '/' : `${at}/`))
    .toSorted(([, left = ''], [, right = '']) => right.length - left.length);
  return holding[0]?.[2] ?? 'unknown';
}

function checkout(): { commit: string; dirty: boolean | null } {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    return { commit: git('rev-parse', '--short=12', 'HEAD'), dirty: git('status', '--porcelain') !== '' };
  } catch {
    return { commit: 'unknown', dirty: null }; // an unpacked archive, or no git here
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // not Linux
  }
}
