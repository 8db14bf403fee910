// The records of one file, judged once more from its bytes: block by block, with papaparse for the fields, in bounded memory. What is
// made of them is not decided here. Only the decoding of other encodings than UTF-8, and the places in them, are the road's own.

import { isUtf8 } from 'node:buffer';
import Papa from 'papaparse';
import type { Encoding } from '../../core/encoding.ts';
import { decodeAll, decodedMax, decodeInto, encodingOf, lengthBefore, placeOf } from '../../core/encoding.ts';
import type { RejectCode } from '../../core/reject.ts';
import type { Dialect } from '../../core/slice.ts';
import { RECORD_BYTES_MAX } from '../../core/slice.ts';
import type { TableDefinition } from '../../schema/table.ts';
import { readAt } from '../books/content.ts';
import { createMemory, cutRecord } from './lines.ts';
import type { Form } from './lines.ts';
import { judgeValue } from './values.ts';
import type { Value } from './values.ts';

const BLOCK_BYTES = 1024 * 1024;
const DELIMITERS = [',', ';', '\t', '|'] as const;

/** A record as it stands in the file, and what it is. Lines count from 1. */
export interface FoundRecord {
  readonly offset: number;
  readonly length: number;
  readonly line: number;
  /** In the order of the table's columns; null for a record that no rule of ours lets pass. */
  readonly values: readonly Value[] | null;
  readonly code: RejectCode | null;
}

/** How a file's records are read: its form, and which of the table's columns stands in which field (-1: in none). */
export interface Layout {
  readonly encoding: Encoding;
  readonly form: Form;
  readonly fieldOf: readonly number[];
  /** Words that mean NULL when they are all of a field. */
  readonly nulls: readonly string[];
  /** In the file's own bytes. */
  readonly headerEnd: number;
  readonly headerLines: number;
}

/** Of the whole file. Null when its first line is no header that names all required columns. */
export async function readLayout(
  file: { readonly fd: number },
  size: number,
  table: TableDefinition,
  { newline, delimiter: given = null, nulls = [], encoding: named = 'auto' }: Dialect,
): Promise<Layout | null> {
  const raw = await readAt(file, 0, Math.min(size, RECORD_BYTES_MAX * 4 + 4));
  const final = raw.length === size;
  const encoding = encodingOf(raw, named);
  const bytes = decodeAll(encoding, raw);
  const candidates = (given === null ? DELIMITERS : [given]).flatMap((delimiter) => {
    const form = {
      delimiter: delimiter.charCodeAt(0),
      newline: newline === 'cr' ? 0x0d : 0x0a,
      width: 0,
    };
    const layout = layoutOf(bytes, final, form, table, nulls);
    if (layout === null) return [];
    const headerEnd = lengthBefore(encoding, bytes, layout.headerEnd);
    return [{ ...layout, encoding, headerEnd }];
  });
  const known = ({ fieldOf }: Layout): number =>
    fieldOf.reduce(
      (sum, field, i) => sum + (field < 0 ? 0 : table.columns[i]?.required === true ? 100 : 1),
      0,
    );
  const [best] = candidates.toSorted((a, b) => known(b) - known(a));
  const complete = table.columns.every((column, i) => !column.required || (best?.fieldOf[i] ?? -1) >= 0);
  return best !== undefined && complete ? best : null;
}

function layoutOf(
  bytes: Buffer,
  final: boolean,
  form: Form,
  table: TableDefinition,
  nulls: readonly string[],
): Omit<Layout, 'encoding'> | null {
  let at = bytes.length >= 3 && bytes.readUIntBE(0, 3) === 0xefbbbf ? 3 : 0;
  let lines = 0;
  for (;;) {
    if (at >= bytes.length) return null;
    const cut = cutRecord(bytes, at, final, form);
    if (cut.kind !== 'blank' && cut.kind !== 'record') return null;
    lines += cut.lines;
    if (cut.kind === 'record') {
      const names = fieldsOf(bytes.toString('utf8', at, cut.end), form)[0] ?? [];
      const folded = names.map((name) =>
        name.replace(/^[ \t]+|[ \t]+$/g, '').replace(/[A-Z]/g, (c) => c.toLowerCase()),
      );
      const fieldOf = table.columns.map(({ name }) => folded.indexOf(name));
      return {
        form: { ...form, width: names.length },
        fieldOf,
        headerEnd: cut.next,
        headerLines: lines,
        nulls,
      };
    }
    at = cut.next;
  }
}

/**
 * Judges the records in [start, end), which must be a range of whole records; `line` is the line that begins at `start`. Ends early when the
 * file does. Blocks hold about a MiB of file each.
 */
export async function* readRecords(
  file: { readonly fd: number },
  layout: Layout,
  table: TableDefinition,
  range: { readonly start: number; readonly end: number; readonly line: number },
): AsyncGenerator<readonly FoundRecord[]> {
  let raw: Buffer = Buffer.alloc(0);
  let base = range.start;
  let line = range.line;
  if (base === 0) {
    base = layout.headerEnd;
    line += layout.headerLines;
  }
  let endless = false;
  while (base < range.end) {
    const wanted = Math.min(BLOCK_BYTES, range.end - base - raw.length);
    const more = await readAt(file, base + raw.length, wanted);
    raw = raw.length === 0 ? more : Buffer.concat([raw, more]);
    const final = more.length < wanted || base + raw.length >= range.end;
    const text = textOf(layout.encoding, raw, final);
    if (endless) {
      // Only the end of a line that is too long matters; its record was given already, but for its length.
      const found = text.bytes.indexOf(layout.form.newline);
      const passed = text.place(found < 0 ? text.bytes.length : found + 1);
      if (found >= 0 || final) {
        line += 1;
        endless = false;
      }
      base += passed;
      raw = raw.subarray(passed);
      if (more.length === 0) return;
      continue;
    }
    const taken = takeRecords(text.bytes, final, layout, table, line);
    const records = taken.records.map((record) => placed(record, text, base));
    line = taken.nextLine;
    endless = taken.isEndless;
    const used = text.place(endless ? text.bytes.length : taken.used);
    base += used;
    raw = Buffer.from(raw.subarray(used));
    yield records;
    if (more.length === 0 && final) return;
  }
}

/** Bytes of a file in UTF-8. */
interface Text {
  readonly bytes: Buffer;
  /** How many bytes of the file stand before a position; cheap when asked in ascending order. */
  readonly place: (position: number) => number;
}

/** What half a character at the end of a block will be is decided with the next block. */
function textOf(encoding: Encoding, raw: Buffer, final: boolean): Text {
  if (encoding === 'utf-8') return { bytes: raw, place: (position) => position };
  const target = Buffer.allocUnsafe(decodedMax(encoding, raw.length));
  const { end } = decodeInto(encoding, raw, 0, final, target, 0);
  const bytes = target.subarray(0, end);
  const counter = { encoding, position: 0, place: 0 };
  return { bytes, place: (position) => placeOf(counter, bytes, position) };
}

function placed(record: FoundRecord, text: Text, base: number): FoundRecord {
  const from = text.place(record.offset);
  return { ...record, offset: base + from, length: text.place(record.offset + record.length) - from };
}

interface Taken {
  /** Their places are those in the bytes at hand. */
  readonly records: readonly FoundRecord[];
  readonly used: number;
  readonly nextLine: number;
  readonly isEndless: boolean;
}

function takeRecords(
  bytes: Buffer,
  final: boolean,
  layout: Layout,
  table: TableDefinition,
  firstLine: number,
): Taken {
  const records: (FoundRecord | Waiting)[] = [];
  let at = 0;
  let line = firstLine;
  let isEndless = false;
  const memory = createMemory();
  while (at < bytes.length) {
    const cut = cutRecord(bytes, at, final, layout.form, memory);
    if (cut.kind === 'more') break;
    if (cut.kind === 'endless') {
      records.push(refused(at, bytes.length - at, line, 'record_too_large'));
      isEndless = true;
      at = bytes.length;
      break;
    }
    const place = { offset: at, length: cut.end - at, line };
    if (cut.kind === 'fault') records.push(refused(place.offset, place.length, line, cut.fault));
    else if (cut.kind === 'record') records.push(waiting(bytes.subarray(at, cut.end), place));
    line += cut.lines;
    at = cut.next;
  }
  return { records: judgeWaiting(records, layout, table), used: at, nextLine: line, isEndless };
}

/** A well-formed record whose fields are still to be taken apart, many at a time. */
interface Waiting {
  readonly offset: number;
  readonly length: number;
  readonly line: number;
  readonly text: string;
}

function waiting(
  bytes: Buffer,
  place: { offset: number; length: number; line: number },
): FoundRecord | Waiting {
  if (bytes.includes(0)) return { ...place, values: null, code: 'nul_byte' };
  if (!isUtf8(bytes)) return { ...place, values: null, code: 'invalid_utf8' };
  return { ...place, text: bytes.toString('utf8') };
}

function refused(offset: number, length: number, line: number, code: RejectCode): FoundRecord {
  return { offset, length, line, values: null, code };
}

function judgeWaiting(
  found: readonly (FoundRecord | Waiting)[],
  layout: Layout,
  table: TableDefinition,
): FoundRecord[] {
  const texts = found.flatMap((record) => ('text' in record ? [record.text] : []));
  const separator = String.fromCharCode(layout.form.newline);
  const together = texts.length === 0 ? [] : fieldsOf(texts.join(separator), layout.form);
  const all =
    together.length === texts.length ? together : texts.map((text) => fieldsOf(text, layout.form)[0] ?? []);
  let next = 0;
  return found.map((record) => ('text' in record ? judge(record, all[next++] ?? [], layout, table) : record));
}

function fieldsOf(text: string, { delimiter, newline }: Form): string[][] {
  const settings = {
    delimiter: String.fromCharCode(delimiter),
    newline: String.fromCharCode(newline),
    quoteChar: '"',
  };
  // The parser itself: Papa.parse would drop U+FEFF at the beginning, which is data here.
  const parser = new Papa.Parser({ ...settings, newline: settings.newline as '\n' | '\r' });
  return (parser.parse(text, 0, false) as { data: string[][] }).data;
}

function judge(
  { offset, length, line }: Waiting,
  fields: readonly string[],
  { fieldOf, nulls }: Layout,
  table: TableDefinition,
): FoundRecord {
  const values: Value[] = [];
  for (const [index, column] of table.columns.entries()) {
    const field = fieldOf[index] ?? -1;
    const text = field < 0 ? undefined : fields[field];
    const judged = judgeValue(column, text !== undefined && nulls.includes(text) ? '' : text);
    if ('fault' in judged) return { offset, length, line, values: null, code: judged.fault };
    values.push(judged.value);
  }
  return { offset, length, line, values, code: null };
}
