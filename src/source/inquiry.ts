// Asks the books about files that this process has just found, compares content where they are not sure, and starts the reading:
// from the beginning, at the gaps, or not at all.

import { setTimeout } from 'node:timers/promises';

import { sameDialect } from '../core/booked-dialect.ts';
import type { KnownGeneration, KnownSlice } from '../core/books.ts';
import { compare } from './content.ts';
import type { Desk } from './desk.ts';
import { beginReading, enter, warn } from './desk.ts';
import type { SourceFile } from './file.ts';
import { startGeneration } from './file.ts';
import type { Content, Identity } from './identity.ts';
import { identify } from './identity.ts';
import { complain, follow, followFirst } from './ledger.ts';
import { readOn, tellGrown } from './looks.ts';
import { nameKey } from './names.ts';
import { inodeKey, sameKey, stampOf } from './stamp.ts';
import type { Piece } from './reading.ts';
import { startReading } from './reading.ts';
import { trouble } from './trouble.ts';

/** Files asked about in one call. */
const QUESTIONS_MAX = 500;

/** Comparisons read files; more at once only make the disk seek. */
const COMPARISONS_AT_ONCE = 4;

/** One asker per desk; a call while one runs is covered by it. */
export class Inquiry {
  readonly #desk: Desk;
  #asking = false;
  #comparing = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(desk: Desk) {
    this.#desk = desk;
  }

  /** Asks about all that is unknown. */
  start(): void {
    if (this.#asking || this.#desk.unknown.size === 0 || this.#desk.books === null) return;
    this.#asking = true;
    void this.#askAll().finally(() => {
      this.#asking = false;
      // What came after the last look at the list.
      if (!this.#desk.closed) this.start();
    });
  }

  async #askAll(): Promise<void> {
    const desk = this.#desk;
    while (desk.unknown.size > 0 && !desk.closed) {
      const files = firstOf(desk.unknown, QUESTIONS_MAX);
      const { era } = desk;
      try {
        const known = (await desk.books?.find(files.map(queryOf))) ?? [];
        if (desk.era !== era) continue;
        for (const file of files) desk.unknown.delete(file);
        this.#decideAll(files, known);
      } catch (error) {
        complain(desk, 'find', error);
        await setTimeout(500);
      }
    }
  }

  #decideAll(files: readonly SourceFile[], known: readonly KnownGeneration[]): void {
    const byInode = Map.groupBy(known, (one) => one.info.stamp.ino);
    const byName = Map.groupBy(known, (one) => nameKey(one.info.nameBytes));
    for (const file of files) {
      const candidates = new Set([
        ...(byInode.get(file.stamp.ino) ?? []),
        ...(byName.get(file.nameKey) ?? []),
      ]);
      this.#decide(file, [...candidates], 'unread');
    }
  }

  #decide(file: SourceFile, candidates: readonly KnownGeneration[], content: Content): void {
    if (file.phase.kind !== 'asking') return;
    // A compressed file is compared when it is unpacked.
    const identity = identify(file, candidates, file.isPacked ? 'same' : content);
    if (identity.kind === 'compare') void this.#compare(file, candidates, identity);
    else start(this.#desk, file, identity);
  }

  async #compare(
    file: SourceFile,
    candidates: readonly KnownGeneration[],
    wanted: Extract<Identity, { kind: 'compare' }>,
  ): Promise<void> {
    const desk = this.#desk;
    await this.#turn();
    try {
      const { era } = desk;
      const found = await compare(file.path, wanted.known.slices, wanted.what, (stats) =>
        sameKey(file.stamp, stampOf(stats, desk.rule.birthsKept)),
      );
      if (desk.era !== era || file.phase.kind !== 'asking') return;
      // Gone: the next look says where to; asked about again then.
      if (found === 'gone') trouble(desk, file, 'ENOENT');
      else this.#decide(file, candidates, found);
    } catch (error) {
      if (file.phase.kind === 'asking') trouble(desk, file, error);
    } finally {
      this.#comparing -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #turn(): Promise<void> {
    if (this.#comparing >= COMPARISONS_AT_ONCE) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      await promise;
    }
    this.#comparing += 1;
  }
}

/** Without a copy of the whole: there may be 100,000. */
function firstOf<T>(all: Iterable<T>, count: number): T[] {
  const first: T[] = [];
  for (const one of all) {
    first.push(one);
    if (first.length === count) break;
  }
  return first;
}

function queryOf(file: SourceFile): { nameBytes: Uint8Array; ino: bigint } {
  return { nameBytes: file.nameBytes, ino: file.stamp.ino };
}

/** Draws the consequence of a decision. */
function start(desk: Desk, file: SourceFile, identity: Exclude<Identity, { kind: 'compare' }>): void {
  file.identified = true;
  switch (identity.kind) {
    case 'new':
      startNew(desk, file, identity);
      return;
    case 'continue':
      adoptKnown(desk, file, identity.known);
      if (identity.known.slices.length === 0 && !sameDialect(file.info.dialect, desk.settings.dialect)) {
        beginAnew(desk, file);
        return;
      }
      if (identity.moved) follow(desk, file);
      readOn(desk, file);
      return;
    case 'settled':
      adoptKnown(desk, file, identity.known);
      startSettled(desk, file, identity.known);
      return;
    default:
      identity satisfies never;
  }
}

function startNew(desk: Desk, file: SourceFile, identity: Extract<Identity, { kind: 'new' }>): void {
  const replaces = identity.replaces ?? file.info.replaces;
  // A file just found has an id that nobody has heard of.
  if (file.registered || file.nameIsNew || replaces !== file.info.replaces) {
    desk.byGeneration.delete(file.info.id);
    startGeneration(file, replaces, desk.settings.dialect);
    desk.byGeneration.set(file.info.id, file);
  }
  if (identity.warning !== null) warn(desk, file.info.name, identity.warning);
  desk.settings.events.found(file.info.name, file.stamp.size);
  beginReading(desk, file);
}

/** Under the generation that the books know; the name and stamp are those of now. */
function adoptKnown(desk: Desk, file: SourceFile, known: KnownGeneration): void {
  desk.byGeneration.delete(file.info.id);
  file.info = { ...known.info, name: file.info.name, nameBytes: file.nameBytes, stamp: file.stamp };
  desk.byGeneration.set(file.info.id, file);
  desk.byInode.set(inodeKey(file.stamp), file);
  file.reading = startReading(known.slices.map(pieceOf));
  file.records = known.records;
  file.rejected = known.rejected;
  file.blankLines = known.blankLines;
  file.resumed = known.resumed;
  file.registered = true;
  // Only an end that was confirmed can have been taken as final.
  file.tailTaken = known.state === 'done';
}

/** Nothing of it is committed (it was undone, or parked with its first slice): the dialect of today holds, once the books have it. */
function beginAnew(desk: Desk, file: SourceFile): void {
  file.info = { ...file.info, dialect: desk.settings.dialect };
  followFirst(desk, file, () => {
    if (file.phase.kind === 'asking') readOn(desk, file);
  });
}

function startSettled(desk: Desk, file: SourceFile, known: KnownGeneration): void {
  switch (known.state) {
    case 'refused':
    case 'parked':
      enter(desk, file, { kind: known.state });
      desk.counts.refused += 1;
      desk.settings.events.refused(file.info.name, known.reason ?? known.state, known.state);
      if (known.state === 'parked' && known.ended !== null && known.ended.size < file.stamp.size)
        tellGrown(desk, file);
      break;
    case 'undone':
      // Left alone like a refused one, until it is another content; but nothing is wrong with it.
      enter(desk, file, { kind: 'refused' });
      desk.counts.refused += 1;
      break;
    case 'done':
      // With archive or delete the books confirm it once more before the file is touched.
      if (desk.settings.after === 'keep') {
        enter(desk, file, { kind: 'done', after: 'nothing' });
        desk.counts.done += 1;
      } else {
        readOn(desk, file);
      }
      break;
    case 'reading':
      readOn(desk, file);
      break;
    default:
      known.state satisfies never;
  }
  desk.bell.ring();
}

function pieceOf(slice: KnownSlice): Piece {
  return { ...slice, committed: true };
}
