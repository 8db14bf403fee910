// Starts and ends the `postgres` program on a cluster, and reads what it writes about itself. Knows nothing of where
// things lie, of locks, or of who may stop it.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync, readSync, unlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MillraceError } from '../../../errors.ts';
import { spawnAs } from './account.ts';
import type { Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { serverEnvironment } from './cluster.ts';
import { birthOf, programOf, waitUntilGone } from './process.ts';

export interface ServerSpec {
  readonly binaries: Binaries;
  readonly account: Account;
  readonly cluster: string;
  /** Owned by the account, mode 0700, and short: a socket's whole path may have 103 bytes on macOS, 107 on Linux. */
  readonly socketFolder: string;
  readonly logFile: string;
  /** Used again when it is free, so that a URL that somebody noted stays good. */
  readonly preferredPort?: number | undefined;
  /** More settings for the command line. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** What a running server says of itself in postmaster.pid. */
export interface RunningServer {
  readonly pid: number;
  readonly port: number;
  readonly socketFolder: string;
  /** `starting`, `stopping`, `ready` or `standby`. */
  readonly status: string;
}

/** After kill -9 of a server its successor finds the shared memory in use for up to 1.5 s. */
const STALE_MS_MAX = 8_000;
const ATTEMPTS_MIN = 3;

/** Starts the server, detached from our terminal and our life, and waits until it accepts connections. */
export async function launchServer(
  spec: ServerSpec,
  say: (line: string) => void = () => {},
): Promise<RunningServer> {
  const end = performance.now() + STALE_MS_MAX;
  for (let attempt = 1; ; attempt++) {
    removeForeignPidFile(spec.cluster);
    const wasStale = readPidFile(spec.cluster) !== undefined;
    const outcome = await launchOnce(spec, wasStale || attempt === 1 ? spec.preferredPort : undefined, say);
    if (typeof outcome !== 'string') return outcome;
    // A lost race for the port is mended by another port, what a killed server left behind by waiting.
    const again = attempt < ATTEMPTS_MIN || (wasStale && performance.now() < end);
    if (!again) throw startFailed(spec, outcome);
    await sleep(100);
  }
}

/**
 * Asks the server to end (fast: sessions are cut, a checkpoint is written) and waits for it.
 * False when it is still at it at the deadline; it then goes on by itself.
 */
export async function endServer(
  pid: number,
  deadlineMs: number,
  signal: NodeJS.Signals = 'SIGINT',
): Promise<boolean> {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
  return waitUntilGone(pid, deadlineMs);
}

/** The server's own notes, or undefined when it was ended properly or never ran. The process may be dead. */
function readPidFile(cluster: string): RunningServer | undefined {
  let lines: string[];
  try {
    lines = readFileSync(join(cluster, 'postmaster.pid'), 'utf8').split('\n');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  // pid, data folder, start time, port, first socket folder, first address, shared memory, status (PostgreSQL, pidfile.h)
  const [pid = '', , , port = '', socketFolder = '', , , status = ''] = lines.map((line) => line.trim());
  return { pid: Math.abs(Number(pid)), port: Number(port), socketFolder, status };
}

/** The server of this cluster if its process lives; a foreign process that got its number does not count. */
export function livingServer(cluster: string): RunningServer | undefined {
  const noted = readPidFile(cluster);
  return noted !== undefined && isPostgres(noted.pid) ? noted : undefined;
}

function isPostgres(pid: number): boolean {
  if (!(pid > 0) || birthOf(pid) === undefined) return false;
  const program = programOf(pid);
  return program === undefined || program.includes('postgres');
}

/**
 * After a reboot the noted number may belong to somebody's editor, and PostgreSQL would refuse to start until that
 * ends. The check of the shared memory, which guards against surviving backends, does not need the file.
 */
function removeForeignPidFile(cluster: string): void {
  const noted = readPidFile(cluster);
  if (noted === undefined || isPostgres(noted.pid)) return;
  if (noted.pid > 0 && birthOf(noted.pid) === undefined) return; // PostgreSQL itself deals with a dead one
  unlinkSync(join(cluster, 'postmaster.pid'));
}

/** The running server, or the end of its log when it ended before it was ready. */
async function launchOnce(
  spec: ServerSpec,
  preferredPort: number | undefined,
  say: (line: string) => void,
): Promise<RunningServer | string> {
  const port = await freePort(preferredPort);
  const log = openSync(spec.logFile, 'a+', 0o600);
  try {
    const logStart = fstatSync(log).size;
    const child = spawn(spec.binaries.postgres, serverArguments(spec, port), {
      cwd: '/',
      env: serverEnvironment(),
      detached: true, // a session of its own: Ctrl-C on our terminal is not for it
      stdio: ['ignore', log, log],
      ...spawnAs(spec.account),
    });
    child.unref();
    const running = await waitUntilReady(child, spec.cluster, say);
    return running ?? readFrom(log, logStart);
  } finally {
    closeSync(log);
  }
}

function serverArguments(spec: ServerSpec, port: number): string[] {
  const settings = {
    ...spec.settings,
    listen_addresses: '127.0.0.1',
    port: String(port),
    // A list of folders: quoted, since the name may hold a comma or a blank.
    unix_socket_directories: `"${spec.socketFolder.replaceAll('"', '""')}"`,
  };
  return [
    '-D',
    spec.cluster,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
}

async function waitUntilReady(
  child: ChildProcess,
  cluster: string,
  say: (line: string) => void,
): Promise<RunningServer | undefined> {
  let ended = false;
  let failure: Error | undefined;
  child.once('exit', () => (ended = true));
  child.once('error', (error) => (failure = error));
  const patience = performance.now() + 3_000;
  let told = false;
  while (!ended) {
    if (failure !== undefined)
      throw new MillraceError('embedded', `cannot start PostgreSQL: ${failure.message}`, { cause: failure });
    const noted = readPidFile(cluster);
    if (noted?.pid === child.pid && noted?.status === 'ready') return noted;
    if (!told && performance.now() > patience) {
      told = true;
      say('PostgreSQL is recovering what was not yet in its files; this can take a minute');
    }
    await sleep(4);
  }
  return undefined;
}

/** A free port on the loopback; another program may take it before the server does, so starting is tried again. */
async function freePort(preferred: number | undefined): Promise<number> {
  return (preferred === undefined ? undefined : await tryPort(preferred)) ?? (await tryPort(0)) ?? 0;
}

async function tryPort(port: number): Promise<number | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
  const probe = createServer();
  probe.once('error', (error: NodeJS.ErrnoException) => (port === 0 ? reject(error) : resolve(undefined)));
  probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
    const bound = (probe.address() as AddressInfo).port;
    probe.close(() => resolve(bound));
  });
  return promise;
}

function readFrom(descriptor: number, start: number): string {
  const bytes = Buffer.alloc(8192);
  const size = fstatSync(descriptor).size;
  const read = readSync(descriptor, bytes, 0, bytes.length, Math.max(start, size - bytes.length));
  return bytes.toString('utf8', 0, read).trim();
}

function startFailed(spec: ServerSpec, log: string): MillraceError {
  const lines = log.split('\n').slice(-5).join('; ');
  return new MillraceError(
    'embedded',
    `PostgreSQL does not start on ${spec.cluster}: ${lines || 'it says nothing'}`,
    {
      wayOut: `read ${spec.logFile}, or set DATABASE_URL to a PostgreSQL of your own`,
    },
  );
}
