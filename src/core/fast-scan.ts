// The byte path: one pass over bytes without a quote that finds fields, validates and encodes, with no strings. Whatever is not a
// plain good line is left to the splitter (record.ts), so that there is one judge of a record's form.

import type { Range } from './range.ts';
import { CR, LF } from './record.ts';
import { rejectValue } from './reject-list.ts';
import { encodeRow } from './row-encoder.ts';
import { RECORD_BYTES_MAX } from './slice.ts';

/** Takes plain records from `range.position` on; returns at the first that is not plain (wrong field count, blank, unclean, cut off). */
export function fastScan(range: Range, bytes: Uint8Array): void {
  const { encoder, splitter, rows, start, end } = range;
  const { starts, ends } = encoder;
  const { delimiter, newline } = splitter;
  const fieldLast = encoder.header.fields - 1;
  const limit = Math.min(bytes.length, range.cleanUntil);
  let position = range.position;
  while (position < end) {
    let field = 0;
    let at = position;
    starts[0] = at;
    for (; at < limit; at += 1) {
      const byte = bytes[at]!;
      if (byte === delimiter) {
        if (field === fieldLast) break;
        ends[field] = at;
        field += 1;
        starts[field] = at + 1;
      } else if (byte === newline) break;
    }
    if (at >= limit || field !== fieldLast || bytes[at] !== newline || at - position > RECORD_BYTES_MAX)
      break;
    const contentEnd = newline === LF && at > position && bytes[at - 1] === CR ? at - 1 : at;
    if (contentEnd === position) break;
    ends[field] = contentEnd;
    const fault = encodeRow(encoder, bytes, rows, position - start, contentEnd - position, range.line);
    if (fault !== null) {
      const place = { offset: range.base + position, length: contentEnd - position, line: range.line };
      rejectValue(range.rejects, place, fault, encoder, bytes, bytes, position);
    }
    position = at + 1;
    range.line += 1;
  }
  range.position = position;
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
