// The checker of the torture: an independent reader that compares the books, the quarantine and the table with what was written into
// the files. It knows each piece's fate from how the piece was made; it parses nothing and shares no code with the engine.

import { crc32 } from 'node:zlib';

import type { Road } from '../support/road.ts';
import type { Generation, Reject, Slice } from './books.ts';
import { readBooks } from './books.ts';
import type { Content } from './content.ts';
import { Ledger, checkTransactions } from './ledger.ts';

export interface Checked {
  readonly violations: readonly string[];
  readonly generations: number;
  readonly records: number;
  readonly inserted: number;
  readonly duplicates: number;
  readonly rejected: number;
}

type Violate = (text: string) => void;

/** Everything that must hold when the program has come to rest: nothing in flight, every live file done. */
export async function check(
  road: Road,
  live: ReadonlyMap<string, Content>,
  contents: readonly Content[],
  byInode: ReadonlyMap<string, Content>,
): Promise<Checked> {
  const books = await readBooks(road);
  const lastOf = new Map(books.generations.map(({ ino, id }) => [ino, id]));
  const found: string[] = [];
  const violate = (text: string): void => void found.push(text);
  const slicesOf = Map.groupBy(books.slices, (slice) => slice.generation);
  const rejectsOf = Map.groupBy(books.rejects, (reject) => reject.generation);
  const conflictsOf = Map.groupBy(books.conflicts, (reject) => reject.generation);
  const ledger = new Ledger();
  const covered = new Set<Content>();

  for (const generation of books.generations) {
    if (generation.state === 'refused' || generation.state === 'parked')
      violate(`${generation.name} is ${generation.state}: ${generation.reason}`);
    const slices = (slicesOf.get(generation.id) ?? []).toSorted((a, b) => a.start - b.start);
    const own = contents.filter((content) => slices.every((slice) => holds(content, slice)));
    if (own.length === 0) {
      violate(`the slices of ${generation.name} are bytes that no file ever had: ${JSON.stringify(slices)}`);
      continue;
    }
    // It stands in the folder now. Its inode alone does not say so: another file may have taken it over, and been written down before.
    const standing = byInode.get(generation.ino);
    const current =
      lastOf.get(generation.ino) === generation.id &&
      standing !== undefined &&
      slices.every((slice) => holds(standing, slice));
    const whole = own.filter((content) => content.diskSize === generation.size);
    if (generation.state === 'done') for (const content of whole) covered.add(content);
    const packed = generation.name.endsWith('.gz');
    const size = packed ? (whole[0]?.bytes.length ?? null) : generation.size;
    checkRanges(generation, slices, size, current, violate);
    const content = own.find(({ torn }) => !torn) ?? own[0];
    if (content === undefined) continue;
    const rejects = rejectsOf.get(generation.id) ?? [];
    const kept = [...rejects, ...(conflictsOf.get(generation.id) ?? [])];
    // A packed file that is renamed is unpacked anew, and until that is done its bytes are nowhere.
    const isThere = current && !(packed && standing.renamed);
    checkRaw(generation, slices, content, kept, isThere, violate);
    checkConflicts(generation, content, conflictsOf.get(generation.id) ?? [], ledger, violate);
    checkSlices(generation, slices, content, rejects, ledger, violate);
  }
  for (const [name, content] of live) {
    // Another content of the same bytes (a file that was sent again) stands for it: the books know contents, not objects.
    const ofName = books.generations.filter((one) => one.name === name);
    const done = ofName.some((one) => one.state === 'done' && one.size === content.diskSize);
    const same = covered.has(content) || [...covered].some((other) => other.bytes.equals(content.bytes));
    if (done && same) continue;
    const all = JSON.stringify(ofName.map((one) => ({ ...one, slices: slicesOf.get(one.id) })));
    violate(`${name} (${content.diskSize} bytes) was never read to its end; its books: ${all}`);
  }
  const { stored, byTransaction } = await ledger.holdAgainst(road, violate);
  checkTransactions(books.slices, byTransaction, violate);
  const sum = (pick: (slice: Slice) => number): number =>
    books.slices.reduce((all, slice) => all + pick(slice), 0);
  const [records, inserted] = [sum((slice) => slice.records), sum((slice) => slice.inserted)];
  if (inserted !== stored) violate(`${inserted} records booked as inserted, ${stored} rows`);
  return {
    violations: found,
    generations: books.generations.length,
    records,
    inserted,
    duplicates: sum((slice) => slice.duplicates),
    rejected: sum((slice) => slice.rejected),
  };
}

function holds({ bytes }: Content, slice: Slice): boolean {
  return slice.end <= bytes.length && crc32(bytes.subarray(slice.start, slice.end)) === slice.crc;
}

/** No byte is committed twice; all of a file that is done is committed. `size`: of what is read, null when nobody knows. */
function checkRanges(
  { name, state }: Generation,
  slices: readonly Slice[],
  size: number | null,
  current: boolean,
  violate: Violate,
): void {
  let at = 0;
  for (const { start, end } of slices) {
    if (start < at) violate(`${name}: bytes ${start} to ${at} were committed twice`);
    if (state === 'done' && start > at && at < (size ?? 0))
      violate(`${name} is done without bytes ${at} to ${start}`);
    at = end;
  }
  // More may be there: it was done, grew, and was replaced before it was done again.
  if (state === 'done' && (current ? at !== size : at < (size ?? 0)))
    violate(`${name} is done at ${size} bytes, and ${at} are committed`);
}

/** Whatever lies in quarantine is what stands at its place in the file; `isThere`: its bytes could be read until now. */
function checkRaw(
  generation: Generation,
  slices: readonly Slice[],
  { bytes }: Content,
  kept: readonly Reject[],
  isThere: boolean,
  violate: Violate,
): void {
  const { name } = generation;
  for (const { offset, raw, length, code, records } of kept) {
    // The words of the database come after the reading; by then a producer may have taken the bytes away.
    const late = code === 'refused_by_database' || code === 'duplicate_conflict';
    const mayLack = records > 1 || (late && !isThere);
    if (raw === null ? !mayLack : !raw.equals(bytes.subarray(offset, offset + length)))
      violate(
        `reject ${code} of ${name} at ${offset}: its raw bytes are ${raw === null ? 'not there' : 'not those of the file'}; ${JSON.stringify(generation)}`,
      );
    if (!slices.some((slice) => slice.start <= offset && offset < slice.end))
      violate(`reject ${code} of ${name} at ${offset} stands outside the committed slices`);
  }
}

/** Duplicates with other values are good records, and not what is stored. */
function checkConflicts(
  { name }: Generation,
  content: Content,
  conflicts: readonly Reject[],
  ledger: Ledger,
  violate: Violate,
): void {
  if (content.torn) return;
  for (const { offset, records } of conflicts) {
    if (records > 1) continue;
    const index = indexAt(content, offset);
    const fate = content.starts[index] === offset ? content.fates[index] : undefined;
    if (fate === 'row' || fate === 'refusable')
      ledger.addConflict(content.numbers[index]!, content.variants[index]!);
    else violate(`${name}: what was called a conflicting duplicate at ${offset} is ${fate ?? 'no record'}`);
  }
}

function checkSlices(
  { name }: Generation,
  slices: readonly Slice[],
  content: Content,
  rejects: readonly Reject[],
  ledger: Ledger,
  violate: Violate,
): void {
  const { starts, fates, bytes, torn } = content;
  const byPlace = new Map(rejects.map((reject) => [reject.offset, reject]));
  const lineAt = linesOf(bytes);
  for (const slice of slices) {
    const where = `${name} [${slice.start}, ${slice.end})`;
    const [first, end] = [indexAt(content, slice.start), indexAt(content, slice.end)];
    const isBoundary = (offset: number): boolean =>
      offset === bytes.length || starts[indexAt(content, offset)] === offset;
    if (!torn && !(isBoundary(slice.start) && isBoundary(slice.end))) violate(`${where} cuts a record`);
    const line = lineAt(slice.start);
    if (!torn && first < starts.length && slice.firstLine !== line)
      violate(`${where} begins on line ${line}, not ${slice.firstLine}`);
    const counts = { records: 0, rejected: 0 };
    for (let index = first; index < end; index += 1) {
      if (fates[index] === 'header' || fates[index] === 'blank') continue;
      const reject = byPlace.get(starts[index] ?? -1);
      counts.records += 1;
      if (reject !== undefined) counts.rejected += 1;
      if (!torn && reject !== undefined)
        judgeReject(content, index, reject, lineAt, (text) => violate(`${where}: ${text}`));
      if (!torn && reject === undefined && fates[index] === 'bad')
        violate(`${where}: ${JSON.stringify(content.text(index))} is bad and was not rejected`);
      if (fates[index] === 'row') ledger.add(content.numbers[index]!, content.variants[index]!, slice.xids);
      // Not refused, so its key must be stored already, by a row that nobody refuses.
      if (fates[index] === 'refusable' && reject === undefined) ledger.addOptional(content.numbers[index]!);
    }
    const booked = slice.inserted + slice.duplicates + slice.rejected;
    if (slice.records !== booked) violate(`${where}: ${slice.records} records, ${booked} accounted for`);
    if (!torn && (slice.records !== counts.records || slice.rejected !== counts.rejected))
      violate(
        `${where}: ${counts.records} records and ${counts.rejected} rejects written, ${slice.records} and ${slice.rejected} booked`,
      );
  }
}

function judgeReject(
  content: Content,
  index: number,
  reject: Reject,
  lineAt: (offset: number) => number,
  violate: Violate,
): void {
  const text = content.text(index);
  const what = JSON.stringify(text);
  const fate = content.fates[index];
  const isRefusal = reject.code === 'refused_by_database';
  if (fate === 'bad' && isRefusal) violate(`${what} is bad and was not rejected`);
  if (fate === 'row') violate(`${what} is good and was rejected as ${reject.code}`);
  if (fate === 'refusable' && !isRefusal) violate(`${what} was rejected as ${reject.code}`);
  const line = lineAt(reject.offset);
  if (reject.line !== line) violate(`${what} stands on line ${line}, not ${reject.line}`);
  const end = text.endsWith('\r\n') ? 2 : text.endsWith('\n') ? 1 : 0;
  if (reject.length !== text.length - end) violate(`${what} was kept as ${reject.length} bytes`);
}

/** The index of the first piece that begins at `offset` or later. */
function indexAt({ starts }: Content, offset: number): number {
  let [low, high] = [0, starts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((starts[middle] ?? 0) < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The line that begins at an offset; quick when asked in order. */
function linesOf(bytes: Buffer): (offset: number) => number {
  let [at, line] = [0, 1];
  return (offset) => {
    if (offset < at) [at, line] = [0, 1];
    for (let next = bytes.indexOf(0x0a, at); next >= 0 && next < offset; next = bytes.indexOf(0x0a, at)) {
      at = next + 1;
      line += 1;
    }
    return line;
  };
}
