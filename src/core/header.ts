// The header: finds the delimiter and which field brings which column, or says why the file cannot be taken. The delimiter is decided
// here, by the names it yields, and never guessed again later in the file. No records are read here.

import { isUtf8 } from 'node:buffer';
import type { TableDefinition } from '../schema/table.ts';
import { delimiterText } from './delimiter.ts';
import { foreignFormat } from './foreign.ts';
import { createSplitter, scanRecord } from './record.ts';
import type { FileFault } from './slice.ts';
import { RECORD_BYTES_MAX } from './slice.ts';
import { unquoteRecord } from './unquote.ts';

const DELIMITERS = [',', ';', '\t', '|'] as const;

/** How much of a header a sentence quotes. */
const SHOWN_CHARS_MAX = 200;

/** What a file's header says about its records. */
export interface Header {
  readonly delimiter: number;
  /** Number of fields in the header, so in every record. */
  readonly fields: number;
  /** The header's own spelling, trimmed. */
  readonly names: readonly string[];
  /** For each column of the table the field that brings it, or -1. */
  readonly fieldOf: Int32Array;
  /** Columns of the header that no table column takes. */
  readonly extraColumns: number;
  /** Where the header ends in the file, in bytes; its physical lines, and the blank lines before it (counted in `lines` too). */
  readonly end: number;
  readonly lines: number;
  readonly blankLines: number;
}

/**
 * - `incomplete`: more bytes are needed.
 * - `none`: the file is final and holds nothing but blank lines.
 */
export type HeaderResult =
  | { readonly kind: 'header'; readonly header: Header }
  | { readonly kind: 'refused'; readonly code: FileFault; readonly reason: string }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'none'; readonly lines: number };

/**
 * Reads the header at the beginning of a file. `bytes` start at offset 0; `final`: the file ends where they end. `wanted`: the delimiter,
 * or null for the one that yields the names.
 */
export function readHeader(
  bytes: Buffer,
  final: boolean,
  table: TableDefinition,
  newline: number,
  wanted: number | null = null,
): HeaderResult {
  const foreign = foreignFormat(bytes);
  if (foreign !== null) return refused(foreign.code, foreign.reason);
  const lead = skipBlankLines(bytes, final, newline);
  if (lead.position >= bytes.length) {
    if (bytes.length > RECORD_BYTES_MAX) return tooLarge();
    return final ? { kind: 'none', lines: lead.lines } : { kind: 'incomplete' };
  }
  const delimiters = wanted === null ? DELIMITERS.map((delimiter) => delimiter.charCodeAt(0)) : [wanted];
  const candidates = delimiters.map((delimiter) =>
    tryDelimiter(bytes, lead.position, final, delimiter, newline, table),
  );
  const best = candidates.reduce((left, right) => (right.known > left.known ? right : left));
  const isOpen = candidates.some((candidate) => candidate.kind === 'open');
  if (best.known <= 0 && isOpen) {
    if (!candidates.some((candidate) => candidate.kind === 'open' && candidate.endless))
      return { kind: 'incomplete' };
    return bytes.includes(0)
      ? notUtf8('it contains NUL bytes, as UTF-16 text and binary files do')
      : tooLarge();
  }
  const headerBytes = bytes.subarray(
    lead.position,
    best.kind === 'complete' ? best.next : firstLine(bytes, lead.position, newline),
  );
  if (headerBytes.includes(0))
    return notUtf8('its header contains NUL bytes, as UTF-16 text and binary files do');
  if (!isUtf8(headerBytes))
    return notUtf8('its header contains bytes that are not UTF-8; save the file as UTF-8');
  if (best.kind === 'too_large') return tooLarge();
  if (best.kind !== 'complete' || best.known === 0) return badHeader(headerBytes, table, wanted);
  return judge(best, lead.lines, table);
}

interface Complete {
  readonly kind: 'complete';
  readonly delimiter: number;
  readonly names: readonly string[];
  readonly fieldOf: Int32Array;
  readonly next: number;
  readonly lines: number;
  /** Required columns found, then all columns found: what the candidates are compared by. */
  readonly known: number;
}

type Candidate =
  | Complete
  | { readonly kind: 'open'; readonly endless: boolean; readonly known: -1 }
  | { readonly kind: 'malformed' | 'too_large'; readonly known: -1 };

function tryDelimiter(
  bytes: Buffer,
  from: number,
  final: boolean,
  delimiter: number,
  newline: number,
  table: TableDefinition,
): Candidate {
  const splitter = createSplitter(delimiter, newline, 0);
  const outcome = scanRecord(splitter, bytes, from, final);
  if (outcome === 'open') return { kind: 'open', endless: splitter.endless, known: -1 };
  if (outcome !== 'record')
    return { kind: splitter.fault === 'record_too_large' ? 'too_large' : 'malformed', known: -1 };
  const names = namesOf(bytes, from, splitter.contentEnd, delimiter);
  const fieldOf = matchColumns(names, table);
  return {
    kind: 'complete',
    delimiter,
    names,
    fieldOf,
    next: splitter.next,
    lines: splitter.lines,
    known: score(fieldOf, table),
  };
}

function namesOf(bytes: Buffer, from: number, contentEnd: number, delimiter: number): string[] {
  const length = contentEnd - from;
  const starts = new Int32Array(length + 1);
  const ends = new Int32Array(length + 1);
  const target = Buffer.alloc(length);
  const fields = unquoteRecord(bytes, from, contentEnd, delimiter, target, starts, ends);
  return Array.from({ length: fields }, (_, field) =>
    target.toString('utf8', starts[field], ends[field]).replace(/^[ \t]+|[ \t]+$/g, ''),
  );
}

function matchColumns(names: readonly string[], table: TableDefinition): Int32Array {
  const fields = new Map<string, number>();
  names.forEach((name, field) => {
    const folded = fold(name);
    if (!fields.has(folded)) fields.set(folded, field);
  });
  return Int32Array.from(table.columns, (column) => fields.get(fold(column.name)) ?? -1);
}

/** A required column outweighs all others; without any, it is no header. */
function score(fieldOf: Int32Array, table: TableDefinition): number {
  let required = 0;
  let all = 0;
  table.columns.forEach((column, index) => {
    if (fieldOf[index]! < 0) return;
    all += 1;
    if (column.required) required += 1;
  });
  return required === 0 ? 0 : required * (table.columns.length + 1) + all;
}

/** ASCII only: other alphabets have letters whose lower case is an ASCII letter. */
function fold(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

function judge(found: Complete, linesBefore: number, table: TableDefinition): HeaderResult {
  const twice = firstDuplicate(found.names);
  if (twice !== null)
    return refused(
      'duplicate_column',
      `the header has the column ${shown(twice)} twice; rename or remove one of them`,
    );
  const missing = table.columns.filter((column, index) => column.required && found.fieldOf[index]! < 0);
  if (missing.length > 0) {
    const wanted = missing.map((column) => column.name).join(', ');
    return refused(
      'missing_column',
      `the header lacks the required column${missing.length > 1 ? 's' : ''} ${wanted}; it has ` +
        `${shown(found.names.join(', '))}. Add or rename columns in the first line and deliver the file again`,
    );
  }
  const taken = found.fieldOf.reduce((sum, field) => (field < 0 ? sum : sum + 1), 0);
  return {
    kind: 'header',
    header: {
      delimiter: found.delimiter,
      fields: found.names.length,
      names: found.names,
      fieldOf: found.fieldOf,
      extraColumns: found.names.length - taken,
      end: found.next,
      lines: linesBefore + found.lines,
      blankLines: linesBefore,
    },
  };
}

/** Empty names (a spreadsheet's trailing delimiters) are no names and may repeat. */
function firstDuplicate(names: readonly string[]): string | null {
  const seen = new Set<string>();
  for (const name of names) {
    const folded = fold(name);
    if (folded === '') continue;
    if (seen.has(folded)) return name;
    seen.add(folded);
  }
  return null;
}

function badHeader(line: Buffer, table: TableDefinition, delimiter: number | null): HeaderResult {
  const wanted = table.columns.filter((column) => column.required).map((column) => column.name);
  const by = delimiter === null ? 'comma, semicolon, tab or pipe' : delimiterText(delimiter);
  return refused(
    'bad_header',
    `the first line is not a header: it names none of ${wanted.join(', ')}, separated by ${by}. ` +
      `It reads ${shown(line.toString('utf8', 0, SHOWN_CHARS_MAX * 4))}. Put a line with the column names first`,
  );
}

function tooLarge(): HeaderResult {
  return refused(
    'header_too_large',
    'no header ends within the first 1 MiB of the file; the first line must name the columns',
  );
}

function notUtf8(what: string): HeaderResult {
  return refused('wrong_encoding', `the file is not UTF-8: ${what}`);
}

function refused(code: FileFault, reason: string): HeaderResult {
  return { kind: 'refused', code, reason };
}

/** A quoted text for a sentence: cut, with control characters escaped. */
export function shown(text: string): string {
  const cut = text.trim();
  return JSON.stringify(cut.length > SHOWN_CHARS_MAX ? `${cut.slice(0, SHOWN_CHARS_MAX)}…` : cut);
}

export function firstLine(bytes: Buffer, from: number, newline: number): number {
  const end = bytes.indexOf(newline, from);
  return end < 0 ? bytes.length : end;
}

const UTF8_BOM = Buffer.from([0xef, 0xbb, 0xbf]);

/** Skips the BOM and lines without content; stops at the end of the bytes when there is nothing else. */
function skipBlankLines(bytes: Buffer, final: boolean, newline: number): { position: number; lines: number } {
  const splitter = createSplitter(0x2c, newline, 0);
  let position = bytes.subarray(0, 3).equals(UTF8_BOM) ? 3 : 0;
  let lines = 0;
  while (position < bytes.length && position <= RECORD_BYTES_MAX) {
    const head = bytes[position];
    if (head !== 0x0a && head !== 0x0d) break;
    if (scanRecord(splitter, bytes, position, final) !== 'blank') break;
    position = splitter.next;
    lines += 1;
  }
  return position > RECORD_BYTES_MAX ? { position: bytes.length, lines } : { position, lines };
}
