// The line that is longer than a record may be: its end is looked for block by block, in the file's own bytes, without keeping them.

import { crc32 } from 'node:zlib';
import type { Encoding } from '../src/core/encoding.ts';
import { unitBytes } from '../src/core/encoding.ts';
import type { Range } from '../src/core/range.ts';
import { finishEndless } from '../src/core/range.ts';
import { CR, LF } from '../src/core/record.ts';
import type { SliceTask } from '../src/core/slice.ts';
import type { SliceFile, Window } from './slice-file.ts';
import { readExactly, readTo } from './slice-file.ts';

/** Even, so that no unit of UTF-16 is cut. */
const BLOCK_BYTES = 1024 * 1024;

/**
 * Looks for the end of a line that is longer than a record may be, block by block, and refuses it. Null when the line does not end
 * before the limit of a growing file: it is left alone then.
 */
export function passEndless(slice: SliceTask, window: Window, range: Range): { next: number } | null {
  const { newline } = range.splitter;
  const encoding = window.decoding?.encoding ?? 'utf-8';
  const unit = unitBytes(encoding);
  const from = readTo(window);
  const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  let last = window.bytes.at(-1);
  for (let offset = from; offset < slice.limit;) {
    const length = Math.min(block.length, slice.limit - offset);
    readExactly(window.file, block, 0, length, offset);
    const at = findUnit(block.subarray(0, length), newline, encoding);
    if (at >= 0) {
      const isReturn = (at > 0 ? unitAt(block, at - unit, encoding) : last) === CR && newline === LF;
      finish(window, range, offset + at - from, isReturn, unit);
      return { next: offset + at + unit };
    }
    last = unitAt(block, length - unit, encoding);
    offset += length;
  }
  if (!slice.final) return null;
  finish(window, range, slice.limit - from, last === CR && newline === LF, unit);
  return { next: slice.limit };
}

/** `beyond`: how far behind the bytes at hand the line ends. The range counts in bytes at hand, and behind them in the file's own. */
function finish(window: Window, range: Range, beyond: number, isReturn: boolean, unit: number): void {
  const end = window.base + window.bytes.length + beyond;
  // A CR that is still at hand is one byte there, whatever it is in the file.
  finishEndless(range, window.bytes, end - (isReturn ? (beyond === 0 ? 1 : unit) : 0));
}

function findUnit(bytes: Buffer, code: number, encoding: Encoding): number {
  if (unitBytes(encoding) === 1) return bytes.indexOf(code);
  const wanted = Buffer.from(encoding === 'utf-16be' ? [0, code] : [code, 0]);
  let at = bytes.indexOf(wanted);
  while (at >= 0 && at % 2 === 1) at = bytes.indexOf(wanted, at + 1);
  return at;
}

function unitAt(bytes: Buffer, at: number, encoding: Encoding): number | undefined {
  if (unitBytes(encoding) === 1) return bytes[at];
  return encoding === 'utf-16be' ? bytes.readUInt16BE(at) : bytes.readUInt16LE(at);
}

/** Goes on with a CRC over a part of the file that is not at hand. */
export function crcOfFile(file: SliceFile, from: number, end: number, before: number): number {
  const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  let crc = before;
  for (let offset = from; offset < end; offset += block.length) {
    const length = Math.min(block.length, end - offset);
    readExactly(file, block, 0, length, offset);
    crc = crc32(block.subarray(0, length), crc);
  }
  return crc;
}
