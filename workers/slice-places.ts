// Places of a slice that was decoded: from positions in UTF-8 back to those of the file's own bytes, so that nobody outside the worker
// has to know of encodings. Not used for files in UTF-8.

import type { Range } from '../src/core/range.ts';
import type { Reject } from '../src/core/reject.ts';
import { RAW_BYTES_MAX } from '../src/core/reject.ts';
import type { RowBuffer } from '../src/core/row-buffer.ts';
import type { Window } from './slice-file.ts';
import { rawBytes, rawLength } from './slice-file.ts';

/** Rewrites the places of the rows from `rowFirst` on, and gives the rejects with places and raw bytes of the file. */
export function placeBack(
  window: Window,
  range: Range,
  rows: RowBuffer,
  rowFirst: number,
  rejects: readonly Reject[],
): Reject[] {
  const { start } = range;
  const base = rawLength(window, start);
  const { recordOffsets, recordLengths } = rows;
  for (let row = rowFirst; row < rows.count; row += 1) {
    const position = start + recordOffsets[row]!;
    const from = rawLength(window, position);
    recordLengths[row] = rawLength(window, position + recordLengths[row]!) - from;
    recordOffsets[row] = from - base;
  }
  return rejects.map((reject) => placeReject(window, reject));
}

function placeReject(window: Window, reject: Reject): Reject {
  const position = reject.offset - window.base;
  const from = rawLength(window, position);
  const length = rawLength(window, position + reject.rawLength) - from;
  const raw =
    reject.raw === null
      ? null
      : new Uint8Array(rawBytes(window).subarray(from, from + Math.min(length, RAW_BYTES_MAX)));
  return { ...reject, offset: window.base + from, rawLength: length, raw };
}
