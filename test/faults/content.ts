// What the torture writes into files, and what each piece of it must become: known from how it was made, not from reading it. Texts
// are one character per byte (latin1), so that a length is a number of bytes and invalid UTF-8 is possible.

import type { Random } from '../../src/schema/random.ts';
import { HEADER, event, uuidOf } from '../support/events.ts';

/** What a table may refuse: about one row in 2,000, since isolating each takes some 30 statements. */
export const REFUSAL = "user_id = 'user_13' AND quantity < 2";
/** The same of a record's text. */
const REFUSABLE = /,user_13,[^,]*,[01],/;

/** What a piece must become. `refusable`: a good row that a CHECK constraint of the table refuses, unless its key is stored already. */
export type Fate = 'header' | 'blank' | 'row' | 'refusable' | 'bad';

/** One line of a file, or one record of several lines. */
export interface Piece {
  /** With its line end. */
  readonly text: string;
  readonly end: '\n' | '\r\n' | '';
  readonly fate: Fate;
  /** Of `row` and `refusable`: the number of the event and which of its payloads this is; else -1. */
  readonly number: number;
  readonly variant: number;
}

/** The payload of an event that was written in quotes. */
const QUOTED = 4;

/** As many payloads as one number may have. */
export const VARIANTS = 5;

/** The stored row, fields between commas. */
export function storedRow(number: number, variant: number): string {
  if (variant !== QUOTED) return event(number, variant).text;
  return `${uuidOf(number)},view,a "fine", thing\nof two lines,Müller,2024-05-06 07:08:09,1,2.50`;
}

/** Numbers of events that were written at some time, for repeats. */
export interface Memory {
  next: number;
}

export interface Taste {
  /** The table has a CHECK constraint that refuses REFUSAL. */
  readonly checked: boolean;
}

/**
 * One content: every state of a file up to its next cut is a beginning of it. The pieces are kept as bytes and numbers: a round has hundreds
 * of thousands, and as objects they took 600 MB.
 */
export class Content {
  bytes: Buffer = Buffer.alloc(0);
  /** Where each piece begins. */
  readonly starts: number[] = [];
  readonly fates: Fate[] = [];
  readonly numbers: number[] = [];
  readonly variants: number[] = [];
  /** A record stood torn for so long that it may have been taken as it was. */
  torn = false;
  /** Its file has had another name. */
  renamed = false;
  /** On disk; another one than that of the bytes where they are packed. */
  diskSize = 0;

  constructor(pieces: readonly Piece[] = []) {
    this.add(pieces);
  }

  add(pieces: readonly Piece[]): void {
    let at = this.bytes.length;
    for (const { text, fate, number, variant } of pieces) {
      this.starts.push(at);
      this.fates.push(fate);
      this.numbers.push(number);
      this.variants.push(variant);
      at += text.length;
    }
    const more = Buffer.from(pieces.map((piece) => piece.text).join(''), 'latin1');
    this.bytes = Buffer.concat([this.bytes, more]);
    this.diskSize = this.bytes.length;
  }

  get count(): number {
    return this.starts.length;
  }

  /** Its first so many pieces. */
  beginning(count: number): Content {
    const copy = new Content();
    copy.bytes = this.bytes.subarray(0, this.starts[count] ?? this.bytes.length);
    copy.diskSize = copy.bytes.length;
    for (const one of this.starts.slice(0, count)) copy.starts.push(one);
    for (const one of this.fates.slice(0, count)) copy.fates.push(one);
    for (const one of this.numbers.slice(0, count)) copy.numbers.push(one);
    for (const one of this.variants.slice(0, count)) copy.variants.push(one);
    return copy;
  }

  /** With its line end. */
  text(index: number): string {
    return this.bytes.toString('latin1', this.starts[index], this.starts[index + 1] ?? this.bytes.length);
  }
}

export function headerPiece(end: '\n' | '\r\n' = '\n'): Piece {
  return plain(HEADER, end, 'header');
}

/** `count` pieces, or a few more. Complete: the last one has its line end, and no quote is left open. */
export function makePieces(random: Random, memory: Memory, taste: Taste, count: number): Piece[] {
  const end = random.below(8) === 0 ? '\r\n' : '\n';
  const pieces: Piece[] = [];
  while (pieces.length < count) pieces.push(...onePiece(random, memory, taste, end));
  return pieces;
}

function onePiece(random: Random, memory: Memory, taste: Taste, end: '\n' | '\r\n'): Piece[] {
  const die = random.below(1000);
  const repeated = random.below(Math.max(1, memory.next));
  if (die < 70) return [rowPiece(repeated, 0, end, taste)];
  if (die < 100) return [rowPiece(repeated, 1 + random.below(3), end, taste)];
  if (die < 115) return [upperPiece(repeated, end, taste)];
  if (die < 140) return badPieces(random, memory, end);
  if (die < 155) return [quotedPiece(memory.next++, end)];
  if (die < 160) return [plain('', end, 'blank')];
  return [rowPiece(memory.next++, 0, end, taste)];
}

function plain(body: string, end: Piece['end'], fate: Fate): Piece {
  return { text: body + end, end, fate, number: -1, variant: -1 };
}

function rowPiece(number: number, variant: number, end: Piece['end'], { checked }: Taste): Piece {
  const { text } = event(number, variant);
  const fate = checked && REFUSABLE.test(text) ? 'refusable' : 'row';
  return { text: text + end, end, fate, number, variant };
}

/** Another spelling of the same identity. */
function upperPiece(number: number, end: Piece['end'], taste: Taste): Piece {
  const piece = rowPiece(number, 0, end, taste);
  const key = uuidOf(number);
  return { ...piece, text: `{${key.toUpperCase()}}${piece.text.slice(key.length)}` };
}

function quotedPiece(number: number, end: Piece['end']): Piece {
  const text = `"${uuidOf(number)}","view","a ""fine"", thing\nof two lines","M\u00c3\u00bcller","2024-05-06 07:08:09",1,"2.50"`;
  return { text: text + end, end, fate: 'row', number, variant: QUOTED };
}

function badPieces(random: Random, memory: Memory, end: '\n' | '\r\n'): Piece[] {
  const key = uuidOf(memory.next++);
  const lines = [
    `${key},view,p,u,2024-02-30 00:00:00,1,1.00`,
    'nonsense',
    `${key},view,p,u,2024-05-06 07:08:09,1,1.00,more`,
    `${key}0,view,p,u,2024-05-06 07:08:09,1,1.00`,
    `${key},zap,p,u,2024-05-06 07:08:09,1,1.00`,
    `${key},view,p,u,2024-05-06 07:08:09,-5,1.00`,
    `${key},view,p,u,2024-05-06 07:08:09,1,1.005`,
    `${key},view,p\0q,u,2024-05-06 07:08:09,1,1.00`,
    `${key},view,p\xff\xfe,u,2024-05-06 07:08:09,1,1.00`,
    `"${key}"x,view,p,u,2024-05-06 07:08:09,1,1.00`,
    `"${key},view,p,u`,
  ];
  const text = lines[random.below(lines.length)] ?? '';
  const bad = plain(text, end, 'bad');
  // A quote that stays open is proven wrong by the next quote; else a growing file would wait for it.
  const open = text.startsWith('"') && !text.endsWith('0');
  return open ? [bad, quotedPiece(memory.next++, end)] : [bad];
}
