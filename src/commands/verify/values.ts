// The grammars once more, as plainly as they can be written: regular expressions, text in, text out. `verify` judges with these what the
// pipeline judged byte by byte, so nothing here may be shared with it but the facts of the table definition.

import type { Column, TypeRule, ValueFault } from '../../schema/column.ts';

/** A value as PostgreSQL should hold it, in a spelling that its own cast reads; null is NULL. */
export type Value = string | null;

export type JudgedValue = { readonly value: Value } | { readonly fault: ValueFault };

const NULL: JudgedValue = { value: null };

/** Judges the text of one field. `text` is undefined where the header does not bring the column. */
export function judgeValue({ type, required }: Column, text: string | undefined): JudgedValue {
  if (text === undefined || text === '') return required ? { fault: 'required' } : NULL;
  return judgeText(type.rule, text);
}

function judgeText(rule: TypeRule, text: string): JudgedValue {
  switch (rule.kind) {
    case 'uuid':
      return judgeUuid(text);
    case 'timestamp':
      return judgeTimestamp(text);
    case 'text':
      return judgeListed(rule.max, rule.oneOf, text);
    case 'integer':
      return judgeInteger(rule.min, text);
    case 'numeric':
      return judgeNumeric(rule.precision, rule.scale, rule.isSigned, text);
    default:
      return rule satisfies never;
  }
}

const CANONICAL = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const BRACED = /^\{[0-9a-f-]{36}\}$/;
const PLAIN = /^[0-9a-f]{32}$/;

function judgeUuid(text: string): JudgedValue {
  const lower = /[A-Z]/.test(text) ? text.replace(/[A-F]/g, (digit) => digit.toLowerCase()) : text;
  if (CANONICAL.test(lower)) return { value: lower };
  if (PLAIN.test(lower))
    return { value: lower.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5') };
  const inner = lower.slice(1, -1);
  return BRACED.test(lower) && CANONICAL.test(inner) ? { value: inner } : { fault: 'uuid' };
}

/** The canonical spelling of a UUID in any accepted one, or null. */
export function canonicalUuid(text: string): string | null {
  const judged = judgeUuid(text);
  return 'value' in judged ? judged.value : null;
}

function judgeListed(max: number | null, oneOf: readonly string[] | null, text: string): JudgedValue {
  if (oneOf !== null && !oneOf.includes(text)) return { fault: 'not_listed' };
  // Code points are at most as many as UTF-16 units: only a text that is long in units must be counted.
  if (max !== null && text.length > max && Array.from(text).length > max) return { fault: 'too_long' };
  return { value: text };
}

function judgeInteger(min: number, text: string): JudgedValue {
  if (!(min < 0 ? /^-?[0-9]+$/ : /^[0-9]+$/).test(text)) return { fault: 'integer' };
  const value = BigInt(text);
  if (value < BigInt(min) || value > 2_147_483_647n) return { fault: 'integer_range' };
  return { value: value.toString() };
}

function judgeNumeric(precision: number, scale: number, isSigned: boolean, text: string): JudgedValue {
  const match = /^(-?)([0-9]+)(?:\.([0-9]+))?$/.exec(text);
  if (match === null || (match[1] === '-' && !isSigned)) return { fault: 'decimal' };
  const [, sign = '', whole = '', decimals = ''] = match;
  if (decimals.length > scale) return { fault: 'decimal_scale' };
  const digits = whole.replace(/^0+/, '');
  if (digits.length > precision - scale) return { fault: 'decimal_range' };
  return {
    value: `${sign}${digits === '' ? '0' : digits}${scale === 0 ? '' : `.${decimals.padEnd(scale, '0')}`}`,
  };
}

const MOMENT =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})[ T]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?(?:Z|([+-])([0-9]{2}):([0-5][0-9]))?$/;
const OFFSET_MINUTES_MAX = 14 * 60;

function judgeTimestamp(text: string): JudgedValue {
  const match = MOMENT.exec(text);
  if (match === null) return { fault: 'timestamp' };
  const [, year = '', month = '', day = '', hour = '', minute = '', second = '', decimals = ''] = match;
  const offset = (match[8] === '-' ? -1 : 1) * (Number(match[9] ?? 0) * 60 + Number(match[10] ?? 0));
  if (Math.abs(offset) > OFFSET_MINUTES_MAX) return { fault: 'timestamp' };
  const isMoment = Number(hour) < 24 && Number(minute) < 60 && Number(second) < 60;
  if (!isMoment || !isDay(Number(year), Number(month), Number(day))) return { fault: 'timestamp_calendar' };
  const plain = `${year}-${month}-${day} ${hour}:${minute}:${second}`;
  const inUtc = offset === 0 ? plain : shifted(plain, -offset);
  if (inUtc === null || inUtc < '0001') return { fault: 'timestamp_range' };
  const kept = decimals.replace(/0+$/, '');
  return { value: kept === '' ? inUtc : `${inUtc}.${kept}` };
}

const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function isDay(year: number, month: number, day: number): boolean {
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return day >= 1 && day <= (month === 2 && isLeap ? 29 : (DAYS[month - 1] ?? 0));
}

/** Null outside the years 0 to 9999. */
function shifted(plain: string, minutes: number): string | null {
  const moment = new Date(`${plain.replace(' ', 'T')}Z`);
  moment.setUTCMinutes(moment.getUTCMinutes() + minutes);
  const text = moment.toISOString();
  return text.length === 24 ? text.slice(0, 19).replace('T', ' ') : null; // longer: +010000 or -000001
}
