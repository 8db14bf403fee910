// Hand-made chunks for the tests of the sink: rows of the events table, encoded by the column types themselves, in slices of a file
// that exists nowhere. No parser, no dedup: a test says itself what the verdicts are.

import { createHash, randomUUID } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { DEFAULT_DIALECT } from '../../src/core/booked-dialect.ts';
import type { JudgedChunk, Rows } from '../../src/core/chunk.ts';
import { DUPLICATE, FRESH, UNSURE } from '../../src/core/chunk.ts';
import { encodeTuple } from '../../src/core/copy-binary.ts';
import type { Reject } from '../../src/core/reject.ts';
import type { AcceptedSlice, GenerationId, GenerationInfo } from '../../src/core/slice.ts';
import type { FieldWriter } from '../../src/schema/column.ts';
import { eventsTable } from '../../src/schema/events.ts';

/** An event by its column names; what is left out has a plain value. */
export type EventFields = Readonly<Partial<Record<(typeof eventsTable.columns)[number]['name'], string>>>;

export interface TestRow {
  readonly fields: EventFields;
  readonly verdict: typeof FRESH | typeof UNSURE | typeof DUPLICATE;
}

const PLAIN: Required<EventFields> = {
  event_id: '',
  event_type: 'view',
  product_id: 'P-1',
  user_id: 'U-1',
  event_timestamp: '2026-01-02 03:04:05',
  quantity: '1',
  price: '9.99',
};

const RECORD_BYTES = 100;

let files = 0;

/** A file that no folder holds. */
export function testFile(name = `file-${(files += 1)}.csv`): GenerationInfo {
  const stamp = { dev: 1n, ino: BigInt(1000 + files), birthNs: 5n, size: 0, mtimeNs: 7n, ctimeNs: 8n };
  return {
    id: randomUUID() as GenerationId,
    name,
    nameBytes: Buffer.from(name),
    stamp,
    replaces: null,
    dialect: DEFAULT_DIALECT,
  };
}

export function testKey(index: number): string {
  return `00000000-0000-4000-8000-${index.toString(16).padStart(12, '0')}`;
}

/** Rows with the keys [from, to), all with one verdict. */
export function testRows(
  from: number,
  to: number,
  verdict: TestRow['verdict'] = FRESH,
  fields: EventFields = {},
): TestRow[] {
  return Array.from({ length: to - from }, (_, index) => ({
    fields: { event_id: testKey(from + index), ...fields },
    verdict,
  }));
}

export interface TestChunk {
  readonly file: GenerationInfo;
  readonly rows: readonly TestRow[];
  readonly start?: number;
  readonly forget?: bigint;
  readonly rejects?: readonly Reject[];
  readonly endsFile?: boolean;
}

let chunks = 0;

/** A chunk of one slice; records are 100 bytes each, one per line. Rows are sorted by key, as a worker does. */
export function testChunk({
  file,
  rows,
  start = 0,
  forget = 0n,
  rejects = [],
  endsFile = false,
}: TestChunk): JudgedChunk {
  const order = rows
    .map((row, index) => ({ row, index }))
    .toSorted((a, b) =>
      keyOf(a.row) < keyOf(b.row) ? -1 : keyOf(a.row) > keyOf(b.row) ? 1 : a.index - b.index,
    );
  const end = start + (rows.length + rejects.length) * RECORD_BYTES;
  const verdicts = Uint8Array.from(order, ({ row }) => row.verdict);
  const count = (verdict: number): number => verdicts.filter((each) => each === verdict).length;
  chunks += 1;
  return {
    slices: [{ ...sliceOf(file, start, end, rows.length, rejects), endsFile }],
    rows: rowsOf(order),
    number: chunks,
    forget,
    verdicts: count(FRESH) === rows.length ? null : verdicts,
    fresh: count(FRESH),
    unsure: count(UNSURE),
    duplicates: count(DUPLICATE),
    conflicts: [],
  };
}

/** Several chunks of one slice each as one chunk, as small files travel. */
export function joinChunks(parts: readonly JudgedChunk[]): JudgedChunk {
  const rows = parts.flatMap((part, slice) =>
    Array.from({ length: part.rows.count }, (_, row) => ({ part, slice, row })),
  );
  const sorted = rows.toSorted((a, b) => Buffer.compare(keyBytes(a.part, a.row), keyBytes(b.part, b.row)));
  const tuples = sorted.map(({ part, row }) =>
    part.rows.bytes.subarray(row === 0 ? 0 : part.rows.ends[row - 1], part.rows.ends[row]),
  );
  let end = 0;
  const pick = (
    name: 'payloads' | 'recordOffsets' | 'recordLengths' | 'recordLines',
  ): Uint32Array<ArrayBuffer> => Uint32Array.from(sorted, ({ part, row }) => part.rows[name][row]!);
  chunks += 1;
  return {
    slices: parts.flatMap((part) => part.slices),
    rows: {
      count: sorted.length,
      bytes: Uint8Array.from(Buffer.concat(tuples)),
      ends: Uint32Array.from(tuples, (tuple) => (end += tuple.byteLength)),
      keys: Uint32Array.from(
        sorted.flatMap(({ part, row }) => [...part.rows.keys.subarray(row * 4, row * 4 + 4)]),
      ),
      slices: Uint16Array.from(sorted, ({ slice }) => slice),
      payloads: pick('payloads'),
      recordOffsets: pick('recordOffsets'),
      recordLengths: pick('recordLengths'),
      recordLines: pick('recordLines'),
    },
    number: chunks,
    forget: parts[0]!.forget,
    verdicts: Uint8Array.from(sorted, ({ part, row }) => part.verdicts?.[row] ?? FRESH),
    fresh: parts.reduce((total, part) => total + part.fresh, 0),
    unsure: parts.reduce((total, part) => total + part.unsure, 0),
    duplicates: parts.reduce((total, part) => total + part.duplicates, 0),
    conflicts: [],
  };
}

export function testReject(offset: number, line: number): Reject {
  return {
    offset,
    rawLength: 9,
    line,
    field: 6,
    column: 'quantity',
    code: 'integer',
    sentence: 'quantity "many" is not a whole number',
    raw: Buffer.from('bad,row\0x'),
    records: 1,
  };
}

function keyOf({ fields }: TestRow): string {
  return fields['event_id'] ?? '';
}

function keyBytes(part: JudgedChunk, row: number): Buffer {
  const bytes = Buffer.alloc(16);
  for (let word = 0; word < 4; word += 1) bytes.writeUInt32BE(part.rows.keys[row * 4 + word]!, word * 4);
  return bytes;
}

function rowsOf(order: readonly { row: TestRow; index: number }[]): Rows {
  const tuples = order.map(({ row }) => encodeRow(row.fields));
  let end = 0;
  return {
    count: tuples.length,
    bytes: Uint8Array.from(Buffer.concat(tuples)),
    ends: Uint32Array.from(tuples, (tuple) => (end += tuple.byteLength)),
    keys: Uint32Array.from(order.flatMap(({ row }) => wordsOf(keyOf(row)))),
    payloads: new Uint32Array(tuples.length),
    slices: null,
    recordOffsets: Uint32Array.from(order, ({ index }) => index * RECORD_BYTES),
    recordLengths: Uint32Array.from(order, () => RECORD_BYTES - 1),
    recordLines: Uint32Array.from(order, ({ index }) => index),
  };
}

function wordsOf(key: string): number[] {
  const bytes = Buffer.from(key.replaceAll('-', ''), 'hex');
  return [0, 4, 8, 12].map((at) => bytes.readUInt32BE(at));
}

/** A field of '' is NULL. */
function encodeRow(fields: EventFields): Buffer {
  const out: FieldWriter = { bytes: Buffer.alloc(4096), position: 0 };
  const values = eventsTable.columns.map((column) => {
    const text = Buffer.from(fields[column.name] ?? PLAIN[column.name]);
    if (text.byteLength === 0) return null;
    const from = out.position;
    const fault = column.type.encode(text, 0, text.byteLength, out);
    if (fault !== null) throw new Error(`${column.name} ${text.toString()}: ${fault}`);
    return out.bytes.subarray(from + 4, out.position);
  });
  return encodeTuple(values);
}

function sliceOf(
  file: GenerationInfo,
  start: number,
  end: number,
  rows: number,
  rejects: readonly Reject[],
): AcceptedSlice {
  const line = start / RECORD_BYTES + 1;
  const content = Buffer.from(`${file.id} ${start} ${end}`);
  return {
    file,
    start,
    end,
    firstLine: line,
    lines: rows + rejects.length,
    crc: crc32(content),
    head:
      start < 65_536
        ? { length: Math.min(end, 65_536), hash: createHash('sha256').update(content).digest('hex') }
        : null,
    header: null,
    records: rows + rejects.length,
    rejected: rejects.length,
    rejects,
    endsFile: false,
    seenMs: 0,
    blankLines: 0,
    reread: (offset, length) => Buffer.from(`${offset}+${length}`),
  };
}
