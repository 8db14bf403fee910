// The type `uuid`: four spellings of 128 bits, one canonical form. Versions and variants are not judged: PostgreSQL stores any
// 128 bits, and so do we (the nil and the max UUID included).

import type { ColumnType, FieldWriter, ValueFault } from '../column.ts';
import { putInt32 } from './write.ts';

const HYPHEN = 0x2d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Byte -> value of the hexadecimal digit, or -1. */
const HEX = hexTable();

/** Where each of the 16 bytes stands in the 36 characters of the canonical form. */
const CANONICAL_PLACES = Uint8Array.of(0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34);

/** Where each of the 16 bytes stands in 32 characters without hyphens. */
const PLAIN_PLACES = Uint8Array.from({ length: 16 }, (_, index) => index * 2);

const TYPE: ColumnType = {
  rule: { kind: 'uuid' },
  sql: 'uuid',
  grammar: 'UUID: canonical, upper case, in braces, or without hyphens',
  oid: 2950,
  encode,
  sample: (random) => formatUuid(random.next(), random.next(), random.next(), random.next()),
};

/** A UUID in canonical form, upper case, canonical in braces, or 32 digits without hyphens. */
export function uuid(): ColumnType {
  return TYPE;
}

function encode(source: Uint8Array, start: number, end: number, out: FieldWriter): ValueFault | null {
  const length = end - start;
  if (length === 36) return encodeCanonical(source, start, out);
  if (length === 32) return encodeDigits(source, start, PLAIN_PLACES, out);
  if (length === 38 && source[start] === OPEN_BRACE && source[end - 1] === CLOSE_BRACE)
    return encodeCanonical(source, start + 1, out);
  return 'uuid';
}

function encodeCanonical(source: Uint8Array, start: number, out: FieldWriter): ValueFault | null {
  const hyphens =
    source[start + 8] === HYPHEN &&
    source[start + 13] === HYPHEN &&
    source[start + 18] === HYPHEN &&
    source[start + 23] === HYPHEN;
  return hyphens ? encodeDigits(source, start, CANONICAL_PLACES, out) : 'uuid';
}

function encodeDigits(
  source: Uint8Array,
  start: number,
  places: Uint8Array,
  out: FieldWriter,
): ValueFault | null {
  const { bytes } = out;
  const position = out.position;
  putInt32(bytes, position, 16);
  let bad = 0; // negative as soon as one digit was none
  for (let index = 0; index < 16; index += 1) {
    const at = start + places[index]!;
    const high = HEX[source[at]!]!;
    const low = HEX[source[at + 1]!]!;
    bad |= high | low;
    bytes[position + 4 + index] = (high << 4) | low;
  }
  if (bad < 0) return 'uuid';
  out.position = position + 20;
  return null;
}

/** Four 32-bit words as a canonical UUID, with version 4 and the usual variant stamped in. */
function formatUuid(a: number, b: number, c: number, d: number): string {
  const hex = [a, (b & 0xffff0fff) | 0x4000, (c & 0x3fffffff) | 0x80000000, d]
    .map((word) => (word >>> 0).toString(16).padStart(8, '0'))
    .join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function hexTable(): Int8Array {
  const table = new Int8Array(256).fill(-1);
  for (let digit = 0; digit < 16; digit += 1) {
    const character = digit.toString(16);
    table[character.charCodeAt(0)] = digit;
    table[character.toUpperCase().charCodeAt(0)] = digit;
  }
  return table;
}
