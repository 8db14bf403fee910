// The PostgreSQL that Millrace brings along: made on first use, started when it is not running, found again when a
// killed program left it behind, ended by the last program that uses it. The steps are in embedded/; the order and the
// rules of who may end it are here. Not for configured databases.
import { chmodSync, existsSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { MillraceError } from '../../errors.ts';
import { refuseForeign, serverAccount } from './embedded/account.ts';
import type { Account } from './embedded/account.ts';
import { usableBinaries } from './embedded/binaries.ts';
import { SUPERUSER, makeCluster, readPassword } from './embedded/cluster.ts';
import { EMBEDDED_DATABASE, makeDatabase, othersAreConnected, tryDatabase } from './embedded/database.ts';
import { withLock } from './embedded/lock.ts';
import {
  chooseAway,
  makeFolder,
  makeSocketFolder,
  placeOf,
  readState,
  removeSocketFolder,
  writeState,
} from './embedded/place.ts';
import type { Place, ServerState } from './embedded/place.ts';
import { isAlive, thisProcess } from './embedded/process.ts';
import { endServer, launchServer, livingServer } from './embedded/server.ts';
import type { RunningServer } from './embedded/server.ts';
import { settingsText } from './embedded/settings.ts';

export interface EmbeddedOptions {
  /** Normally `data`; the server lives in `postgres` under it. */
  readonly dataFolder: string;
  /** Leave it running when this program ends. */
  readonly keep: boolean;
  /** Told what takes long or is unusual, one line each. */
  readonly say?: (line: string) => void;
}

/** How to reach a running embedded server. Both hold the password. */
export interface EmbeddedServer {
  /** For our own connections: through the Unix socket, at 0.6 of the round trip of TCP. */
  readonly client: pg.ClientConfig;
  /** For any other client: TCP on the loopback. */
  readonly url: string;
}

/** A checkpoint of 256 MB of dirty pages on a slow disk; a server that needs longer ends by itself. */
const END_MS_MAX = 8_000;
const COMING_UP_MS_MAX = 120_000;
const LOG_BYTES_MAX = 8 * 2 ** 20;

/**
 * The running server of this data folder, started (and made) when there is none. Two programs may call this at the same
 * moment: one starts it, the other waits and uses it.
 * @throws {MillraceError} `embedded`
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<EmbeddedServer> {
  const { dataFolder, keep } = options;
  const state = readState(dataFolder);
  if (state.kept || !keep) {
    const found = await reach(dataFolder, 'at once');
    if (found !== undefined) return found;
  }
  return inPlaceOf(dataFolder, async () => {
    makeFolder(placeOf(dataFolder, state));
    return locked(options, async () => {
      const found = await reach(dataFolder, 'wait');
      if (found === undefined) return start(options);
      if (keep)
        writeState(placeOf(dataFolder, readState(dataFolder)), { ...readState(dataFolder), kept: true });
      return found;
    });
  });
}

/** The running server of this data folder, or undefined; starts nothing. */
export async function findEmbedded(dataFolder: string): Promise<EmbeddedServer | undefined> {
  return reach(dataFolder, 'wait');
}

/**
 * Ends the server when this program may: it is not kept, its starter is this program or is dead, and nobody else is
 * connected. Otherwise the next program that closes it asks the same questions.
 */
export async function closeEmbedded(options: EmbeddedOptions): Promise<void> {
  const { dataFolder } = options;
  if (!mayEnd(readState(dataFolder))) return;
  await locked(options, async () => {
    const state = readState(dataFolder);
    const place = placeOf(dataFolder, state);
    const running = livingServer(place.cluster);
    if (running === undefined || !mayEnd(state)) return;
    if (await othersAreConnected(clientOf(place, running))) writeState(place, { ...state, starter: null });
    else await end(place, state, running);
  });
}

/** Ends the server whoever started it; false when it was not running. */
export async function stopEmbedded(options: EmbeddedOptions): Promise<boolean> {
  const { dataFolder } = options;
  const place = placeOf(dataFolder, readState(dataFolder));
  refuseForeign(place.cluster);
  if (livingServer(place.cluster) === undefined) return false;
  return locked(options, async () => {
    const running = livingServer(place.cluster);
    if (running === undefined) return false;
    await end(place, readState(dataFolder), running);
    return true;
  });
}

function locked<T>(options: EmbeddedOptions, work: () => Promise<T>): Promise<T> {
  const { lockFile, folder } = placeOf(options.dataFolder, readState(options.dataFolder));
  const whenWaiting = (holder: number) =>
    options.say?.(`waiting for process ${holder}, which is starting or ending the PostgreSQL in ${folder}`);
  return withLock(lockFile, work, whenWaiting);
}

function mayEnd(state: ServerState): boolean {
  if (state.kept) return false;
  const { starter } = state;
  return starter === null || !isAlive(starter) || starter.pid === process.pid;
}

/** Makes what is missing and starts the server. Under the lock; the server is known not to run. */
async function start(options: EmbeddedOptions): Promise<EmbeddedServer> {
  const { dataFolder, keep, say = () => {} } = options;
  const former = readState(dataFolder);
  const account = serverAccount(placeOf(dataFolder, former).cluster);
  const state = { ...former, away: homeAway(options, former, account), starter: thisProcess(), kept: keep };
  const place = placeOf(dataFolder, state);
  const binaries = usableBinaries(account, place.home, say);
  if (!existsSync(place.cluster)) {
    say(`making a PostgreSQL ${binaries.version.split('.')[0]} in ${place.home} (first start only)`);
    await makeCluster({ binaries, account, cluster: place.cluster, passwordFile: place.passwordFile });
  }
  writeFileSync(place.settingsFile, settingsText());
  chmodSync(place.settingsFile, 0o644); // whatever the umask, the server's account must read it
  trimLog(place.logFile);
  const socketFolder = makeSocketFolder(place, former.socketFolder, account);
  // Written before the start: killed in between, the next program finds a server whose starter is dead.
  writeState(place, { ...state, socketFolder });
  const preferredPort = former.port ?? undefined;
  const running = await launchServer(
    { binaries, account, cluster: place.cluster, socketFolder, logFile: place.logFile, preferredPort },
    say,
  );
  writeState(place, { ...state, socketFolder, port: running.port });
  await makeDatabase(clientOf(place, running));
  return serverOf(place, running);
}

/** Where the home lies, if not in the data folder (see `ServerState.away`). */
function homeAway(options: EmbeddedOptions, former: ServerState, account: Account): string | null {
  const { dataFolder, say = () => {} } = options;
  if (former.away !== null) {
    if (existsSync(placeOf(dataFolder, former).cluster)) return former.away;
    // /var/tmp was cleaned. A new, empty database is right, since its books went with it; but not silently.
    say(`the PostgreSQL in ${former.away} is gone; a new, empty one is made`);
  }
  return chooseAway(placeOf(dataFolder, { ...former, away: null }), account, say);
}

/**
 * The server if it runs and knows our password (SCRAM proves that to both sides, so it is really ours).
 * A server that is starting, recovering or ending is waited for when `patience` says so.
 */
async function reach(dataFolder: string, patience: 'at once' | 'wait'): Promise<EmbeddedServer | undefined> {
  const place = placeOf(dataFolder, readState(dataFolder));
  refuseForeign(place.cluster);
  const deadline = performance.now() + COMING_UP_MS_MAX;
  for (;;) {
    const running = livingServer(place.cluster);
    if (running === undefined) return undefined;
    try {
      await (patience === 'at once' ? tryDatabase : makeDatabase)(clientOf(place, running));
      return serverOf(place, running);
    } catch (cause) {
      if (patience === 'at once') return undefined;
      if (!isComingUp(cause) || performance.now() > deadline) throw unreachable(place, running, cause);
    }
    await sleep(20);
  }
}

/** 57P03 is a server that starts, recovers or ends; without an SQLSTATE it does not listen yet, or hung up. */
function isComingUp(error: unknown): boolean {
  return (
    !(error instanceof MillraceError) && (!(error instanceof pg.DatabaseError) || error.code === '57P03')
  );
}

async function end(place: Place, state: ServerState, running: RunningServer): Promise<void> {
  const ended = await endServer(running.pid, END_MS_MAX);
  if (ended) removeSocketFolder(place, state.socketFolder);
  const socketFolder = ended ? null : state.socketFolder;
  writeState(place, { ...state, starter: null, kept: false, socketFolder });
}

function clientOf(place: Place, running: RunningServer): pg.ClientConfig {
  const socket = `${running.socketFolder}/.s.PGSQL.${running.port}`;
  return {
    // Somebody's tidying of /tmp may have taken the socket of a running server.
    host: running.socketFolder !== '' && existsSync(socket) ? running.socketFolder : '127.0.0.1',
    port: running.port,
    user: SUPERUSER,
    password: readPassword(place.passwordFile),
    database: EMBEDDED_DATABASE,
    ssl: false, // whatever PGSSLMODE says: it is meant for another server
  };
}

function serverOf(place: Place, running: RunningServer): EmbeddedServer {
  const client = clientOf(place, running);
  const url = `postgresql://${SUPERUSER}:${client.password as string}@127.0.0.1:${running.port}/${EMBEDDED_DATABASE}`;
  return { client, url };
}

/** One old log is kept; the server says little, but a full disk by a log would be a shame. */
function trimLog(logFile: string): void {
  const size = statSync(logFile, { throwIfNoEntry: false })?.size ?? 0;
  if (size > LOG_BYTES_MAX) renameSync(logFile, `${logFile}.1`);
}

/** What the file system refuses is the user's to mend, not a bug of ours. */
async function inPlaceOf<T>(dataFolder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const { code, syscall, path } = cause as NodeJS.ErrnoException;
    if (cause instanceof MillraceError || syscall === undefined || code === undefined) throw cause;
    const message = `the PostgreSQL in ${placeOf(dataFolder, readState(dataFolder)).folder} cannot be prepared: `;
    throw new MillraceError('embedded', `${message}${code} at ${syscall} ${path ?? ''}`.trim(), {
      wayOut: 'mend permissions or disk space, use another data folder, or set DATABASE_URL',
      cause,
    });
  }
}

function unreachable(place: Place, running: RunningServer, cause: unknown): MillraceError {
  const message = `the PostgreSQL in ${place.home} runs as process ${running.pid} but cannot be used`;
  return new MillraceError('embedded', `${message}: ${(cause as Error).message}`, {
    wayOut: `read ${place.logFile}; ending that process lets Millrace start it anew`,
    cause,
  });
}
