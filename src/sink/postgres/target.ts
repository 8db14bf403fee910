// Which database Millrace writes to, and how each of its connections is opened: the configured one (DATABASE_URL or
// PGHOST), else the embedded server. Not for what is sent over a connection, nor for when to try again.
import { setImmediate } from 'node:timers/promises';
import pg from 'pg';
import { MillraceError, policyOf } from '../../errors.ts';
import { configuredDatabase } from './configured.ts';
import type { Environment } from './configured.ts';
import { closeEmbedded, openEmbedded } from './embedded.ts';
import type { EmbeddedOptions } from './embedded.ts';
import { guardLogin } from './logins.ts';
import type { Login } from './logins.ts';
import { OUR_PATH } from './search-path.ts';

export interface DatabaseTarget {
  readonly kind: 'configured' | 'embedded';
  /** Complete, for `new pg.Client(config)`; holds the password. Changes when an embedded server had to be started again. */
  readonly client: pg.ClientConfig;
  /** For people: never holds a password. */
  readonly describe: string;
  /** How the server may ask for the password; SCRAM when nothing is said. */
  readonly logins?: readonly Login[];
  /** Embedded only: starts the server again if it is gone. `connect` calls it. */
  readonly revive?: () => Promise<void>;
}

/** `close` ends an embedded server if this program may (see `closeEmbedded`); close all connections before. */
export interface ResolvedTarget extends DatabaseTarget {
  close(): Promise<void>;
}

const CONNECT_MS_MAX = 10_000;
const SERVER_VERSION_MIN = 140_000;
const LOGINS_DEFAULT: readonly Login[] = ['scram-sha-256'];

/** It runs on our own processors: reached over a Unix socket or the loopback. */
export function sharesMachine({ client: { host = '' } }: DatabaseTarget): boolean {
  return host.startsWith('/') || /^(localhost|127(\.\d+){3}|::1)$/i.test(host);
}

/**
 * What every connection is set to; users' own defaults for their database must not stall or cut a load.
 */
const SESSION_SETTINGS: Readonly<Record<string, string>> = {
  application_name: 'millrace',
  TimeZone: 'UTC',
  DateStyle: 'ISO', // what pg parses
  statement_timeout: '0',
  lock_timeout: '0',
  // A lane waits for nothing but the server inside a transaction: a minute idle is a dead program's.
  idle_in_transaction_session_timeout: '60s',
  // A vanished client is noticed after 25 s; nothing else ends a COPY that waits for it.
  tcp_keepalives_idle: '10',
  tcp_keepalives_interval: '5',
  tcp_keepalives_count: '3',
  tcp_user_timeout: '25s',
};

/** Time-outs that are turned off where the server has them, by the version that brought them. */
const TIMEOUT_SINCE = { idle_session_timeout: 140_000, transaction_timeout: 170_000 } as const;

/**
 * Decides for a database and makes sure an embedded one runs. A configured one is not contacted here.
 * @throws {MillraceError} `usage` for a malformed DATABASE_URL, before any I/O; `embedded`
 */
export async function resolveTarget(
  env: Environment,
  dataFolder: string,
  options: { keepDatabase: boolean; say?: (line: string) => void },
): Promise<ResolvedTarget> {
  const configured = configuredDatabase(env);
  if (configured !== undefined) return { kind: 'configured', ...configured, close: async () => {} };
  return embeddedTarget({ dataFolder, keep: options.keepDatabase, ...(options.say && { say: options.say }) });
}

/**
 * Opens a connection with the session settings, within 10 s unless told otherwise. Its 'error' event has a listener: a terminated backend
 * shows in the next query instead of ending the process. An embedded server that is gone is started again once.
 * @throws the error of pg or of the network as it is (`connectPolicy` judges it); `database` when the server is too old
 */
export async function connect(target: DatabaseTarget, connectMsMax = CONNECT_MS_MAX): Promise<pg.Client> {
  try {
    return await connectOnce(target, connectMsMax);
  } catch (error) {
    if (target.revive === undefined || connectPolicy(error) !== 'wait') throw error;
    await target.revive();
    return connectOnce(target, connectMsMax);
  }
}

/** Whether a failure of `connect` may pass by itself (`wait`: server away or starting) or a person must mend it. */
export function connectPolicy(error: unknown): 'wait' | 'stop' {
  if (error instanceof MillraceError) return 'stop';
  if (error instanceof pg.DatabaseError && error.code !== undefined) {
    return policyOf({ sqlstate: error.code }, 'connect') === 'wait' ? 'wait' : 'stop';
  }
  // Network failures carry the name of the system's error (ECONNREFUSED, ENOTFOUND, ...), TLS ones longer names, and
  // pg's own (no password given, the server has no TLS) none at all.
  const { code, syscall } = error as NodeJS.ErrnoException;
  return syscall !== undefined || code === 'ETIMEDOUT' || code === 'ECONNRESET' ? 'wait' : 'stop';
}

/** The sentence for a failure of `connect` that stops the program. */
export function connectFailed(target: DatabaseTarget, cause: unknown): MillraceError {
  if (cause instanceof MillraceError) return cause;
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new MillraceError('database', `cannot use ${target.describe}: ${detail}`, {
    wayOut: wayOutOf(target, cause),
    cause,
  });
}

function wayOutOf({ kind, client }: DatabaseTarget, cause: unknown): string {
  if (kind === 'embedded') return 'read its server.log';
  const check = 'check DATABASE_URL or the PG* variables, and the server';
  if (!client.ssl || cause instanceof pg.DatabaseError) return check;
  return `${check}: it must show a certificate for its name (sslrootcert names a private authority); plain text must be said with sslmode=disable`;
}

type Ended = 'no' | 'by the server' | 'by the clock';

async function connectOnce(target: DatabaseTarget, connectMsMax: number): Promise<pg.Client> {
  const client = new pg.Client(target.client);
  const refusedLogin = guardLogin(client, target.logins ?? LOGINS_DEFAULT);
  let ended: Ended = 'no';
  const noteEnd = (): void => void (ended = ended === 'no' ? 'by the server' : ended);
  client.on('end', noteEnd);
  // Every loss of the connection also rejects the query under way or the next one, which is where it is handled. After a FATAL message
  // without a query pg takes no further one, while the socket may stay open for long (a server that dies slowly): it is of no use.
  client.on('error', () => {
    noteEnd(); // 'end' may come too late for the query that is refused now
    destroy(client);
  });
  const timer = setTimeout(() => {
    ended = 'by the clock';
    destroy(client);
  }, connectMsMax);
  try {
    await client.connect();
    await applySessionSettings(client);
    return client;
  } catch (error) {
    await setImmediate(); // 'end' comes a tick after the rejection
    destroy(client);
    throw refusedLogin() ?? nameLoss(error, ended, connectMsMax);
  } finally {
    clearTimeout(timer);
  }
}

/** pg gives a lost connection no code ("Connection terminated unexpectedly"): name it, so that no text need be read. */
function nameLoss(error: unknown, ended: Ended, connectMsMax: number): unknown {
  if (ended === 'by the clock') {
    return Object.assign(new Error(`no answer within ${connectMsMax} ms`, { cause: error }), {
      code: 'ETIMEDOUT',
    });
  }
  const nameless = error instanceof Error && !('code' in error && error.code !== undefined);
  return ended === 'by the server' && nameless ? Object.assign(error, { code: 'ECONNRESET' }) : error;
}

function destroy(client: pg.Client): void {
  client.connection.stream.destroy();
}

/** One round trip, in one transaction of the server's making. Time-outs that younger servers brought are set where known. */
async function applySessionSettings(client: pg.Client): Promise<void> {
  const version = "pg_catalog.current_setting('server_version_num')::int";
  const sets = [
    `SET search_path = ${OUR_PATH}`,
    ...Object.entries(SESSION_SETTINGS).map(([name, value]) => `SET ${name} = '${value}'`),
  ];
  const younger = Object.entries(TIMEOUT_SINCE).map(
    ([name, since]) => `SELECT pg_catalog.set_config('${name}', '0', false) WHERE ${version} >= ${since}`,
  );
  const text = [...sets, ...younger, `SELECT ${version} AS version`].join('; ');
  // Several statements in one message give a list of results, which pg's types do not know.
  const results = (await client.query(text)) as unknown as pg.QueryResult<{ version: number }>[];
  const found = results.at(-1)?.rows[0]?.version ?? 0;
  if (found >= SERVER_VERSION_MIN) return;
  throw new MillraceError(
    'database',
    `the server is PostgreSQL ${Math.floor(found / 10_000)}, and 14 is the oldest that works`,
    {
      wayOut: 'use a PostgreSQL from 14 to 18, or none: Millrace brings its own',
    },
  );
}

async function embeddedTarget(options: EmbeddedOptions): Promise<ResolvedTarget> {
  let { client } = await openEmbedded(options);
  return {
    kind: 'embedded',
    get client() {
      return client;
    },
    describe: `the embedded PostgreSQL in ${options.dataFolder}/postgres`,
    revive: async () => {
      ({ client } = await openEmbedded(options));
    },
    close: () => closeEmbedded(options),
  };
}
