// What a column type is: one object that knows how the type is written in SQL, which texts it accepts, how a text becomes
// the bytes of a binary COPY field, and how a sample value looks. The types themselves stand in types.ts.

import type { Random } from './random.ts';

/** Reasons for which a single value is refused; the codes are stable and end up in `millrace.rejects.code`. */
export const VALUE_FAULTS = {
  required: 'is empty, but a value is required',
  uuid: 'is not a UUID (canonical, upper case, in braces, or without hyphens)',
  not_listed: 'is not one of the values that this column allows',
  too_long: 'is longer than the column allows',
  integer: 'is not a whole number written in digits only',
  integer_range: 'is outside the range of a 4-byte integer',
  decimal: 'is not a plain decimal number such as 12.50',
  decimal_scale: 'has more decimals than the column keeps; it is not rounded silently',
  decimal_range: 'has more digits before the point than the column keeps',
  timestamp: 'is not a timestamp written as YYYY-MM-DD HH:MM:SS (also with T, up to 6 decimals, Z or +hh:mm)',
  timestamp_calendar: 'is no moment of the calendar',
  timestamp_range: 'lies outside the years 0001 to 9999 once converted to UTC',
} as const;

export type ValueFault = keyof typeof VALUE_FAULTS;

/**
 * The growing buffer that a row is encoded into. The caller of a row guarantees `row bytes * 2 + 32 per column` of room,
 * so that types write without asking; every write is big-endian, as PostgreSQL's binary format wants.
 */
export interface FieldWriter {
  bytes: Buffer;
  position: number;
}

/** What a type accepts, as data: for readers that must judge by code of their own (`verify`). Bounds that are not there are null. */
export type TypeRule =
  | { readonly kind: 'uuid' | 'timestamp' }
  | { readonly kind: 'text'; readonly max: number | null; readonly oneOf: readonly string[] | null }
  | { readonly kind: 'integer'; readonly min: number }
  | {
      readonly kind: 'numeric';
      readonly precision: number;
      readonly scale: number;
      readonly isSigned: boolean;
    };

export interface ColumnType {
  readonly rule: TypeRule;
  /** As PostgreSQL's `format_type` prints it, e.g. `character varying(255)`. */
  readonly sql: string;
  /** The accepted grammar in words, for the docs' column table. */
  readonly grammar: string;
  /** Oid in pg_type, for tests that let the server read what we encoded. */
  readonly oid: number;
  /**
   * Validates `source[start, end)` (UTF-8, never empty) and, when it is good, appends one binary COPY field: a 4-byte length
   * and the value. One pass for both: validating first and encoding again costs a quarter of the byte path's speed.
   * Returns the fault, or null. After a fault the writer's position is undefined; the caller resets it.
   */
  readonly encode: (source: Uint8Array, start: number, end: number, out: FieldWriter) => ValueFault | null;
  /** A plausible text for generated data. */
  readonly sample: (random: Random) => string;
}

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  /** An empty field is a reject; otherwise it is NULL. */
  readonly required: boolean;
  readonly comment: string;
}
