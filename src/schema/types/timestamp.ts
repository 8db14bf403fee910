// The type `timestamp`: a moment of the calendar, stored in UTC as microseconds since 2000-01-01. Our own grammar and calendar:
// PostgreSQL's cast takes `now`, `infinity`, `24:00` and `:60`, and JavaScript's Date takes February 30.

import type { ColumnType, FieldWriter, ValueFault } from '../column.ts';
import { digitsEnd } from './digits.ts';
import { putInt32 } from './write.ts';

const ZERO = 0x30;
const HYPHEN = 0x2d;
const COLON = 0x3a;
const BLANK = 0x20;
const LETTER_T = 0x54;
const LETTER_Z = 0x5a;
const POINT = 0x2e;
const PLUS = 0x2b;

/** `YYYY-MM-DD HH:MM:SS` */
const BASE_LENGTH = 19;
const OFFSET_LENGTH = 6;
const OFFSET_MINUTES_MAX = 14 * 60;
const SECONDS_PER_DAY = 86_400;

/** Days before each month of a common year; index 0 is unused. */
const DAYS_BEFORE = Int16Array.of(0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334);
const MONTH_DAYS = Uint8Array.of(0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31);

const EPOCH_DAY = dayNumber(2000, 1, 1);
const SECONDS_MIN = (dayNumber(1, 1, 1) - EPOCH_DAY) * SECONDS_PER_DAY;
const SECONDS_END = (dayNumber(10_000, 1, 1) - EPOCH_DAY) * SECONDS_PER_DAY;

const TYPE: ColumnType = {
  rule: { kind: 'timestamp' },
  sql: 'timestamp without time zone',
  grammar:
    'YYYY-MM-DD HH:MM:SS, also with T, up to 6 decimals of a second, Z or an offset up to +14:00 or -14:00 ' +
    '(converted to UTC); without an offset it is UTC; years 0001 to 9999',
  oid: 1114,
  encode,
  sample: (random) => formatTimestamp(SECONDS_2024 + random.below(366 * SECONDS_PER_DAY)),
};

const SECONDS_2024 = (dayNumber(2024, 1, 1) - EPOCH_DAY) * SECONDS_PER_DAY;

/** A timestamp in UTC, from year 0001 to 9999, to the microsecond. */
export function timestamp(): ColumnType {
  return TYPE;
}

function encode(source: Uint8Array, start: number, end: number, out: FieldWriter): ValueFault | null {
  if (end - start < BASE_LENGTH || !hasPunctuation(source, start)) return 'timestamp';
  const year = twoDigits(source, start) * 100 + twoDigits(source, start + 2);
  const month = twoDigits(source, start + 5);
  const day = twoDigits(source, start + 8);
  const hour = twoDigits(source, start + 11);
  const minute = twoDigits(source, start + 14);
  const second = twoDigits(source, start + 17);
  if ((year | month | day | hour | minute | second) < 0) return 'timestamp';

  let at = start + BASE_LENGTH;
  let micros = 0;
  if (at < end && source[at] === POINT) {
    const from = at + 1;
    at = digitsEnd(source, from, end);
    if (at === from || at - from > 6) return 'timestamp';
    micros = fraction(source, from, at);
  }
  const offsetMinutes = at === end ? 0 : zoneOffset(source, at, end);
  if (offsetMinutes === BAD_ZONE) return 'timestamp';

  if (!isMoment(year, month, day, hour, minute, second)) return 'timestamp_calendar';
  const days = dayNumber(year, month, day) - EPOCH_DAY;
  const seconds = days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second - offsetMinutes * 60;
  if (seconds < SECONDS_MIN || seconds >= SECONDS_END) return 'timestamp_range';
  writeMicroseconds(seconds, micros, out);
  return null;
}

function hasPunctuation(source: Uint8Array, start: number): boolean {
  const separator = source[start + 10];
  return (
    source[start + 4] === HYPHEN &&
    source[start + 7] === HYPHEN &&
    (separator === BLANK || separator === LETTER_T) &&
    source[start + 13] === COLON &&
    source[start + 16] === COLON
  );
}

/** The value of two digits, or a negative number. */
function twoDigits(source: Uint8Array, at: number): number {
  const tens = source[at]! - ZERO;
  const ones = source[at + 1]! - ZERO;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -10_000;
}

/** One to six decimals of a second, in microseconds. */
function fraction(source: Uint8Array, start: number, end: number): number {
  let micros = 0;
  for (let at = start; at < start + 6; at += 1) micros = micros * 10 + (at < end ? source[at]! - ZERO : 0);
  return micros;
}

const BAD_ZONE = -10_000;

/** Minutes east of UTC that `[at, end)` names, or BAD_ZONE. */
function zoneOffset(source: Uint8Array, at: number, end: number): number {
  const sign = source[at];
  if (sign === LETTER_Z) return end === at + 1 ? 0 : BAD_ZONE;
  if ((sign !== PLUS && sign !== HYPHEN) || end - at !== OFFSET_LENGTH || source[at + 3] !== COLON)
    return BAD_ZONE;
  const hours = twoDigits(source, at + 1);
  const minutes = twoDigits(source, at + 4);
  const offset = hours * 60 + minutes;
  if ((hours | minutes) < 0 || minutes > 59 || offset > OFFSET_MINUTES_MAX) return BAD_ZONE;
  return sign === PLUS ? offset : -offset;
}

function isMoment(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
): boolean {
  if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59) return false;
  return day <= MONTH_DAYS[month]! || (month === 2 && day === 29 && isLeap(year));
}

function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

/** Days since 0000-01-01 of the proleptic Gregorian calendar, with its year 0; for years from 0 on. */
function dayNumber(year: number, month: number, day: number): number {
  const before = year + 399; // a year from 399 on, so that integer division truncates downwards; 400 years are 146,097 days
  const leapDays = ((before / 4) | 0) - ((before / 100) | 0) + ((before / 400) | 0) - 96;
  return year * 365 + leapDays + DAYS_BEFORE[month]! + (month > 2 && isLeap(year) ? 1 : 0) + day - 1;
}

/**
 * seconds * 10^6 + micros as an int8. The product needs up to 59 bits, more than a double keeps; but 10^6 = 15,625 * 64, and
 * seconds * 15,625 needs at most 52 (2.6e11 * 15,625 < 2^52), so both 32-bit words come out exactly.
 */
function writeMicroseconds(seconds: number, micros: number, out: FieldWriter): void {
  const units = seconds * 15_625; // of 64 microseconds
  let high = Math.floor(units / 0x400_0000);
  let low = (units - high * 0x400_0000) * 64 + micros;
  if (low >= 0x1_0000_0000) {
    low -= 0x1_0000_0000;
    high += 1;
  }
  const { bytes, position } = out;
  putInt32(bytes, position, 8);
  putInt32(bytes, position + 4, high);
  putInt32(bytes, position + 8, low);
  out.position = position + 12;
}

/** Whole seconds since 2000-01-01 as `YYYY-MM-DD HH:MM:SS`. */
function formatTimestamp(seconds: number): string {
  const milliseconds = Date.UTC(2000, 0, 1) + seconds * 1000;
  return new Date(milliseconds).toISOString().slice(0, 19).replace('T', ' ');
}
