// Do the transaction ids in the books still mean anything here? Not after a dump and restore, and not once they are so old that PostgreSQL
// counts round.

import type pg from 'pg';
import { MillraceError } from '../../errors.ts';
import type { BookedFile } from '../books/files.ts';
import type { BookedSlice } from './keys.ts';

const XIDS = 2n ** 32n;
/** Half of all ids lie in the past. */
const AGE_MAX = 2n ** 31n;

/** The xmin of a row that this transaction inserted: ids in rows have 32 bits, those in the books 64. */
export function xminOf(xid: string): string {
  return String(BigInt(xid) % XIDS);
}

/** Why an id of the books says nothing about the rows of today; null when it does. */
export function faultOfId(xid: string, now: string): string | null {
  const age = BigInt(now) - BigInt(xid);
  if (age < 0n) return 'lies in the future of this server, so it is another one, or was set back';
  return age < AGE_MAX ? null : `is ${age} transactions old, and 2^31 is as far as rows can be told apart`;
}

interface MarkRow {
  readonly xid: string;
  readonly here: boolean | null;
  readonly now: string;
}

const MARKS = `SELECT x.xid::text AS xid, bool_and(b.system_identifier = c.system_identifier AND b.database_oid = d.oid) AS here,
    pg_current_xact_id()::text AS now
  FROM unnest($1::xid8[]) AS x (xid) LEFT JOIN millrace.batches b USING (xid), pg_control_system() c, pg_database d
  WHERE d.datname = current_database() GROUP BY x.xid`;

/** @throws {MillraceError} `database` when one of the ids cannot be trusted */
export async function refuseWornIds(
  client: pg.Client,
  { name }: BookedFile,
  slices: readonly BookedSlice[],
): Promise<void> {
  const xids = [...new Set(slices.flatMap((slice) => slice.xids))];
  const { rows } = await client.query<MarkRow>(MARKS, [xids]);
  for (const { xid, here, now } of rows) {
    if (here === false)
      throw worn(name, `they were given by another server or database than this one (dump and restore)`);
    // Without a row of its own (pruned with another file) its age alone is judged.
    const fault = faultOfId(xid, now);
    if (fault !== null) throw worn(name, `id ${xid} ${fault}`);
  }
}

function worn(name: string, why: string): MillraceError {
  return new MillraceError(
    'database',
    `the rows of ${name} cannot be found by their transaction ids any more: ${why}`,
    { wayOut: 'nothing was changed; its rows can only be deleted by hand, by event_id' },
  );
}
