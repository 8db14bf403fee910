// Events for tests, made without the product's generator: text of CSV records, and the naive model (a Map) of what the table and
// the books must say about them afterwards.

import { seededRandom } from '../../src/schema/random.ts';

export const HEADER = 'event_id,event_type,product_id,user_id,event_timestamp,quantity,price';

/** What one record of a file must end as, wherever it is read. */
export interface TestRecord {
  readonly key: string;
  /** False: no rule of ours lets it pass. */
  readonly valid: boolean;
  readonly text: string;
}

const TYPES = ['view', 'purchase', 'add_to_cart', 'remove_from_cart'];

/** A UUID that only depends on its number. */
export function uuidOf(number: number): string {
  const random = seededRandom(number, 77);
  const hex = Array.from({ length: 4 }, () => random.next().toString(16).padStart(8, '0')).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** The valid record with this number; `variant` changes everything but its key. */
export function event(number: number, variant = 0): TestRecord {
  const random = seededRandom(number, variant);
  const type = TYPES[random.below(TYPES.length)];
  const second = String(random.below(60)).padStart(2, '0');
  const price = `${random.below(1000)}.${String(random.below(100)).padStart(2, '0')}`;
  const text = `${uuidOf(number)},${type},prod_${random.below(50)},user_${random.below(500)},2024-05-06 07:08:${second},${random.below(9)},${price}`;
  return { key: uuidOf(number), valid: true, text };
}

/** The same event with all fields in quotes and a line break inside one. */
export function quotedEvent(number: number): TestRecord {
  const { key } = event(number);
  return {
    key,
    valid: true,
    text: `"${key}","view","a ""fine"", thing\nof two lines",user_1,"2024-05-06 07:08:09",1,"2.50"`,
  };
}

export function invalidEvent(number: number): TestRecord {
  return { key: uuidOf(number), valid: false, text: `${uuidOf(number)},view,p,u,2024-02-30 00:00:00,1,1.00` };
}

export function events(from: number, count: number, variant = 0): TestRecord[] {
  return Array.from({ length: count }, (_, index) => event(from + index, variant));
}

export function csv(records: readonly TestRecord[], lineEnd = '\n'): string {
  return [HEADER, ...records.map((record) => record.text)].map((line) => line + lineEnd).join('');
}

/** The same records with a column that no table has, so that a few hundred of them are as many bytes as a first load wants. */
export function wideCsv(records: readonly TestRecord[], bytes = 24_000_000): string {
  const filler = 'x'.repeat(Math.ceil(bytes / records.length));
  return [`${HEADER},filler`, ...records.map((record) => `${record.text},${filler}`)]
    .map((line) => `${line}\n`)
    .join('');
}
