// What can go wrong between Millrace and its database, as types: the failure table (errors.ts) rests on these fields and on
// nothing else. Not for what is done about it: that is write.ts.

import { setImmediate } from 'node:timers/promises';
import pg from 'pg';
import type { DatabaseFault, Policy, Step } from '../../errors.ts';
import { MillraceError, policyOf } from '../../errors.ts';
import { connectPolicy } from './target.ts';

/** SQLSTATE that stands for a connection that is gone (class 08). */
const LOST = '08006';
const READ_ONLY = '25006';

/** A detail may quote a whole row; the record itself stands beside these words. */
const WORDS_MAX = 500;

/** A statement failed, or the connection was lost while it ran. `cause` is the error of pg. */
export class StepFault extends Error {
  readonly step: Step;
  readonly fault: DatabaseFault;
  /** The database's own words about one row, for the quarantine table only: they hold values. */
  readonly words: string;
  /** Column that the database names, if any. */
  readonly column: string | null;

  constructor(step: Step, fault: DatabaseFault, cause: Error) {
    super(`${fault.sqlstate} in step ${step}: ${cause.message}`, { cause });
    this.name = 'StepFault';
    this.step = step;
    this.fault = fault;
    const detail = cause instanceof pg.DatabaseError ? cause.detail : undefined;
    this.words = cutShort(detail === undefined ? cause.message : `${cause.message}: ${detail}`);
    this.column = cause instanceof pg.DatabaseError ? (cause.column ?? null) : null;
  }
}

function cutShort(text: string): string {
  return text.length <= WORDS_MAX ? text : `${text.slice(0, WORDS_MAX).toWellFormed()}...`;
}

/** What the engine believes no longer holds; only a restart in process mends it. */
export class RestartNeeded extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'RestartNeeded';
  }
}

/** Runs one step; its failures come out as StepFault. Whatever is neither the server's nor the network's passes as it is: a bug. */
export async function during<T>(step: Step, client: pg.Client, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw await faultOf(step, client, error);
  }
}

/** The failure of a connection attempt: StepFault when it may pass, or the error itself when a person must mend something. */
export function connectFault(error: unknown): unknown {
  if (connectPolicy(error) === 'stop' || !(error instanceof Error)) return error;
  return new StepFault('connect', databaseFault(error), error);
}

/** Connections that have ended, as pg told. A terminated backend shows here before its socket is closed. */
const ended = new WeakSet<pg.Client>();

/** To be called once for every connection that `during` is used on: pg names a lost connection nowhere else. */
export function watchForLoss(client: pg.Client): void {
  for (const event of ['error', 'end'] as const) client.on(event, () => ended.add(client));
}

/** A server that cannot write yet: a standby before its promotion. */
export function standbyFault(describe: string): StepFault {
  return new StepFault('connect', { sqlstate: READ_ONLY }, new Error(`${describe} is a read-only standby`));
}

export function policyFor(fault: StepFault): Policy {
  return policyOf(fault.fault, fault.step);
}

/** The sentence for a failure that stops the engine. */
export function stopped(fault: StepFault, describe: string): MillraceError {
  const { sqlstate, schema, table } = fault.fault;
  const where = table === undefined ? '' : ` (table ${schema ?? '?'}.${table})`;
  const cause = fault.cause as Error;
  return new MillraceError(
    'database',
    `${describe} refuses the ${fault.step} step with ${sqlstate}: ${cause.message}${where}`,
    {
      wayOut: wayOutOf(sqlstate),
      cause,
    },
  );
}

function wayOutOf(sqlstate: string): string {
  if (sqlstate === '42501')
    return 'grant the missing right to the user of the connection, then start again; "millrace roles" prints all that its roles need';
  if (['26000', '42P01', '42P05', '42P07'].includes(sqlstate))
    return 'was a table dropped? behind a pooler, Millrace needs session pooling or a direct connection';
  if (sqlstate === '57014')
    return 'something cancels every try: raise the time-out that is set for this database, then start again';
  if (sqlstate === '55000') return 'the primary key of the table must not be deferrable';
  return 'nothing of this batch was written; mend the cause and start again: work resumes at the last commit';
}

async function faultOf(step: Step, client: pg.Client, error: unknown): Promise<unknown> {
  if (error instanceof MillraceError || error instanceof RestartNeeded) return error;
  if (error instanceof pg.DatabaseError && error.code !== undefined)
    return new StepFault(step, databaseFault(error), error);
  await setImmediate(); // pg learns that the socket is gone a tick after it rejects the query
  const { stream } = client.connection;
  const gone = ended.has(client) || stream.destroyed || !stream.writable;
  const { syscall } = error as NodeJS.ErrnoException;
  if (!(error instanceof Error) || (!gone && syscall === undefined)) return error;
  // pg's own words ("not queryable") tell a person nothing.
  const lost = syscall === undefined ? new Error('the connection was lost', { cause: error }) : error;
  return new StepFault(step, { sqlstate: LOST }, lost);
}

function databaseFault(error: Error): DatabaseFault {
  if (!(error instanceof pg.DatabaseError)) return { sqlstate: LOST };
  const { code, schema, table } = error;
  return { sqlstate: code ?? LOST, schema, table };
}
