// Records that must be rejected: one valid event, spoilt in one way. Every way is certain to be refused, costs exactly one record
// and cannot disturb its neighbours: no quotes and no line ends are involved.

import type { EventFields } from './record.ts';

type Spoiler = (fields: EventFields) => void;

const EVENT_ID = 0;
const EVENT_TYPE = 1;
const PRODUCT_ID = 2;
const USER_ID = 3;
const EVENT_TIMESTAMP = 4;
const QUANTITY = 5;
const PRICE = 6;

/** A byte that UTF-8 never contains; records are one character per byte. */
const NO_UTF8 = '\xff';

/** In the order of the reject codes they lead to. */
const SPOILERS: readonly Spoiler[] = [
  (fields) => (fields[EVENT_ID] = ''), // required
  (fields) => (fields[EVENT_TYPE] = ''), // required
  (fields) => (fields[EVENT_TIMESTAMP] = ''), // required
  (fields) => (fields[EVENT_ID] = fields[EVENT_ID].slice(1)), // uuid
  (fields) => (fields[EVENT_ID] = `urn:uuid:${fields[EVENT_ID]}`), // uuid
  (fields) => (fields[EVENT_TYPE] = 'refund'), // not_listed
  (fields) => (fields[EVENT_TYPE] = fields[EVENT_TYPE].toUpperCase()), // not_listed
  (fields) => (fields[PRODUCT_ID] = 'x'.repeat(256)), // too_long
  (fields) => (fields[QUANTITY] = '-1'), // integer
  (fields) => (fields[QUANTITY] = 'two'), // integer
  (fields) => (fields[QUANTITY] = '1.0'), // integer
  (fields) => (fields[QUANTITY] = '2147483648'), // integer_range
  (fields) => (fields[PRICE] = `-${fields[PRICE]}`), // decimal
  (fields) => (fields[PRICE] = `$${fields[PRICE]}`), // decimal
  (fields) => (fields[PRICE] = `${fields[PRICE]}5`), // decimal_scale
  (fields) => (fields[PRICE] = `12345678901.00`), // decimal_range
  (fields) => (fields[EVENT_TIMESTAMP] = fields[EVENT_TIMESTAMP].slice(0, 10)), // timestamp
  (fields) => (fields[EVENT_TIMESTAMP] = '01/02/2024 10:00'), // timestamp
  (fields) => (fields[EVENT_TIMESTAMP] = '2024-02-30 12:00:00'), // timestamp_calendar
  (fields) => (fields[EVENT_TIMESTAMP] = '2024-06-01 24:00:00'), // timestamp_calendar
  (fields) => (fields[EVENT_TIMESTAMP] = '0000-06-01 12:00:00'), // timestamp_range
  (fields) => fields.pop(), // too_few_fields
  (fields) => fields.push('extra'), // too_many_fields
  (fields) => (fields[USER_ID] = `user_${NO_UTF8}`), // invalid_utf8
];

/** The record of `fields`, spoilt in the way that `hash` chooses. Changes `fields`. */
export function spoil(fields: EventFields, hash: number): string {
  SPOILERS[hash % SPOILERS.length]!(fields);
  return `${fields.join(',')}\n`;
}
