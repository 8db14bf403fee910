// The byte path: one pass over bytes without a quote that finds fields, validates and encodes, with no strings. Whatever is not a
// plain good line is left to the splitter (record.ts), so that there is one judge of a record's form.

import type { Range } from './range.ts';
import { CR, LF } from './record.ts';
import { rejectValue } from './reject-list.ts';
import { encodeRow } from './row-encoder.ts';
import { RECORD_BYTES_MAX } from './slice.ts';

const HIGH_BITS = 0x80808080 | 0;

/** Takes plain records from `range.position` on (`view` is over the same bytes); returns at the first that is not plain (wrong field count, blank, unclean, cut off). */
export function fastScan(range: Range, bytes: Buffer, view: DataView): void {
  const { encoder, splitter, rows, start, end } = range;
  const { ends } = encoder;
  const { newline } = splitter;
  const fieldLast = encoder.header.fields - 1;
  const limit = Math.min(bytes.length, range.cleanUntil);
  let { position } = range;
  while (position < end) {
    const lineEnd = findFields(range, bytes, view, position, limit);
    if (lineEnd < 0 || lineEnd - position > RECORD_BYTES_MAX) break;
    const contentEnd =
      newline === LF && lineEnd > position && bytes[lineEnd - 1] === CR ? lineEnd - 1 : lineEnd;
    if (contentEnd === position) break;
    ends[fieldLast] = contentEnd;
    const fault = encodeRow(encoder, bytes, rows, position - start, contentEnd - position, range.line);
    if (fault !== null) {
      const place = { offset: range.base + position, length: contentEnd - position, line: range.line };
      rejectValue(range.rejects, place, fault, encoder, bytes, bytes, position);
    }
    position = lineEnd + 1;
    range.line += 1;
  }
  range.position = position;
}

/**
 * Marks the fields of the line at `position` and returns its end, or -1 when it has not exactly the header's fields before `limit`.
 * Looks at four bytes at once: a word has neither delimiter nor newline when all its bytes are larger than both (letters
 * and digits are larger than a comma; the byte path as a whole gains a tenth). Guessing that a UUID or a number is as long as in the
 * record before, and looking only at the byte behind it, gained nothing more (705 against 709 ns a row).
 */
function findFields(range: Range, bytes: Buffer, view: DataView, position: number, limit: number): number {
  const { starts, ends } = range.encoder;
  const { delimiter, newline } = range.splitter;
  const fieldLast = range.encoder.header.fields - 1;
  const floor = Math.imul(Math.max(delimiter, newline) + 1, 0x01010101);
  let field = 0;
  let at = position;
  starts[0] = position;
  while (at < limit) {
    let stop = limit;
    if (at + 4 <= limit) {
      stop = at + 4;
      // With the high bit set no byte borrows from the next; it survives where the other seven bits reach the floor.
      if ((((view.getInt32(at, true) | HIGH_BITS) - floor) & HIGH_BITS) === HIGH_BITS) {
        at = stop;
        continue;
      }
    }
    for (; at < stop; at += 1) {
      const byte = bytes[at]!;
      if (byte === delimiter) {
        if (field === fieldLast) return -1;
        ends[field] = at;
        field += 1;
        starts[field] = at + 1;
      } else if (byte === newline) return field === fieldLast ? at : -1;
    }
  }
  return -1;
}

/** Takes the one record at `range.position` that the splitter found well-formed and that has no quotes. */
export function takePlainRecord(range: Range, bytes: Uint8Array, contentEnd: number): void {
  const { encoder, position } = range;
  const { starts, ends } = encoder;
  const { delimiter } = range.splitter;
  let field = 0;
  starts[0] = position;
  for (let at = position; at < contentEnd; at += 1) {
    if (bytes[at] !== delimiter) continue;
    ends[field] = at;
    field += 1;
    starts[field] = at + 1;
  }
  ends[field] = contentEnd;
  const length = contentEnd - position;
  const fault = encodeRow(encoder, bytes, range.rows, position - range.start, length, range.line);
  if (fault === null) return;
  const place = { offset: range.base + position, length, line: range.line };
  rejectValue(range.rejects, place, fault, encoder, bytes, bytes, position);
}
