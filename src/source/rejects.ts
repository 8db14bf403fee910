// Gives rejects their place in the file, and keeps a file of nothing but bad records from flooding the books.

import type { Reject } from '../core/reject.ts';

/** Lines become those of the file, from 1. Beyond `left` entries the rest of a slice is one `more_rejects` entry. */
export function placeRejects(rejects: readonly Reject[], firstLine: number, left: number): Reject[] {
  const placed = rejects.map((reject) => ({ ...reject, line: reject.line + firstLine }));
  const listed = placed.filter((reject) => reject.code !== 'more_rejects');
  const room = Math.max(0, left);
  if (listed.length <= room) return placed;
  const rest = [...listed.slice(room), ...placed.filter((reject) => reject.code === 'more_rejects')];
  return [...listed.slice(0, room), mergeRejects(rest)];
}

function mergeRejects(rest: readonly Reject[]): Reject {
  const [first] = rest;
  const last = rest.at(-1);
  if (first === undefined || last === undefined) throw new RangeError('there must be a reject to merge');
  const records = rest.reduce((sum, reject) => sum + reject.records, 0);
  return {
    offset: first.offset,
    rawLength: last.offset + last.rawLength - first.offset,
    line: first.line,
    field: null,
    column: null,
    code: 'more_rejects',
    sentence: `${records} more records of this file were rejected between here and line ${last.line}`,
    raw: null,
    records,
  };
}
