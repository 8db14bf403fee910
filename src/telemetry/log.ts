// The log: pino, as JSON lines for machines and as short lines for people on a terminal. Everything goes out through the screen,
// which takes passwords out. No transports: they would cost a worker thread, and lose lines when the process ends at once.

import pino from 'pino';
import type { Logger } from 'pino';
import type { Screen } from './screen.ts';
import { printable } from './text.ts';

export type { Logger } from 'pino';

export interface LogOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly format: 'auto' | 'pretty' | 'json';
}

/** A logger that writes to the screen. `auto` is pretty where the screen is a terminal. */
export function createLog(screen: Screen, options: LogOptions): Logger {
  const pretty = options.format === 'auto' ? screen.live : options.format === 'pretty';
  const write = (line: string): void => screen.print(pretty ? prettyLine(line) : line);
  const settings = {
    level: options.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: errorFields },
  };
  return pino(settings, { write });
}

/** What a log may say of an error. Nothing else: `detail` and `where` of a database error hold values of the user's rows. */
function errorFields(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { code } = error as NodeJS.ErrnoException;
  return {
    type: error.name,
    message: error.message,
    ...(code !== undefined && { code }),
    stack: error.stack,
  };
}

const KNOWN = new Set(['time', 'level', 'msg', 'err']);

/**
 * `{"level":"warn","time":...,"msg":"retrying","sqlstate":"57P01"}` -> `12:03:04 warn: retrying (sqlstate 57P01)`. A line with a `sentence`
 * says in it all that its other fields say to machines.
 */
export function prettyLine(json: string): string {
  const line = JSON.parse(json) as Record<string, unknown>;
  const [time, level, message] = ['time', 'level', 'msg'].map((name) => wordOf(line[name]));
  const { sentence } = line;
  const fields = Object.entries(line)
    .filter(([name]) => !KNOWN.has(name) && sentence === undefined)
    .map(([name, value]) => `${name} ${wordOf(value)}`);
  const mark = level === 'info' ? '' : ` ${level}:`;
  const text = `${time?.slice(11, 19)}${mark} ${sentence === undefined ? message : wordOf(sentence)}${fields.length === 0 ? '' : ` (${fields.join(', ')})`}`;
  return printable(text) + stackOf(line['err']);
}

function wordOf(value: unknown): string {
  if (typeof value === 'string') return value;
  return value === undefined ? '' : JSON.stringify(value);
}

function stackOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '';
  const { stack, message } = error as { stack?: unknown; message?: unknown };
  const text = stack ?? message;
  if (typeof text !== 'string') return '';
  return `\n${text
    .split('\n')
    .map((each) => `  ${printable(each)}`)
    .join('\n')}`;
}
