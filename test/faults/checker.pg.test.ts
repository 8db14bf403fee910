// The checker of the torture can fail: after a good run each kind of harm is done by hand, and it names each.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';

import { seededRandom } from '../../src/schema/random.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { Road } from '../support/road.ts';
import { check } from './checker.ts';
import { Producer } from './folder.ts';

let server: TestServer;
let road: Road;
let producer: Producer;
before(async () => {
  server = await startTestServer();
  road = new Road(await server.createDatabase());
  producer = new Producer(
    { folder: road.folder, taste: { checked: false }, mayChange: true },
    seededRandom(5, 1),
  );
  for (let step = 0; step < 25; step += 1) await producer.step();
  await road.once();
});
after(async () => {
  await road.clean();
  await server.stop();
});

async function violations(of: Road): Promise<readonly string[]> {
  return (await check(of, producer.live, producer.contents, await producer.byInode())).violations;
}

async function harmed(sql: string): Promise<readonly string[]> {
  const name = `${road.database.name}_harmed`;
  const admin = new pg.Client(server.database('postgres').client);
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name} TEMPLATE ${road.database.name}`);
  const copy = new Road(server.database(name));
  try {
    await copy.query(sql);
    return await violations(copy);
  } finally {
    await copy.clean();
    await admin.query(`DROP DATABASE ${name}`);
    await admin.end();
  }
}

test('a good run has nothing to complain about', async () => {
  assert.deepEqual(await violations(road), []);
  assert.ok((await road.count()) > 1_000);
});

const ANY_ROW = '(SELECT event_id FROM events ORDER BY event_id LIMIT 1)';
const ANY_REJECT =
  "(SELECT ctid FROM millrace.rejects WHERE code <> 'duplicate_conflict' ORDER BY generation, byte_offset LIMIT 1)";
const ANY_SLICE =
  '(SELECT ctid FROM millrace.slices WHERE records > 0 ORDER BY generation, start_offset LIMIT 1)';

for (const [what, sql, pattern] of [
  ['a lost row', `DELETE FROM events WHERE event_id = ${ANY_ROW}`, /is not stored: a loss/],
  [
    'a row from nowhere',
    "INSERT INTO events (event_id, event_type, event_timestamp) VALUES (gen_random_uuid(), 'view', now())",
    /stands in no committed slice/,
  ],
  [
    'an altered row',
    `UPDATE events SET price = 123456.78 WHERE event_id = ${ANY_ROW}`,
    /stands in no committed slice/,
  ],
  [
    'a row of another transaction',
    `UPDATE events SET price = price WHERE event_id = ${ANY_ROW}`,
    /was stored by transaction/,
  ],
  ['a lost reject', `DELETE FROM millrace.rejects WHERE ctid = ${ANY_REJECT}`, /is bad and was not rejected/],
  [
    'altered raw bytes',
    `UPDATE millrace.rejects SET raw = raw || 'x'::bytea WHERE ctid = ${ANY_REJECT}`,
    /raw bytes are not those of the file/,
  ],
  [
    'a reject at another place',
    `UPDATE millrace.rejects SET byte_offset = byte_offset + 1 WHERE ctid = ${ANY_REJECT}`,
    /raw bytes|not rejected/,
  ],
  [
    'a record booked once too often',
    `UPDATE millrace.slices SET records = records + 1, duplicates = duplicates + 1 WHERE ctid = ${ANY_SLICE}`,
    /records and \d+ rejects written/,
  ],
  [
    'an insert booked as a duplicate',
    'UPDATE millrace.slices SET inserted = inserted - 1, duplicates = duplicates + 1 WHERE ctid = (SELECT ctid FROM millrace.slices WHERE inserted > 0 LIMIT 1)',
    /booked as inserted/,
  ],
  ['a lost position', `DELETE FROM millrace.slices WHERE ctid = ${ANY_SLICE}`, /is done at|without bytes/],
  [
    'other bytes than those of the file',
    `UPDATE millrace.slices SET crc32 = (crc32 + 1) % 4294967296 WHERE ctid = ${ANY_SLICE}`,
    /bytes that no file ever had/,
  ],
  [
    'a file that was not read to its end',
    "UPDATE millrace.files SET state = 'reading' WHERE generation = (SELECT generation FROM millrace.files WHERE state = 'done' ORDER BY ordinal DESC LIMIT 1)",
    /was never read to its end/,
  ],
  [
    'a parked file',
    "UPDATE millrace.files SET state = 'parked', reason = 'no reason' WHERE ordinal = (SELECT min(ordinal) FROM millrace.files)",
    /is parked: no reason/,
  ],
] as const)
  test(`${what} is noticed`, async () => {
    const found = await harmed(sql);
    assert.ok(
      found.some((violation) => pattern.test(violation)),
      found.join('\n') || 'nothing was noticed',
    );
  });
