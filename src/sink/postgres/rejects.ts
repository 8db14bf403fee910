// The quarantine: rejects of the parsers and rows that the database refused, as tuples of `millrace.rejects`. Values of the user's
// records go here and nowhere else; never into a log.

import type { JudgedChunk } from '../../core/chunk.ts';
import { encodeTuple } from '../../core/copy-binary.ts';
import type { Reject } from '../../core/reject.ts';
import type { AcceptedSlice, GenerationId } from '../../core/slice.ts';
import type { Draft, Refusal } from './draft.ts';

export const REJECT_COLUMNS =
  'generation, byte_offset, line, field, column_name, code, sentence, raw, raw_length, records, epoch, batch';
const PIECE_BYTES = 256 * 1024;

/** How many there are in this draft, in rows of `millrace.rejects`. */
export function countRejects(draft: Draft): number {
  let found = 0;
  for (const chunk of draft.chunks) {
    for (const slice of chunk.slices) found += slice.rejects.length;
    found += draft.refused.get(chunk)?.size ?? 0;
  }
  return found;
}

export interface PlacedReject {
  readonly generation: GenerationId;
  readonly reject: Reject;
}

/** Those of the draft, and then `more`. */
export function* rejectTuples(
  draft: Draft,
  more: readonly PlacedReject[],
  epoch: string,
): Generator<Uint8Array> {
  let gathered: Uint8Array[] = [];
  let bytes = 0;
  const batch = [uuid(epoch), int8(draft.number)];
  for (const { generation, reject } of [...rejectsOf(draft), ...more]) {
    const tuple = encodeTuple([uuid(generation), ...fieldsOf(reject), ...batch]);
    gathered.push(tuple);
    bytes += tuple.byteLength;
    if (bytes < PIECE_BYTES) continue;
    yield Buffer.concat(gathered);
    gathered = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(gathered);
}

function* rejectsOf(draft: Draft): Generator<PlacedReject> {
  for (const chunk of draft.chunks) {
    for (const slice of chunk.slices)
      for (const reject of slice.rejects) yield { generation: slice.file.id, reject };
    for (const [row, refusal] of draft.refused.get(chunk) ?? []) {
      const slice = sliceOf(chunk, row);
      yield { generation: slice.file.id, reject: refusedRow(chunk, row, slice, refusal) };
    }
  }
}

/** The slice that a row of the chunk came from. */
export function sliceOf(chunk: JudgedChunk, row: number): AcceptedSlice {
  const slice = chunk.slices[chunk.rows.slices?.[row] ?? 0];
  if (slice === undefined)
    throw new RangeError(`row ${row} of chunk ${chunk.number} names a slice that is not there`);
  return slice;
}

function refusedRow({ rows }: JudgedChunk, row: number, slice: AcceptedSlice, refusal: Refusal): Reject {
  const offset = slice.start + (rows.recordOffsets[row] ?? 0);
  const rawLength = rows.recordLengths[row] ?? 0;
  return {
    offset,
    rawLength,
    line: slice.firstLine + (rows.recordLines[row] ?? 0),
    field: null,
    column: refusal.column,
    code: 'refused_by_database',
    sentence: refusal.sentence,
    raw: slice.reread(offset, rawLength),
    records: 1,
  };
}

/** In the order of REJECT_COLUMNS, between the generation and the batch. */
function fieldsOf(reject: Reject): (Uint8Array | null)[] {
  return [
    int8(reject.offset),
    int8(reject.line),
    reject.field === null ? null : int4(reject.field),
    reject.column === null ? null : text(reject.column),
    text(reject.code),
    text(reject.sentence),
    reject.raw,
    int8(reject.rawLength),
    int8(reject.records),
  ];
}

function int4(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function int8(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
}

function uuid(value: string): Buffer {
  return Buffer.from(value.replaceAll('-', ''), 'hex');
}

/** PostgreSQL cannot keep a NUL in text. */
function text(value: string): Buffer {
  return Buffer.from(value.replaceAll('\0', '\\x00'));
}
