// What the torture writes into files, and what each piece of it must become: known from how it was made, not from reading it. Texts
// are kept one character per byte (latin1), so that a length is a number of bytes and invalid UTF-8 is possible.

import type { Random } from '../../src/schema/random.ts';
import { HEADER, event, uuidOf } from '../support/events.ts';

export const CHECKED_USER = 'user_13';

/** One line of a file, or one record of several lines. */
export interface Piece {
  /** With its line end. */
  readonly text: string;
  readonly end: '\n' | '\r\n' | '';
  /** What it must become. `refusable`: a good row that a CHECK constraint of the table refuses, unless its key is stored already. */
  readonly fate: 'header' | 'blank' | 'row' | 'refusable' | 'bad';
  /** The canonical event_id; empty when it has none. */
  readonly key: string;
  /** The stored row, fields between commas; empty when it is none. */
  readonly row: string;
}

/** Numbers of events that were written at some time, for repeats. */
export interface Memory {
  next: number;
}

export interface Taste {
  /** The table has a CHECK constraint that refuses CHECKED_USER. */
  readonly checked: boolean;
}

export function headerPiece(end: '\n' | '\r\n' = '\n'): Piece {
  return { text: HEADER + end, end, fate: 'header', key: '', row: '' };
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
  if (die < 160) return [{ text: end, end, fate: 'blank', key: '', row: '' }];
  return [rowPiece(memory.next++, 0, end, taste)];
}

function rowPiece(number: number, variant: number, end: Piece['end'], { checked }: Taste): Piece {
  const { key, text } = event(number, variant);
  const fate = checked && text.includes(`,${CHECKED_USER},`) ? 'refusable' : 'row';
  return { text: text + end, end, fate, key, row: text };
}

/** Another spelling of the same identity. */
function upperPiece(number: number, end: Piece['end'], taste: Taste): Piece {
  const piece = rowPiece(number, 0, end, taste);
  return { ...piece, text: `{${piece.key.toUpperCase()}}${piece.text.slice(piece.key.length)}` };
}

function quotedPiece(number: number, end: Piece['end']): Piece {
  const key = uuidOf(number);
  const text = `"${key}","view","a ""fine"", thing\nof two lines","M\u00c3\u00bcller","2024-05-06 07:08:09",1,"2.50"`;
  const row = `${key},view,a "fine", thing\nof two lines,Müller,2024-05-06 07:08:09,1,2.50`;
  return { text: text + end, end, fate: 'row', key, row };
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
  const bad: Piece = { text: text + end, end, fate: 'bad', key: '', row: '' };
  // A quote that stays open is proven wrong by the next quote; else a growing file would wait for it.
  const open = text.startsWith('"') && !text.endsWith('0');
  return open ? [bad, quotedPiece(memory.next++, end)] : [bad];
}
