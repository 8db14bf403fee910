// Whose account the server runs under. PostgreSQL refuses root, so as root another existing user must own its data and
// be able to reach them. Not for roles inside the database.
import { execFileSync, spawnSync } from 'node:child_process';
import { chownSync, statSync } from 'node:fs';
import { MillraceError } from '../../../errors.ts';

export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** True when this program is root and must hand files and processes over to the account. */
  readonly switched: boolean;
}

/** In this order: a machine with PostgreSQL has the first, every Unix has the second. */
const CANDIDATES = ['postgres', 'nobody'] as const;

/**
 * The account for the server. An existing cluster decides by its owner: PostgreSQL accepts no other,
 * and a `postgres` user may have appeared since the cluster was made by `nobody`.
 */
export function serverAccount(cluster: string): Account {
  const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  refuseForeign(cluster);
  if (self.uid !== 0) return { ...self, switched: false };
  const owner = statSync(cluster, { throwIfNoEntry: false });
  if (owner !== undefined) return { uid: owner.uid, gid: owner.gid, switched: true };
  return accountForRoot();
}

/** @throws {MillraceError} `embedded` when the cluster exists, is another account's, and this program is not root */
export function refuseForeign(cluster: string): void {
  const self = process.getuid?.() ?? 0;
  const owner = self === 0 ? undefined : statSync(cluster, { throwIfNoEntry: false })?.uid;
  if (owner === undefined || owner === self) return;
  throw new MillraceError(
    'embedded',
    `${cluster} belongs to user id ${owner}, and this program runs as ${self}`,
    {
      wayOut: 'run as root or as that user, or use another data folder',
    },
  );
}

/** What `spawn` needs to run a program under the account. */
export function spawnAs(account: Account): { uid?: number; gid?: number } {
  return account.switched ? { uid: account.uid, gid: account.gid } : {};
}

export function handOver(path: string, account: Account): void {
  if (account.switched) chownSync(path, account.uid, account.gid);
}

/** Really tries, as the account: mode bits alone do not tell of ACLs and mount options. */
export function canReach(account: Account, paths: readonly string[]): boolean {
  if (!account.switched) return true;
  const script = 'for p; do test -r "$p" && test -x "$p" || exit 1; done';
  const options = { cwd: '/', stdio: 'ignore', ...spawnAs(account) } as const;
  return spawnSync('/bin/sh', ['-c', script, 'sh', ...paths], options).status === 0;
}

function accountForRoot(): Account {
  for (const name of CANDIDATES) {
    const uid = idOf('-u', name);
    const gid = idOf('-g', name);
    if (uid !== undefined && gid !== undefined && uid !== 0) return { uid, gid, switched: true };
  }
  throw new MillraceError(
    'embedded',
    'PostgreSQL refuses to run as root, and there is no user postgres or nobody',
    {
      wayOut: 'run as an ordinary user, or set DATABASE_URL',
    },
  );
}

function idOf(flag: '-u' | '-g', name: string): number | undefined {
  try {
    return Number(
      execFileSync('id', [flag, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
    );
  } catch {
    return undefined; // `id` ends with 1 when there is no such user
  }
}
