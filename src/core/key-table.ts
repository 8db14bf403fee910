// One hash table of the dedup set: 16-byte keys in typed arrays, open addressing with linear probing. A `Map` would stop at 2^24
// entries and cost over 100 bytes per key; here a key costs 24 bytes / load. It only grows, marks and is dropped as a whole.

/** Words of an entry: four of the key, the chunk's number + 1 (0 = empty slot), and a hash of the row's other columns. */
const ENTRY_WORDS = 6;
const OWNER = 4;
const PAYLOAD = 5;

export const ENTRY_BYTES = ENTRY_WORDS * 4;

/** Past this load probes get long: 8.5 slots for a miss at 0.75, 50 at 0.9. */
const LOAD_MAX = 0.75;
export const GROWTH = 1.5;

export class KeyTable {
  #words: Uint32Array;
  #slots: number;
  #count = 0;
  /** Of no meaning; without a use of what `touch` loads, the compiler would leave the loads out. */
  touched = 0;
  readonly #slotsMax: number;
  readonly #hashOf: KeyHash;

  /** Starts with `slots` and grows to at most `slotsMax`, then `full` says so. */
  constructor(slots: number, slotsMax: number, hashOf: KeyHash) {
    this.#slots = Math.min(slots, slotsMax);
    this.#slotsMax = slotsMax;
    this.#hashOf = hashOf;
    this.#words = new Uint32Array(this.#slots * ENTRY_WORDS);
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#words.byteLength;
  }

  get full(): boolean {
    return this.#count >= this.#slotsMax * LOAD_MAX;
  }

  /**
   * Brings the first slots of many keys into the processor's cache: loads that do not depend on each other wait for memory together,
   * probes one after the other (0.52 against 0.38 us a key, look-up and insert, at 10 M keys).
   */
  touch(hashes: Int32Array, from: number, to: number): void {
    const words = this.#words;
    let sum = 0;
    for (let place = from; place < to; place += 1)
      sum = (sum + words[firstSlot(hashes[place]!, this.#slots) * ENTRY_WORDS + OWNER]!) | 0;
    this.touched = sum;
  }

  /** Index of the key's entry, or -1. `hash` is what `hashOf` says of the key. */
  find(hash: number, keys: Uint32Array, at: number): number {
    const words = this.#words;
    const slots = this.#slots;
    const a = keys[at]!;
    const b = keys[at + 1]!;
    const c = keys[at + 2]!;
    const d = keys[at + 3]!;
    let slot = firstSlot(hash, slots);
    for (;;) {
      const entry = slot * ENTRY_WORDS;
      if (words[entry + OWNER] === 0) return -1;
      if (words[entry] === a && words[entry + 1] === b && words[entry + 2] === c && words[entry + 3] === d)
        return entry;
      slot = slot + 1 === slots ? 0 : slot + 1;
    }
  }

  /** Adds a key that is not there. */
  add(hash: number, keys: Uint32Array, at: number, owner: number, payload: number): void {
    if (this.#count >= this.#slots * LOAD_MAX) this.#grow();
    const words = this.#words;
    const entry = emptySlot(words, hash, this.#slots) * ENTRY_WORDS;
    words[entry] = keys[at]!;
    words[entry + 1] = keys[at + 1]!;
    words[entry + 2] = keys[at + 2]!;
    words[entry + 3] = keys[at + 3]!;
    words[entry + OWNER] = owner + 1;
    words[entry + PAYLOAD] = payload;
    this.#count += 1;
  }

  owner(entry: number): number {
    return this.#words[entry + OWNER]! - 1;
  }

  setOwner(entry: number, owner: number): void {
    this.#words[entry + OWNER] = owner + 1;
  }

  payload(entry: number): number {
    return this.#words[entry + PAYLOAD]!;
  }

  /** Empties the table and keeps its memory. */
  clear(): void {
    this.#words.fill(0);
    this.#count = 0;
  }

  #grow(): void {
    const old = this.#words;
    this.#slots = Math.min(Math.ceil(this.#slots * GROWTH), this.#slotsMax);
    this.#words = moved(old, this.#slots, this.#hashOf);
  }
}

/** Scales the hash to the table: any size will do, not only powers of two; and growing moves entries from front to back in both tables. */
function firstSlot(hash: number, slots: number): number {
  return Math.floor((hash >>> 0) * (slots / 0x1_0000_0000));
}

function emptySlot(words: Uint32Array, hash: number, slots: number): number {
  let slot = firstSlot(hash, slots);
  while (words[slot * ENTRY_WORDS + OWNER] !== 0) slot = slot + 1 === slots ? 0 : slot + 1;
  return slot;
}

/**
 * All entries in a larger table. Word by word: a view of each entry would be garbage of 100 bytes a key, 0.4 s of collecting per million
 * keys.
 */
function moved(old: Uint32Array, slots: number, hashOf: KeyHash): Uint32Array {
  const words = new Uint32Array(slots * ENTRY_WORDS);
  for (let entry = 0; entry < old.length; entry += ENTRY_WORDS) {
    if (old[entry + OWNER] === 0) continue;
    const target = emptySlot(words, hashOf(old, entry), slots) * ENTRY_WORDS;
    for (let word = 0; word < ENTRY_WORDS; word += 1) words[target + word] = old[entry + word]!;
  }
  return words;
}

/** A signed word, evenly spread, of the key at `keys[at .. at + 4)`. */
export type KeyHash = (keys: Uint32Array, at: number) => number;
