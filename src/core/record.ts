// The splitter: finds where records begin and end in bytes, quote-aware and in linear time, and judges their form. It knows nothing
// of column types, and it decodes nothing: fields of well-formed records are taken apart elsewhere (fast-scan.ts, quoted-scan.ts).

import type { StructuralFault } from './reject.ts';
import { RECORD_BYTES_MAX } from './slice.ts';

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

/**
 * What the last record of several lines looked like: the positions of its line ends inside quotes, the number of fields begun by
 * then, and where scanning stopped. A malformed record gives back all its lines but the first; when the scan of a later line is
 * inside quotes at one of these line ends, it must go the same way, and jumps. Without this, lines such as `a",b"x,"c` under a header
 * of 100,000 columns are read again for each line.
 */
interface Trace {
  readonly newlines: number[];
  readonly fields: number[];
  at: number;
  end: number;
  endState: number;
  endFields: number;
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
    trace: { newlines: [], fields: [], at: 0, end: 0, endState: QUOTED, endFields: 0 },
  };
}

/**
 * Judges the record that begins at `from`. `final`: the file ends where `bytes` end; otherwise a record that more bytes could
 * change is `open`. A line end counts when it is at most RECORD_BYTES_MAX behind `from`, so that the result never depends on how
 * many bytes beyond that are at hand.
 */
export function scanRecord(splitter: Splitter, bytes: Buffer, from: number, final: boolean): Outcome {
  if (from >= bytes.length) return 'end';
  const { delimiter, newline, trace } = splitter;
  const stop = Math.min(bytes.length, from + RECORD_BYTES_MAX + 1);
  const fieldsMax = splitter.fields === 0 ? Infinity : splitter.fields;
  let state = FIELD_START;
  let position = from;
  let fields = 1;
  let lines = 1;
  let firstNewline = -1;
  let tracing = false;
  let bias = 0;
  let verdict: 'cut' | 'ended' | 'after_quote' | 'too_many_fields' = 'cut';
  let counted = from;

  scanning: while (position < stop) {
    const byte = bytes[position]!;
    switch (state) {
      case FIELD_START:
        if (byte === QUOTE) {
          state = QUOTED;
          position += 1;
        } else state = UNQUOTED;
        continue;
      case UNQUOTED:
        if (byte !== delimiter && byte !== newline) {
          position += 1;
          continue;
        }
        break;
      case QUOTED:
        if (byte === QUOTE) {
          if (position + 1 === stop) break scanning;
          if (bytes[position + 1] === QUOTE) position += 2;
          else {
            position += 1;
            state = CLOSED;
          }
        } else if (byte !== newline) position += 1;
        else {
          if (firstNewline < 0) firstNewline = position;
          lines += 1;
          if (tracing) note(trace, position, fields + bias);
          else if (knows(trace, position)) {
            splitter.examined += position - counted;
            bias = trace.fields[trace.at]! - fields;
            lines += trace.newlines.length - 1 - trace.at;
            fields = trace.endFields - bias;
            if (fields > fieldsMax) {
              counted = position;
              verdict = 'too_many_fields';
              break scanning;
            }
            tracing = true;
            position = counted = trace.end;
            state = trace.endState;
            continue;
          } else {
            restart(trace, position, fields);
            tracing = true;
          }
          position += 1;
        }
        continue;
      default:
        if (byte === CR && newline === LF) {
          if (position + 1 === stop) break scanning;
          if (bytes[position + 1] === LF) {
            verdict = 'ended';
            break scanning;
          }
        }
        if (byte !== delimiter && byte !== newline) {
          verdict = 'after_quote';
          break scanning;
        }
    }
    if (byte === newline) {
      verdict = 'ended';
      break;
    }
    if (fields === fieldsMax) {
      verdict = 'too_many_fields';
      break;
    }
    fields += 1;
    position += 1;
    state = FIELD_START;
  }

  splitter.examined += position - counted;
  splitter.lines = lines;
  if (tracing) remember(trace, position, state, fields + bias);
  if (verdict === 'cut') {
    const isWindowFull = bytes.length > from + RECORD_BYTES_MAX;
    if (isWindowFull)
      return faultOfLine(splitter, bytes, from, position, firstNewline, 'record_too_large', final);
    if (!final) return open(splitter, state === QUOTED && position === stop, false);
    // A quote as the very last byte closes its field.
    if (state === QUOTED && position === stop)
      return faultOfLine(splitter, bytes, from, position, firstNewline, 'unclosed_quote', final);
    position = stop;
  } else if (verdict !== 'ended')
    return faultOfLine(splitter, bytes, from, position, firstNewline, verdict, final);

  const lineEnd = bytes[position] === CR && newline === LF && state === CLOSED ? position + 1 : position;
  splitter.next = Math.min(lineEnd + 1, bytes.length);
  splitter.contentEnd = withoutReturn(bytes, from, Math.min(lineEnd, bytes.length), newline);
  if (splitter.contentEnd === from) return 'blank';
  if (fields < splitter.fields)
    return faultOfLine(splitter, bytes, from, lineEnd, firstNewline, 'too_few_fields', final);
  return 'record';
}

function open(splitter: Splitter, openQuote: boolean, endless: boolean): Outcome {
  splitter.openQuote = openQuote;
  splitter.endless = endless;
  return 'open';
}

/** A malformed record costs its first line; `firstNewline` is where that ends, or -1 when the fault at `position` stands on it. */
function faultOfLine(
  splitter: Splitter,
  bytes: Buffer,
  from: number,
  position: number,
  firstNewline: number,
  fault: StructuralFault,
  final: boolean,
): Outcome {
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

/** Whether the trace passed this line end inside quotes; if so, `trace.at` is its index. */
function knows(trace: Trace, position: number): boolean {
  const { newlines } = trace;
  while (trace.at < newlines.length && newlines[trace.at]! < position) trace.at += 1;
  return newlines[trace.at] === position;
}

function restart(trace: Trace, position: number, fields: number): void {
  trace.newlines.length = 0;
  trace.fields.length = 0;
  trace.at = 0;
  note(trace, position, fields);
}

function note(trace: Trace, position: number, fields: number): void {
  trace.newlines.push(position);
  trace.fields.push(fields);
}

function remember(trace: Trace, end: number, state: number, fields: number): void {
  trace.end = end;
  trace.endState = state;
  trace.endFields = fields;
}

/**
 * Takes a well-formed record apart without papaparse: writes its unquoted fields one after the other into `target` (at least as long
 * as the record), their ranges into `starts` and `ends`, and returns how many there are.
 */
export function unquoteRecord(
  bytes: Uint8Array,
  from: number,
  contentEnd: number,
  delimiter: number,
  target: Uint8Array,
  starts: Int32Array,
  ends: Int32Array,
): number {
  let position = from;
  let written = 0;
  let field = 0;
  for (;;) {
    starts[field] = written;
    const isQuoted = position < contentEnd && bytes[position] === QUOTE;
    if (isQuoted) position += 1;
    while (position < contentEnd) {
      const byte = bytes[position]!;
      if (isQuoted && byte === QUOTE) {
        position += 1;
        if (bytes[position] !== QUOTE || position >= contentEnd) break;
      } else if (!isQuoted && byte === delimiter) break;
      target[written] = byte;
      written += 1;
      position += 1;
    }
    ends[field] = written;
    field += 1;
    if (position >= contentEnd) return field;
    position += 1;
  }
}
