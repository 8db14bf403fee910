// The database that the environment names: DATABASE_URL, or PGHOST and its companions. Read here to the last word, so that nothing is
// left for `pg` to find by itself. Not for the embedded server, nor for opening connections: see target.ts.

import { userInfo } from 'node:os';
import type pg from 'pg';
import { MillraceError } from '../../errors.ts';
import { loginsOf } from './logins.ts';
import type { Login } from './logins.ts';
import { tlsOf } from './tls.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ConfiguredDatabase {
  readonly client: pg.ClientConfig;
  /** For people: never holds a password. */
  readonly describe: string;
  /** How the server may ask for the password. */
  readonly logins: readonly Login[];
}

/** Parameters of the URL that mean something here. Others of libpq change nothing, unless they are about TLS: those are refused. */
const TLS_PARAMETERS = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey'] as const;

/**
 * The configured database, or undefined when there is none. PGPASSWORD alone configures nothing. Reads no file but certificates.
 * @throws {MillraceError} `usage`
 */
export function configuredDatabase(env: Environment): ConfiguredDatabase | undefined {
  if (env['DATABASE_URL']) return databaseOfUrl(env['DATABASE_URL'], env);
  if (env['PGHOST']) return databaseOfVariables(env);
  return undefined;
}

function databaseOfUrl(text: string, env: Environment): ConfiguredDatabase {
  const url = parseUrl(text);
  if (url.protocol !== 'postgres:' && url.protocol !== 'postgresql:')
    throw badUrl('must begin with postgresql:// or postgres://');
  const said = (name: string): string | undefined => url.searchParams.get(name) ?? undefined;
  refuseForeignTls(url);
  const written =
    url.host === '___DUMMY___' ? '' : decodeURIComponent(url.hostname).replace(/^\[(.+)\]$/, '$1');
  const socket = said('host');
  const host = socket || written || env['PGHOST'] || 'localhost';
  const user = said('user') || decodeURIComponent(url.username) || env['PGUSER'] || userInfo().username;
  const password = said('password') || decodeURIComponent(url.password) || env['PGPASSWORD'];
  const options = said('options');
  const client = {
    host,
    port: portOf(said('port') || url.port || env['PGPORT'], 'DATABASE_URL'),
    user,
    database: decodeURIComponent(url.pathname.slice(1)) || env['PGDATABASE'] || user,
    ...(password && { password }),
    ...(options && { options }),
    ssl: tlsOf(
      host,
      Object.fromEntries(TLS_PARAMETERS.map((name) => [name, said(name) ?? env[`PG${name.toUpperCase()}`]])),
      'DATABASE_URL',
    ),
    enableChannelBinding: true,
  };
  const shown = url.username === '' ? '' : `${url.username}@`;
  const place = socket === undefined ? url.host.replace('___DUMMY___', '') : '';
  const query = socket === undefined ? '' : `?host=${socket}`;
  return {
    client,
    describe: `postgresql://${shown}${place}${url.pathname}${query}`,
    logins: loginsOf(said('require_auth') ?? env['PGREQUIREAUTH'], 'DATABASE_URL'),
  };
}

/** `sslcrl` and the like, or a misspelled word: better to stop than to be less safe than was asked for. */
function refuseForeignTls(url: URL): void {
  for (const name of url.searchParams.keys()) {
    if (!/^(?:ssl|uselibpqcompat)/i.test(name) || (TLS_PARAMETERS as readonly string[]).includes(name))
      continue;
    throw badUrl(`has a parameter ${name}, which means nothing here; known are ${TLS_PARAMETERS.join(', ')}`);
  }
}

/** The parser's own error is not kept as a cause: it holds the whole text, password included. */
function parseUrl(text: string): URL {
  const parsed = URL.parse(text) ?? URL.parse(text.replace('@/', '@___DUMMY___/'));
  if (parsed === null) throw badUrl('is not a URL like postgresql://user:password@host:5432/database');
  try {
    for (const part of [parsed.username, parsed.password, parsed.hostname, parsed.pathname])
      decodeURIComponent(part);
  } catch {
    throw badUrl('has a % that is not followed by two hexadecimal digits; write %25 for a percent sign');
  }
  return parsed;
}

function badUrl(fault: string): MillraceError {
  return new MillraceError('usage', `DATABASE_URL: ${fault}`, {
    wayOut: 'special characters in the password must be percent-encoded, and only one host can be named',
  });
}

function databaseOfVariables(env: Environment): ConfiguredDatabase {
  const host = env['PGHOST'] ?? '';
  const port = portOf(env['PGPORT'], 'PGPORT');
  const user = env['PGUSER'] || userInfo().username;
  const database = env['PGDATABASE'] || user;
  const password = env['PGPASSWORD'] ? { password: env['PGPASSWORD'] } : {};
  const place = host.startsWith('/') ? `/${database}?host=${host}` : `${host}:${port}/${database}`;
  const words = TLS_PARAMETERS.map((name) => [name, env[`PG${name.toUpperCase()}`]]);
  return {
    client: {
      host,
      port,
      user,
      database,
      ...password,
      ssl: tlsOf(host, Object.fromEntries(words), 'the PG* variables'),
      enableChannelBinding: true,
    },
    describe: `postgresql://${encodeURIComponent(user)}@${place}`,
    logins: loginsOf(env['PGREQUIREAUTH'], 'PGREQUIREAUTH'),
  };
}

function portOf(said: string | undefined, origin: string): number {
  const port = said || '5432';
  if (/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535) return Number(port);
  throw new MillraceError('usage', `${origin}: must be a port from 1 to 65535, got ${port}`);
}
