// Rejects: records that are refused, with the place where a person finds them and the reason. Values only; they are written
// down by the sink and printed by `check`.

import type { ValueFault } from '../schema/column.ts';
import { VALUE_FAULTS } from '../schema/column.ts';

/** Faults of a record's form. In a record of several physical lines they cost its first line only; reading resumes at the next. */
export const STRUCTURAL_FAULTS = {
  unclosed_quote: 'opens a quote that is never closed',
  after_quote: 'has something other than a delimiter after a closing quote',
  too_few_fields: 'has fewer fields than the header',
  too_many_fields: 'has more fields than the header',
  record_too_large: 'is longer than a record may be (1 MiB)',
} as const;

/** Faults of a record's bytes; they cost the whole record. */
export const BYTE_FAULTS = {
  invalid_utf8: 'is not valid UTF-8',
  nul_byte: 'contains a NUL byte, which PostgreSQL cannot store in text',
} as const;

/** Reasons that only the pipeline or the database can give. */
export const LATE_FAULTS = {
  refused_by_database: 'was refused by the database',
  duplicate_conflict:
    'repeats the event_id of a stored event with other values; counted as a duplicate, not as rejected, and the first one stays',
  more_rejects: 'further rejects of this file are counted, not stored one by one',
} as const;

export type StructuralFault = keyof typeof STRUCTURAL_FAULTS;
export type ByteFault = keyof typeof BYTE_FAULTS;
export type RejectCode = ValueFault | StructuralFault | ByteFault | keyof typeof LATE_FAULTS;

/** Code -> what follows the subject ("the record ..." or "event_id ..."). */
export const REJECT_SENTENCES: Readonly<Record<RejectCode, string>> = {
  ...VALUE_FAULTS,
  ...STRUCTURAL_FAULTS,
  ...BYTE_FAULTS,
  ...LATE_FAULTS,
};

/** At most this much of a refused record is kept. Longer records are almost always a fault of the file's form. */
export const RAW_BYTES_MAX = 64 * 1024;

/** One refused record. Plain data: it crosses from the worker to the main thread. */
export interface Reject {
  /** Where the record begins, in bytes from the start of the file. */
  readonly offset: number;
  /** Length of the whole record (or of its first line, see STRUCTURAL_FAULTS) in bytes, without the line end. */
  readonly rawLength: number;
  /** The physical line on which it begins. From a worker: counted from 0 at the start of the slice. After acceptance: from 1 in the file. */
  readonly line: number;
  /** Number of the field in the header, from 1; null when the whole record is at fault. */
  readonly field: number | null;
  /** The header's name of that field. */
  readonly column: string | null;
  readonly code: RejectCode;
  /** For people: names the column, the value (cut) and the reason. */
  readonly sentence: string;
  /** The record's bytes, at most RAW_BYTES_MAX of them; null when they could not be read again. */
  readonly raw: Uint8Array | null;
  /** 1, or the number of records that a `more_rejects` entry stands for. */
  readonly records: number;
}
