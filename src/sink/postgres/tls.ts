// Whether a connection is encrypted, and what the other side must prove: from `sslmode` and its companions, in the words of libpq, to what
// `pg` takes. Without a word, a server on another machine must show a certificate for its name. Not for who logs in: see logins.ts.

import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { getCACertificates } from 'node:tls';
import type pg from 'pg';
import { MillraceError } from '../../errors.ts';

/** `require` checks as much as `verify-full`: encryption to somebody unknown protects from nobody who can step in between. */
const SSL_MODES = ['disable', 'no-verify', 'require', 'verify-ca', 'verify-full'] as const;
type SslMode = (typeof SSL_MODES)[number];

/** What a person said about TLS; empty: nothing. Names as in a URL. */
export interface TlsWords {
  readonly sslmode?: string | undefined;
  /** A file of certificates in PEM, or `system`. */
  readonly sslrootcert?: string | undefined;
  readonly sslcert?: string | undefined;
  readonly sslkey?: string | undefined;
}

/** These fall back to plain text, or ask for nothing, without saying so. */
const UNSAFE_MODES: readonly string[] = ['prefer', 'allow'];

/**
 * For `new pg.Client({ ssl })`: never undefined, since pg would ask PGSSLMODE then. Reads the files that are named.
 * `origin` is what to mend: DATABASE_URL, or the PG* variables. Throws MillraceError 'usage'.
 */
export function tlsOf(host: string, words: TlsWords, origin: string): NonNullable<pg.ClientConfig['ssl']> {
  const mode = modeOf(host, words.sslmode, origin);
  if (isSocket(host) || mode === 'disable') return false;
  const named = {
    ...(words.sslrootcert && { ca: rootsOf(words.sslrootcert, origin) }),
    ...(words.sslcert && { cert: readPem(words.sslcert, 'sslcert', origin) }),
    ...(words.sslkey && { key: readPem(words.sslkey, 'sslkey', origin) }),
  };
  const common = { ...named, minVersion: 'TLSv1.2' } as const;
  // Said aloud, since NODE_TLS_REJECT_UNAUTHORIZED=0 changes only the default.
  if (mode === 'no-verify') return { ...common, rejectUnauthorized: false };
  if (mode === 'verify-ca')
    return { ...common, rejectUnauthorized: true, checkServerIdentity: () => undefined };
  return { ...common, rejectUnauthorized: true };
}

/** A socket, or this machine: nobody can step in between. */
export function isLocal(host: string): boolean {
  const bare = host.toLowerCase();
  if (isSocket(bare) || bare === 'localhost' || bare.endsWith('.localhost')) return true;
  if (isIP(bare) === 6) return /^(?:0*:)*0*1$/.test(bare) || bare.startsWith('::ffff:127.');
  return isIP(bare) === 4 && bare.startsWith('127.');
}

function isSocket(host: string): boolean {
  return host === '' || host.startsWith('/');
}

function modeOf(host: string, said: string | undefined, origin: string): SslMode {
  if (said === undefined || said === '') return isLocal(host) ? 'disable' : 'verify-full';
  const mode = SSL_MODES.find((known) => known === said);
  if (mode !== undefined) return mode;
  const why = UNSAFE_MODES.includes(said)
    ? `does not take sslmode ${said}, which goes on in plain text when the server, or somebody in between, offers no TLS`
    : `has an unknown sslmode; known are ${SSL_MODES.join(', ')}`;
  throw new MillraceError('usage', `${origin}: ${why}`, {
    wayOut:
      'without sslmode, a server on another machine must show a certificate for its name; sslmode=disable must be said',
  });
}

function rootsOf(file: string, origin: string): string | string[] {
  return file === 'system' ? getCACertificates('system') : readPem(file, 'sslrootcert', origin);
}

function readPem(file: string, what: string, origin: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new MillraceError('usage', `${origin}: ${what} ${file} cannot be read (${code})`, {
      wayOut: 'name a PEM file that this user may read',
      cause,
    });
  }
  if (text.includes('-----BEGIN ')) return text;
  throw new MillraceError('usage', `${origin}: ${what} ${file} is not a PEM file`, {
    wayOut: 'it must hold a block that begins with -----BEGIN',
  });
}
