// The splitter: finds where records begin and end in bytes, quote-aware and in linear time, and judges their form. It knows nothing
// of column types, and it decodes nothing: fields of well-formed records are taken apart elsewhere (fast-scan.ts, quoted-scan.ts).

import type { StructuralFault } from './reject.ts';
import { RECORD_BYTES_MAX } from './slice.ts';
import type { Trace } from './trace.ts';
import { createTrace, knows, note, restart, stopTrace } from './trace.ts';

export const LF = 0x0a;
export const CR = 0x0d;
export const QUOTE = 0x22;

/**
 * - `record`: well-formed; `contentEnd`, `next` and `lines` are set.
 * - `blank`: nothing but a line end (or a CR before the end of the file).
 * - `fault`: malformed; `contentEnd` and `next` are those of its first line, `fault` says why.
 * - `open`: more bytes could still change what it is; `openQuote` and `endless` say what it looks like.
 * - `end`: no bytes left.
 */
export type Outcome = 'record' | 'blank' | 'fault' | 'open' | 'end';

const FIELD_START = 0;
const UNQUOTED = 1;
const QUOTED = 2;
/** Behind a closing quote. */
const CLOSED = 3;

/** Where a scan stands. */
interface Cursor {
  position: number;
  state: number;
  /** Fields begun so far. */
  fields: number;
  lines: number;
  /** The first line end inside quotes, or -1. */
  firstNewline: number;
  isTracing: boolean;
  /** What the trace counts more than this scan. */
  bias: number;
  /** Up to here the bytes are counted in `examined`. */
  counted: number;
}

/** The form of a file's records, and what the last call of `scanRecord` found. */
export interface Splitter {
  readonly delimiter: number;
  /** LF or CR. */
  readonly newline: number;
  /** Number of fields that a record must have; 0: any. */
  readonly fields: number;
  fault: StructuralFault;
  /** End of the record's content, without its line end. */
  contentEnd: number;
  /** Where the next record begins. */
  next: number;
  /** Physical lines of the record. */
  lines: number;
  /** Of an open record: it ends inside quotes. */
  openQuote: boolean;
  /** Of an open record: its first line is already longer than a record may be; only its line end is missing. */
  endless: boolean;
  /** Bytes looked at so far; tests count these instead of seconds. */
  examined: number;
  readonly cursor: Cursor;
  readonly trace: Trace;
}

/** `fields` = 0 accepts any number, for the header. One splitter serves one buffer: positions are remembered between calls. */
export function createSplitter(delimiter: number, newline: number, fields: number): Splitter {
  return {
    delimiter,
    newline,
    fields,
    fault: 'unclosed_quote',
    contentEnd: 0,
    next: 0,
    lines: 0,
    openQuote: false,
    endless: false,
    examined: 0,
    cursor: {
      position: 0,
      state: FIELD_START,
      fields: 1,
      lines: 1,
      firstNewline: -1,
      isTracing: false,
      bias: 0,
      counted: 0,
    },
    trace: createTrace(),
  };
}

/**
 * Judges the record that begins at `from`. `final`: the file ends where `bytes` end; otherwise a record that more bytes could
 * change is `open`. A line end counts when it is at most RECORD_BYTES_MAX behind `from`, so that the result never depends on how
 * many bytes beyond that are at hand.
 */
export function scanRecord(splitter: Splitter, bytes: Buffer, from: number, final: boolean): Outcome {
  if (from >= bytes.length) return 'end';
  const { cursor, trace, newline } = splitter;
  const stop = Math.min(bytes.length, from + RECORD_BYTES_MAX + 1);
  startAt(cursor, from);
  const verdict = run(splitter, bytes, stop);
  splitter.examined += cursor.position - cursor.counted;
  if (cursor.isTracing) stopTrace(trace, cursor.position, cursor.state, cursor.fields + cursor.bias);

  let lineEnd = cursor.position;
  if (verdict === 'cut') {
    if (bytes.length > from + RECORD_BYTES_MAX)
      return faultOfLine(splitter, bytes, from, 'record_too_large', final);
    const isInQuotes = cursor.state === QUOTED && cursor.position === stop; // a quote as the very last byte would close
    if (!final) return open(splitter, isInQuotes, false);
    if (isInQuotes) return faultOfLine(splitter, bytes, from, 'unclosed_quote', final);
    lineEnd = stop;
  } else if (verdict !== 'ended') return faultOfLine(splitter, bytes, from, verdict, final);
  else if (bytes[lineEnd] !== newline) lineEnd += 1; // the CR behind a closing quote

  splitter.contentEnd = withoutReturn(bytes, from, lineEnd, newline);
  splitter.next = Math.min(lineEnd + 1, bytes.length);
  splitter.lines = cursor.lines;
  if (splitter.contentEnd === from) return 'blank';
  if (cursor.fields < splitter.fields) return faultOfLine(splitter, bytes, from, 'too_few_fields', final);
  return 'record';
}

/** `cut`: the bytes end first. `ended`: the cursor stands on the line end, or on the CR before it. */
type Verdict = 'cut' | 'ended' | 'after_quote' | 'too_many_fields';

function startAt(cursor: Cursor, from: number): void {
  cursor.position = from;
  cursor.state = FIELD_START;
  cursor.fields = 1;
  cursor.lines = 1;
  cursor.firstNewline = -1;
  cursor.isTracing = false;
  cursor.bias = 0;
  cursor.counted = from;
}

/** The automaton. It can go on from any cursor that a trace has kept, so a state that waits for a byte stays on the byte before. */
function run(splitter: Splitter, bytes: Buffer, stop: number): Verdict {
  const { cursor, delimiter, newline } = splitter;
  const fieldsMax = splitter.fields === 0 ? Infinity : splitter.fields;
  while (cursor.position < stop) {
    const byte = bytes[cursor.position]!;
    switch (cursor.state) {
      case FIELD_START:
        cursor.state = byte === QUOTE ? QUOTED : UNQUOTED;
        if (byte === QUOTE) cursor.position += 1;
        break;
      case UNQUOTED: {
        cursor.position = plainEnd(bytes, cursor.position, stop, delimiter, newline);
        if (cursor.position === stop) return 'cut';
        const verdict = passDelimiter(cursor, bytes, newline, fieldsMax);
        if (verdict !== null) return verdict;
        break;
      }
      case QUOTED:
        if (!passQuoted(splitter, bytes, stop)) return 'cut';
        if (cursor.fields > fieldsMax) return 'too_many_fields';
        break;
      default: {
        if (byte === CR && newline === LF) {
          if (cursor.position + 1 === stop) return 'cut';
          return bytes[cursor.position + 1] === LF ? 'ended' : 'after_quote';
        }
        if (byte !== delimiter && byte !== newline) return 'after_quote';
        const verdict = passDelimiter(cursor, bytes, newline, fieldsMax);
        if (verdict !== null) return verdict;
      }
    }
  }
  return 'cut';
}

function plainEnd(bytes: Buffer, from: number, stop: number, delimiter: number, newline: number): number {
  let position = from;
  for (; position < stop; position += 1) {
    const byte = bytes[position]!;
    if (byte === delimiter || byte === newline) break;
  }
  return position;
}

/** The cursor stands on a delimiter or a line end. */
function passDelimiter(cursor: Cursor, bytes: Buffer, newline: number, fieldsMax: number): Verdict | null {
  if (bytes[cursor.position] === newline) return 'ended';
  if (cursor.fields === fieldsMax) return 'too_many_fields';
  cursor.fields += 1;
  cursor.position += 1;
  cursor.state = FIELD_START;
  return null;
}

/** Inside quotes: passes to behind the closing quote, an escaped one, or a line end. False when the bytes end first. */
function passQuoted(splitter: Splitter, bytes: Buffer, stop: number): boolean {
  const { cursor, newline } = splitter;
  cursor.position = plainEnd(bytes, cursor.position, stop, QUOTE, newline);
  const { position } = cursor;
  if (position === stop) return false;
  if (bytes[position] === newline) {
    passNewline(splitter);
  } else if (position + 1 === stop) {
    return false;
  } else if (bytes[position + 1] === QUOTE) {
    cursor.position = position + 2;
  } else {
    cursor.position = position + 1;
    cursor.state = CLOSED;
  }
  return true;
}

/** A line end inside quotes: where an earlier scan passed it in the same state, takes over from where that one stopped. */
function passNewline(splitter: Splitter): void {
  const { cursor, trace } = splitter;
  const { position } = cursor;
  if (cursor.firstNewline < 0) cursor.firstNewline = position;
  cursor.lines += 1;
  cursor.position = position + 1;
  if (cursor.isTracing) {
    note(trace, position, cursor.fields + cursor.bias);
    return;
  }
  cursor.isTracing = true;
  if (!knows(trace, position)) {
    restart(trace, position, cursor.fields);
    return;
  }
  splitter.examined += position - cursor.counted;
  cursor.bias = trace.fields[trace.at]! - cursor.fields;
  cursor.lines += trace.newlines.length - 1 - trace.at;
  cursor.fields = trace.endFields - cursor.bias;
  cursor.state = trace.endState;
  cursor.position = trace.end;
  cursor.counted = trace.end;
}

function open(splitter: Splitter, openQuote: boolean, endless: boolean): Outcome {
  splitter.openQuote = openQuote;
  splitter.endless = endless;
  return 'open';
}

/** A malformed record costs its first line, which ends at its first line end inside quotes or else behind the fault. */
function faultOfLine(
  splitter: Splitter,
  bytes: Buffer,
  from: number,
  fault: StructuralFault,
  final: boolean,
): Outcome {
  const { position, firstNewline } = splitter.cursor;
  let lineEnd = firstNewline;
  if (lineEnd < 0) {
    lineEnd = bytes.indexOf(splitter.newline, position);
    splitter.examined += (lineEnd < 0 ? bytes.length : lineEnd) - position;
  }
  const isTooLong = (lineEnd < 0 ? bytes.length : lineEnd) - from > RECORD_BYTES_MAX;
  if (lineEnd < 0 && !final) return open(splitter, false, isTooLong);
  if (lineEnd < 0) lineEnd = bytes.length;
  splitter.fault = isTooLong ? 'record_too_large' : fault;
  splitter.contentEnd = withoutReturn(bytes, from, lineEnd, splitter.newline);
  splitter.next = Math.min(lineEnd + 1, bytes.length);
  splitter.lines = 1;
  return 'fault';
}

/** One CR directly before a line end, or before the end of the file, is no data. */
function withoutReturn(bytes: Buffer, from: number, end: number, newline: number): number {
  return newline === LF && end > from && bytes[end - 1] === CR ? end - 1 : end;
}
