// Real PostgreSQL for tests: a server of the test file's own, with a fresh database per test. Not the configured one,
// ever, and not the product's way of starting one (src/sink/postgres/embedded.ts), which is under test itself.
//
//   const server = await startTestServer();
//   after(() => server.stop());
//   const database = await server.createDatabase();
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { canReach, handOver, serverAccount } from '../../src/sink/postgres/embedded/account.ts';
import type { Account } from '../../src/sink/postgres/embedded/account.ts';
import { usableBinaries } from '../../src/sink/postgres/embedded/binaries.ts';
import { SUPERUSER, makeCluster, readPassword } from '../../src/sink/postgres/embedded/cluster.ts';
import { isAlive, thisProcess, waitUntilGone } from '../../src/sink/postgres/embedded/process.ts';
import type { ProcessMark } from '../../src/sink/postgres/embedded/process.ts';
import { endServer, launchServer, livingServer } from '../../src/sink/postgres/embedded/server.ts';
import type { RunningServer } from '../../src/sink/postgres/embedded/server.ts';

export interface TestServerOptions {
  /** Server settings, e.g. `{ max_connections: '20' }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** With fsync and everything else that a real server does; only for tests that need it. */
  readonly durable?: boolean;
}

export interface TestDatabase {
  readonly name: string;
  /** Through the Unix socket; complete, with the password. */
  readonly client: pg.ClientConfig;
  /** Through TCP on the loopback. */
  readonly url: string;
  /** Our environment for a child process, with DATABASE_URL naming this database and no PG* variable. */
  readonly env: NodeJS.ProcessEnv;
}

export interface TestServer {
  /** Stays the same over crash and start. */
  readonly port: number;
  /** The postmaster's process id. */
  readonly pid: number;
  readonly cluster: string;
  readonly logFile: string;
  /** A fresh, empty database. */
  createDatabase(): Promise<TestDatabase>;
  /** The handle of a database by name; does not make it. */
  database(name: string): TestDatabase;
  /** kill -9 of the postmaster and all its children, as a power cut would. */
  crash(): Promise<void>;
  /** Starts it again after `crash` or `end`, on the same port. */
  start(): Promise<void>;
  /** An orderly end that keeps the data: SIGTERM smart, SIGINT fast, SIGQUIT immediate. */
  end(signal?: 'SIGTERM' | 'SIGINT' | 'SIGQUIT'): Promise<void>;
  /** A streaming replica of it, which answers queries. End it first. */
  startStandby(): Promise<TestServer>;
  /** Ends it and removes everything. */
  stop(): Promise<void>;
}

/** A commit still reaches the kernel before it is acknowledged: it survives kill -9, as it must in the fault tests. */
const FAST = { fsync: 'off', full_page_writes: 'off' } as const;
/** A small machine runs several test files at once. */
const SMALL = { shared_buffers: '64MB', max_wal_size: '512MB', autovacuum_naptime: '10s' } as const;

/** Starts a server of its own: about 0.2 s, since the cluster is a copy of a template made once per machine. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const account = serverAccount('/nonexistent');
  const root = rootFolder(account);
  removeOrphans(root);
  const binaries = usableBinaries(account, root);
  const template = await templateFolder(root, account, binaries);
  const { home, socketFolder } = makeHome(root, account);
  // `cp -p` keeps the owner, which PostgreSQL insists on; 70 ms against 250 ms for fs.cp.
  execFileSync('cp', ['-Rp', join(template, 'cluster'), join(template, 'password'), home]);
  const settings = { ...SMALL, ...(options.durable === true ? {} : FAST), ...options.settings };
  const spec = {
    binaries,
    account,
    cluster: join(home, 'cluster'),
    socketFolder,
    logFile: join(home, 'log'),
    settings,
  };
  return new RunningTestServer(home, spec, await launchServer(spec));
}

/** A folder for a server of this process; whoever finds it when the process is gone removes it. */
function makeHome(root: string, account: Account): { home: string; socketFolder: string } {
  const home = join(root, `server-${process.pid}-${randomBytes(3).toString('hex')}`);
  makeOpenFolder(home);
  writeFileSync(join(home, 'owner.json'), JSON.stringify(thisProcess()));
  const socketFolder = join(home, 's');
  mkdirSync(socketFolder, { mode: 0o700 });
  handOver(socketFolder, account);
  return { home, socketFolder };
}

class RunningTestServer implements TestServer {
  readonly #home: string;
  readonly #spec: Parameters<typeof launchServer>[0];
  readonly #onExit = () => this.#killNow();
  #running: RunningServer;
  /** Ended by us: its process id may be somebody else's by now, and must not be signalled. */
  #down = false;
  #databases = 0;

  constructor(home: string, spec: Parameters<typeof launchServer>[0], running: RunningServer) {
    this.#home = home;
    this.#spec = spec;
    this.#running = running;
    process.once('exit', this.#onExit);
  }

  get port(): number {
    return this.#running.port;
  }

  get pid(): number {
    return this.#running.pid;
  }

  get cluster(): string {
    return this.#spec.cluster;
  }

  get logFile(): string {
    return this.#spec.logFile;
  }

  async createDatabase(): Promise<TestDatabase> {
    const name = `test_${++this.#databases}_${randomBytes(3).toString('hex')}`;
    await this.#administer((admin) => admin.query(`CREATE DATABASE ${name}`));
    return this.database(name);
  }

  /** By hand, as the npm package brings no pg_basebackup: the data folder is copied between the start and the end of a backup. */
  async startStandby(): Promise<TestServer> {
    const { account, settings } = this.#spec;
    const { home, socketFolder } = makeHome(dirname(this.#home), account);
    const cluster = join(home, 'cluster');
    const label = await this.#administer(async (admin) => {
      await admin.query("SELECT pg_backup_start('standby', true)");
      execFileSync('cp', ['-Rp', this.cluster, cluster]);
      const { rows } = await admin.query<{ labelfile: string }>(
        'SELECT labelfile FROM pg_backup_stop(false)',
      );
      return rows[0]?.labelfile ?? '';
    });
    rmSync(join(cluster, 'postmaster.pid'));
    for (const [name, text] of Object.entries({ backup_label: label, 'standby.signal': '' })) {
      writeFileSync(join(cluster, name), text);
      handOver(join(cluster, name), account);
    }
    execFileSync('cp', ['-p', join(this.#home, 'password'), home]);
    const password = readPassword(join(this.#home, 'password'));
    const primary = `host=${this.#spec.socketFolder} port=${this.port} user=${SUPERUSER} password=${password}`;
    const own = { cluster, socketFolder, logFile: join(home, 'log') };
    const spec = { ...this.#spec, ...own, settings: { ...settings, primary_conninfo: primary } };
    return new RunningTestServer(home, spec, await launchServer(spec));
  }

  async #administer<T>(work: (admin: pg.Client) => Promise<T>): Promise<T> {
    const admin = new pg.Client(this.database('postgres').client);
    await admin.connect();
    try {
      return await work(admin);
    } finally {
      await admin.end();
    }
  }

  database(name: string): TestDatabase {
    const password = readPassword(join(this.#home, 'password'));
    const url = `postgresql://${SUPERUSER}:${password}@127.0.0.1:${this.port}/${name}`;
    const host = this.#spec.socketFolder;
    const client = { host, port: this.port, user: SUPERUSER, password, database: name, ssl: false };
    return { name, client, url, env: { ...environmentWithoutDatabase(), DATABASE_URL: url } };
  }

  async crash(): Promise<void> {
    const pids = this.#down ? [] : killTree(this.pid);
    this.#down = true;
    for (const pid of pids) await waitUntilGone(pid, 10_000);
  }

  async start(): Promise<void> {
    const { port } = this;
    this.#running = await launchServer({ ...this.#spec, preferredPort: port });
    this.#down = false;
    if (this.port !== port)
      throw new Error(`port ${port} was taken by somebody else while the test server was down`);
  }

  async end(signal: 'SIGTERM' | 'SIGINT' | 'SIGQUIT' = 'SIGINT'): Promise<void> {
    if (!this.#down) await endServer(this.pid, 30_000, signal);
    this.#down = true;
  }

  async stop(): Promise<void> {
    process.removeListener('exit', this.#onExit);
    await this.crash();
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  }

  #killNow(): void {
    if (!this.#down) killTree(this.pid);
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  }
}

/** Our environment without anything that names a database, so that a test's child cannot find the user's. */
export function environmentWithoutDatabase(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => name !== 'DATABASE_URL' && !name.startsWith('PG'),
  );
  return Object.fromEntries(kept);
}

/** Kills a postmaster and its children at once, and names them; stopped first, so that it neither notices nor forks. */
export function killTree(postmaster: number): number[] {
  if (!kill(postmaster, 'SIGSTOP')) return [];
  const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  const rows = table
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  const children = rows.flatMap(([pid, parent]) => (parent === postmaster && pid !== undefined ? [pid] : []));
  const family = [postmaster, ...children];
  for (const pid of family) kill(pid, 'SIGKILL');
  return family;
}

function kill(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** One folder per user and machine; /tmp when the account cannot reach the usual temporary folder. */
function rootFolder(account: Account): string {
  for (const parent of [tmpdir(), '/tmp']) {
    const root = join(parent, `millrace-test-${process.getuid?.() ?? 0}`);
    makeOpenFolder(root);
    // 88 bytes are left for a socket's folder (see embedded/place.ts), 25 of them are ours.
    if (canReach(account, [root]) && Buffer.byteLength(root) <= 60) return root;
  }
  throw new Error('no temporary folder that the server can reach, with a short path');
}

function makeOpenFolder(path: string): void {
  mkdirSync(path, { recursive: true });
  chmodSync(path, process.getuid?.() === 0 ? 0o755 : 0o700);
}

/** A cluster and its password, made by the first test file that comes, per version and account. */
async function templateFolder(
  root: string,
  account: Account,
  binaries: ReturnType<typeof usableBinaries>,
): Promise<string> {
  const template = join(root, `template-${binaries.version}-${account.uid}`);
  if (existsSync(template)) return template;
  const making = `${template}.making-${randomBytes(3).toString('hex')}`;
  makeOpenFolder(making);
  const cluster = join(making, 'cluster');
  const passwordFile = join(making, 'password');
  await makeCluster({ binaries, account, cluster, passwordFile, extraArguments: ['--no-sync'] });
  try {
    renameSync(making, template);
  } catch (error) {
    rmSync(making, { recursive: true, force: true });
    if (!existsSync(template)) throw error; // else another test file was quicker
  }
  return template;
}

/** Ends and removes the servers of test processes that died without their exit handler. */
function removeOrphans(root: string): void {
  for (const name of readdirSync(root)) {
    if (!name.startsWith('server-')) continue;
    const home = join(root, name);
    const owner = ownerOf(home);
    if (owner === undefined || isAlive(owner)) continue;
    const running = livingServer(join(home, 'cluster'));
    if (running !== undefined) killTree(running.pid);
    rmSync(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  }
}

/** Undefined for a folder that is being made, or removed, at this moment. */
function ownerOf(home: string): ProcessMark | undefined {
  try {
    return JSON.parse(readFileSync(join(home, 'owner.json'), 'utf8')) as ProcessMark;
  } catch {
    return undefined;
  }
}
