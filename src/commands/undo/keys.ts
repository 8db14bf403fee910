// The keys that a file delivered, read again through the parse path, range by range as the books have them. The CRC of each range proves
// that it still is the content that was read then. The keys wait in a temporary table for the questions of rows.ts.

import type pg from 'pg';
import { KEY_BYTES } from '../../core/chunk.ts';
import type { Rows } from '../../core/chunk.ts';
import { encodeTuple } from '../../core/copy-binary.ts';
import type { GenerationId, ParsedSlice } from '../../core/slice.ts';
import { MillraceError } from '../../errors.ts';
import type { Pool } from '../../pool.ts';
import { copyTuples } from '../../sink/postgres/copy.ts';
import { printable } from '../../telemetry/text.ts';
import { openContent } from '../books/content.ts';
import type { Unpacking } from '../books/content.ts';
import type { BookedFile } from '../books/files.ts';

export interface BookedSlice {
  readonly start: number;
  readonly end: number;
  readonly crc: number;
  readonly inserted: number;
  /** Transactions that wrote rows of it, as xid8 text. */
  readonly xids: readonly string[];
}

const SLICES = `SELECT s.start_offset::float8 AS start, s.end_offset::float8 AS end, s.crc32::float8 AS crc,
    s.inserted::float8 AS inserted, coalesce(s.merged_xids, ARRAY[b.xid])::text[] AS xids
  FROM millrace.slices s JOIN millrace.batches b ON b.epoch = s.epoch AND b.number = s.batch
  WHERE s.generation = $1 ORDER BY s.start_offset`;

export async function bookedSlices(
  client: pg.Client,
  generation: GenerationId,
): Promise<readonly BookedSlice[]> {
  return (await client.query<BookedSlice>(SLICES, [generation])).rows;
}

/** No file is to be found with the content that was read then. */
export class DifferentContent extends MillraceError {
  constructor(name: string, why: string) {
    super('input', `the keys of ${printable(name)} cannot be read again: ${why}`, {
      wayOut:
        'bring the file back as it was delivered and name it; without it nobody can tell which rows it inserted',
    });
  }
}

const MAKE = `CREATE TEMPORARY TABLE millrace_undo (generation uuid NOT NULL, start_offset bigint NOT NULL, key uuid NOT NULL)`;
const NOWHERE = 'it is not in its folder';
const NO_FILE = 'there is no file';
const PIECE_TUPLES = 8_192;

/** Keys of any number of generations, each range once. */
export class KeyStage {
  readonly #client: pg.Client;
  readonly #pool: Pick<Pool, 'parse'>;
  readonly #unpacking: Unpacking;
  readonly #read = new Set<string>();

  static async make(client: pg.Client, pool: Pick<Pool, 'parse'>, unpacking: Unpacking): Promise<KeyStage> {
    await client.query(MAKE);
    return new KeyStage(client, pool, unpacking);
  }

  private constructor(client: pg.Client, pool: Pick<Pool, 'parse'>, unpacking: Unpacking) {
    this.#client = client;
    this.#pool = pool;
    this.#unpacking = unpacking;
  }

  has(generation: GenerationId, slice: BookedSlice): boolean {
    return this.#read.has(nameOf(generation, slice));
  }

  /**
   * Stages the keys of these ranges from the first place that has this content; returns that place, null when nothing had to be read.
   * @throws {DifferentContent} when none has it
   */
  async read(
    file: BookedFile,
    slices: readonly BookedSlice[],
    places: readonly Buffer[],
  ): Promise<Buffer | null> {
    const missing = slices.filter((slice) => !this.has(file.generation, slice));
    if (missing.length === 0) return null;
    let why = NOWHERE;
    for (const place of places) {
      const found = await this.#readFrom(file, missing, place);
      if (found === null) return place;
      if (why === NOWHERE || !found.startsWith(NO_FILE)) why = found;
    }
    throw new DifferentContent(file.name, why);
  }

  /** Null when all was read; else why not, and nothing is staged. */
  async #readFrom(file: BookedFile, slices: readonly BookedSlice[], place: Buffer): Promise<string | null> {
    const opened = await openContent(place, this.#unpacking);
    if (opened.kind === 'gone') return `${NO_FILE} ${place.toString()}`;
    if (opened.kind === 'unreadable') return `${place.toString()}: ${opened.reason}`;
    const { content } = opened;
    const staged: BookedSlice[] = [];
    try {
      for (const slice of slices) {
        const rows = await this.#parse(file, slice, content.fd, place);
        if (rows === null) break;
        await this.#stage(file.generation, slice, rows);
        staged.push(slice);
      }
    } finally {
      await content.close();
    }
    if (staged.length === slices.length) {
      for (const slice of staged) this.#read.add(nameOf(file.generation, slice));
      return null;
    }
    const starts = staged.map((slice) => slice.start);
    await this.#client.query(
      'DELETE FROM millrace_undo WHERE generation = $1 AND start_offset = ANY ($2::bigint[])',
      [file.generation, starts],
    );
    return `${place.toString()} does not hold what was read then`;
  }

  /** Null when the bytes are others now. */
  async #parse(file: BookedFile, slice: BookedSlice, fd: number, path: Buffer): Promise<Rows | null> {
    const { start, end, crc } = slice;
    const task = { generation: file.generation, path: path.toString('latin1'), fd, start, end };
    const chunk = await this.#pool.parse({
      slices: [{ ...task, exact: true, limit: end, final: true }],
      dialect: file.dialect,
      rejectsMax: 1,
    });
    const [parsed] = chunk.slices;
    return parsed !== undefined && isSame(parsed, slice, crc) ? chunk.rows : null;
  }

  async #stage(generation: GenerationId, { start }: BookedSlice, rows: Rows): Promise<void> {
    const head = [Buffer.from(generation.replaceAll('-', ''), 'hex'), int8(start)];
    await copyTuples(
      this.#client,
      'pg_temp.millrace_undo (generation, start_offset, key)',
      keyTuples(head, rows),
    );
  }
}

function nameOf(generation: GenerationId, { start, end }: BookedSlice): string {
  return `${generation} ${start} ${end}`;
}

/** Not the number of records: two halves of a record that were read apart are one when their ranges were merged. */
function isSame(parsed: ParsedSlice, { start, end }: BookedSlice, crc: number): boolean {
  return parsed.kind === 'parsed' && parsed.start === start && parsed.end === end && parsed.crc === crc;
}

function* keyTuples(head: readonly Uint8Array[], { keys, count }: Rows): Generator<Uint8Array> {
  for (let from = 0; from < count; from += PIECE_TUPLES) {
    const tuples: Buffer[] = [];
    for (let row = from; row < Math.min(count, from + PIECE_TUPLES); row += 1) {
      const key = Buffer.alloc(KEY_BYTES);
      for (let word = 0; word < 4; word += 1) key.writeUInt32BE(keys[row * 4 + word] ?? 0, word * 4);
      tuples.push(encodeTuple([...head, key]));
    }
    yield Buffer.concat(tuples);
  }
}

function int8(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
}
