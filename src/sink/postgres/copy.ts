// Binary COPY (PostgreSQL manual, "COPY", file formats). It has no line `\.` that could end the data silently, and the server's casts
// see nothing. Sends bytes that are tuples already; makes none.

import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { COPY_HEADER, COPY_TRAILER } from '../../core/copy-binary.ts';

/** COPYs tuples into `target` ("schema"."table" ("column", ...)). Returns the number of rows that the server says it stored. */
export async function copyTuples(
  client: pg.Client,
  target: string,
  tuples: Iterable<Uint8Array>,
): Promise<number> {
  const stream = client.query(copyFrom(`COPY ${target} FROM STDIN (FORMAT binary)`));
  // `pipeline`, because after a server error the stream stays writable, and neither 'finish' nor 'close' ever comes.
  await pipeline(Readable.from(framed(tuples)), stream);
  return stream.rowCount;
}

function* framed(tuples: Iterable<Uint8Array>): Generator<Uint8Array> {
  yield COPY_HEADER;
  yield* tuples;
  yield COPY_TRAILER;
}
