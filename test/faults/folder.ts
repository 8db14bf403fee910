// The producer of the torture: writes, grows, re-sends, renames, cuts and deletes files in the watched folder, and keeps every content
// that any of them ever had. Which operation comes, and what it writes, depends on the seed alone.

import { open, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Random } from '../../src/schema/random.ts';
import type { Memory, Piece, Taste } from './content.ts';
import { headerPiece, makePieces } from './content.ts';

/** A record that is written in two parts is whole again after so long at most; if not, its file may be read in two parts. */
const TORN_MS_MAX = 500;

/** One content: every state of a file up to its next cut is a beginning of it. */
export class Content {
  readonly pieces: Piece[];
  /** A record stood torn for so long that it may have been taken as it was. */
  torn = false;
  #bytes: Buffer | null = null;

  constructor(pieces: readonly Piece[]) {
    this.pieces = [...pieces];
  }

  add(pieces: readonly Piece[]): void {
    for (const piece of pieces) this.pieces.push(piece);
    this.#bytes = null;
  }

  get bytes(): Buffer {
    this.#bytes ??= Buffer.from(this.pieces.map((piece) => piece.text).join(''), 'latin1');
    return this.#bytes;
  }
}

export interface ProducerSettings {
  readonly folder: string;
  readonly taste: Taste;
  /** False where files are moved away once they are done: then nobody may write to an old one any more. */
  readonly mayChange: boolean;
}

export class Producer {
  /** The files as they must be found at the end. */
  readonly live = new Map<string, Content>();
  /** Every content there ever was. */
  readonly contents: Content[] = [];
  readonly counts = { files: 0, operations: 0, records: 0 };
  readonly #settings: ProducerSettings;
  readonly #random: Random;
  readonly #memory: Memory = { next: 0 };
  #names = 0;

  constructor(settings: ProducerSettings, random: Random) {
    this.#settings = settings;
    this.#random = random;
  }

  /** One operation. */
  async step(): Promise<void> {
    this.counts.operations += 1;
    const die = this.#random.below(100);
    const old = this.#anyLive();
    if (die < 40 || old === undefined) return this.#put(this.#newName(), this.#newContent());
    if (die < 48) return this.#put(old, this.#newContent());
    if (die < 58) return this.#put(this.#random.below(2) === 0 ? old : this.#newName(), this.#earlier());
    if (!this.#settings.mayChange) return this.#put(this.#newName(), this.#newContent());
    if (die < 74) return this.#append(old);
    if (die < 82) return this.#grow(this.#newName());
    if (die < 90) return this.#rename(old);
    if (die < 97) return this.#cut(old);
    return this.#remove(old);
  }

  #anyLive(): string | undefined {
    const names = [...this.live.keys()];
    return names[this.#random.below(names.length)];
  }

  #newName(): string {
    this.counts.files += 1;
    this.#names += 1;
    return `file-${this.#names}.csv`;
  }

  /** Small mostly; some of several slices. */
  #newContent(): Content {
    const size = this.#random.below(100);
    const count =
      size < 75
        ? this.#random.below(300)
        : size < 97
          ? this.#random.below(6_000)
          : 45_000 + this.#random.below(30_000);
    const pieces = [headerPiece(), ...this.#pieces(count)];
    const last = pieces.at(-1);
    // The last record of a whole file needs no line end.
    if (last?.fate === 'row' && this.#random.below(6) === 0)
      pieces.splice(-1, 1, {
        ...last,
        text: last.text.slice(0, last.text.length - last.end.length),
        end: '',
      });
    return this.#keep(new Content(pieces));
  }

  #earlier(): Content {
    return this.#keep(
      new Content(this.contents[this.#random.below(this.contents.length)]?.pieces ?? [headerPiece()]),
    );
  }

  #keep(content: Content): Content {
    this.contents.push(content);
    return content;
  }

  #pieces(count: number): Piece[] {
    const pieces = makePieces(this.#random, this.#memory, this.#settings.taste, count);
    this.counts.records += pieces.length;
    return pieces;
  }

  #path(name: string): string {
    return join(this.#settings.folder, name);
  }

  /** Atomic: whoever sees the name sees all of it. */
  async #put(name: string, content: Content): Promise<void> {
    await writeFile(this.#path(`.${name}.part`), content.bytes);
    await rename(this.#path(`.${name}.part`), this.#path(name));
    this.live.set(name, content);
  }

  async #append(name: string): Promise<void> {
    const content = this.live.get(name);
    if (content === undefined || content.pieces.at(-1)?.end === '') return;
    await this.#write(name, content, this.#pieces(1 + this.#random.below(500)), 'a');
  }

  /** A log: begins empty and grows in several writes. */
  async #grow(name: string): Promise<void> {
    const content = this.#keep(new Content([]));
    this.live.set(name, content);
    await this.#write(name, content, [headerPiece(), ...this.#pieces(this.#random.below(50))], 'a');
    for (let turn = this.#random.below(4); turn > 0; turn -= 1) {
      await sleep(this.#random.below(100));
      await this.#write(name, content, this.#pieces(1 + this.#random.below(200)), 'a');
    }
  }

  async #rename(name: string): Promise<void> {
    const content = this.live.get(name);
    const to = this.#newName();
    if (content === undefined) return;
    await rename(this.#path(name), this.#path(to));
    this.live.delete(name);
    this.live.set(to, content);
  }

  /** Truncated somewhere behind the header, in the middle of a line too, and written on. */
  async #cut(name: string): Promise<void> {
    const before = this.live.get(name);
    if (before === undefined || before.pieces.length < 2) return;
    const keep = 1 + this.#random.below(before.pieces.length - 1);
    const pieces = before.pieces.slice(0, keep);
    const torn = before.pieces[keep]?.text ?? '';
    const inside = this.#random.below(2) === 0 && !torn.includes('"') ? this.#random.below(torn.length) : 0;
    const after = this.#keep(new Content(pieces));
    const added = this.#pieces(20 + this.#random.below(200)).slice(this.#random.below(10));
    // What is left of a line and the line written behind it are one bad record; it must not meet a quote.
    while (added[0]?.text.includes('"') === true || added[0]?.fate === 'blank') added.shift();
    if (inside > 0 && added[0] !== undefined)
      added[0] = {
        text: torn.slice(0, inside) + added[0].text,
        end: added[0].end,
        fate: 'bad',
        key: '',
        row: '',
      };
    const size = pieces.reduce((sum, piece) => sum + piece.text.length, 0);
    this.live.set(name, after);
    await this.#write(name, after, added, 'r+', size, inside);
  }

  async #remove(name: string): Promise<void> {
    await unlink(this.#path(name));
    this.live.delete(name);
  }

  /** Writes pieces at the end, sometimes in two parts with a gap; with `size`, cuts the file to that (and `inside` bytes more) first. */
  async #write(
    name: string,
    content: Content,
    pieces: readonly Piece[],
    flags: 'a' | 'r+',
    size?: number,
    inside = 0,
  ): Promise<void> {
    const bytes = Buffer.from(pieces.map((piece) => piece.text).join(''), 'latin1').subarray(inside);
    const part = this.#random.below(3) === 0 ? this.#random.below(bytes.length + 1) : bytes.length;
    const pauseMs = this.#random.below(60);
    content.add(pieces);
    const file = await open(this.#path(name), flags);
    try {
      const begunMs = performance.now();
      if (size !== undefined) await file.truncate(size + inside);
      const at = size === undefined ? null : size + inside;
      await file.write(bytes.subarray(0, part), 0, part, at);
      if (part < bytes.length) {
        await sleep(pauseMs);
        await file.write(bytes.subarray(part), 0, bytes.length - part, at === null ? null : at + part);
      }
      if (performance.now() - begunMs > TORN_MS_MAX) content.torn = true;
    } finally {
      await file.close();
    }
  }

  /** The inodes of the files that are still in the folder. */
  async inodes(): Promise<Set<string>> {
    const stats = await Promise.all(
      [...this.live.keys()].map((name) => stat(this.#path(name), { bigint: true }).catch(() => null)),
    );
    return new Set(stats.flatMap((each) => (each === null ? [] : [String(each.ino)])));
  }
}
