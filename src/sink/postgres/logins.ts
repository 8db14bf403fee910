// How a server may ask for the password. By default only with SCRAM, which proves the password without showing it and lets the server prove
// that it knows it too. A server that asks for it in clear or as MD5 gets nothing, unless a person allows that in libpq's words.

import type pg from 'pg';
import { MillraceError } from '../../errors.ts';

/** As in libpq's `require_auth`. A server that asks for no password at all is always taken. */
const LOGINS = ['scram-sha-256', 'md5', 'password', 'none'] as const;
export type Login = (typeof LOGINS)[number];

/** Messages of the protocol that ask for what somebody could use later. */
const ASKED_BY: Readonly<Record<string, Login>> = {
  authenticationCleartextPassword: 'password',
  authenticationMD5Password: 'md5',
};

/** Throws MillraceError 'usage'. */
export function loginsOf(said: string | undefined, origin: string): readonly Login[] {
  if (said === undefined || said === '') return ['scram-sha-256'];
  return said.split(',').map((word) => {
    const login = LOGINS.find((known) => known === word.trim());
    if (login !== undefined) return login;
    throw new MillraceError(
      'usage',
      `${origin}: require_auth must be a list of ${LOGINS.join(', ')}, got ${said}`,
    );
  });
}

/**
 * Watches over a client that is about to connect; the returned function says what was refused. The connection is cut before the driver
 * answers: its own listeners come later.
 */
export function guardLogin(client: pg.Client, allowed: readonly Login[]): () => MillraceError | null {
  let refused: MillraceError | null = null;
  for (const [message, login] of Object.entries(ASKED_BY)) {
    if (allowed.includes(login)) continue;
    client.connection.prependListener(message, () => {
      refused ??= refusal(login, allowed);
      client.connection.stream.destroy();
    });
  }
  return () => refused;
}

function refusal(login: Login, allowed: readonly Login[]): MillraceError {
  const how = login === 'password' ? 'in clear text' : 'as an MD5 hash';
  return new MillraceError('database', `the server asks for the password ${how}, and was not given it`, {
    wayOut: `let the server use scram-sha-256, or allow this one with PGREQUIREAUTH=${[...allowed, login].join(',')}`,
  });
}
