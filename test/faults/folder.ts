// The producer of the torture: writes, grows, re-sends, renames, cuts and deletes files in the watched folder, and keeps every content
// that any of them ever had. Which operation comes, and what it writes, depends on the seed alone.

import { open, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import type { Random } from '../../src/schema/random.ts';
import type { Memory, Piece, Taste } from './content.ts';
import { Content, headerPiece, makePieces } from './content.ts';

const PACKED = '.csv.gz';
const NEWLINE = 0x0a;

/** A record that is written in two parts is whole again after so long at most; if not, its file may be read in two parts. */
const TORN_MS_MAX = 500;

/** When the contents of a round have so many records, what comes is small: the checker holds them all. */
const RECORDS_MAX = 150_000;

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
  #kept = 0;

  constructor(settings: ProducerSettings, random: Random) {
    this.#settings = settings;
    this.#random = random;
  }

  /** One operation. */
  async step(): Promise<void> {
    this.counts.operations += 1;
    const die = this.#random.below(100);
    const old = this.#anyLive();
    if (die < 34 || old === undefined) return this.#put(this.#newName(), this.#newContent());
    if (die < 40) return this.#put(this.#newName(PACKED), this.#newContent());
    if (die < 48) return this.#put(old, this.#newContent());
    if (die < 58) return this.#put(this.#random.below(2) === 0 ? old : this.#newName(), this.#earlier());
    if (!this.#settings.mayChange) return this.#put(this.#newName(), this.#newContent());
    if (die >= 82 && die < 90) return this.#rename(old);
    // What grows inside a compressed file is no line of it.
    if (old.endsWith(PACKED) && die < 97) return this.#put(old, this.#newContent());
    if (die < 74) return this.#append(old);
    if (die < 82) return this.#grow(this.#newName());
    if (die < 97) return this.#cut(old);
    return this.#remove(old);
  }

  #anyLive(): string | undefined {
    const names = [...this.live.keys()];
    return names[this.#random.below(names.length)];
  }

  #newName(ending = '.csv'): string {
    this.counts.files += 1;
    this.#names += 1;
    return `file-${this.#names}${ending}`;
  }

  /** Small mostly; some of several slices. */
  #newContent(): Content {
    const size = this.#kept > RECORDS_MAX ? 0 : this.#random.below(100);
    const [least, more] = size < 75 ? [0, 300] : size < 97 ? [0, 6_000] : [45_000, 30_000];
    const count = least + this.#random.below(more);
    const pieces = [headerPiece(), ...this.#pieces(count)];
    const last = pieces.at(-1);
    // The last record of a whole file needs no line end.
    if (last?.fate === 'row' && this.#random.below(6) === 0) {
      const text = last.text.slice(0, last.text.length - last.end.length);
      pieces.splice(-1, 1, { ...last, text, end: '' });
    }
    return this.#keep(new Content(pieces));
  }

  #earlier(): Content {
    if (this.#kept > RECORDS_MAX) return this.#newContent();
    const one = this.contents[this.#random.below(this.contents.length)];
    return this.#keep(one?.beginning(one.count) ?? new Content([headerPiece()]));
  }

  #keep(content: Content): Content {
    this.contents.push(content);
    this.#kept += content.count;
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
    const bytes = name.endsWith(PACKED) ? this.#pack(content.bytes) : content.bytes;
    content.diskSize = bytes.length;
    await writeFile(this.#path(`.${name}.part`), bytes);
    await rename(this.#path(`.${name}.part`), this.#path(name));
    this.live.set(name, content);
  }

  /** In one member or in two. */
  #pack(bytes: Buffer): Buffer {
    const cut = this.#random.below(2) === 0 ? this.#random.below(bytes.length) : bytes.length;
    const members = [bytes.subarray(0, cut), bytes.subarray(cut)].filter((part) => part.length > 0);
    return Buffer.concat(members.map((part) => gzipSync(part, { level: 1 })));
  }

  async #append(name: string): Promise<void> {
    const content = this.live.get(name);
    if (content === undefined || content.bytes.at(-1) !== NEWLINE) return;
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
    const to = this.#newName(name.endsWith(PACKED) ? PACKED : '.csv');
    if (content === undefined) return;
    content.renamed = true; // before it is so: the program may see it first
    await rename(this.#path(name), this.#path(to));
    this.live.delete(name);
    this.live.set(to, content);
  }

  /** Truncated somewhere behind the header, in the middle of a line too, and written on. */
  async #cut(name: string): Promise<void> {
    const before = this.live.get(name);
    if (before === undefined || before.count < 2) return;
    const keep = 1 + this.#random.below(before.count - 1);
    const torn = before.text(keep);
    const inside = this.#random.below(2) === 0 && !torn.includes('"') ? this.#random.below(torn.length) : 0;
    const after = this.#keep(before.beginning(keep));
    const size = after.bytes.length;
    const added = this.#pieces(20 + this.#random.below(200)).slice(this.#random.below(10));
    // What is left of a line and the line written behind it are one bad record; it must not meet a quote.
    while (added[0]?.text.includes('"') === true || added[0]?.fate === 'blank') added.shift();
    const [first] = added;
    if (inside > 0 && first !== undefined) {
      const text = torn.slice(0, inside) + first.text;
      added[0] = { text, end: first.end, fate: 'bad', number: -1, variant: -1 };
    }
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

  /** What stands in the folder now, by inode. */
  async byInode(): Promise<Map<string, Content>> {
    const found = await Promise.all(
      [...this.live].map(async ([name, content]) => {
        const stats = await stat(this.#path(name), { bigint: true }).catch(() => null);
        return stats === null ? [] : [[String(stats.ino), content] as const];
      }),
    );
    return new Map(found.flat());
  }
}
