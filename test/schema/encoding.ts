// Helpers for the tests of column types: one value in, its field or its fault out.

import assert from 'node:assert/strict';
import type { ColumnType, ValueFault } from '../../src/schema/column.ts';

export type Encoded =
  | { readonly fault: ValueFault }
  /** The value without its 4-byte length. */
  | { readonly fault: null; readonly value: Buffer };

/** Encodes `text` in the middle of other bytes, so that reading or writing beside the field shows. */
export function encodeText(type: ColumnType, text: string): Encoded {
  const bytes = Buffer.from(text);
  const source = Buffer.concat([Buffer.from('9,'), bytes, Buffer.from(',9')]);
  const room = bytes.length * 2 + 32;
  const out = { bytes: Buffer.alloc(room + 64, 0xaa), position: 4 };
  const fault = type.encode(source, 2, 2 + bytes.length, out);
  if (fault !== null) return { fault };
  const { bytes: written, position: end } = out;
  if (written.readUInt32BE(4) !== end - 8) throw new Error(`${text}: the length does not match the value`);
  // Within the room a type may write beyond its field (zero groups that turn out to be trailing); the next one overwrites it.
  const beside = Buffer.concat([written.subarray(0, 4), written.subarray(4 + room)]);
  if (end - 4 > room || beside.some((byte) => byte !== 0xaa))
    throw new Error(`${text}: wrote outside its room`);
  return { fault: null, value: Buffer.from(written.subarray(8, end)) };
}

/** The fault, or null when the text is accepted. */
export function faultOf(type: ColumnType, text: string): ValueFault | null {
  return encodeText(type, text).fault;
}

/** The value's bytes; throws when the text is refused. */
export function valueOf(type: ColumnType, text: string): Buffer {
  const encoded = encodeText(type, text);
  if (encoded.fault !== null) throw new Error(`${JSON.stringify(text)} is refused: ${encoded.fault}`);
  return encoded.value;
}

/** What every grammar must refuse: the words that PostgreSQL's casts take, blanks, other alphabets, and SQL. */
export const NEVER = [
  ' ',
  'NULL',
  'null',
  '\\N',
  'NaN',
  'Infinity',
  '-inf',
  'now',
  'infinity',
  'epoch',
  'today',
  "'; DROP TABLE events;--",
  '$1',
  '%s',
  '０',
  '٣',
  '−5',
  '1_000',
  '0x1F',
  '1,000',
  '1e3',
  '+7',
  '-5',
  '-0',
  ' 12',
  '12 ',
  '\t12',
  '€5',
];

/** Every text is refused with the fault it is listed under. */
export function refuses(type: ColumnType, faults: Readonly<Record<string, readonly string[]>>): void {
  for (const [fault, texts] of Object.entries(faults))
    for (const value of texts) assert.equal(faultOf(type, value), fault as ValueFault, JSON.stringify(value));
}

export function accepts(type: ColumnType, texts: readonly string[]): void {
  for (const value of texts) assert.equal(faultOf(type, value), null, JSON.stringify(value));
}
