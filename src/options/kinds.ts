// What the value of an option may look like: text in, value or fault out. A fault is the middle of the one message form,
// `--lanes: must be at least 1, got 0`. No table, no argv and no environment here.

import { resolve } from 'node:path';
import type { TableName } from '../schema/table.ts';

/** A text that does not fit; `fault` says what it must be ("must be ..."). */
export class Unfit {
  readonly fault: string;
  constructor(fault: string) {
    this.fault = fault;
  }
}

export interface Kind<T> {
  /** Stands for the value in help texts, e.g. DIR or TIME. Empty: a flag, which takes no value. */
  readonly placeholder: string;
  /** Never touches a file, the clock or the network: all arguments are judged before any I/O. */
  readonly judge: (text: string) => T | Unfit;
}

const TRUE = new Set(['1', 'true', 'yes', 'on']);
const FALSE = new Set(['0', 'false', 'no', 'off']);

/** On or off. On the command line `--x` and `--no-x`; in the environment 1, 0, true, false, yes, no, on, off. */
export const flag: Kind<boolean> = {
  placeholder: '',
  judge: (text) => {
    const word = text.toLowerCase();
    if (TRUE.has(word)) return true;
    return FALSE.has(word) ? false : new Unfit('must be true or false');
  },
};

/** A whole number in [min, max], written in digits. */
export function wholeNumber(min: number, max: number): Kind<number> {
  return {
    placeholder: 'N',
    judge: (text) => {
      if (!/^[+-]?\d+$/.test(text)) return new Unfit('must be a whole number');
      return inRange(Number(text), min, max, String);
    },
  };
}

/** The word `auto`, which is null, or what another kind takes. */
export function orAuto<T>({ placeholder, judge }: Kind<T>): Kind<T | null> {
  return {
    placeholder: `${placeholder}|auto`,
    judge: (text) => (text === 'auto' ? null : judge(text)),
  };
}

/** Events a second and the like: above 0. */
export const rate: Kind<number> = {
  placeholder: 'N',
  judge: (text) => {
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
    return value > 0 && value <= 1e9 ? value : new Unfit('must be a number above 0');
  },
};

/** A share of the whole: 0.05 or 5%. The value lies in [0, 1]. */
export const share: Kind<number> = {
  placeholder: 'SHARE',
  judge: (text) => {
    const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(text);
    const value = match === null ? NaN : Number(match[1]) / (match[2] === '%' ? 100 : 1);
    return value <= 1 ? value : new Unfit('must be a share from 0 to 1, or from 0% to 100%');
  },
};

export interface CountRange {
  readonly min: number;
  readonly max: number;
}

/** One number, or a range such as 10-100. */
export function countRange(min: number, max: number): Kind<CountRange> {
  return {
    placeholder: 'N or N-M',
    judge: (text) => {
      const match = /^(\d+)(?:-(\d+))?$/.exec(text);
      if (match === null) return new Unfit('must be a number such as 50, or a range such as 10-100');
      const range = { min: Number(match[1]), max: Number(match[2] ?? match[1]) };
      if (range.min < min || range.max > max) return new Unfit(`must lie between ${min} and ${max}`);
      return range.min <= range.max ? range : new Unfit('must not end below its beginning');
    },
  };
}

/** A unit and how much of the smallest unit it is, smallest first. */
type Units = readonly (readonly [string, number])[];

const TIME_UNITS: Units = [
  ['ms', 1],
  ['s', 1_000],
  ['min', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
];
const SIZE_UNITS: Units = [
  ['B', 1],
  ['KiB', 2 ** 10],
  ['MiB', 2 ** 20],
  ['GiB', 2 ** 30],
];

/** A number directly followed by one of the units, in the smallest unit; NaN for any other text. */
function measured(text: string, units: Units): number {
  const match = /^(\d+(?:\.\d+)?)([A-Za-z]+)$/.exec(text);
  const unit = units.find(([name]) => name === match?.[2]);
  return match === null || unit === undefined ? NaN : Math.round(Number(match[1]) * unit[1]);
}

/** In the largest unit that divides it. */
function inLargestUnit(amount: number, units: Units): string {
  const unit = units.toReversed().find(([, each]) => amount !== 0 && amount % each === 0);
  return unit === undefined ? `${amount}` : `${amount / unit[1]}${unit[0]}`;
}

/** A duration with its unit; the value is in ms. */
export function duration(minMs: number, maxMs: number): Kind<number> {
  return {
    placeholder: 'TIME',
    judge: (text) => {
      const ms = measured(text, TIME_UNITS);
      if (Number.isNaN(ms))
        return new Unfit('must be a time with a unit (ms, s, min, h or d), such as 500ms or 2s');
      return inRange(ms, minMs, maxMs, (value) => (value === 0 ? '0s' : inLargestUnit(value, TIME_UNITS)));
    },
  };
}

/** A size with its unit, or 0; the value is in bytes. MB is refused: half of its readers mean 2^20, half 10^6. */
export function size(minBytes: number, maxBytes: number): Kind<number> {
  return {
    placeholder: 'SIZE',
    judge: (text) => {
      const bytes = text === '0' ? 0 : measured(text, SIZE_UNITS);
      if (Number.isNaN(bytes))
        return new Unfit('must be 0 or a size with a unit (B, KiB, MiB or GiB), such as 64MiB');
      return inRange(bytes, minBytes, maxBytes, (value) => inLargestUnit(value, SIZE_UNITS));
    },
  };
}

/** One of a closed list of words. */
export function oneOf<const W extends readonly string[]>(list: W): Kind<W[number]> {
  return {
    placeholder: list.join('|'),
    judge: (text) => list.find((word) => word === text) ?? new Unfit(`must be ${listed(list)}`),
  };
}

const DELIMITER_WORDS: ReadonlyMap<string, string> = new Map([
  ['comma', ','],
  ['semicolon', ';'],
  ['tab', '\t'],
  ['pipe', '|'],
  ['space', ' '],
]);

/** One ASCII character by itself, by its name, or by its code as \\x1f; null: auto. None that names, values and line ends are made of. */
export const delimiter: Kind<string | null> = {
  placeholder: 'CHAR',
  judge: (text) => {
    if (text === 'auto') return null;
    const code = /^\\x([0-7][0-9a-f])$/i.exec(text)?.[1];
    const character =
      code === undefined
        ? (DELIMITER_WORDS.get(text) ?? text)
        : String.fromCharCode(Number.parseInt(code, 16));
    // oxlint-disable-next-line no-control-regex -- a unit separator is a delimiter, too
    return /^[\x01-\x7e]$/.test(character) && !/[\n\r"A-Za-z0-9_]/.test(character)
      ? character
      : new Unfit(
          "must be auto, comma, semicolon, tab, pipe, space, one character such as '^', or its code such as \\x1f",
        );
  },
};

/** Words between commas; none may be empty. */
export const words: Kind<readonly string[]> = {
  placeholder: 'WORD[,WORD]',
  judge: (text) => {
    const list = text.split(',');
    return list.includes('') ? new Unfit('must be one word such as NULL, or several between commas') : list;
  },
};

/** A folder. The value is absolute, so that a later change of the working directory means nothing. */
export const folder: Kind<string> = {
  placeholder: 'DIR',
  judge: (text) =>
    text === '' || text.includes('\0') ? new Unfit('must be the name of a folder') : resolve(text),
};

/** A name for people and books: not empty, no control characters, at most 200 characters. */
export const label: Kind<string> = {
  placeholder: 'NAME',
  judge: (text) =>
    /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,200}$/u.test(text) && text.trim() === text
      ? text
      : new Unfit('must have 1 to 200 visible characters'),
};

/** File name patterns, separated by commas. `*` and `?` match within one name; there are no folders in a pattern. */
export const patterns: Kind<readonly string[]> = {
  placeholder: 'GLOB[,GLOB]',
  judge: (text) => {
    const list = text.split(',').map((each) => each.trim());
    if (list.includes('')) return new Unfit('must be one pattern such as *.csv, or several between commas');
    return list.some((each) => each.includes('/'))
      ? new Unfit('must match file names, so without a slash (--recursive enters sub-folders)')
      : list;
  },
};

/**
 * `name` or `schema.name`, lower case. Plain identifiers only, since they are interpolated (quoted) into SQL; lower case, since a
 * quoted `Events` would be another table than the one that `SELECT FROM Events` reads.
 */
export const table: Kind<TableName> = {
  placeholder: '[SCHEMA.]NAME',
  judge: (text) => {
    const match = /^(?:([a-z_][a-z0-9_]{0,62})\.)?([a-z_][a-z0-9_]{0,62})$/.exec(text);
    const [, schema = 'public', name] = match ?? [];
    if (name === undefined)
      return new Unfit('must be a table name such as events or shop.events (lower-case letters, digits, _)');
    return schema === 'millrace' || schema === 'information_schema' || schema.startsWith('pg_')
      ? new Unfit('must not lie in a schema that belongs to Millrace or PostgreSQL')
      : { schema, name };
  },
};

/** The beginning of a name in the database: lower case, as in `table`. */
export const identifier: Kind<string> = {
  placeholder: 'NAME',
  judge: (text) =>
    /^[a-z_][a-z0-9_]{0,55}$/.test(text) && !text.startsWith('pg_')
      ? text
      : new Unfit('must be a name such as shop (lower-case letters, digits, _; not pg_...)'),
};

function inRange(
  value: number,
  min: number,
  max: number,
  written: (value: number) => string,
): number | Unfit {
  if (value < min) return new Unfit(`must be at least ${written(min)}`);
  return value > max ? new Unfit(`must be at most ${written(max)}`) : value;
}

function listed(list: readonly string[]): string {
  return list.length < 2 ? list.join('') : `${list.slice(0, -1).join(', ')} or ${list.at(-1)}`;
}
