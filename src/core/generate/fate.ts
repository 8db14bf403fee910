// What a generated row is meant to become: stored, a duplicate of which earlier row, or a reject. Decided from the row's number
// alone, so that workers need no common memory and the totals are exact. The text of the row is made in record.ts.

import type { SeedKeys } from './hash.ts';
import { hashRow, seedKeys, shareOf } from './hash.ts';

/** What is asked of the generator; the same recipe makes the same rows. */
export interface Recipe {
  readonly seed: number;
  /** Shares of all records, 0 to 1; duplicates + invalid <= 1. */
  readonly duplicates: number;
  readonly invalid: number;
  readonly quoted: number;
}

export type Fate =
  | { readonly kind: 'stored' }
  /** Repeats the record of `original`, an earlier row that is stored. */
  | { readonly kind: 'duplicate'; readonly original: number }
  | { readonly kind: 'invalid' };

export type FateOf = (row: number) => Fate;

const STORED: Fate = { kind: 'stored' };
const INVALID: Fate = { kind: 'invalid' };

/** Rows trade places within blocks of this many, a power of two, so that the shares hold and no pattern shows. */
const BLOCK_ROWS = 64;

/** Half of the duplicates repeat one of so many rows before them, as a producer that retries does; the others any earlier row. */
const NEAR_ROWS = 1000;

/** A search for an original gives up here and takes the very first stored row, so that no share makes it quadratic. */
const SEARCH_ROWS_MAX = 64;

const PLACE = 1;
const NEAR = 2;
const DISTANCE = 3;

export function fateOf(recipe: Recipe): FateOf {
  const keys = seedKeys(recipe.seed);
  const plan = planOf(recipe, keys);
  const firstStored = findFirstStored(plan, recipe);
  return (row) => {
    const kind = row === firstStored ? 'stored' : plan(row);
    switch (kind) {
      case 'stored':
        return STORED;
      case 'invalid':
        return INVALID;
      case 'duplicate':
        return { kind, original: findOriginal(plan, keys, row, firstStored) };
      default:
        return kind satisfies never;
    }
  };
}

/** The kind that the shares ask for; a duplicate that has no stored row before it must become one (see `findFirstStored`). */
type Plan = (row: number) => Fate['kind'];

/**
 * Of the first n places floor(n * share) are special, and among the first k special ones floor(k * invalid / share) are invalid:
 * the shares are met as closely as whole rows allow, at any length, save for the places traded in the last block.
 */
function planOf({ duplicates, invalid }: Recipe, keys: SeedKeys): Plan {
  const special = Math.min(duplicates + invalid, 1);
  const invalidOfSpecial = special === 0 ? 0 : invalid / special;
  if (special === 0) return () => 'stored';
  return (row) => {
    const place = placeOf(row, keys);
    const count = Math.floor(place * special);
    if (Math.floor((place + 1) * special) === count) return 'stored';
    const isInvalid = Math.floor((count + 1) * invalidOfSpecial) > Math.floor(count * invalidOfSpecial);
    return isInvalid ? 'invalid' : 'duplicate';
  };
}

/** An odd factor makes a permutation of the block. */
function placeOf(row: number, keys: SeedKeys): number {
  const block = Math.floor(row / BLOCK_ROWS);
  const hash = hashRow(keys, block, PLACE);
  const within = row - block * BLOCK_ROWS;
  return block * BLOCK_ROWS + ((Math.imul(within, (hash << 1) | 1) + (hash >>> 16)) & (BLOCK_ROWS - 1));
}

/** The first row that is not invalid is stored: every duplicate after it has an original. Infinity when all are invalid. */
function findFirstStored(plan: Plan, { invalid }: Recipe): number {
  if (invalid >= 1) return Infinity;
  let row = 0;
  while (plan(row) === 'invalid') row += 1;
  return row;
}

function findOriginal(plan: Plan, keys: SeedKeys, row: number, firstStored: number): number {
  const isNear = hashRow(keys, row, NEAR) % 2 === 0;
  const reach = isNear ? Math.min(row, NEAR_ROWS) : row;
  const start = row - 1 - Math.floor(shareOf(hashRow(keys, row, DISTANCE)) * reach);
  const stop = Math.max(firstStored, start - SEARCH_ROWS_MAX);
  for (let candidate = start; candidate > stop; candidate -= 1)
    if (plan(candidate) === 'stored') return candidate;
  return firstStored;
}
