// Chunks that carry just what the meters look at.

import type { JudgedChunk } from '../../src/core/chunk.ts';
import type { Reject } from '../../src/core/reject.ts';
import type { CommittedSlice, GenerationId } from '../../src/core/slice.ts';

export interface SettledPart {
  readonly name: string;
  readonly id?: string;
  readonly inserted?: number;
  readonly duplicates?: number;
  readonly rejected?: number;
  readonly seenMs?: number;
  readonly bytes?: number;
  readonly rejects?: readonly Reject[];
}

/** The arguments of `Meters.settled`, one slice per part. */
export function settledChunk(...parts: readonly SettledPart[]): [JudgedChunk, CommittedSlice[]] {
  const slices = parts.map(({ name, id = name, seenMs = 0, rejects = [] }) => ({
    file: { id, name },
    seenMs,
    rejects,
  }));
  const committed = parts.map(
    ({ name, id = name, inserted = 0, duplicates = 0, rejected = 0, bytes = 100 }) => ({
      generation: id as GenerationId,
      start: 0,
      end: bytes,
      records: inserted + duplicates + rejected,
      inserted,
      duplicates,
      conflicting: 0,
      rejected,
      refused: 0,
      ended: false,
    }),
  );
  return [{ slices } as unknown as JudgedChunk, committed];
}

export function rejectAt(line: number, code: Reject['code'] = 'decimal', records = 1): Reject {
  const sentence = `price 'x' is not a plain decimal number`;
  return {
    offset: line * 10,
    rawLength: 9,
    line,
    field: 7,
    column: 'price',
    code,
    sentence,
    raw: null,
    records,
  };
}
