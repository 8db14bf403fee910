// The error budget of a file: how many rejected records it may have before a person must look at it. Judged slice by slice, before a
// slice is taken, so that a file that is bad from its beginning brings nothing into the table. Not the sink's own limit for refused rows.

import { PARKED_WAY_OUT } from '../core/books.ts';
import type { Desk } from './desk.ts';
import type { SourceFile } from './file.ts';
import { endFile } from './ledger.ts';
import type { Settings } from './options.ts';
import type { Parsed } from './reading.ts';

/** A share of fewer records says little: the first line of a growing log may be bad. At the end of a file it counts all the same. */
const SHARE_RECORDS_MIN = 100;

/** Why the file is to be parked if this slice were taken, in a sentence; null when it may be. */
export function overBudget(
  settings: Settings,
  file: SourceFile,
  next: Pick<Parsed, 'records' | 'rejected' | 'rejects'>,
  atEnd: boolean,
): string | null {
  if (file.resumed || next.rejected === 0) return null;
  const records = file.records + next.records;
  const rejected = file.rejected + next.rejected;
  const limit = passedLimit(settings, records, rejected, atEnd);
  if (limit === null) return null;
  const [first] = next.rejects;
  const example = first === undefined ? '' : `, one of them at byte ${first.offset} (${first.code})`;
  return `${rejected} of the first ${records} records are rejected${example}: more than ${limit} allows; ${PARKED_WAY_OUT}`;
}

/** Rows that the database refused were taken before: they count when their batch has committed. */
export function countRefused(desk: Desk, file: SourceFile, refused: number): void {
  file.rejected += refused;
  if (refused === 0 || file.resumed || file.phase.kind === 'parked') return;
  const limit = passedLimit(desk.settings, file.records, file.rejected, false);
  if (limit === null) return;
  const reason = `${file.rejected} of the first ${file.records} records are rejected, some of them by the database: more than ${limit} allows; ${PARKED_WAY_OUT}`;
  endFile(desk, file, 'parked', reason);
}

/** The option that is passed, as a person would write it. */
function passedLimit(
  { rejectsMax, rejectsMaxShare }: Settings,
  records: number,
  rejected: number,
  atEnd: boolean,
): string | null {
  if (rejectsMax !== null && rejected > rejectsMax) return `--rejects-max ${rejectsMax}`;
  if (rejectsMaxShare === null || rejected <= rejectsMaxShare * records) return null;
  return atEnd || records >= SHARE_RECORDS_MIN
    ? `--rejects-max-share ${Number((rejectsMaxShare * 100).toFixed(4))}%`
    : null;
}
