// Room 4: which rows are new? A cache in front of the unique index, never its judge: it may forget anything at any time and the
// stored table is the same. Only the verdict DUPLICATE can lose a row, so it alone needs proof: the key's entry must belong to a
// chunk whose transaction is known to have committed.
//
// Loops over a chunk's rows are functions of their own, called once a chunk or once a partition: V8 compiled them seven times where
// they stood in one (87 ms of a load of 1 M rows), and once to three times as they are (44 ms).

import type { AcceptedChunk, ChunkNumber, JudgedChunk, Rows } from './chunk.ts';
import { DUPLICATE, FRESH, UNSURE } from './chunk.ts';
import { GROWTH, KeyTable, entriesFor } from './key-table.ts';
import type { CommittedSlice, GenerationId } from './slice.ts';

const PARTITION_BITS = 6;
const PARTITIONS = 1 << PARTITION_BITS;
/** Room for some 1.5 M keys in 10 MiB, touched only as they fill, so that a first million keys need no growing. */
const SLOTS_AT_FIRST = 32_768;
/** With less memory than for these a table would forget at once. */
const ENTRIES_MIN = 4;

/** Owner of an entry whose row the database refused: never settles, so the next row with that key is unsure. */
const REFUSED: ChunkNumber = 0;

/** A key belongs to exactly one partition. When `young` is full it becomes `old`, and what was old is forgotten. */
interface Partition {
  young: KeyTable;
  old: KeyTable | null;
}

/** The rows of a chunk by partition. Kept from chunk to chunk: a quarter of a megabyte an array that need not be collected. */
interface Scratch {
  /** In the order of the rows. */
  readonly unordered: Int32Array;
  /** What the tables take, in the order of `order`. */
  readonly hashes: Int32Array;
  /** Row numbers, in file order within a partition: the first of equal keys stays the first. */
  readonly order: Uint32Array;
  /** Where each partition ends in `order`. */
  readonly ends: Uint32Array;
}

/** What judging a chunk finds out. */
interface Judgement {
  readonly number: ChunkNumber;
  /** Per row, FRESH at first. */
  readonly verdicts: Uint8Array;
  /** The duplicates with another payload. */
  readonly conflicts: number[];
}

export interface DedupOptions {
  /** Upper bound of the tables' memory; 0 remembers nothing and leaves every row to the index. */
  readonly memoryBytes: number;
  /** Random per process: keys that all fall into one slot cannot be prepared in advance. */
  readonly seed: number;
}

export class DedupSet {
  readonly #memoryBytes: number;
  readonly #seed: number;
  readonly #partitions: readonly Partition[];
  #scratch = scratchFor(0);
  #lastNumber: ChunkNumber = 0;
  readonly #slotHash = (keys: Uint32Array, at: number): number => slotHash(this.#hash(keys, at));
  /** Chunks that were judged and are not known to be committed. Chunks of parked files stay here for good. */
  readonly #unsettled = new Set<ChunkNumber>();
  readonly #suspects = new Set<GenerationId>();
  #suspectAll = false;

  constructor(options: DedupOptions) {
    this.#memoryBytes = options.memoryBytes;
    this.#seed = options.seed | 0;
    const entriesMax = this.#entriesMax;
    this.#partitions = Array.from({ length: entriesMax < ENTRIES_MIN ? 0 : PARTITIONS }, (_, index) => ({
      // Staggered, else all partitions would grow at the same moment and half of the memory be empty right after.
      young: new KeyTable(
        Math.ceil(SLOTS_AT_FIRST * GROWTH ** (index / PARTITIONS)),
        entriesMax,
        this.#slotHash,
      ),
      old: null,
    }));
  }

  /** Keys remembered. */
  get size(): number {
    return this.#partitions.reduce((sum, { young, old }) => sum + young.count + (old?.count ?? 0), 0);
  }

  get bytes(): number {
    return this.#partitions.reduce((sum, { young, old }) => sum + young.bytes + (old?.bytes ?? 0), 0);
  }

  /** Of one table: each partition has two. */
  get #entriesMax(): number {
    return entriesFor(this.#memoryBytes / (PARTITIONS * 2));
  }

  /** Forgets every key and keeps the memory (restart in process). Numbers go on: one is never used twice in a process. */
  clear(): void {
    for (const { young, old } of this.#partitions) {
      young.clear();
      old?.clear();
    }
    this.#unsettled.clear();
  }

  /** Gives the chunk its number and each row its verdict, and remembers the keys it had not seen. */
  judge(chunk: AcceptedChunk, forget: bigint): JudgedChunk {
    this.#lastNumber += 1;
    const number = this.#lastNumber;
    this.#unsettled.add(number);
    const verdicts = new Uint8Array(chunk.rows.count);
    const conflicts: number[] = [];
    this.#judgeRows(chunk.rows, { number, verdicts, conflicts });
    this.#doubt(chunk, verdicts);
    const unsure = count(verdicts, UNSURE);
    const duplicates = count(verdicts, DUPLICATE);
    const fresh = verdicts.length - unsure - duplicates;
    return {
      ...chunk,
      number,
      forget,
      verdicts: fresh === verdicts.length ? null : verdicts,
      fresh,
      unsure,
      duplicates,
      conflicts,
    };
  }

  /**
   * The chunk's transaction is known to have committed. Marks the rows that the database refused first, and those that lost against
   * a stored row with other values: their hash must not speak for the key. A file whose slice passed without a duplicate is no longer suspect.
   */
  settle(
    chunk: JudgedChunk,
    slices: readonly CommittedSlice[],
    refusedRows: readonly number[],
    conflictingRows: readonly number[] = [],
  ): void {
    for (const row of refusedRows) this.#mark(chunk, row, 'refused');
    for (const row of conflictingRows) this.#mark(chunk, row, 'conflicting');
    this.#unsettled.delete(chunk.number);
    for (const slice of slices) {
      if (slice.duplicates > 0 || slice.inserted === 0) continue;
      this.#suspects.delete(slice.generation);
      this.#suspectAll = false;
    }
  }

  /**
   * The direct COPY of these chunks met a stored key that memory did not know (cold after a start, forgotten, or another writer).
   * Their files, and files not seen yet, go through the stage until a slice passes without a duplicate: a re-sent file costs one retry,
   * not one per batch.
   */
  suspect(chunks: readonly JudgedChunk[]): void {
    for (const chunk of chunks) for (const slice of chunk.slices) this.#suspects.add(slice.file.id);
    this.#suspectAll = true;
  }

  isSuspect(chunk: AcceptedChunk): boolean {
    return this.#suspectAll || chunk.slices.some((slice) => this.#suspects.has(slice.file.id));
  }

  #judgeRows(rows: Rows, judgement: Judgement): void {
    if (this.#partitions.length === 0) {
      judgement.verdicts.fill(UNSURE);
      return;
    }
    const { ends, hashes } = this.#byPartition(rows.keys, rows.count);
    for (const [index, partition] of this.#partitions.entries()) {
      const from = index === 0 ? 0 : ends[index - 1]!;
      const to = ends[index]!;
      partition.young.touch(hashes, from, to);
      partition.old?.touch(hashes, from, to);
      this.#judgePartition(partition, from, to, rows, judgement);
    }
  }

  /** The rows at places `from` to `to` of the scratch arrays, all of this partition. */
  #judgePartition(
    partition: Partition,
    from: number,
    to: number,
    { keys, payloads }: Rows,
    { number, verdicts, conflicts }: Judgement,
  ): void {
    const { order, hashes } = this.#scratch;
    for (let place = from; place < to; place += 1) {
      const row = order[place]!;
      const hash = hashes[place]!;
      const payload = payloads[row]! | 0;
      let table: KeyTable | null = partition.young;
      let entry = table.find(hash, keys, row * 4);
      if (entry < 0) {
        table = partition.old;
        entry = table === null ? -1 : table.find(hash, keys, row * 4);
      }
      if (table === null || entry < 0) this.#remember(partition, hash, keys, row * 4, number, payload);
      else if (!this.#isSettled(table.owner(entry))) verdicts[row] = UNSURE;
      else {
        verdicts[row] = DUPLICATE;
        if ((table.payload(entry) | 0) !== payload) conflicts.push(row);
      }
    }
  }

  /** Fills the scratch arrays for so many rows. */
  #byPartition(keys: Uint32Array, rows: number): Scratch {
    if (this.#scratch.order.length < rows) this.#scratch = scratchFor(rows + (rows >>> 1));
    const { ends } = this.#scratch;
    ends.fill(0);
    this.#hashRows(keys, rows, this.#scratch);
    for (let partition = 1; partition <= PARTITIONS; partition += 1) ends[partition]! += ends[partition - 1]!;
    placeRows(rows, this.#scratch);
    return this.#scratch;
  }

  /** Counts each partition's rows one place too far, so that the sums say where it begins. */
  #hashRows(keys: Uint32Array, rows: number, { unordered, ends }: Scratch): void {
    for (let row = 0; row < rows; row += 1) {
      const hash = this.#hash(keys, row * 4);
      unordered[row] = hash;
      ends[partitionOf(hash) + 1]! += 1;
    }
  }

  /** Rows of suspect files that memory calls fresh go to the index all the same. */
  #doubt(chunk: AcceptedChunk, verdicts: Uint8Array): void {
    if (!this.isSuspect(chunk)) return;
    const { slices } = chunk.rows;
    const doubtful = chunk.slices.map((slice) => this.#suspectAll || this.#suspects.has(slice.file.id));
    for (let row = 0; row < verdicts.length; row += 1)
      if (verdicts[row] === FRESH && doubtful[slices === null ? 0 : slices[row]!]!) verdicts[row] = UNSURE;
  }

  #isSettled(owner: ChunkNumber): boolean {
    return owner !== REFUSED && !this.#unsettled.has(owner);
  }

  #remember(
    partition: Partition,
    hash: number,
    keys: Uint32Array,
    at: number,
    number: ChunkNumber,
    payload: number,
  ): void {
    if (partition.young.full) {
      const forgotten = partition.old;
      forgotten?.clear();
      partition.old = partition.young;
      partition.young = forgotten ?? new KeyTable(SLOTS_AT_FIRST, this.#entriesMax, this.#slotHash);
      partition.young.find(hash, keys, at); // finds its place in the new one
    }
    partition.young.add(hash, keys, at, number, payload);
  }

  /** From now on the index decides about this key. A row that lost is marked only where the entry holds its own hash, not the winner's. */
  #mark({ rows, number }: JudgedChunk, row: number, why: 'refused' | 'conflicting'): void {
    if (this.#partitions.length === 0) return;
    const hash = this.#hash(rows.keys, row * 4);
    const { young, old } = this.#partitions[partitionOf(hash)]!;
    for (const table of [young, old]) {
      const entry = table?.find(slotHash(hash), rows.keys, row * 4) ?? -1;
      if (table === null || entry < 0 || table.owner(entry) !== number) continue;
      const isOwn = (table.payload(entry) | 0) === (rows.payloads[row]! | 0);
      if (why === 'refused' || isOwn) table.setOwner(entry, REFUSED);
    }
  }

  /**
   * Mixes all 16 bytes: version 7 UUIDs share their first ones. Constants from MurmurHash3. A signed word: an unsigned one above 2^31
   * would be a number on the heap at each call, 7 MB of garbage per 42,000 rows.
   */
  #hash(keys: Uint32Array, at: number): number {
    let h = this.#seed;
    for (let word = at; word < at + 4; word += 1) {
      h ^= Math.imul(keys[word]!, 0xcc9e2d51);
      h = Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64;
    }
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return h ^ (h >>> 16);
  }
}

function scratchFor(rows: number): Scratch {
  return {
    unordered: new Int32Array(rows),
    hashes: new Int32Array(rows),
    order: new Uint32Array(rows),
    ends: new Uint32Array(PARTITIONS + 1),
  };
}

function placeRows(rows: number, { unordered, hashes, order, ends }: Scratch): void {
  for (let row = 0; row < rows; row += 1) {
    const hash = unordered[row]!;
    const partition = partitionOf(hash);
    const place = ends[partition]!;
    order[place] = row;
    hashes[place] = slotHash(hash);
    ends[partition] = place + 1;
  }
}

/** By index: iterating over a typed array takes 5 times as long. */
function count(verdicts: Uint8Array, verdict: number): number {
  let found = 0;
  for (let row = 0; row < verdicts.length; row += 1) if (verdicts[row] === verdict) found += 1;
  return found;
}

function partitionOf(hash: number): number {
  return hash >>> (32 - PARTITION_BITS);
}

/** The bits that did not choose the partition, spread over 32. */
function slotHash(hash: number): number {
  return hash << PARTITION_BITS;
}
