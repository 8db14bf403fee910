// Takes a well-formed record apart by itself: for the header, and where papaparse and the splitter disagree.

import { QUOTE } from './record.ts';

/**
 * Takes a well-formed record apart without papaparse: writes its unquoted fields one after the other into `target` (at least as long
 * as the record), their ranges into `starts` and `ends`, and returns how many there are.
 */
export function unquoteRecord(
  bytes: Uint8Array,
  from: number,
  contentEnd: number,
  delimiter: number,
  target: Uint8Array,
  starts: Int32Array,
  ends: Int32Array,
): number {
  let position = from;
  let written = 0;
  let field = 0;
  for (;;) {
    starts[field] = written;
    const isQuoted = position < contentEnd && bytes[position] === QUOTE;
    if (isQuoted) position += 1;
    while (position < contentEnd) {
      const byte = bytes[position]!;
      if (isQuoted && byte === QUOTE) {
        position += 1;
        if (bytes[position] !== QUOTE) break; // behind the content stands a line end
      } else if (!isQuoted && byte === delimiter) break;
      target[written] = byte;
      written += 1;
      position += 1;
    }
    ends[field] = written;
    field += 1;
    if (position >= contentEnd) return field;
    position += 1;
  }
}
