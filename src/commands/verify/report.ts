// What `verify` found: the balance sheet per file, and every difference with its place. Data and counting only.

export const DIFFERENCES = {
  content: 'the bytes of a committed range are not those that were committed',
  header: 'the header is none, though records of the file are booked',
  boundary: 'a committed range does not end where a record ends',
  records: 'the books count other records than stand in the file',
  rejected: 'the books count other rejects than stand in the file',
  reject: 'a single reject is missing, too many, or differs',
  missing: 'a record is in no row',
  changed: 'a row holds other values than its record',
  winner: 'a row holds the values of another record than the one whose batch stored it',
  inserted: 'the books count other insertions than the table holds',
  conflicting: 'the books count conflicting duplicates that are none',
  extra: 'a row stands in no file',
} as const;

export type DifferenceKind = keyof typeof DIFFERENCES;

/** `file`, `line` and `offset` where it has a place in a file; `key` where it is about one event. */
export interface Difference {
  readonly kind: DifferenceKind;
  readonly file: string | null;
  readonly line: number | null;
  readonly offset: number | null;
  readonly key: string | null;
  readonly text: string;
}

/**
 * - `agrees`, `differs`: read again. `changed`: its content is not the committed one. `gone`: its bytes are not there any more, so that
 *   only the books can be shown. `unread`: the books know nothing of it. `refused`: not read at all.
 */
export type Standing = 'agrees' | 'differs' | 'changed' | 'gone' | 'unread' | 'refused';

export interface Sheet {
  readonly name: string;
  readonly generation: string | null;
  readonly state: string | null;
  standing: Standing;
  /** As booked. */
  readonly records: number;
  readonly inserted: number;
  readonly duplicates: number;
  readonly conflicting: number;
  readonly rejected: number;
  /** As found in the file just now; 0 when it was not read. */
  recordsFound: number;
  rejectedFound: number;
  /** Bytes behind the last committed one. */
  bytesUnread: number;
}

const LISTED_MAX = 10_000;

export class Findings {
  readonly sheets: Sheet[] = [];
  readonly listed: Difference[] = [];
  readonly notes: string[] = [];
  count = 0;

  /** Adds `times` differences, of which this is the one to show. */
  add(sheet: Sheet | null, difference: Difference, times = 1): void {
    this.count += times;
    if (this.listed.length < LISTED_MAX) this.listed.push(difference);
    if (sheet?.standing === 'agrees') sheet.standing = 'differs';
  }
}
