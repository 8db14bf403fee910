// Reads a record's bytes again, for a row that the database refused: only when they are still the bytes that were parsed.

import { fstatSync } from 'node:fs';

import { RAW_BYTES_MAX } from '../core/reject.ts';
import { rangeAgreesSync, readRangeSync, withFileSync } from './content.ts';
import type { Desk } from './desk.ts';
import type { SourceFile } from './file.ts';
import type { Piece } from './reading.ts';
import { sameKey, stampOf } from './stamp.ts';

/** For `AcceptedSlice.reread`. The whole slice is compared first, once for as long as the file's stamp stays the same. */
export function rereader(
  desk: Desk,
  file: SourceFile,
  piece: Piece,
): (offset: number, length: number) => Uint8Array | null {
  const { id } = file.info;
  let provenFor = '';
  return (offset, length) => {
    if (file.info.id !== id) return null;
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
      return withFileSync(file.path, (stats) => sameKey(file.stamp, stampOf(stats, desk.birthsKept)), read);
    } catch {
      return null; // an I/O error: the reject is written down without its bytes, as the interface allows
    }
  };
}
