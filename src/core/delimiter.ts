// The one character between fields: which ones may be named, and how they are written in sentences. Finding it in a file is
// the header's business.

import { CR, LF, QUOTE } from './record.ts';

/** One ASCII character that is no letter, digit, quote, underscore, or line end: names and values could not be told apart otherwise. */
export function isDelimiter(byte: number): boolean {
  if (byte === 0 || byte === LF || byte === CR || byte === QUOTE || byte >= 0x7f) return false;
  return !/[A-Za-z0-9_]/.test(String.fromCharCode(byte));
}

/** For a sentence. */
export function delimiterText(byte: number): string {
  return byte <= 0x20 ? delimiterWord(byte) : `'${String.fromCharCode(byte)}'`;
}

/** As --delimiter takes it. */
export function delimiterWord(byte: number): string {
  if (byte === 0x09) return 'tab';
  if (byte === 0x20) return 'space';
  return byte < 0x20 ? `'\\x${byte.toString(16).padStart(2, '0')}'` : `'${String.fromCharCode(byte)}'`;
}
