// The dialect of one content, as it is kept with it: compared with another one, and named in the words of the options. What a dialect means
// for bytes is dialect.ts, header.ts and encoding.ts.

import { delimiterWord } from './delimiter.ts';
import type { Dialect } from './slice.ts';

/** What is read without any option, and what books that kept none were read with. */
export const DEFAULT_DIALECT: Required<Dialect> = {
  newline: 'lf',
  delimiter: null,
  nulls: [],
  encoding: 'auto',
};

/** Whether a file is read in the same way with both. */
export function sameDialect(a: Dialect, b: Dialect): boolean {
  return a === b || keyOf(a) === keyOf(b);
}

function keyOf(dialect: Dialect): string {
  const { newline, delimiter, nulls, encoding } = { ...DEFAULT_DIALECT, ...dialect };
  return JSON.stringify([newline, delimiter, nulls.toSorted(), encoding]);
}

/** As a person would have to say it on the command line. */
export function dialectText(dialect: Dialect): string {
  const { newline, delimiter, nulls, encoding } = { ...DEFAULT_DIALECT, ...dialect };
  const words = [
    newline === DEFAULT_DIALECT.newline ? '' : `--newline ${newline}`,
    delimiter === null ? '' : `--delimiter ${delimiterWord(delimiter.charCodeAt(0))}`,
    nulls.length === 0 ? '' : `--null '${nulls.join(',')}'`,
    encoding === DEFAULT_DIALECT.encoding ? '' : `--encoding ${encoding}`,
  ].filter((word) => word !== '');
  return words.length === 0 ? 'no option of its form' : words.join(' ');
}
