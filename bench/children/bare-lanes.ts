// Bare lanes: reads encoded batches into memory, connects, says "ready", and at the first line of standard input sends them, each
// lane the next one as soon as it is free, each batch one transaction. Says "done" after the last COMMIT. See sides/ceiling.ts.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import pg from 'pg';

import { copyTuples } from '../../src/sink/postgres/copy.ts';
import { COLUMN_LIST } from '../scratch.ts';

/** As the engine's lanes send a long run of rows. */
const PIECE_BYTES = 1024 * 1024;

const [file = '', lanes = '2'] = process.argv.slice(2);
const batches = batchesOf(readFileSync(file));
const clients = await Promise.all(Array.from({ length: Number(lanes) }, connect));
console.log('ready');
await once(process.stdin, 'data');
process.stdin.destroy();
await Promise.all(clients.map(send));
console.log('done');
for (const client of clients) await client.end();

function batchesOf(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32LE(at);
    found.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return found;
}

async function connect(): Promise<pg.Client> {
  const client = new pg.Client(process.env['DATABASE_URL']);
  await client.connect();
  return client;
}

async function send(client: pg.Client): Promise<void> {
  for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
    await client.query('BEGIN');
    await copyTuples(client, `events (${COLUMN_LIST})`, piecesOf(batch));
    await client.query('COMMIT');
  }
}

function* piecesOf(batch: Buffer): Generator<Buffer> {
  for (let at = 0; at < batch.length; at += PIECE_BYTES) yield batch.subarray(at, at + PIECE_BYTES);
}
