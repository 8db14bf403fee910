// The text of generated rows: plausible events of a shop, the same for the same recipe and row number. Records are byte strings:
// one character per byte (latin1), so that invalid UTF-8 can be written on purpose. Knows the events' columns, as few files may.

import { EVENT_TYPES, events } from '../../schema/events.ts';
import type { Recipe } from './fate.ts';
import { fateOf } from './fate.ts';
import type { SeedKeys } from './hash.ts';
import { hashRow, mix, rowUuid, seedKeys, shareOf } from './hash.ts';
import { spoil } from './spoil.ts';

const PRODUCTS = 50;
const USERS = 500;

/** Of a hundred events; people look more than they buy. */
const TYPE_SHARES: Readonly<Record<(typeof EVENT_TYPES)[number], number>> = {
  view: 70,
  add_to_cart: 18,
  purchase: 8,
  remove_from_cart: 4,
};

/** One event type per percent. */
const TYPE_BY_PERCENT = EVENT_TYPES.flatMap((type) => Array<string>(TYPE_SHARES[type]).fill(type));

const PRODUCT_IDS = Array.from(
  { length: PRODUCTS },
  (_, index) => `prod_${String(index + 1).padStart(3, '0')}`,
);
const USER_IDS = Array.from({ length: USERS }, (_, index) => `user_${String(index + 1).padStart(4, '0')}`);

/** From 1.99 to 499.98, the same for every seed. */
const PRICES = PRODUCT_IDS.map((_, index) => ((199 + (mix(index + 1) % 49_800)) / 100).toFixed(2));

const START_MS = Date.UTC(2024, 0, 1);
const SECONDS_PER_ROW = 2;
const SECONDS_PER_DAY = 86_400;
const TWO_DIGITS = Array.from({ length: 60 }, (_, value) => String(value).padStart(2, '0'));

/** One view in so many is by somebody who is not logged in: no user_id. */
const ANONYMOUS_ONE_IN = 50;

const KIND = 11;
const PRODUCT = 12;
const USER = 13;
const QUANTITY = 14;
const SECOND = 15;
const ANONYMOUS = 16;
const QUOTED = 17;
const QUOTING = 18;
const SPELLING = 19;

/** The header line of every generated file. */
export const HEADER = `${events.columns.map(({ name }) => name).join(',')}\n`;

/** The seven fields of an event in the order of the header. */
export type EventFields = [
  eventId: string,
  eventType: string,
  productId: string,
  userId: string,
  eventTimestamp: string,
  quantity: string,
  price: string,
];

export interface GeneratedRows {
  /** Whole records, one character per byte. */
  readonly text: string;
  readonly duplicates: number;
  readonly invalid: number;
}

/** Makes the records of rows [first, first + count). */
export function generateRows(recipe: Recipe, first: number, count: number): GeneratedRows {
  const keys = seedKeys(recipe.seed);
  const fate = fateOf(recipe);
  // Only valid records are quoted, and the share is one of all records.
  const quotedOfValid = recipe.invalid >= 1 ? 0 : recipe.quoted / (1 - recipe.invalid);
  let text = '';
  let duplicates = 0;
  let invalid = 0;
  for (let row = first; row < first + count; row += 1) {
    const meant = fate(row);
    switch (meant.kind) {
      case 'stored':
        text += validRecord(keys, row, quotedOfValid, false);
        break;
      case 'duplicate':
        duplicates += 1;
        text += validRecord(keys, meant.original, quotedOfValid, hashRow(keys, row, SPELLING) % 8 === 0);
        break;
      case 'invalid':
        invalid += 1;
        text += spoil(eventFields(keys, row), hashRow(keys, row, KIND));
        break;
      default:
        meant satisfies never;
    }
  }
  return { text, duplicates, invalid };
}

/** A repeat may spell the UUID in upper case: the same key all the same. */
function validRecord(keys: SeedKeys, row: number, quotedShare: number, upperCase: boolean): string {
  const fields = eventFields(keys, row);
  if (upperCase) fields[0] = fields[0].toUpperCase();
  if (quotedShare > 0 && shareOf(hashRow(keys, row, QUOTED)) < quotedShare)
    return quotedRecord(fields, keys, row);
  return `${fields[0]},${fields[1]},${fields[2]},${fields[3]},${fields[4]},${fields[5]},${fields[6]}\n`;
}

function eventFields(keys: SeedKeys, row: number): EventFields {
  const type = TYPE_BY_PERCENT[hashRow(keys, row, KIND) % 100]!;
  const product = hashRow(keys, row, PRODUCT) % PRODUCTS;
  const isAnonymous = type === 'view' && hashRow(keys, row, ANONYMOUS) % ANONYMOUS_ONE_IN === 0;
  return [
    rowUuid(keys, row),
    type,
    PRODUCT_IDS[product]!,
    isAnonymous ? '' : USER_IDS[hashRow(keys, row, USER) % USERS]!,
    rowTimestamp(keys, row),
    type === 'view' ? '1' : String(1 + (hashRow(keys, row, QUANTITY) % 5)),
    PRICES[product]!,
  ];
}

/** From 2024-01-01 on, always later than the row before, by one to three seconds. */
function rowTimestamp(keys: SeedKeys, row: number): string {
  const seconds = row * SECONDS_PER_ROW + (hashRow(keys, row, SECOND) % SECONDS_PER_ROW);
  const day = Math.floor(seconds / SECONDS_PER_DAY);
  const left = seconds - day * SECONDS_PER_DAY;
  const hour = Math.floor(left / 3600);
  const minute = Math.floor(left / 60) % 60;
  return `${dateOf(day)} ${TWO_DIGITS[hour]}:${TWO_DIGITS[minute]}:${TWO_DIGITS[left % 60]}`;
}

/** The last date made: rows come in order, and a Date costs as much as the rest of the row. */
let lastDate = { day: -1, text: '' };

function dateOf(day: number): string {
  if (day !== lastDate.day)
    lastDate = { day, text: new Date(START_MS + day * SECONDS_PER_DAY * 1000).toISOString().slice(0, 10) };
  return lastDate.text;
}

/** Names as shops have them, in the bytes of UTF-8. */
const DECORATIONS = [', large', ' "new"', '\nsecond line', ' Größe M, "rot"', ' 🚲'].map((text) =>
  Buffer.from(text, 'utf8').toString('latin1'),
);

/** Half of them merely put every field in quotes, the others need them: commas, doubled quotes, line ends, other alphabets. */
function quotedRecord(fields: EventFields, keys: SeedKeys, row: number): string {
  const hash = hashRow(keys, row, QUOTING);
  if (hash % 2 === 0) return `${fields.map(quote).join(',')}\n`;
  fields[2] = quote(fields[2] + DECORATIONS[(hash >>> 1) % DECORATIONS.length]!);
  return `${fields.join(',')}\n`;
}

function quote(field: string): string {
  return `"${field.replaceAll('"', '""')}"`;
}
