// Numbers for generated data: everything follows from (seed, number of the row), never from what was made before, so that any
// worker can make any row and the same seed gives the same bytes with any number of threads. Not for secrets.

import { seededRandom } from '../../schema/random.ts';

const TWO_32 = 0x1_0000_0000;

/** What a seed stands for while rows are made. */
export interface SeedKeys {
  readonly first: number;
  readonly second: number;
  readonly third: number;
}

/** `seed`: any whole number up to 2^53. */
export function seedKeys(seed: number): SeedKeys {
  const random = seededRandom(seed | 0, Math.floor(seed / TWO_32) | 0);
  return { first: random.next(), second: random.next(), third: random.next() };
}

/** A bijection of the 32-bit numbers that leaves no pattern (the finalizer of MurmurHash3). Returns [0, 2^32). */
export function mix(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** [0, 2^32) for a row (a whole number up to 2^53); `purpose` keeps decisions about the same row independent. */
export function hashRow(keys: SeedKeys, row: number, purpose: number): number {
  const high = Math.floor(row / TWO_32);
  return mix((mix(row ^ keys.first) + Math.imul(high + purpose * 0x10001, 0x9e3779b1) + keys.second) | 0);
}

/** [0, 1) */
export function shareOf(hash: number): number {
  return hash / TWO_32;
}

/** Two hexadecimal digits for every byte: 16 look-ups beat four toString(16) by a factor of three. */
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/**
 * A UUID of version 4's shape, different for every row of a seed by construction: the last word is a bijection of the row's low 32
 * bits, and once that is known the second word gives the high bits. The rest is hash, so that other seeds give other UUIDs.
 */
export function rowUuid(keys: SeedKeys, row: number): string {
  const high = Math.floor(row / TWO_32);
  const d = mix(row ^ keys.third);
  const b = (high + mix(d ^ keys.second)) & 0x0fff_ffff; // 28 free bits; a row number has 21 high ones
  const a = hashRow(keys, row, 101);
  const c = hashRow(keys, row, 102);
  return (
    HEX[a >>> 24]! +
    HEX[(a >>> 16) & 255]! +
    HEX[(a >>> 8) & 255]! +
    HEX[a & 255]! +
    '-' +
    HEX[b >>> 20]! +
    HEX[(b >>> 12) & 255]! +
    '-' +
    HEX[0x40 | ((b >>> 8) & 15)]! +
    HEX[b & 255]! +
    '-' +
    HEX[0x80 | ((c >>> 24) & 63)]! +
    HEX[(c >>> 16) & 255]! +
    '-' +
    HEX[(c >>> 8) & 255]! +
    HEX[c & 255]! +
    HEX[d >>> 24]! +
    HEX[(d >>> 16) & 255]! +
    HEX[(d >>> 8) & 255]! +
    HEX[d & 255]!
  );
}
