// A slow, independent reading of CSV for tests of the parse room: character by character, whole files only, no cuts, no windows, no
// papaparse. Not for files with records near the size limit.

import type { TableDefinition } from '../../src/schema/table.ts';
import { encodeTuple } from '../../src/core/copy-binary.ts';
import type { ColumnType, FieldWriter } from '../../src/schema/column.ts';
import { RAW_BYTES_MAX } from '../../src/core/reject.ts';

export interface ModelRow {
  readonly offset: number;
  readonly length: number;
  readonly line: number;
  readonly tuple: string;
}

export interface ModelReject {
  readonly offset: number;
  readonly length: number;
  readonly line: number;
  readonly field: number | null;
  readonly code: string;
  readonly raw: string;
}

export interface ModelResult {
  readonly rows: readonly ModelRow[];
  readonly rejects: readonly ModelReject[];
  readonly lines: number;
  readonly blankLines: number;
}

interface ModelRecord {
  readonly fields: readonly string[];
  readonly fault: string | null;
  /** End of the content and beginning of the next record. */
  readonly end: number;
  readonly next: number;
  readonly lines: number;
}

/** A file with a header that names some of the table's columns, comma separated and unquoted. Latin-1 strings stand for bytes. */
export function modelParse(bytes: Buffer, table: TableDefinition): ModelResult {
  const text = bytes.toString('latin1');
  const bom = text.startsWith('\xef\xbb\xbf') ? 3 : 0;
  let at = bom;
  let line = 0;
  let blankLines = 0;
  let names: string[] | null = null;
  const rows: ModelRow[] = [];
  const rejects: ModelReject[] = [];
  while (at < text.length) {
    const record = modelRecord(text, at, names === null ? null : names.length);
    const raw = text.slice(at, record.end);
    const place = { offset: at, length: raw.length, line };
    const refuse = (code: string, field: number | null): void => {
      rejects.push({ ...place, field, code, raw: raw.slice(0, RAW_BYTES_MAX) });
    };
    if (raw === '') blankLines += 1;
    else if (names === null) names = record.fields.map((name) => name.trim().toLowerCase());
    else if (record.fault !== null) refuse(record.fault, null);
    else if (raw.includes('\0')) refuse('nul_byte', null);
    else if (!isUtf8(raw)) refuse('invalid_utf8', null);
    else {
      const tuple = modelTuple(record.fields, names, table);
      if (typeof tuple === 'string') rows.push({ ...place, tuple });
      else refuse(tuple.code, tuple.field);
    }
    line += record.lines;
    at = record.next;
  }
  return { rows, rejects, lines: line, blankLines };
}

function isUtf8(latin1: string): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(latin1, 'latin1'));
    return true;
  } catch {
    return false;
  }
}

function modelRecord(text: string, from: number, width: number | null): ModelRecord {
  const fields: string[] = [];
  let at = from;
  let lines = 1;
  const faulty = (fault: string): ModelRecord => {
    const newline = text.indexOf('\n', from);
    const lineEnd = newline < 0 ? text.length : newline;
    return {
      fields,
      fault,
      end: dropReturn(text, from, lineEnd),
      next: lineEnd + (newline < 0 ? 0 : 1),
      lines: 1,
    };
  };
  for (;;) {
    let value = '';
    if (text[at] === '"') {
      at += 1;
      for (;;) {
        if (at >= text.length) return faulty('unclosed_quote');
        if (text.startsWith('""', at)) {
          value += '"';
          at += 2;
        } else if (text[at] === '"') break;
        else {
          if (text[at] === '\n') lines += 1;
          value += text[at];
          at += 1;
        }
      }
      at += 1;
      const isEnd =
        ['', '\n', '\r\n', '\r'].includes(text.slice(at)) || /^\r?\n/.test(text.slice(at, at + 2));
      if (!isEnd && text[at] !== ',') return faulty('after_quote');
      if (isEnd && text[at] === '\r') at += 1;
    } else {
      while (at < text.length && text[at] !== ',' && text[at] !== '\n') {
        value += text[at];
        at += 1;
      }
      if (text[at] !== ',' && value.endsWith('\r')) value = value.slice(0, -1);
    }
    fields.push(value);
    if (text[at] !== ',') break;
    if (width !== null && fields.length === width) return faulty('too_many_fields');
    at += 1;
  }
  const end = dropReturn(text, from, at);
  if (width !== null && end > from && fields.length < width) return faulty('too_few_fields');
  return { fields, fault: null, end, next: Math.min(at + 1, text.length), lines };
}

function dropReturn(text: string, from: number, end: number): number {
  return end > from && text[end - 1] === '\r' ? end - 1 : end;
}

function modelTuple(
  fields: readonly string[],
  names: readonly string[],
  table: TableDefinition,
): string | { code: string; field: number | null } {
  const values: (Buffer | null)[] = [];
  for (const column of table.columns) {
    const index = names.indexOf(column.name);
    const value = fields[index] ?? '';
    const encoded = value === '' ? null : encodeOne(column.type, Buffer.from(value, 'latin1'));
    if (typeof encoded === 'string') return { code: encoded, field: index + 1 };
    if (encoded === null && column.required) return { code: 'required', field: index + 1 };
    values.push(encoded);
  }
  return encodeTuple(values).toString('hex');
}

/** The value's bytes without their length, or the fault's code. */
function encodeOne(type: ColumnType, value: Buffer): Buffer | string {
  const out: FieldWriter = { bytes: Buffer.alloc(value.length * 2 + 64), position: 0 };
  return type.encode(value, 0, value.length, out) ?? Buffer.from(out.bytes.subarray(4, out.position));
}
