// What the soak writes: rows that can be proven one by one. Row n is a function of n and the seed alone, so that the database can check
// each stored row by itself, and count, sum and sum of squares say whether every number is there once.

import { hash } from 'node:crypto';

import { HEADER } from '../support/events.ts';

/** Squares are summed modulo this prime, so that they fit into a bigint of the database. */
const PRIME = 1_000_003;

/** Of numbers: how many, their sum, the sum of their squares. Two different sets of the same size hardly agree in all of them. */
export interface Sums {
  readonly count: number;
  readonly sum: bigint;
  readonly squares: bigint;
}

export const NO_SUMS: Sums = { count: 0, sum: 0n, squares: 0n };

export interface SoakFile {
  readonly text: string;
  readonly sums: Sums;
}

/** Rows `from` to `from + count - 1`, the first of them once more as a duplicate, and one record that is none. */
export function soakFile(seed: number, from: number, count: number): SoakFile {
  const lines = [HEADER];
  let squares = 0n;
  for (let number = from; number < from + count; number += 1) {
    lines.push(rowText(seed, number));
    squares += BigInt((number % PRIME) ** 2);
  }
  lines.push(lines[1] ?? '', 'not a row', '');
  const sum = (BigInt(count) * BigInt(2 * from + count - 1)) / 2n;
  return { text: lines.join('\n'), sums: { count, sum, squares } };
}

function rowText(seed: number, number: number): string {
  const hex = hash('md5', `${seed} ${number}`);
  const key = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  return `${key},view,p${number},u${seed},2024-05-06 07:08:09,${number % 1000},${number % 997}.25`;
}

/** One row (count, sum, squares, wrong) about the rows of `events`; $1 is the seed as text. */
export const SUMS_SQL = `
  SELECT count(*) AS count, coalesce(sum(n), 0) AS sum, coalesce(sum((n % ${PRIME}) * (n % ${PRIME})), 0) AS squares,
    count(*) FILTER (WHERE event_id <> md5($1 || ' ' || n)::uuid OR event_type <> 'view' OR user_id <> 'u' || $1 OR quantity <> n % 1000
      OR price <> (n % 997) + 0.25 OR event_timestamp <> '2024-05-06 07:08:09') AS wrong
  FROM (SELECT substr(product_id, 2)::bigint AS n, * FROM events) e`;

export function addSums(a: Sums, b: Sums): Sums {
  return { count: a.count + b.count, sum: a.sum + b.sum, squares: a.squares + b.squares };
}
