// `\copy` without psql: sends a CSV file as it is, as text. Started by sides/copy.ts, so that its processor time can be told apart.

import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';

import { COLUMN_LIST } from '../scratch.ts';

const [file = ''] = process.argv.slice(2);
const client = new pg.Client(process.env['DATABASE_URL']);
await client.connect();
await pipeline(
  createReadStream(file, { highWaterMark: 1024 * 1024 }),
  client.query(copyFrom(`COPY events (${COLUMN_LIST}) FROM STDIN WITH (FORMAT csv, HEADER)`)),
);
await client.end();
