// Bare lanes: connects, and sends encoded batches from a file, each lane the next one as soon as it is free, each batch one transaction. See
// sides/ceiling.ts.

import { openSync, readSync } from 'node:fs';
import pg from 'pg';

import { copyTuples } from '../../src/sink/postgres/copy.ts';
import { COLUMN_LIST } from '../scratch.ts';

/** As the engine's lanes send a long run of rows. */
const PIECE_BYTES = 1024 * 1024;

const [path = '', lanes = '2'] = process.argv.slice(2);
const file = openSync(path, 'r');
await Promise.all(Array.from({ length: Number(lanes) }, send));

async function send(): Promise<void> {
  const client = new pg.Client(process.env['DATABASE_URL']);
  await client.connect();
  let memory = Buffer.alloc(0);
  for (let length = nextLength(); length > 0; length = nextLength()) {
    if (length > memory.length) memory = Buffer.allocUnsafeSlow(length);
    const batch = memory.subarray(0, length);
    if (readSync(file, batch) < length) throw new Error(`${path} ends within a batch`);
    await client.query('BEGIN');
    await copyTuples(client, `events (${COLUMN_LIST})`, piecesOf(batch));
    await client.query('COMMIT');
  }
  await client.end();
}

/** Of the batch that comes next, as sides/ceiling.ts has written it; 0 behind the last one. */
function nextLength(): number {
  const length = Buffer.alloc(4);
  return readSync(file, length) < length.length ? 0 : length.readUInt32LE(0);
}

function* piecesOf(batch: Buffer): Generator<Buffer> {
  for (let at = 0; at < batch.length; at += PIECE_BYTES) yield batch.subarray(at, at + PIECE_BYTES);
}
