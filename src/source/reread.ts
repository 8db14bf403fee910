// Reads a record's bytes again, for a row that the database refused or that lost a conflict: only when they are still the bytes that were
// parsed, under whatever name their file stands by now.

import { fstatSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';

import { RAW_BYTES_MAX } from '../core/reject.ts';
import { rangeAgreesSync, readRangeSync, withFileSync } from './content.ts';
import type { Desk } from './desk.ts';
import type { SourceFile } from './file.ts';
import type { Piece } from './reading.ts';
import { lstatQuietly } from './scan.ts';
import { sameKey, stampOf } from './stamp.ts';

/**
 * For `AcceptedSlice.reread`. It may be asked for a thousand records of a slice in a row, within a transaction: what was found out once (the
 * slice agrees, it does not, the file is not there) is not found out again.
 */
export function rereader(
  desk: Desk,
  file: SourceFile,
  piece: Piece,
): (offset: number, length: number) => Uint8Array | null {
  const { stamp } = file;
  const isIt = (stats: BigIntStats): boolean => sameKey(stamp, stampOf(stats, desk.rule.birthsKept));
  const read = readerOf(piece);
  let missedIn = -1;
  return (offset, length) => {
    const readHere = (fd: number): Uint8Array | null => read(fd, offset, Math.min(length, RAW_BYTES_MAX));
    try {
      if (file.handle !== null) return readHere(file.handle.fd);
      if (file.isPacked) return null; // its unpacked copy is gone
      if (isThere(file.path, isIt)) return withFileSync(file.path, isIt, readHere);
      if (desk.whereabouts.believes(missedIn)) return null;
      const moved = desk.whereabouts.pathOf(stamp);
      if (moved !== null && isThere(moved, isIt)) return withFileSync(moved, isIt, readHere);
      missedIn = desk.whereabouts.walks;
      return null;
    } catch {
      return null; // an I/O error: the reject is written down without its bytes, as the interface allows
    }
  };
}

/** Compares the whole slice before the first byte is believed, once for as long as the file's times stay the same. */
function readerOf(piece: Piece): (fd: number, offset: number, length: number) => Uint8Array | null {
  let judged = { times: '', agrees: false };
  return (fd, offset, length) => {
    const times = timesOf(fd);
    if (judged.times !== times) judged = { times, agrees: rangeAgreesSync(fd, piece) };
    if (!judged.agrees) return null;
    const bytes = readRangeSync(fd, offset, length);
    // Somebody writes to it just now, behind this slice or into it.
    return timesOf(fd) === times || rangeAgreesSync(fd, piece) ? bytes : null;
  };
}

function timesOf(fd: number): string {
  const { size, mtimeNs, ctimeNs } = fstatSync(fd, { bigint: true });
  return `${size}:${mtimeNs}:${ctimeNs}`;
}

function isThere(path: Buffer, isIt: (stats: BigIntStats) => boolean): boolean {
  const stats = lstatQuietly(path);
  return stats !== null && isIt(stats);
}
