// Which rows go into which generated file. Numbers only: nothing is written here.

import { hashRow, seedKeys, shareOf } from './hash.ts';

/** One generated file: rows [first, first + count). */
export interface PlannedFile {
  /** From 1. */
  readonly number: number;
  readonly first: number;
  readonly count: number;
}

export interface FilePlan {
  readonly seed: number;
  /** Drawn at random from this range, unless both `files` and `rows` are known: then every file gets an even share. */
  readonly rowsPerFile: { readonly min: number; readonly max: number };
  /** null: no limit. */
  readonly files: number | null;
  readonly rows: number | null;
}

/** Set apart from the purposes of record.ts and fate.ts, though it hashes file numbers and they hash rows. */
const ROWS_PER_FILE = 31;

/** Endless when neither files nor rows are limited. */
export function* planFiles(plan: FilePlan): Generator<PlannedFile, void, undefined> {
  const rowsMax = plan.rows ?? Infinity;
  const filesMax = plan.files ?? Infinity;
  const rowsOf = rowsOfFile(plan);
  let first = 0;
  for (let number = 1; number <= filesMax && first < rowsMax; number += 1) {
    const count = Math.min(rowsOf(number), rowsMax - first);
    yield { number, first, count };
    first += count;
  }
}

function rowsOfFile({ seed, rowsPerFile, files, rows }: FilePlan): (number: number) => number {
  if (files !== null && rows !== null) {
    const used = Math.min(files, rows);
    return (number) => Math.floor((rows * number) / used) - Math.floor((rows * (number - 1)) / used);
  }
  const keys = seedKeys(seed);
  const { min, max } = rowsPerFile;
  return (number) => min + Math.floor(shareOf(hashRow(keys, number, ROWS_PER_FILE)) * (max - min + 1));
}
