// One committed range against the file: its records counted again, and its rejects compared one by one.

import { RAW_BYTES_MAX } from '../../core/reject.ts';
import type { BookReject, BookSlice } from './books.ts';
import type { Findings, Sheet } from './report.ts';
import type { FoundRecord } from './reader.ts';

/** Codes of the books that a valid record may have. */
const LATE = new Set(['refused_by_database', 'duplicate_conflict']);

/** Reads a record's bytes again. */
export type Reread = (offset: number, length: number) => Promise<Buffer>;

export class SliceAccount {
  readonly slice: BookSlice;
  readonly #byOffset: ReadonlyMap<number, BookReject>;
  readonly #ranges: readonly BookReject[];
  readonly #rangeCounts: number[];
  readonly #sheet: Sheet;
  readonly #findings: Findings;
  readonly #matched = new Set<number>();
  #records = 0;
  #rejected = 0;
  #lastEnd = 0;

  constructor(slice: BookSlice, rejects: readonly BookReject[], sheet: Sheet, findings: Findings) {
    this.slice = slice;
    const ranges = rejects.filter(({ records, code }) => records > 1 || code === 'more_rejects');
    this.#ranges = ranges;
    this.#rangeCounts = ranges.map(() => 0);
    this.#byOffset = new Map(
      rejects.filter((reject) => !ranges.includes(reject)).map((each) => [each.offset, each]),
    );
    this.#sheet = sheet;
    this.#findings = findings;
  }

  /** Takes the next record; true when it must be in the table. */
  take(record: FoundRecord): boolean {
    this.#records += 1;
    this.#sheet.recordsFound += 1;
    if (record.code !== 'record_too_large') this.#lastEnd = record.offset + record.length;
    const booked = this.#byOffset.get(record.offset);
    if (booked !== undefined) this.#compare(record, booked);
    const isRefused = booked?.code === 'refused_by_database';
    const isRejected = record.code !== null || isRefused;
    if (isRejected) {
      this.#rejected += 1;
      this.#sheet.rejectedFound += 1;
    }
    if (record.code !== null && booked === undefined) this.#seekRange(record);
    return !isRejected;
  }

  /** After the last record of the range. */
  async close(reread: Reread): Promise<void> {
    const { slice } = this;
    if (this.#lastEnd > slice.end)
      this.#say('boundary', slice.end, null, `the range that ends at byte ${slice.end} cuts a record in two`);
    if (this.#records !== slice.records)
      this.#say(
        'records',
        slice.start,
        null,
        `bytes ${slice.start} to ${slice.end}: the books count ${slice.records} records, the file has ${this.#records}`,
      );
    if (this.#rejected !== slice.rejected)
      this.#say(
        'rejected',
        slice.start,
        null,
        `bytes ${slice.start} to ${slice.end}: the books count ${slice.rejected} rejected records, the file has ${this.#rejected}`,
      );
    for (const [offset, { line, code }] of this.#byOffset)
      if (!this.#matched.has(offset))
        this.#say(
          'reject',
          offset,
          line,
          `millrace.rejects has a ${code} at byte ${offset}, and no record begins there`,
        );
    for (const [offset, reject] of this.#byOffset)
      if (this.#matched.has(offset)) await this.#compareRaw(reject, reread);
    for (const [index, range] of this.#ranges.entries())
      if (range.code === 'more_rejects' && range.records !== this.#rangeCounts[index])
        this.#say(
          'reject',
          range.offset,
          range.line,
          `millrace.rejects counts ${range.records} further rejects from byte ${range.offset}, the file has ${this.#rangeCounts[index]}`,
        );
  }

  #compare(record: FoundRecord, booked: BookReject): void {
    this.#matched.add(record.offset);
    const { offset, line } = record;
    const found = record.code ?? 'a valid record';
    const agrees = record.code === null ? LATE.has(booked.code) : record.code === booked.code;
    if (!agrees)
      this.#say('reject', offset, line, `millrace.rejects says ${booked.code}, the file has ${found}`);
    if (line !== booked.line)
      this.#say(
        'reject',
        offset,
        line,
        `millrace.rejects says line ${booked.line} for byte ${offset}, which is line ${line}`,
      );
    if (record.length !== booked.rawLength && record.code !== 'record_too_large')
      this.#say(
        'reject',
        offset,
        line,
        `millrace.rejects says ${booked.rawLength} bytes for a record of ${record.length}`,
      );
  }

  /** All of the record up to the cap. Those refused late may lack their bytes: the file may have been away just then. */
  async #compareRaw({ offset, line, code, raw, rawLength }: BookReject, reread: Reread): Promise<void> {
    if (raw === null && LATE.has(code)) return;
    if (raw === null) this.#say('reject', offset, line, 'millrace.rejects has lost the raw bytes');
    else if (raw.length !== Math.min(rawLength, RAW_BYTES_MAX))
      this.#say('reject', offset, line, `millrace.rejects has ${raw.length} of ${rawLength} raw bytes`);
    else if (!(await reread(offset, raw.length)).equals(raw))
      this.#say('reject', offset, line, 'the raw bytes in millrace.rejects are not those of the file');
  }

  #seekRange(record: FoundRecord): void {
    const index = this.#ranges.findIndex(
      ({ code, offset, rawLength }) =>
        code === 'more_rejects' && offset <= record.offset && record.offset < offset + Math.max(1, rawLength),
    );
    if (index >= 0) this.#rangeCounts[index] = (this.#rangeCounts[index] ?? 0) + 1;
    else
      this.#say(
        'reject',
        record.offset,
        record.line,
        `the record is ${record.code}, and not in millrace.rejects`,
      );
  }

  #say(
    kind: 'boundary' | 'records' | 'rejected' | 'reject',
    offset: number,
    line: number | null,
    text: string,
  ): void {
    this.#findings.add(this.#sheet, { kind, file: this.#sheet.name, line, offset, key: null, text });
  }
}
