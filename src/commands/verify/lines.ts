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

/** Where in a record a byte stands: at the start of a field, in a plain or quoted one, behind a quote in quotes, behind a CR behind that. */
type Where = 'start' | 'plain' | 'quoted' | 'quote' | 'return';

/**
 * What the last record with line ends in quotes taught. Of a malformed one only the first line is spent, so the next scan may pass the same line
 * ends, inside quotes again; from there all goes as before, and need not be looked at again: without this, a header of 100,000 columns and
 * lines of 5 bytes cost a MiB of looking per line. For one buffer.
 */
export interface Memory {
  /** Line ends in quotes, ascending, and how many fields had begun there. */
  readonly lineEnds: number[];
  readonly fieldsAt: number[];
  /** Where that scan ended. */
  at: number;
  where: Where;
  fields: number;
}

export function createMemory(): Memory {
  return { lineEnds: [], fieldsAt: [], at: 0, where: 'start', fields: 0 };
}

/** Looking at one record. `at` stands on the byte that decides. */
interface Scan {
  at: number;
  where: Where;
  fields: number;
  lines: number;
  /** What the memory counts more than this scan; null before the first line end in quotes. */
  ahead: number | null;
}

/**
 * The record that begins at `from`. `final`: nothing comes behind `bytes`. A record's line end counts when it is at most
 * RECORD_BYTES_MAX behind its beginning.
 */
export function cutRecord(
  bytes: Buffer,
  from: number,
  final: boolean,
  form: Form,
  memory: Memory = createMemory(),
): Cut {
  const stop = Math.min(bytes.length, from + RECORD_BYTES_MAX + 1);
  const isWhole = final && stop === bytes.length;
  const scan: Scan = { at: from, where: 'start', fields: 1, lines: 1, ahead: null };
  const verdict = look(bytes, stop, form, scan, memory);
  if (scan.ahead !== null)
    Object.assign(memory, { at: scan.at, where: scan.where, fields: scan.fields + scan.ahead });
  if (verdict === 'cut' && !isWhole) return undecided(bytes, from, final, form);
  if (verdict === 'cut' && scan.where === 'quoted') return faulty(bytes, from, final, form, 'unclosed_quote');
  if (verdict === 'after_quote' || verdict === 'too_many_fields')
    return faulty(bytes, from, final, form, verdict);
  const end = withoutReturn(bytes, from, scan.at, form.newline);
  const next = Math.min(scan.at + 1, bytes.length);
  if (end === from) return { kind: 'blank', end, next, lines: scan.lines };
  if (scan.fields < form.width) return faulty(bytes, from, final, form, 'too_few_fields');
  return { kind: 'record', end, next, lines: scan.lines };
}

/** `cut`: `stop` comes first. `ended`: on the line end. */
type Verdict = 'cut' | 'ended' | 'after_quote' | 'too_many_fields';

function look(bytes: Buffer, stop: number, form: Form, scan: Scan, memory: Memory): Verdict {
  const { delimiter, newline, width } = form;
  for (; scan.at < stop; scan.at += 1) {
    const byte = bytes[scan.at];
    if (scan.where === 'quoted') {
      if (byte === QUOTE) scan.where = 'quote';
      else if (byte === newline) {
        scan.lines += 1;
        remember(scan, memory);
        if (width > 0 && scan.fields > width) return 'too_many_fields';
      }
    } else if (byte === QUOTE && scan.where !== 'plain' && scan.where !== 'return') {
      scan.where = 'quoted';
    } else if (byte === newline) {
      return 'ended';
    } else if (scan.where === 'return') {
      return 'after_quote';
    } else if (byte === delimiter) {
      if (scan.fields === width) return 'too_many_fields';
      scan.fields += 1;
      scan.where = 'start';
    } else if (scan.where === 'quote') {
      if (byte !== CR || newline !== LF) return 'after_quote';
      scan.where = 'return';
    } else {
      scan.where = 'plain';
    }
  }
  return 'cut';
}

/** On a line end in quotes. Where the last scan passed here too, goes to the last byte that it looked at. */
function remember(scan: Scan, memory: Memory): void {
  const { lineEnds, fieldsAt } = memory;
  if (scan.ahead === null) {
    const index = firstFrom(lineEnds, scan.at);
    if (lineEnds[index] === scan.at) {
      scan.ahead = (fieldsAt[index] ?? 0) - scan.fields;
      scan.lines += lineEnds.length - 1 - index;
      scan.fields = memory.fields - scan.ahead;
      scan.where = memory.where;
      scan.at = memory.at - 1;
      return;
    }
    lineEnds.length = 0;
    fieldsAt.length = 0;
    scan.ahead = 0;
  }
  lineEnds.push(scan.at);
  fieldsAt.push(scan.fields + scan.ahead);
}

/** Index of the first number that is not below `wanted`. */
function firstFrom(ascending: readonly number[], wanted: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ascending[middle] ?? 0) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
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
