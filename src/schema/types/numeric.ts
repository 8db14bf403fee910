// The type `numeric(precision, scale)`: plain decimals, straight from their digits into PostgreSQL's base-10000 form. A JavaScript
// number never stands in between: 0.1 + 0.2 and amounts beyond 2^53 would not survive it. Nothing is rounded.

import type { ColumnType, FieldWriter } from '../column.ts';
import { digitsEnd } from './digits.ts';
import { putInt16, putInt32 } from './write.ts';

const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;

/** Field length, then ndigits, weight, sign, dscale (numeric_recv in PostgreSQL's numeric.c). */
const HEADER_BYTES = 12;
const SIGN_NEGATIVE = 0x4000;
const GROUP_DIGITS = 4;

export interface NumericOptions {
  /** 0: a minus sign is no part of the grammar. Without it negative amounts are accepted. */
  readonly min?: 0;
}

/** An exact decimal such as `12`, `12.5` or `12.50`; a point needs digits on both sides. */
export function numeric(precision: number, scale: number, options: NumericOptions = {}): ColumnType {
  const signed = options.min === undefined;
  const wholeMax = precision - scale;
  return {
    rule: { kind: 'numeric', precision, scale, isSigned: signed },
    sql: `numeric(${precision},${scale})`,
    grammar:
      `plain decimal${signed ? ', perhaps with a minus sign' : ' >= 0'}, ` +
      `up to ${wholeMax} digits before the point and ${scale} after it`,
    oid: 1700,
    encode: (source, start, end, out) => {
      const negative = signed && source[start] === MINUS;
      const first = negative ? start + 1 : start;
      const point = digitsEnd(source, first, end);
      if (point === first) return 'decimal';
      if (point < end && !isFraction(source, point, end)) return 'decimal';
      if (end - point - 1 > scale) return 'decimal_scale';
      const whole = zerosEnd(source, first, point);
      if (point - whole > wholeMax) return 'decimal_range';
      writeNumeric(source, whole, point, end, negative, scale, out);
      return null;
    },
    sample: (random) => `${random.below(10 ** Math.min(wholeMax, 3))}${fractionOf(random.next(), scale)}`,
  };
}

function fractionOf(seed: number, scale: number): string {
  return scale === 0 ? '' : `.${String(seed).slice(-scale).padStart(scale, '0')}`;
}

function isFraction(source: Uint8Array, point: number, end: number): boolean {
  return source[point] === POINT && point + 1 < end && digitsEnd(source, point + 1, end) === end;
}

function zerosEnd(source: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && source[at] === ZERO) at += 1;
  return at;
}

/**
 * `[whole, point)` are the digits before the point without leading zeros, `(point, end)` those after it. Groups of four digits
 * count from the point in both directions; zero groups at either end are not stored, and zero itself has no groups.
 */
function writeNumeric(
  source: Uint8Array,
  whole: number,
  point: number,
  end: number,
  negative: boolean,
  scale: number,
  out: FieldWriter,
): void {
  const { bytes } = out;
  const groups = out.position + HEADER_BYTES;
  let weight = ((point - whole + 3) >> 2) - 1;
  let position = groups;
  let kept = groups; // behind the last group that is not zero
  let group = 0;
  let missing = ((point - whole + 3) & 3) + 1;
  if (point === whole) missing = GROUP_DIGITS;
  for (let at = whole; at < end || missing < GROUP_DIGITS; at += 1) {
    if (at === point) continue;
    group = group * 10 + (at < end ? source[at]! - ZERO : 0);
    missing -= 1;
    if (missing > 0) continue;
    if (group === 0 && position === groups) {
      weight -= 1;
    } else {
      putInt16(bytes, position, group);
      position += 2;
      if (group !== 0) kept = position;
    }
    group = 0;
    missing = GROUP_DIGITS;
  }
  const zero = kept === groups;
  putInt32(bytes, out.position, kept - out.position - 4);
  putInt16(bytes, out.position + 4, (kept - groups) >> 1);
  putInt16(bytes, out.position + 6, zero ? 0 : weight);
  putInt16(bytes, out.position + 8, negative && !zero ? SIGN_NEGATIVE : 0);
  putInt16(bytes, out.position + 10, scale);
  out.position = kept;
}
