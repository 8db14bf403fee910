// Duplicates with other values than the stored row, as entries of the quarantine: the loser's bytes are kept, though it counts as a
// duplicate and not as rejected. Who lost is decided elsewhere (dedup for what memory knows, the stage for the rest).

import type { JudgedChunk } from '../../core/chunk.ts';
import { REJECT_SENTENCES } from '../../core/reject.ts';
import type { Reject } from '../../core/reject.ts';
import type { AcceptedSlice } from '../../core/slice.ts';
import type { SettledChunk } from '../sink.ts';
import { sliceOf } from './rejects.ts';
import type { PlacedReject } from './rejects.ts';

/** Of one slice (some 40,000 records, or four times as many) so many are kept one by one; the rest is one entry, so that a file whose every value
 * changed does not fill the books. */
const KEPT_MAX = 1_000;

/** In the order of the files; at most KEPT_MAX + 1 for each slice. */
export function conflictsOf(settled: readonly SettledChunk[]): PlacedReject[] {
  return settled.flatMap(({ chunk, conflictingRows }) => {
    if (conflictingRows.length === 0) return [];
    const bySlice = Map.groupBy(conflictingRows, (row) => sliceOf(chunk, row));
    return [...bySlice].flatMap(([slice, rows]) => ofSlice(chunk, slice, rows));
  });
}

function ofSlice(chunk: JudgedChunk, slice: AcceptedSlice, rows: readonly number[]): PlacedReject[] {
  const { recordOffsets } = chunk.rows;
  const inOrder = rows.toSorted((a, b) => (recordOffsets[a] ?? 0) - (recordOffsets[b] ?? 0));
  const kept = inOrder.slice(0, inOrder.length === KEPT_MAX + 1 ? KEPT_MAX + 1 : KEPT_MAX);
  const rejects = kept.map((row) => conflict(chunk, slice, row));
  const [first, last] = [inOrder[kept.length], inOrder.at(-1)];
  if (first !== undefined && last !== undefined)
    rejects.push(rest(chunk, slice, first, last, inOrder.length - kept.length));
  return rejects.map((reject) => ({ generation: slice.file.id, reject }));
}

function conflict(chunk: JudgedChunk, slice: AcceptedSlice, row: number): Reject {
  const { offset, length, line } = placeOf(chunk, slice, row);
  const raw = slice.reread(offset, length);
  return { ...COMMON, offset, rawLength: length, line, raw, records: 1 };
}

function rest(
  chunk: JudgedChunk,
  slice: AcceptedSlice,
  first: number,
  last: number,
  records: number,
): Reject {
  const { offset, line } = placeOf(chunk, slice, first);
  const end = placeOf(chunk, slice, last);
  const rawLength = end.offset + end.length - offset;
  const sentence = `${records} more records between here and line ${end.line} repeat stored events with other values`;
  return { ...COMMON, offset, rawLength, line, raw: null, records, sentence };
}

const COMMON = {
  field: null,
  column: null,
  code: 'duplicate_conflict',
  sentence: REJECT_SENTENCES.duplicate_conflict,
} as const;

function placeOf(
  { rows }: JudgedChunk,
  slice: AcceptedSlice,
  row: number,
): { readonly offset: number; readonly length: number; readonly line: number } {
  return {
    offset: slice.start + (rows.recordOffsets[row] ?? 0),
    length: rows.recordLengths[row] ?? 0,
    line: slice.firstLine + (rows.recordLines[row] ?? 0),
  };
}
