// The options that say how files are written, as the parse room takes them. No file is looked at.

import type { Dialect } from '../core/slice.ts';
import type { CheckOptions, RunOptions } from '../options.ts';

type Named = Pick<RunOptions & CheckOptions, 'newline' | 'delimiter' | 'nulls' | 'encoding'>;

export function dialectOf({ newline, delimiter, nulls, encoding }: Named): Dialect {
  return { newline, delimiter, nulls: nulls ?? [], encoding };
}
