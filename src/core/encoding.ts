// Encodings other than UTF-8: a file's own bytes to UTF-8 and back again in places, and which encoding a file is in by its first bytes.
// Places are those of the file's own bytes everywhere else; only the parser sees UTF-8. No file is read here.

import { isUtf8 } from 'node:buffer';
import { foreignFormat } from './foreign.ts';
import type { FileFault } from './slice.ts';

export type Encoding = 'utf-8' | 'latin1' | 'windows-1252' | 'utf-16le' | 'utf-16be';
export type EncodingOption = Encoding | 'auto';

/** How much of a file's beginning shows its encoding; slices are larger, unless the file is not. */
export const ENCODING_BYTES_MAX = 64 * 1024;

/** So many lines that are no UTF-8, and no letter that is, are no accident. */
const FOREIGN_LINES_MIN = 3;

/** Bytes of the smallest unit: no position within one is a place. */
export function unitBytes(encoding: Encoding): 1 | 2 {
  return encoding === 'utf-16le' || encoding === 'utf-16be' ? 2 : 1;
}

export type EncodingResult =
  | { readonly kind: 'encoding'; readonly encoding: Encoding }
  | { readonly kind: 'refused'; readonly code: FileFault; readonly reason: string };

/**
 * The encoding of a file by its first bytes (at most ENCODING_BYTES_MAX) and the option. Only a byte order mark decides; whatever else
 * looks like another encoding than the one it would be read in refuses the file, with the option that reads it.
 */
export function judgeEncoding(head: Buffer, option: EncodingOption): EncodingResult {
  const marked = markOf(head);
  const foreign = marked === null ? foreignFormat(head) : null;
  if (foreign !== null) return { kind: 'refused', ...foreign };
  if (marked !== null && option !== 'auto' && option !== marked)
    return wrong(
      `it begins with the mark of ${marked}: read it with --encoding ${marked}, or without the option`,
    );
  const encoding = encodingOf(head, option);
  const reason = marked === encoding ? null : doubt(head, encoding, option);
  return reason === null ? { kind: 'encoding', encoding } : wrong(reason);
}

/** The same for a file that is being read already: nothing is doubted any more. */
export function encodingOf(head: Buffer, option: EncodingOption): Encoding {
  return option === 'auto' ? (markOf(head) ?? 'utf-8') : option;
}

function wrong(reason: string): EncodingResult {
  return { kind: 'refused', code: 'wrong_encoding', reason };
}

function markOf(head: Buffer): Encoding | null {
  const isUtf32 = head[0] === 0xff && head[1] === 0xfe && head[2] === 0 && head[3] === 0;
  if (head[0] === 0xff && head[1] === 0xfe) return isUtf32 ? null : 'utf-16le';
  return head[0] === 0xfe && head[1] === 0xff ? 'utf-16be' : null;
}

/** Why it does not look like this encoding, or null. */
function doubt(head: Buffer, encoding: Encoding, option: EncodingOption): string | null {
  const wide = wideOf(head);
  switch (encoding) {
    case 'utf-8':
      if (wide !== null) return `it looks like ${wide}: read it with --encoding ${wide}`;
      return option === 'auto' && isForeignText(head)
        ? 'it is not UTF-8 but another encoding, which its bytes do not tell: read it with --encoding windows-1252 or latin1 ' +
            'when it is one of these, or with --encoding utf-8 to refuse its bad records one by one'
        : null;
    case 'latin1':
    case 'windows-1252':
      if (wide !== null) return `it looks like ${wide}: read it with --encoding ${wide}`;
      return isUtf8(whole(head)) && !isAscii(head)
        ? `it is UTF-8, not ${encoding}: read it with --encoding utf-8, or without the option`
        : null;
    case 'utf-16le':
    case 'utf-16be':
      if (wide !== null && wide !== encoding) return `it looks like ${wide}: read it with --encoding ${wide}`;
      return head.length > 1 && wide === null && !head.includes(0)
        ? `it is not ${encoding}: read it without --encoding, or with the one that it has`
        : null;
    default:
      return encoding satisfies never;
  }
}

/** UTF-16 without a mark: a header of ASCII letters has a zero in every other byte. */
function wideOf(head: Buffer): 'utf-16le' | 'utf-16be' | null {
  const zeros = [0, 0];
  const length = Math.min(head.length - (head.length % 2), 64);
  for (let at = 0; at < length; at += 1) if (head[at] === 0) zeros[at % 2]! += 1;
  const [even = 0, odd = 0] = zeros;
  if (odd > 0 && even === 0 && odd * 4 >= length) return 'utf-16le';
  return even > 0 && odd === 0 && even * 4 >= length ? 'utf-16be' : null;
}

/** Several lines with letters beyond ASCII, and not one of them in UTF-8. */
function isForeignText(head: Buffer): boolean {
  if (isUtf8(head)) return false;
  let foreign = 0;
  const text = whole(head);
  for (let at = 0; at < text.length;) {
    const newline = text.indexOf(0x0a, at);
    const end = newline < 0 ? text.length : newline;
    const line = text.subarray(at, end);
    if (!isUtf8(line)) foreign += 1;
    else if (!isAscii(line)) return false;
    at = end + 1;
  }
  return foreign >= FOREIGN_LINES_MIN;
}

/** Without the last line of a head that was cut off: it may end within a character. */
function whole(head: Buffer): Buffer {
  return head.length < ENCODING_BYTES_MAX ? head : head.subarray(0, head.lastIndexOf(0x0a) + 1);
}

function isAscii(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += 1) if (bytes[at]! >= 0x80) return false;
  return true;
}

/** What windows-1252 has at 0x80 to 0x9f, as WHATWG lists it; 0 where it has nothing. */
const WINDOWS_1252 = Uint16Array.of(
  0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d, 0,
  0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
); // prettier-ignore

/** Stands for a byte that means nothing: no UTF-8, so that the record which has it is refused. */
const NO_CHARACTER = 0xff;

/** Room for the UTF-8 of so many bytes. */
export function decodedMax(encoding: Encoding, bytes: number): number {
  return encoding === 'windows-1252' ? bytes * 3 : unitBytes(encoding) === 1 ? bytes * 2 : bytes * 2 + 3;
}

export interface Decoded {
  /** Bytes of the source that are dealt with; the rest is the beginning of a character. */
  readonly used: number;
  /** Where the target ends now. */
  readonly end: number;
}

/** Appends the UTF-8 of source[from, ...) to target at `at`. `final`: nothing follows, so half a character is decided too. */
export function decodeInto(
  encoding: Exclude<Encoding, 'utf-8'>,
  source: Buffer,
  from: number,
  final: boolean,
  target: Buffer,
  at: number,
): Decoded {
  if (encoding === 'utf-16le' || encoding === 'utf-16be')
    return decodeWide(encoding === 'utf-16be', source, from, final, target, at);
  let end = at;
  for (let position = from; position < source.length; position += 1) {
    const byte = source[position]!;
    if (byte < 0x80) target[end++] = byte;
    else if (encoding === 'latin1' || byte >= 0xa0) end = putCharacter(target, end, byte);
    else {
      const character = WINDOWS_1252[byte - 0x80]!;
      if (character === 0) target[end++] = NO_CHARACTER;
      else end = putCharacter(target, end, character);
    }
  }
  return { used: source.length, end };
}

/** A lone surrogate is written in three bytes that are no UTF-8. */
function decodeWide(
  isBig: boolean,
  source: Buffer,
  from: number,
  final: boolean,
  target: Buffer,
  at: number,
): Decoded {
  const [high, low] = isBig ? [0, 1] : [1, 0];
  const { length } = source;
  let end = at;
  let position = from;
  while (position + 1 < length) {
    let unit = (source[position + high]! << 8) | source[position + low]!;
    if ((unit & 0xfc00) === 0xd800) {
      if (position + 3 >= length && !final) break;
      const next =
        position + 3 < length ? (source[position + 2 + high]! << 8) | source[position + 2 + low]! : 0;
      if ((next & 0xfc00) === 0xdc00) {
        unit = 0x10000 + ((unit & 0x3ff) << 10) + (next & 0x3ff);
        position += 2;
      }
    }
    position += 2;
    if (unit < 0x80) target[end++] = unit;
    else end = putCharacter(target, end, unit);
  }
  if (final && position < length) {
    target[end++] = NO_CHARACTER;
    position = length;
  }
  return { used: position, end };
}

/** UTF-8 of a character from U+0080 on. */
function putCharacter(target: Buffer, at: number, character: number): number {
  let end = at;
  if (character < 0x800) target[end++] = 0xc0 | (character >> 6);
  else {
    if (character < 0x10000) target[end++] = 0xe0 | (character >> 12);
    else {
      target[end++] = 0xf0 | (character >> 18);
      target[end++] = 0x80 | ((character >> 12) & 0x3f);
    }
    target[end++] = 0x80 | ((character >> 6) & 0x3f);
  }
  target[end++] = 0x80 | (character & 0x3f);
  return end;
}

/** Walks through decoded bytes and counts the source's bytes; asked for ascending positions it looks at each byte once. */
export interface PlaceCounter {
  readonly encoding: Encoding;
  position: number;
  place: number;
}

/** The length in the source of decoded[0, position). Beyond its end both count alike. */
export function placeOf(counter: PlaceCounter, decoded: Buffer, position: number): number {
  if (position < counter.position) [counter.position, counter.place] = [0, 0];
  const unit = unitBytes(counter.encoding);
  const end = Math.min(position, decoded.length);
  let { place } = counter;
  for (let at = counter.position; at < end; at += 1) {
    const byte = decoded[at]!;
    if (byte < 0x80) place += unit;
    else if (byte === NO_CHARACTER) place += 1;
    else if (byte >= 0xf0) place += 2 * unit;
    else if (byte >= 0xc0) place += unit;
  }
  counter.position = end;
  counter.place = place;
  return place + (position - end);
}

/** How many bytes of the file stand before a position of what they were decoded to. */
export function lengthBefore(encoding: Encoding, text: Buffer, position: number): number {
  return encoding === 'utf-8' ? position : placeOf({ encoding, position: 0, place: 0 }, text, position);
}

/** All of it in UTF-8; bytes that mean nothing become such that are no UTF-8 either. */
export function decodeAll(encoding: Encoding, source: Buffer): Buffer {
  if (encoding === 'utf-8') return source;
  const target = Buffer.allocUnsafe(decodedMax(encoding, source.length));
  return target.subarray(0, decodeInto(encoding, source, 0, true, target, 0).end);
}
