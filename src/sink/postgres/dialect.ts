// The dialect of a generation as the columns of `millrace.files` that keep it. What it means is src/core's.

import type { Dialect } from '../../core/slice.ts';

/** An expression that gives a `Dialect` of a row of `millrace.files`. */
export function dialectSql(alias: string): string {
  const pairs = ['newline', 'delimiter', 'nulls', 'encoding'].map((name) => `'${name}', ${alias}.${name}`);
  return `json_build_object(${pairs.join(', ')})`;
}

/** The columns of one file, in the order newline, delimiter, nulls, encoding. */
export function dialectValues({
  newline,
  delimiter = null,
  nulls = [],
  encoding = 'auto',
}: Dialect): unknown[] {
  return [newline, delimiter, nulls, encoding];
}

/** One array per column, in the same order; `nulls` as the text of an array each. */
export function dialectColumns(dialects: readonly Dialect[]): unknown[][] {
  return [
    dialects.map(({ newline }) => newline),
    dialects.map(({ delimiter = null }) => delimiter),
    dialects.map(({ nulls = [] }) => arrayText(nulls)),
    dialects.map(({ encoding = 'auto' }) => encoding),
  ];
}

/** PostgreSQL takes lists of lists only when all are as long. */
function arrayText(words: readonly string[]): string {
  return `{${words.map((word) => `"${word.replaceAll(/["\\]/g, String.raw`\$&`)}"`).join(',')}}`;
}
