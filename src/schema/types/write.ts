// Big-endian words for binary COPY fields. Plain byte stores: DataView and Buffer.write* cost a call per field and are slower
// on the byte path. Nothing here checks bounds; FieldWriter's contract guarantees the room.

import type { FieldWriter } from '../column.ts';

/** Appends the low 32 bits of `value`. */
export function writeInt32(out: FieldWriter, value: number): void {
  putInt32(out.bytes, out.position, value);
  out.position += 4;
}

/** Stores the low 32 bits of `value` at `position`. */
export function putInt32(bytes: Uint8Array, position: number, value: number): void {
  bytes[position] = value >>> 24;
  bytes[position + 1] = value >>> 16;
  bytes[position + 2] = value >>> 8;
  bytes[position + 3] = value;
}

/** Stores the low 16 bits of `value` at `position`. */
export function putInt16(bytes: Uint8Array, position: number, value: number): void {
  bytes[position] = value >>> 8;
  bytes[position + 1] = value;
}
