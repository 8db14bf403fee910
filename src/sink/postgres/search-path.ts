// Where PostgreSQL looks for names that are not qualified. Not for who may make what where: see roles.ts.
//
// Our own statements see the server's catalog and nothing else: functions and operators are chosen by how well their arguments fit, over
// the whole path, so that `=` for varchar or `unnest(bigint[])` in a schema that others may write to (public, up to PostgreSQL 14) would
// be taken instead of the server's, and run with our rights. Statements that write to the user's table see the path that the database or
// the role has: functions of the user's triggers, defaults and constraints may rest on it. Those statements call nothing that fits loosely.

import type pg from 'pg';

/** For a session, and for what comes after `THEIR_PATH` in a transaction. */
export const OUR_PATH = 'pg_catalog, pg_temp';

/** To be sent in a transaction, and to be followed by `SET_OUR_PATH` before anything but a write to the user's table. */
export const SET_THEIR_PATH = 'SET LOCAL search_path TO DEFAULT';
export const SET_OUR_PATH = `SET LOCAL search_path = ${OUR_PATH}`;

/** Deferred constraints and triggers of the user's table act now, in their path; nothing of the user's runs after that. */
export const SETTLE_THEIRS = `${SET_THEIR_PATH}; SET CONSTRAINTS ALL IMMEDIATE; ${SET_OUR_PATH}`;

/** Runs `work`, which writes to the user's table, in the path of the user's triggers. In a transaction, which must end if it throws. */
export async function inTheirPath<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query(SET_THEIR_PATH);
  const result = await work();
  await client.query(SETTLE_THEIRS);
  return result;
}
