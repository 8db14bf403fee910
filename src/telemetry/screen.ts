// Who writes to standard error while a command works: permanent lines, and on a terminal one live line below them. Both go through
// here, so that a log line never lands in the middle of the live one. A closed stream is no failure: people stopped listening.

import { fitted } from './text.ts';
import { redact } from './redact.ts';

/** As much of a stream as a screen needs. */
export interface ScreenStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly writable?: boolean;
}

export interface Screen {
  /** One line can be rewritten: a terminal that understands `\r` and "erase line". */
  readonly live: boolean;
  /** Room for the live line. */
  readonly columns: number;
  /** A text that stays, with or without its line end. */
  print(text: string): void;
  /** The live line from now on; null takes it away. Nothing happens where lines cannot be rewritten. */
  show(line: string | null): void;
}

const ERASE_LINE = '\r\u001b[K';
const COLUMNS_UNKNOWN = 80;

export function openScreen(
  stream: ScreenStream,
  env: Readonly<Record<string, string | undefined>>,
  secrets: readonly string[] = [],
): Screen {
  const live = stream.isTTY === true && env['TERM'] !== 'dumb';
  let shown = '';
  const write = (text: string): void => {
    if (stream.writable !== false) stream.write(text);
  };
  return {
    live,
    get columns() {
      // One column stays free: some terminals wrap as soon as the last one is filled.
      return (stream.columns ?? COLUMNS_UNKNOWN) - 1;
    },
    print: (text) => {
      const whole = redact(text.endsWith('\n') ? text : `${text}\n`, secrets);
      write(shown === '' ? whole : `${ERASE_LINE}${whole}${shown}`);
    },
    show(line) {
      if (!live || (line === null && shown === '')) return;
      shown = line === null ? '' : fitted(redact(line, secrets), this.columns);
      write(`${ERASE_LINE}${shown}`);
    },
  };
}
