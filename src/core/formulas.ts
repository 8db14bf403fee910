// Fields that a spreadsheet would run as a formula, made harmless for a person who opens the export in one (OWASP, "CSV Injection").
// Only on demand: the value is another one afterwards.

import { QUOTE } from './record.ts';

const APOSTROPHE = 0x27;
/** = + - @ tab and CR. */
const TRIGGERS = new Set([0x3d, 0x2b, 0x2d, 0x40, 0x09, 0x0d]);

/**
 * The record with an apostrophe before each such field. Malformed records too: outside a quote that is open a delimiter begins a field,
 * whatever else is wrong.
 */
export function neutralize(record: Uint8Array, delimiter: number): Buffer {
  const out: number[] = [];
  let isStart = true;
  let isQuoted = false;
  for (const byte of record) {
    if (isStart && byte === QUOTE && !isQuoted) {
      isQuoted = true;
      out.push(byte);
      continue;
    }
    if (isStart && TRIGGERS.has(byte) && byte !== delimiter) out.push(APOSTROPHE);
    isStart = false;
    if (isQuoted && byte === QUOTE) isQuoted = false;
    else if (!isQuoted && byte === delimiter) isStart = true;
    else if (!isQuoted && byte === QUOTE && out.at(-1) === QUOTE) isQuoted = true; // `""` inside quotes
    out.push(byte);
  }
  return Buffer.from(out);
}
