// Reads a record's bytes again, for a row that the database refused or that lost a conflict: only when they are still the bytes that were
// parsed, under whatever name their file stands by now.

import { fstatSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';

import { RAW_BYTES_MAX } from '../core/reject.ts';
import type { FileStamp } from '../core/slice.ts';
import { rangeAgreesSync, readRangeSync, withFileSync } from './content.ts';
import type { Desk } from './desk.ts';
import type { SourceFile } from './file.ts';
import type { Piece } from './reading.ts';
import { lstatQuietly, search } from './scan.ts';
import { sameKey, stampOf } from './stamp.ts';

/** A search of a folder with 100,000 files takes a second of the main thread: then it may have a twentieth of it, */
const SEARCH_SHARE = 20;
/** and all that it asks for where it is shorter than this. */
const SEARCH_FREE_MS = 20;

/** For `AcceptedSlice.reread`. The whole slice is compared first, once for as long as the file's stamp stays the same. */
export function rereader(
  desk: Desk,
  file: SourceFile,
  piece: Piece,
): (offset: number, length: number) => Uint8Array | null {
  const { stamp: accepted } = file;
  const isIt = (stats: BigIntStats): boolean => sameKey(accepted, stampOf(stats, desk.rule.birthsKept));
  let provenFor = '';
  let moved: Buffer | null = null;
  return (offset, length) => {
    const read = (fd: number): Uint8Array | null => {
      const { size, mtimeNs, ctimeNs } = fstatSync(fd, { bigint: true });
      const stamp = `${size}:${mtimeNs}:${ctimeNs}`;
      if (stamp !== provenFor && !rangeAgreesSync(fd, piece)) return null;
      provenFor = stamp;
      return readRangeSync(fd, offset, Math.min(length, RAW_BYTES_MAX));
    };
    try {
      if (file.handle !== null) return read(file.handle.fd);
      if (file.isPacked) return null; // its unpacked copy is gone
      const found = withFileSync(file.path, isIt, read);
      if (found !== null || isThere(file.path, isIt)) return found;
      // It was renamed since the last look.
      if (moved === null || !isThere(moved, isIt)) moved = searchFor(desk, accepted);
      return moved === null ? null : withFileSync(moved, isIt, read);
    } catch {
      return null; // an I/O error: the reject is written down without its bytes, as the interface allows
    }
  };
}

function isThere(path: Buffer, isIt: (stats: BigIntStats) => boolean): boolean {
  const stats = lstatQuietly(path);
  return stats !== null && isIt(stats);
}

function searchFor(desk: Desk, wanted: FileStamp): Buffer | null {
  const begunMs = desk.settings.now();
  if (begunMs < desk.searchAgainMs) return null;
  const path = search(desk.rule, (stamp) => sameKey(wanted, stamp));
  const tookMs = desk.settings.now() - begunMs;
  desk.searchAgainMs = begunMs + (tookMs < SEARCH_FREE_MS ? 0 : tookMs * SEARCH_SHARE);
  return path;
}
