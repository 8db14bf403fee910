// One record's fields to one row: the tuple, the key's words, the hash of the rest, and the first fault in the order of the table.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeTuples } from '../../src/core/copy-binary.ts';
import { events } from '../../src/schema/events.ts';
import { parseWhole, run, sliceOf, withFile } from '../support/parse-harness.ts';

const HEADER = 'event_id,event_type,product_id,user_id,event_timestamp,quantity,price\n';
const ID = '550e8400-e29b-41d4-a716-446655440000';
const ROW = `${ID},purchase,prod_12,user_345,2024-03-01 12:34:56,2,19.99`;

const rowsOf = (...lines: string[]) =>
  withFile(Buffer.from(HEADER + lines.join('\n')), (file) => run([sliceOf(file)], { table: events }).rows);

test('a whole row becomes the bytes that PostgreSQL reads', () => {
  const rows = rowsOf(ROW);
  const [fields] = decodeTuples(rows.bytes);
  const micros = (Date.UTC(2024, 2, 1, 12, 34, 56) - Date.UTC(2000, 0, 1)) * 1000;
  assert.deepEqual(
    fields!.map((field) => field?.toString('hex')),
    [
      ID.replaceAll('-', ''),
      Buffer.from('purchase').toString('hex'),
      Buffer.from('prod_12').toString('hex'),
      Buffer.from('user_345').toString('hex'),
      micros.toString(16).padStart(16, '0'),
      '00000002',
      '0002000000000002001326ac',
    ],
  );
  assert.deepEqual([...rows.keys], [0x550e8400, 0xe29b41d4, 0xa7164466, 0x55440000]);
  assert.deepEqual([...rows.recordLengths], [ROW.length]);
  assert.deepEqual([...rows.recordOffsets], [HEADER.length]);
  assert.deepEqual([...rows.recordLines], [1]);
});

test('empty fields, quoted or not, are NULL', () => {
  const [plain] = decodeTuples(rowsOf(`${ID},view,,,2024-03-01 12:34:56,,`).bytes);
  const [quoted] = decodeTuples(rowsOf(`"${ID}","view","","","2024-03-01 12:34:56","",""`).bytes);
  assert.deepEqual(quoted, plain);
  assert.deepEqual(
    plain!.map((field) => field === null),
    [false, false, true, true, false, true, true],
  );
});

test('the hash tells another content under the same key, and not another spelling of the same', () => {
  const rows = rowsOf(
    ROW,
    ROW.replace('user_345', 'user_346'),
    `{${ID.toUpperCase()}},"purchase",prod_12,user_345,2024-03-01T12:34:56Z,002,19.990`.replace(
      '19.990',
      '19.99',
    ),
    ROW.replace('prod_12,user_345', 'prod_12user_345,'),
    ROW.replace(',2,', ',,'),
  );
  const [first, other, spelled, moved, without] = rows.payloads;
  assert.equal(spelled, first);
  assert.equal(new Set([first, other, moved, without]).size, 4);
});

test('no two of many contents share a hash more often than chance allows', () => {
  const lines = Array.from({ length: 20_000 }, (_, row) => ROW.replace('user_345', `user_${row}`));
  const distinct = new Set(rowsOf(...lines).payloads).size;
  assert.ok(distinct > 19_990, `${distinct} of 20000`);
});

test('the first fault in the order of the table names column, field, value and reason', () => {
  const file = 'price,EVENT_TYPE, event_id ,event_timestamp\n-1,sale,no\u001b[31m,never\n';
  const [reject] = parseWhole(Buffer.from(file), { table: events }).rejects;
  assert.deepEqual([reject!.field, reject!.column, reject!.code], [3, 'event_id', 'uuid']);
  assert.equal(
    reject!.sentence,
    "event_id 'no\\x1b[31m' is not a UUID (canonical, upper case, in braces, or without hyphens)",
  );
});

test('a long value is cut in the sentence and whole in the raw bytes', () => {
  const value = '\u{1f600}'.repeat(300);
  const [reject] = parseWhole(
    Buffer.from(`event_id,event_type,event_timestamp,user_id\n${ID},view,2024-03-01 12:34:56,${value}\n`),
    {
      table: events,
    },
  ).rejects;
  assert.equal(reject!.sentence, `user_id '${'\u{1f600}'.repeat(64)}…' is longer than the column allows`);
  assert.ok(Buffer.from(reject!.raw!).toString().endsWith(value));
});
