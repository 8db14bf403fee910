// Binary COPY (PostgreSQL manual, "COPY", file formats). It has no line `\.` that could end the data silently, and the server's casts
// see nothing. Sends bytes that are tuples already; makes none.

import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import type { CopyStreamQuery } from 'pg-copy-streams';
import { from as copyFrom } from 'pg-copy-streams';
import { COPY_HEADER, COPY_TRAILER } from '../../core/copy-binary.ts';
import type { Step } from '../../errors.ts';
import { during } from './fault.ts';

/** COPYs tuples into `target` ("schema"."table" ("column", ...)). Returns the number of rows that the server says it stored. */
export function copyTuples(client: pg.Client, target: string, tuples: Iterable<Uint8Array>): Promise<number> {
  return send(client.query(copyFrom(copySql(target))), tuples);
}

/** A COPY that waits for its tuples. Who does not send them must cut the connection off. */
export interface BegunCopy {
  /** The last row that the statements ahead of it gave, as text. */
  readonly row: Readonly<Record<string, string | null>>;
  /** As `copyTuples`. */
  send(tuples: Iterable<Uint8Array>): Promise<number>;
}

/**
 * Statements and a COPY in one message: a round trip less than one after the other. The server ends a message at its first error, so the
 * COPY never begins without what stands ahead of it. Throws StepFault with `aheadStep`, or `step` once the COPY itself was reached.
 */
export async function beginCopy(
  client: pg.Client,
  ahead: readonly string[],
  aheadStep: Step,
  target: string,
  step: Step,
): Promise<BegunCopy> {
  const stream = copyFrom([...ahead, copySql(target)].join('; ')) as HeardCopy;
  const row: Record<string, string | null> = {};
  let names: readonly string[] = [];
  let completed = 0;
  let failure: Error | null = null;
  const { handleCommandComplete: complete, handleCopyInResponse: begin } = stream;
  const begun = new Promise<void>((resolve, reject) => {
    // Stays on: a connection that is cut off later must not end the program.
    stream.on('error', (error: Error) => {
      failure = error;
      reject(error);
    });
    stream.handleRowDescription = ({ fields }) => (names = fields.map(({ name }) => name));
    stream.handleDataRow = ({ fields }) => names.forEach((name, at) => (row[name] = fields[at] ?? null));
    stream.handleCommandComplete = (message) => {
      completed += 1;
      complete.call(stream, message);
    };
    stream.handleCopyInResponse = (connection) => {
      begin.call(stream, connection);
      resolve();
    };
  });
  client.query(stream);
  try {
    await begun;
  } catch (error) {
    await during(completed < ahead.length ? aheadStep : step, client, () => Promise.reject(error as Error));
  }
  // The stream has let go of a connection that failed in the meantime, and throws where nobody can catch it when it is written to then.
  return { row, send: (tuples) => (failure === null ? send(stream, tuples) : Promise.reject(failure)) };
}

/** What pg tells a query, as far as the types of pg-copy-streams leave it out. */
interface HeardCopy extends CopyStreamQuery {
  handleRowDescription: (message: { fields: readonly { name: string }[] }) => void;
  handleDataRow: (message: { fields: readonly (string | null)[] }) => void;
  handleCommandComplete: (message: unknown) => void;
  handleCopyInResponse: (connection: unknown) => void;
}

function copySql(target: string): string {
  return `COPY ${target} FROM STDIN (FORMAT binary)`;
}

async function send(stream: CopyStreamQuery, tuples: Iterable<Uint8Array>): Promise<number> {
  // `pipeline`, because after a server error the stream stays writable, and neither 'finish' nor 'close' ever comes.
  await pipeline(Readable.from(framed(tuples)), stream);
  return stream.rowCount;
}

function* framed(tuples: Iterable<Uint8Array>): Generator<Uint8Array> {
  yield COPY_HEADER;
  yield* tuples;
  yield COPY_TRAILER;
}
