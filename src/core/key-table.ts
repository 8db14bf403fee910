// One hash table of the dedup set: 16-byte keys in typed arrays. Entries stand one behind the other in the order in which they came; an index
// of 4 bytes a slot, open addressing with linear probing, says where. So a new key costs one look into an index that is a sixth of the
// entries and a write behind the last one: at 10 M keys 0.31 us a key, look-up and insert, and 31.6 bytes, against 0.42 us and 34.3 bytes
// where the entries were the slots, and at 1 M keys 26 MiB less memory was touched. A `Map` would stop at 2^24 entries and cost over
// 100 bytes per key. It only grows, marks and is dropped as a whole.

/** Words of an entry: four of the key, the chunk's number, and a hash of the row's other columns. */
const ENTRY_WORDS = 6;
const OWNER = 4;
const PAYLOAD = 5;
const ENTRY_BYTES = ENTRY_WORDS * 4;

/**
 * A slot: the entry's number + 1 (0 = empty slot) in as many bits as the table may ever need, but no fewer than these; in the others, bits of
 * the key's hash, so that 255 of 256 foreign entries are passed without a look at them.
 */
const NUMBER_BITS_MIN = 24;
const SLOT_BYTES = 4;

/** Past this load probes get long: 3.6 slots for a miss at 0.6, 8.5 at 0.75. */
const LOAD_MAX = 0.6;
export const GROWTH = 1.5;

/**
 * Entries are never moved: more come in pieces of so many. Nobody shares them; but what lies in a SharedArrayBuffer V8 does not count
 * when it decides whether to collect garbage, and these are kept as long as the process lives (full collections of the main thread in a
 * load of 1 M rows: 5 before, now 2 to 4).
 */
const BLOCK_BITS = 13;
const BLOCK_ENTRIES = 2 ** BLOCK_BITS;

/** As many entries as a table may have in so much memory. */
export function entriesFor(bytes: number): number {
  return Math.floor(bytes / (ENTRY_BYTES + SLOT_BYTES / LOAD_MAX));
}

export class KeyTable {
  #index: Int32Array<ArrayBuffer>;
  readonly #blocks: Uint32Array[] = [];
  #count = 0;
  #room = 0;
  /** Where `find` met an empty slot last. */
  #vacant = 0;
  /** Of no meaning; without a use of what `touch` loads, the compiler would leave the loads out. */
  touched = 0;
  readonly #entriesMax: number;
  readonly #slotsMax: number;
  readonly #numberBits: number;
  readonly #numberMask: number;
  readonly #tagMask: number;
  readonly #hashOf: KeyHash;

  /** Starts with an index of `slots`, and grows to at most `entriesMax` keys (below 2^31), then `full` says so. */
  constructor(slots: number, entriesMax: number, hashOf: KeyHash) {
    this.#entriesMax = entriesMax;
    this.#numberBits = Math.max(NUMBER_BITS_MIN, 32 - Math.clz32(entriesMax));
    this.#numberMask = 2 ** this.#numberBits - 1;
    this.#tagMask = 2 ** (32 - this.#numberBits) - 1;
    this.#slotsMax = Math.ceil(entriesMax / LOAD_MAX);
    this.#hashOf = hashOf;
    this.#index = new Int32Array(Math.min(slots, this.#slotsMax));
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#index.byteLength + this.#room * ENTRY_BYTES;
  }

  get full(): boolean {
    return this.#count >= this.#entriesMax;
  }

  /**
   * Brings the first slots of many keys into the processor's cache: loads that do not depend on each other wait for memory together,
   * probes one after the other.
   */
  touch(hashes: Int32Array, from: number, to: number): void {
    const index = this.#index;
    let sum = 0;
    for (let place = from; place < to; place += 1)
      sum = (sum + index[firstSlot(hashes[place]!, index.length)]!) | 0;
    this.touched = sum;
  }

  /** Number of the key's entry, or -1. `hash` is what `hashOf` says of the key. */
  find(hash: number, keys: Uint32Array, at: number): number {
    const index = this.#index;
    const tag = this.#tagOf(hash);
    let slot = firstSlot(hash, index.length);
    for (;;) {
      const found = index[slot]!;
      if (found === 0) {
        this.#vacant = slot;
        return -1;
      }
      if (found >>> this.#numberBits === tag) {
        const entry = (found & this.#numberMask) - 1;
        if (this.#holds(entry, keys, at)) return entry;
      }
      slot = slot + 1 === index.length ? 0 : slot + 1;
    }
  }

  #holds(entry: number, keys: Uint32Array, at: number): boolean {
    const words = this.#blocks[entry >>> BLOCK_BITS]!;
    const first = wordOf(entry);
    return (
      words[first] === keys[at] &&
      words[first + 1] === keys[at + 1] &&
      words[first + 2] === keys[at + 2] &&
      words[first + 3] === keys[at + 3]
    );
  }

  /** Adds the key that `find` has just not found. @throws RangeError when it is full */
  add(hash: number, keys: Uint32Array, at: number, owner: number, payload: number): void {
    let slot = this.#vacant;
    // An empty slot must be left, or a look for a key that is not there would not end.
    if (this.#count + 1 > this.#index.length * LOAD_MAX) {
      this.#grow();
      slot = emptySlot(this.#index, hash);
    }
    const entry = this.#count;
    if (entry === this.#room) this.#makeRoom();
    const words = this.#blocks[entry >>> BLOCK_BITS]!;
    const first = wordOf(entry);
    words[first] = keys[at]!;
    words[first + 1] = keys[at + 1]!;
    words[first + 2] = keys[at + 2]!;
    words[first + 3] = keys[at + 3]!;
    words[first + OWNER] = owner;
    words[first + PAYLOAD] = payload;
    this.#index[slot] = this.#slotValue(hash, entry);
    this.#count = entry + 1;
  }

  owner(entry: number): number {
    return this.#blocks[entry >>> BLOCK_BITS]![wordOf(entry) + OWNER]!;
  }

  setOwner(entry: number, owner: number): void {
    this.#blocks[entry >>> BLOCK_BITS]![wordOf(entry) + OWNER] = owner;
  }

  payload(entry: number): number {
    return this.#blocks[entry >>> BLOCK_BITS]![wordOf(entry) + PAYLOAD]!;
  }

  /** Empties the table and keeps its memory. */
  clear(): void {
    this.#index.fill(0);
    this.#count = 0;
  }

  /** Not of the first bits, which have chosen the slot, nor of the last six, which are zero (see `slotHash` in dedup.ts). */
  #tagOf(hash: number): number {
    return (hash >>> 6) & this.#tagMask;
  }

  #slotValue(hash: number, entry: number): number {
    return (this.#tagOf(hash) << this.#numberBits) | (entry + 1);
  }

  #makeRoom(): void {
    if (this.full) throw new RangeError(`the table has its ${this.#entriesMax} keys`);
    const entries = Math.min(BLOCK_ENTRIES, this.#entriesMax - this.#room);
    this.#blocks.push(new Uint32Array(new SharedArrayBuffer(entries * ENTRY_BYTES)));
    this.#room += entries;
  }

  #grow(): void {
    const index = new Int32Array(Math.min(Math.ceil(this.#index.length * GROWTH), this.#slotsMax));
    for (let entry = 0; entry < this.#count; entry += 1) {
      const hash = this.#hashOf(this.#blocks[entry >>> BLOCK_BITS]!, wordOf(entry));
      index[emptySlot(index, hash)] = this.#slotValue(hash, entry);
    }
    this.#index.buffer.transfer(0); // gives its memory back now, not when it is collected
    this.#index = index;
  }
}

/** In its block. */
function wordOf(entry: number): number {
  return (entry & (BLOCK_ENTRIES - 1)) * ENTRY_WORDS;
}

/** Scales the hash to the index: any size will do, not only powers of two. */
function firstSlot(hash: number, slots: number): number {
  return Math.floor((hash >>> 0) * (slots / 0x1_0000_0000));
}

function emptySlot(index: Int32Array, hash: number): number {
  let slot = firstSlot(hash, index.length);
  while (index[slot] !== 0) slot = slot + 1 === index.length ? 0 : slot + 1;
  return slot;
}

/** A signed word, evenly spread, of the key at `keys[at .. at + 4)`. */
export type KeyHash = (keys: Uint32Array, at: number) => number;
