// The type `integer`: digits only, in the range of int4. No plus sign, no blanks, no exponent, no separators; a minus sign only
// where the column allows negative numbers. PostgreSQL's own cast also takes hexadecimal and `1_000` since version 16.

import type { ColumnType } from '../column.ts';
import { putInt32 } from './write.ts';

const MINUS = 0x2d;
const ZERO = 0x30;
const INT4_MIN = -2_147_483_648;
const INT4_MAX = 2_147_483_647;

export interface IntegerOptions {
  /** Smallest value; from 0 on a minus sign is no part of the grammar. */
  readonly min?: number;
}

/** A 4-byte integer; leading zeros are accepted (`007` is 7). */
export function integer({ min = INT4_MIN }: IntegerOptions = {}): ColumnType {
  const signed = min < 0;
  return {
    rule: { kind: 'integer', min },
    sql: 'integer',
    grammar: `whole number, ${signed ? 'digits and perhaps a minus sign' : 'digits only'}, ${min} to ${INT4_MAX}`,
    oid: 23,
    encode: (source, start, end, out) => {
      const negative = signed && source[start] === MINUS;
      const digits = negative ? start + 1 : start;
      if (digits === end) return 'integer';
      let value = 0;
      for (let at = digits; at < end; at += 1) {
        const digit = source[at]! - ZERO;
        if (digit < 0 || digit > 9) return 'integer';
        value = value * 10 + digit; // beyond 2^53 only the comparison below matters
      }
      if (negative) value = -value;
      if (value < min || value > INT4_MAX) return 'integer_range';
      putInt32(out.bytes, out.position, 4);
      putInt32(out.bytes, out.position + 4, value);
      out.position += 8;
      return null;
    },
    sample: (random) => String(Math.max(min, 0) + random.below(10)),
  };
}
