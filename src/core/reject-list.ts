// The refused records of one slice: the first ones with place, reason and raw bytes, the rest counted and ranged. Sentences for
// people are made here; codes and their words stand in reject.ts and schema/column.ts.

import type { ValueFault } from '../schema/column.ts';
import type { ByteFault, Reject, RejectCode, StructuralFault } from './reject.ts';
import { RAW_BYTES_MAX, REJECT_SENTENCES } from './reject.ts';
import type { RowEncoder } from './row-encoder.ts';

/** How much of a value a sentence quotes, in characters. */
const SHOWN_CHARS_MAX = 64;

export interface RejectList {
  readonly listMax: number;
  readonly listed: Reject[];
  /** All of them, listed or not. */
  count: number;
  omitted: { readonly offset: number; readonly line: number; end: number; records: number } | null;
}

/** A refused record's place: all offsets in bytes from the start of the file; `line` from 0 at the start of the slice. */
export interface Place {
  readonly offset: number;
  readonly length: number;
  readonly line: number;
}

export function createRejectList(listMax: number): RejectList {
  return { listMax, listed: [], count: 0, omitted: null };
}

/** Refuses a whole record; `bytes` hold at least its first RAW_BYTES_MAX bytes from `from` on. */
export function rejectRecord(
  list: RejectList,
  place: Place,
  code: StructuralFault | ByteFault,
  bytes: Uint8Array,
  from: number,
): void {
  if (!makesRoom(list, place)) return;
  list.listed.push(rejectOf(place, code, null, null, `the record ${REJECT_SENTENCES[code]}`, bytes, from));
}

/** Refuses a record for the value that `encoder` stopped at; the value's bytes are in `source`, the record's in `bytes`. */
export function rejectValue(
  list: RejectList,
  place: Place,
  code: ValueFault,
  encoder: RowEncoder,
  source: Uint8Array,
  bytes: Uint8Array,
  from: number,
): void {
  if (!makesRoom(list, place)) return;
  const field = encoder.header.fieldOf[encoder.faultColumn]!;
  const isPresent = field >= 0;
  const column = isPresent ? encoder.header.names[field]! : encoder.table.columns[encoder.faultColumn]!.name;
  const value = isPresent ? shownValue(source, encoder.starts[field]!, encoder.ends[field]!) : '';
  const subject = value === '' ? column : `${column} '${value}'`;
  const sentence = `${subject} ${REJECT_SENTENCES[code]}`;
  list.listed.push(rejectOf(place, code, isPresent ? field + 1 : null, column, sentence, bytes, from));
}

function rejectOf(
  place: Place,
  code: RejectCode,
  field: number | null,
  column: string | null,
  sentence: string,
  bytes: Uint8Array,
  from: number,
): Reject {
  return {
    offset: place.offset,
    rawLength: place.length,
    line: place.line,
    field,
    column,
    code,
    sentence,
    // A copy with a buffer of its own: posting a view would clone the worker's whole read buffer.
    raw: new Uint8Array(bytes.subarray(from, from + Math.min(place.length, RAW_BYTES_MAX))),
    records: 1,
  };
}

function makesRoom(list: RejectList, place: Place): boolean {
  list.count += 1;
  if (list.listed.length < list.listMax) return true;
  list.omitted ??= { offset: place.offset, line: place.line, end: 0, records: 0 };
  list.omitted.end = place.offset + place.length;
  list.omitted.records += 1;
  return false;
}

/** What goes into the chunk: the listed ones, then one entry for the rest. */
export function finishRejects(list: RejectList): readonly Reject[] {
  const { omitted } = list;
  if (omitted === null) return list.listed;
  const rest: Reject = {
    offset: omitted.offset,
    rawLength: omitted.end - omitted.offset,
    line: omitted.line,
    field: null,
    column: null,
    code: 'more_rejects',
    sentence: REJECT_SENTENCES.more_rejects,
    raw: null,
    records: omitted.records,
  };
  return [...list.listed, rest];
}

/** Control and formatting characters (bidi overrides among them) do not reach a terminal or a log. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

function shownValue(source: Uint8Array, start: number, end: number): string {
  const bytes = Buffer.from(source.buffer, source.byteOffset, source.length);
  // Four bytes a character, and one character more to see that something is cut.
  const text = bytes.toString('utf8', start, Math.min(end, start + (SHOWN_CHARS_MAX + 1) * 4));
  const characters = Array.from(text);
  const isCut = characters.length > SHOWN_CHARS_MAX;
  const shown = isCut ? characters.slice(0, SHOWN_CHARS_MAX).join('') : text;
  return shown.replace(UNPRINTABLE, escaped) + (isCut ? '…' : '');
}

function escaped(character: string): string {
  if (character === '\n') return '\\n';
  if (character === '\r') return '\\r';
  if (character === '\t') return '\\t';
  const code = character.codePointAt(0)!;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}
