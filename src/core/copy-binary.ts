// PostgreSQL's binary COPY format (the manual's page on COPY, "Binary Format"): signature, tuples, trailer, as pairs of encode and
// decode. Values inside fields are the business of the column types.

/** `PGCOPY\n\377\r\n\0`, 4 bytes of flags, 4 bytes of header extension length. */
export const COPY_HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');

/** A field count of -1 ends the data. */
export const COPY_TRAILER = Buffer.from([0xff, 0xff]);

const NULL_LENGTH = -1;

/** Writes a tuple's field count and returns the position behind it. */
export function putFieldCount(bytes: Uint8Array, position: number, count: number): number {
  bytes[position] = count >>> 8;
  bytes[position + 1] = count;
  return position + 2;
}

/** Writes a NULL field and returns the position behind it. */
export function putNull(bytes: Uint8Array, position: number): number {
  bytes[position] = 0xff;
  bytes[position + 1] = 0xff;
  bytes[position + 2] = 0xff;
  bytes[position + 3] = 0xff;
  return position + 4;
}

/** One tuple from its fields; for tests and for rows that are made one at a time. The mirror of `decodeTuples`. */
export function encodeTuple(fields: readonly (Uint8Array | null)[]): Buffer {
  const bytes = Buffer.alloc(2 + fields.reduce((sum, field) => sum + 4 + (field?.length ?? 0), 0));
  let position = putFieldCount(bytes, 0, fields.length);
  for (const field of fields) {
    if (field === null) {
      position = putNull(bytes, position);
    } else {
      bytes.writeInt32BE(field.length, position);
      bytes.set(field, position + 4);
      position += 4 + field.length;
    }
  }
  return bytes;
}

/** Tuples without header and trailer back into fields. Throws a RangeError when they do not end exactly at the end. */
export function decodeTuples(source: Uint8Array): (Buffer | null)[][] {
  const bytes = Buffer.from(source.buffer, source.byteOffset, source.length);
  const tuples: (Buffer | null)[][] = [];
  let position = 0;
  while (position < bytes.length) {
    const fields: (Buffer | null)[] = [];
    const count = bytes.readInt16BE(position);
    position += 2;
    for (let field = 0; field < count; field += 1) {
      const length = bytes.readInt32BE(position);
      position += 4;
      if (length > bytes.length - position)
        throw new RangeError(`field of ${length} bytes ends beyond the data`);
      fields.push(length === NULL_LENGTH ? null : bytes.subarray(position, position + length));
      if (length !== NULL_LENGTH) position += length;
    }
    tuples.push(fields);
  }
  return tuples;
}
