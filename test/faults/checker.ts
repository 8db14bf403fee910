// The checker of the torture: an independent reader that compares the books, the quarantine and the table with what was written into
// the files. It knows each piece's fate from how the piece was made; it parses nothing and shares no code with the engine.

import { crc32 } from 'node:zlib';

import type { Road } from '../support/road.ts';
import type { Piece } from './content.ts';
import type { Content } from './folder.ts';

interface Slice {
  readonly generation: string;
  readonly start: number;
  readonly end: number;
  readonly crc: number;
  readonly firstLine: number;
  readonly records: number;
  readonly inserted: number;
  readonly duplicates: number;
  readonly rejected: number;
  /** Lower 32 bits of the transactions that wrote it: what its rows carry as xmin. */
  readonly xids: readonly number[];
}

interface Generation {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly reason: string | null;
  readonly ino: string;
  readonly size: number | null;
  /** The last one of its inode, and that inode is still in the folder. */
  readonly current: boolean;
}

interface Reject {
  readonly generation: string;
  readonly offset: number;
  readonly line: number;
  readonly code: string;
  readonly raw: Buffer | null;
  readonly length: number;
}

interface Row {
  readonly key: string;
  readonly text: string;
  readonly xmin: number;
}

export interface Checked {
  readonly violations: readonly string[];
  readonly generations: number;
  readonly records: number;
  readonly inserted: number;
  readonly duplicates: number;
  readonly rejected: number;
}

/** Where each piece of a content begins. */
class Placed {
  readonly content: Content;
  readonly starts: number[] = [];
  readonly lines: number[] = [];

  constructor(content: Content) {
    this.content = content;
    let [at, line] = [0, 1];
    for (const { text } of content.pieces) {
      this.starts.push(at);
      this.lines.push(line);
      at += text.length;
      for (let newline = text.indexOf('\n'); newline >= 0; newline = text.indexOf('\n', newline + 1))
        line += 1;
    }
  }

  /** The index of the first piece that begins at `offset` or later. */
  indexAt(offset: number): number {
    let [low, high] = [0, this.starts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.starts[middle] ?? 0) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  isBoundary(offset: number): boolean {
    return offset === this.content.bytes.length || this.starts[this.indexAt(offset)] === offset;
  }

  holds(slice: Slice): boolean {
    const { bytes } = this.content;
    return slice.end <= bytes.length && crc32(bytes.subarray(slice.start, slice.end)) === slice.crc;
  }
}

/** Everything that must hold when the program has come to rest: nothing in flight, every live file done. */
export async function check(
  road: Road,
  live: ReadonlyMap<string, Content>,
  contents: readonly Content[],
  inodes: ReadonlySet<string>,
): Promise<Checked> {
  const books = await readBooks(road, inodes);
  const found: string[] = [];
  const violate = (text: string): void => void found.push(text);
  const placed = contents.map((content) => new Placed(content));
  const slicesOf = Map.groupBy(books.slices, (slice) => slice.generation);
  const rejectsOf = Map.groupBy(books.rejects, (reject) => reject.generation);
  const ledger = new Ledger();
  const covered = new Set<Content>();

  for (const generation of books.generations) {
    if (generation.state === 'refused' || generation.state === 'parked')
      violate(`${generation.name} is ${generation.state}: ${generation.reason}`);
    const slices = (slicesOf.get(generation.id) ?? []).toSorted((a, b) => a.start - b.start);
    checkRanges(generation, slices, violate);
    const own = placed.filter((each) => slices.every((slice) => each.holds(slice)));
    if (own.length === 0) {
      violate(`the slices of ${generation.name} are bytes that no file ever had: ${JSON.stringify(slices)}`);
      continue;
    }
    if (generation.state === 'done')
      for (const { content } of own) if (content.bytes.length === generation.size) covered.add(content);
    const at = own.find(({ content }) => !content.torn) ?? own[0];
    if (at !== undefined)
      checkSlices(generation, slices, at, rejectsOf.get(generation.id) ?? [], ledger, violate);
  }
  for (const [name, content] of live) {
    // Another content of the same bytes (a file that was sent again) stands for it: the books know contents, not objects.
    const done = books.generations.some(
      (one) => one.state === 'done' && one.name === name && one.size === content.bytes.length,
    );
    const same = covered.has(content) || [...covered].some((other) => other.bytes.equals(content.bytes));
    if (!done || !same)
      violate(
        `${name} (${content.bytes.length} bytes) was never read to its end; its books: ${JSON.stringify(books.generations.filter((one) => one.name === name).map((one) => ({ ...one, slices: slicesOf.get(one.id) })))}`,
      );
  }
  checkTable(books.rows, ledger, violate);
  checkTransactions(books, violate);
  const sum = (pick: (slice: Slice) => number): number =>
    books.slices.reduce((all, slice) => all + pick(slice), 0);
  const [records, inserted] = [sum((slice) => slice.records), sum((slice) => slice.inserted)];
  if (inserted !== books.rows.length)
    violate(`${inserted} records booked as inserted, ${books.rows.length} rows`);
  return {
    violations: found,
    generations: books.generations.length,
    records,
    inserted,
    duplicates: sum((slice) => slice.duplicates),
    rejected: sum((slice) => slice.rejected),
  };
}

/** No byte is committed twice; all of a file that is done is committed. */
function checkRanges(
  generation: Generation,
  slices: readonly Slice[],
  violate: (text: string) => void,
): void {
  let at = 0;
  for (const { start, end } of slices) {
    if (start < at) violate(`${generation.name}: bytes ${start} to ${at} were committed twice`);
    if (generation.state === 'done' && start > at && at < (generation.size ?? 0))
      violate(`${generation.name} is done without bytes ${at} to ${start}`);
    at = end;
  }
  // More may be there: it was done, grew, and was replaced before it was done again.
  if (
    generation.state === 'done' &&
    (generation.current ? at !== generation.size : at < (generation.size ?? 0))
  )
    violate(`${generation.name} is done at ${generation.size} bytes, and ${at} are committed`);
}

/** What committed slices say became of their records: which keys and rows must be in the table, by which transactions. */
class Ledger {
  /** Key -> the rows that the table may hold for it, each with the transactions that may have stored it. */
  readonly rows = new Map<string, Map<string, Set<number>>>();
  readonly optional = new Set<string>();

  add(piece: Piece, xids: readonly number[]): void {
    const texts = this.rows.get(piece.key) ?? new Map<string, Set<number>>();
    const transactions = texts.get(piece.row) ?? new Set<number>();
    for (const xid of xids) transactions.add(xid);
    this.rows.set(piece.key, texts.set(piece.row, transactions));
  }
}

function checkSlices(
  generation: Generation,
  slices: readonly Slice[],
  at: Placed,
  rejects: readonly Reject[],
  ledger: Ledger,
  violate: (text: string) => void,
): void {
  const { name } = generation;
  const { pieces, bytes, torn } = at.content;
  const byPlace = new Map(rejects.map((reject) => [reject.offset, reject]));
  for (const { offset, raw, length, code } of rejects) {
    // The words of the database come after the reading; by then a producer may have taken the bytes away.
    const mayLack = code === 'refused_by_database' && !generation.current;
    if (raw === null ? !mayLack : !raw.equals(bytes.subarray(offset, offset + length)))
      violate(`reject ${code} of ${name} at ${offset}: its raw bytes are not those of the file`);
    if (!slices.some((slice) => slice.start <= offset && offset < slice.end))
      violate(`reject ${code} of ${name} at ${offset} stands outside the committed slices`);
  }
  for (const slice of slices) {
    const where = `${name} [${slice.start}, ${slice.end})`;
    if (!torn && !(at.isBoundary(slice.start) && at.isBoundary(slice.end))) violate(`${where} cuts a record`);
    const [first, end] = [at.indexAt(slice.start), at.indexAt(slice.end)];
    if (!torn && slice.firstLine !== (at.lines[first] ?? slice.firstLine))
      violate(`${where} begins on line ${at.lines[first]}, not ${slice.firstLine}`);
    const counts = { records: 0, rejected: 0 };
    for (let index = first; index < end; index += 1) {
      const piece = pieces[index];
      if (piece === undefined || piece.fate === 'header' || piece.fate === 'blank') continue;
      const reject = byPlace.get(at.starts[index] ?? -1);
      counts.records += 1;
      if (reject !== undefined && reject.code !== 'duplicate_conflict') counts.rejected += 1;
      judgePiece(
        piece,
        reject,
        at.lines[index] ?? 0,
        slice,
        ledger,
        torn ? () => {} : (text) => violate(`${where}: ${text}`),
      );
    }
    const booked = slice.inserted + slice.duplicates + slice.rejected;
    if (slice.records !== booked) violate(`${where}: ${slice.records} records, ${booked} accounted for`);
    if (!torn && (slice.records !== counts.records || slice.rejected !== counts.rejected))
      violate(
        `${where}: ${counts.records} records and ${counts.rejected} rejects written, ${slice.records} and ${slice.rejected} booked`,
      );
  }
}

function judgePiece(
  piece: Piece,
  reject: Reject | undefined,
  line: number,
  slice: Slice,
  ledger: Ledger,
  violate: (text: string) => void,
): void {
  const what = JSON.stringify(piece.text);
  const isRefusal = reject?.code === 'refused_by_database';
  if (piece.fate === 'bad' && (reject === undefined || isRefusal))
    violate(`${what} is bad and was not rejected`);
  if (piece.fate === 'row' && reject !== undefined && reject.code !== 'duplicate_conflict')
    violate(`${what} is good and was rejected as ${reject.code}`);
  if (piece.fate === 'refusable' && reject !== undefined && !isRefusal)
    violate(`${what} was rejected as ${reject.code}`);
  if (reject !== undefined && reject.line !== line)
    violate(`${what} stands on line ${line}, not ${reject.line}`);
  if (reject !== undefined && reject.length !== piece.text.length - piece.end.length)
    violate(`${what} was kept as ${reject.length} bytes`);
  if (piece.fate === 'row') ledger.add(piece, slice.xids);
  // Not refused, so its key must be stored already, by a row that nobody refuses.
  if (piece.fate === 'refusable' && reject === undefined) ledger.optional.add(piece.key);
}

function checkTable(rows: readonly Row[], ledger: Ledger, violate: (text: string) => void): void {
  const there = new Set<string>();
  for (const { key, text, xmin } of rows) {
    if (there.has(key)) violate(`${key} is stored twice`);
    there.add(key);
    const transactions = ledger.rows.get(key)?.get(text);
    if (transactions === undefined) violate(`the row of ${key} stands in no committed slice: ${text}`);
    else if (!transactions.has(xmin))
      violate(
        `the row of ${key} was stored by transaction ${xmin}, its slices by ${[...transactions].join(', ')}`,
      );
  }
  for (const key of ledger.rows.keys())
    if (!there.has(key)) violate(`${key} stands in a committed slice and is not stored: a loss`);
  for (const key of ledger.optional)
    if (!there.has(key)) violate(`${key} was called a duplicate and is not stored: a loss`);
}

/** Rows of a transaction = what the slices of that transaction say was inserted. Merged slices tie transactions together. */
function checkTransactions({ slices, rows }: Books, violate: (text: string) => void): void {
  const parent = new Map<number, number>();
  const find = (xid: number): number => {
    let root = xid;
    for (let next = parent.get(root); next !== undefined && next !== root; next = parent.get(root))
      root = next;
    return root;
  };
  for (const { xids } of slices) for (const xid of xids) parent.set(find(xid), find(xids[0] ?? xid));
  const [booked, stored] = [new Map<number, number>(), new Map<number, number>()];
  const add = (sums: Map<number, number>, xid: number, count: number): void =>
    void sums.set(find(xid), (sums.get(find(xid)) ?? 0) + count);
  for (const { xids, inserted } of slices) add(booked, xids[0] ?? -1, inserted);
  for (const { xmin } of rows) add(stored, xmin, 1);
  for (const xid of new Set([...booked.keys(), ...stored.keys()]))
    if ((booked.get(xid) ?? 0) !== (stored.get(xid) ?? 0))
      violate(`transaction ${xid}: ${booked.get(xid) ?? 0} rows booked, ${stored.get(xid) ?? 0} stored`);
}

interface Books {
  readonly generations: readonly Generation[];
  readonly slices: readonly Slice[];
  readonly rejects: readonly Reject[];
  readonly rows: readonly Row[];
}

async function readBooks(road: Road, inodes: ReadonlySet<string>): Promise<Books> {
  const found = await road.query<Omit<Generation, 'current'> & Record<string, unknown>>(
    'SELECT generation::text AS id, name, state, reason, ino::text, size::float8 FROM millrace.files ORDER BY ordinal',
  );
  const last = new Map(found.map((generation) => [generation.ino, generation.id]));
  const generations = found.map((one) => ({
    ...one,
    current: inodes.has(one.ino) && last.get(one.ino) === one.id,
  }));
  const slices = await road.query<Slice & Record<string, unknown>>(
    `SELECT s.generation::text, start_offset::float8 AS start, end_offset::float8 AS end, crc32::float8 AS crc, first_line::float8 AS "firstLine",
       records::float8, inserted::float8, duplicates::float8, rejected::float8,
       (SELECT array_agg((x::text::numeric % 4294967296)::float8) FROM unnest(coalesce(s.merged_xids, ARRAY[b.xid])) x) AS xids
     FROM millrace.slices s JOIN millrace.batches b ON b.epoch = s.epoch AND b.number = s.batch`,
  );
  const rejects = await road.query<Reject & Record<string, unknown>>(
    `SELECT generation::text, byte_offset::float8 AS offset, line::float8, code, raw, raw_length::float8 AS length FROM millrace.rejects
     WHERE code <> 'duplicate_conflict'`, // a duplicate with other values is no reject
  );
  const rows = await road.query<Row & Record<string, unknown>>(
    `SELECT event_id::text AS key, xmin::text::float8 AS xmin,
       concat_ws(',', event_id, event_type, product_id, user_id, event_timestamp, quantity, price) AS text FROM events`,
  );
  return { generations, slices, rejects, rows };
}
