// Where the embedded server's things lie, and what must be remembered of it between programs. Starts nothing.
//
//   <data>/postgres/        server.json (the state below), lock; and, unless the server's account cannot reach it:
//     cluster/              PostgreSQL's data folder
//     password              of the superuser, 0600
//     millrace.conf         settings, written at every start
//     server.log            what the server says
//     socket/               its Unix socket, 0700; elsewhere when this path is too long
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { MillraceError } from '../../../errors.ts';
import { makeFolders } from '../../../folders.ts';
import { canReach, handOver } from './account.ts';
import type { Account } from './account.ts';
import type { ProcessMark } from './process.ts';

/** What one program leaves for the next. Port and process of a running server are read from postmaster.pid instead. */
export interface ServerState {
  /** Set when the server's things lie outside the data folder; absolute. */
  readonly away: string | null;
  /** The last port, used again when free. */
  readonly port: number | null;
  readonly socketFolder: string | null;
  /** Who started it; null when its starter ended and left it to whoever still uses it. */
  readonly starter: ProcessMark | null;
  /** Left running on purpose. */
  readonly kept: boolean;
}

export interface Place {
  readonly folder: string;
  readonly stateFile: string;
  readonly lockFile: string;
  readonly home: string;
  readonly cluster: string;
  readonly passwordFile: string;
  readonly settingsFile: string;
  readonly logFile: string;
}

const NOTHING_KNOWN: ServerState = { away: null, port: null, socketFolder: null, starter: null, kept: false };

/** A socket's path ends at 103 bytes on macOS (107 on Linux), and `/.s.PGSQL.65535` takes 15 of them. */
const SOCKET_FOLDER_BYTES_MAX = 88;

/** Outside the home folders, and kept over a reboot. */
const AWAY_PARENT = '/var/tmp';

export function placeOf(dataFolder: string, state: ServerState): Place {
  const folder = resolve(dataFolder, 'postgres');
  const home = state.away ?? folder;
  return {
    folder,
    stateFile: join(folder, 'server.json'),
    lockFile: join(folder, 'lock'),
    home,
    cluster: join(home, 'cluster'),
    passwordFile: join(home, 'password'),
    settingsFile: join(home, 'millrace.conf'),
    logFile: join(home, 'server.log'),
  };
}

export function readState(dataFolder: string): ServerState {
  const { stateFile } = placeOf(dataFolder, NOTHING_KNOWN);
  try {
    return { ...NOTHING_KNOWN, ...(JSON.parse(readFileSync(stateFile, 'utf8')) as Partial<ServerState>) };
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return NOTHING_KNOWN;
    throw new MillraceError('embedded', `${stateFile} cannot be read: ${(cause as Error).message}`, {
      wayOut: 'mend or remove that file',
      cause,
    });
  }
}

/** Under the lock only. Renamed into place: a reader sees the old state or the new one. */
export function writeState(place: Place, state: ServerState): void {
  const making = `${place.stateFile}.${randomBytes(4).toString('hex')}`;
  writeFileSync(making, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o644 });
  renameSync(making, place.stateFile);
}

/** Makes `<data>/postgres`. As root it must be open for the server's account to pass through, whatever the umask. */
export function makeFolder(place: Place): void {
  if (statSync(place.folder, { throwIfNoEntry: false }) !== undefined) return;
  const made = makeFolders(dirname(place.folder));
  if (made !== undefined && process.getuid?.() === 0) letThrough(made, dirname(place.folder));
  mkdirSync(place.folder, { recursive: true, mode: 0o700 }); // `recursive` for the race with another starter
  if (process.getuid?.() === 0) chmodSync(place.folder, 0o755);
}

/** The server's account passes through the folders that were just made, from the topmost down; it cannot list them. */
function letThrough(top: string, bottom: string): void {
  for (let folder = bottom; folder.length >= top.length; folder = dirname(folder)) chmodSync(folder, 0o711);
}

/** A home that the account can reach: the data folder, else one under /var/tmp named after the data folder's path. */
export function chooseAway(place: Place, account: Account, say: (line: string) => void): string | null {
  if (canReach(account, [place.folder])) return null;
  if (statSync(place.cluster, { throwIfNoEntry: false }) !== undefined) {
    throw new MillraceError(
      'embedded',
      `user id ${account.uid}, who owns ${place.cluster}, cannot enter it any more`,
      {
        wayOut: `allow passing through the folders above it (chmod o+x), or set DATABASE_URL`,
      },
    );
  }
  const hash = createHash('sha256').update(realpathSync(place.folder)).digest('hex').slice(0, 16);
  const away = join(AWAY_PARENT, `millrace-${hash}`);
  mkdirSync(away, { recursive: true, mode: 0o755 });
  const stat = lstatSync(away);
  if (!stat.isDirectory() || stat.uid !== 0) {
    throw new MillraceError('embedded', `${away} is not a folder of root`, { wayOut: 'remove it' });
  }
  chmodSync(away, 0o755);
  say(
    `PostgreSQL refuses root, and user id ${account.uid} cannot enter ${place.folder}: its files go to ${away}`,
  );
  return away;
}

/** A folder for the socket, made and handed over; the former one when it is still good. */
export function makeSocketFolder(place: Place, former: string | null, account: Account): string {
  const near = join(place.home, 'socket');
  if (Buffer.byteLength(near) <= SOCKET_FOLDER_BYTES_MAX) {
    mkdirSync(near, { recursive: true, mode: 0o700 });
    handOver(near, account);
    return near;
  }
  const known = former === null ? undefined : lstatSync(former, { throwIfNoEntry: false });
  if (former !== null && known?.isDirectory() === true && known.uid === account.uid) return former;
  const made = mkdtempSync('/tmp/millrace-socket-'); // mode 0700; not the TMPDIR, which is long on macOS
  handOver(made, account);
  return made;
}

/** Removes a socket folder that lies in the temporary folder; one under the home stays. */
export function removeSocketFolder(place: Place, socketFolder: string | null): void {
  if (socketFolder === null || socketFolder === join(place.home, 'socket')) return;
  rmSync(socketFolder, { recursive: true, force: true });
}
