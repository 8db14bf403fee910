// Runs of decimal digits in bytes, as numbers and timestamps have them. Grammars are not here: each type has its own.

const ZERO = 0x30;

/** The first position in [start, end) that holds no decimal digit; `end` when all do. */
export function digitsEnd(source: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const digit = source[at]! - ZERO;
    if (digit < 0 || digit > 9) break;
    at += 1;
  }
  return at;
}
