// Where records begin and end, for `verify`: the plainest reading of the rules in the README, one character after the other. It is on
// purpose not the pipeline's splitter, and shares no code with it.

import type { StructuralFault } from '../../core/reject.ts';
import { RECORD_BYTES_MAX } from '../../core/slice.ts';

/** The form of a file's records. `width` is the number of fields that each must have; 0: any. */
export interface Form {
  readonly delimiter: number;
  readonly newline: number;
  readonly width: number;
}

export type Cut =
  | {
      readonly kind: 'record' | 'blank';
      /** End of the content, and beginning of the next record. */
      readonly end: number;
      readonly next: number;
      readonly lines: number;
    }
  | {
      readonly kind: 'fault';
      readonly fault: StructuralFault;
      readonly end: number;
      readonly next: number;
      readonly lines: 1;
    }
  /** The bytes at hand do not tell yet. */
  | { readonly kind: 'more' }
  /** Its first line is too long already; where that ends is not at hand. */
  | { readonly kind: 'endless' };

const MORE: Cut = { kind: 'more' };
const LF = 0x0a;
const CR = 0x0d;
const QUOTE = 0x22;

/**
 * The record that begins at `from`. `final`: nothing comes behind `bytes`. A record's line end counts when it is at most
 * RECORD_BYTES_MAX behind its beginning.
 */
export function cutRecord(bytes: Buffer, from: number, final: boolean, form: Form): Cut {
  const { delimiter, newline, width } = form;
  const stop = Math.min(bytes.length, from + RECORD_BYTES_MAX + 1);
  const isWhole = final && stop === bytes.length;
  let at = from;
  let fields = 1;
  let lines = 1;
  for (;;) {
    if (at < stop && bytes[at] === QUOTE) {
      const closed = closingQuote(bytes, at + 1, stop, newline);
      lines += closed.lines;
      // A quote as the last byte may be the first of two.
      if (!isWhole && closed.at + 1 >= stop) return undecided(bytes, from, final, form);
      if (closed.at >= stop) return faulty(bytes, from, final, form, 'unclosed_quote');
      at = closed.at + 1;
      if (newline === LF && bytes[at] === CR && at < stop) {
        if (at + 1 === stop && !isWhole) return undecided(bytes, from, final, form);
        if (at + 1 < stop && bytes[at + 1] !== LF) return faulty(bytes, from, final, form, 'after_quote');
        at += 1;
      }
      if (at < stop && bytes[at] !== delimiter && bytes[at] !== newline)
        return faulty(bytes, from, final, form, 'after_quote');
    } else {
      while (at < stop && bytes[at] !== delimiter && bytes[at] !== newline) at += 1;
    }
    if (at >= stop || bytes[at] === newline) break;
    if (fields === width) return faulty(bytes, from, final, form, 'too_many_fields');
    fields += 1;
    at += 1;
  }
  if (at >= stop && !isWhole) return undecided(bytes, from, final, form);
  const end = withoutReturn(bytes, from, at, newline);
  const next = Math.min(at + 1, bytes.length);
  if (end === from) return { kind: 'blank', end, next, lines };
  if (fields < width) return faulty(bytes, from, final, form, 'too_few_fields');
  return { kind: 'record', end, next, lines };
}

/** The quote that closes, or `stop`; and the line ends before it. */
function closingQuote(
  bytes: Buffer,
  from: number,
  stop: number,
  newline: number,
): { at: number; lines: number } {
  let lines = 0;
  let at = from;
  for (; at < stop; at += 1) {
    if (bytes[at] === newline) lines += 1;
    if (bytes[at] !== QUOTE) continue;
    if (at + 1 >= stop || bytes[at + 1] !== QUOTE) break;
    at += 1;
  }
  return { at: Math.min(at, stop), lines };
}

/** More bytes are needed, unless there are more already than any record may have. */
function undecided(bytes: Buffer, from: number, final: boolean, form: Form): Cut {
  if (bytes.length - from <= RECORD_BYTES_MAX) return MORE;
  return faulty(bytes, from, final, form, 'record_too_large');
}

/** A malformed record costs its first line. */
function faulty(bytes: Buffer, from: number, final: boolean, form: Form, fault: StructuralFault): Cut {
  const { newline } = form;
  const found = bytes.indexOf(newline, from);
  const lineEnd = found < 0 ? bytes.length : found;
  const isTooLong = lineEnd - from > RECORD_BYTES_MAX;
  if (found < 0 && !final) return isTooLong ? { kind: 'endless' } : MORE;
  return {
    kind: 'fault',
    fault: isTooLong ? 'record_too_large' : fault,
    end: withoutReturn(bytes, from, lineEnd, newline),
    next: Math.min(lineEnd + 1, bytes.length),
    lines: 1,
  };
}

function withoutReturn(bytes: Buffer, from: number, end: number, newline: number): number {
  return newline === LF && end > from && bytes[end - 1] === CR ? end - 1 : end;
}
