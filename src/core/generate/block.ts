// One block of generated records: what is asked of a worker, and the bytes that it hands back.

import type { Recipe } from './fate.ts';
import { generateRows } from './record.ts';

export interface GenerateTask {
  readonly recipe: Recipe;
  readonly first: number;
  readonly count: number;
}

export interface GeneratedBlock {
  /** Whole records, in an ArrayBuffer of their own (transferable). */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly rows: number;
  /** How many of them must end as duplicates and as rejects. */
  readonly duplicates: number;
  readonly invalid: number;
}

/** The records of rows [first, first + count). */
export function generateBlock({ recipe, first, count }: GenerateTask): GeneratedBlock {
  const { text, duplicates, invalid } = generateRows(recipe, first, count);
  const bytes = Buffer.from(new ArrayBuffer(text.length)); // one character per byte
  bytes.write(text, 'latin1');
  return { bytes, rows: count, duplicates, invalid };
}
