// Encode here, SELECT there: what the server reads from our binary fields is what the text said.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import copy from 'pg-copy-streams';
import type { ColumnType } from '../../src/schema/column.ts';
import type { Random } from '../../src/schema/random.ts';
import { seededRandom } from '../../src/schema/random.ts';
import { integer, numeric, text, timestamp, uuid } from '../../src/schema/types.ts';
import type { TestServer } from '../support/postgres.ts';
import { startTestServer } from '../support/postgres.ts';
import { valueOf } from './encoding.ts';

const VALUES = 5000;
/** Signature, flags, length of the header extension. */
const COPY_HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const COPY_TRAILER = Buffer.from([0xff, 0xff]);

let server: TestServer;
let client: pg.Client;

before(async () => {
  server = await startTestServer();
  client = new pg.Client((await server.createDatabase()).client);
  await client.connect();
  await client.query("SET TimeZone = 'UTC'");
});

after(async () => {
  await client.end();
  await server.stop();
});

function field(value: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(value.length);
  return Buffer.concat([length, value]);
}

/** Copies the encoded texts into a table of the type, and gives back what the server makes of them, in order. */
async function roundTrip(type: ColumnType, texts: readonly string[], cast = 'text'): Promise<string[]> {
  await client.query(`CREATE TEMPORARY TABLE encoded (ord integer, value ${type.sql})`);
  const rows = texts.map((value, ord) => {
    const place = Buffer.alloc(4);
    place.writeInt32BE(ord);
    return Buffer.concat([Buffer.from([0, 2]), field(place), field(valueOf(type, value))]);
  });
  const sink = client.query(copy.from('COPY encoded FROM STDIN (FORMAT binary)'));
  await pipeline(Readable.from([COPY_HEADER, ...rows, COPY_TRAILER]), sink);
  const { rows: read } = await client.query<{ value: string }>(
    `SELECT value::${cast} AS value FROM encoded ORDER BY ord`,
  );
  await client.query('DROP TABLE encoded');
  return read.map(({ value }) => value);
}

async function checkAll(
  type: ColumnType,
  texts: readonly string[],
  expected: (value: string) => string,
): Promise<void> {
  const read = await roundTrip(type, texts);
  assert.equal(read.length, texts.length);
  texts.forEach((value, index) => assert.equal(read[index], expected(value), value));
}

function many(make: (random: Random) => string): string[] {
  const random = seededRandom(2024);
  return Array.from({ length: VALUES }, () => make(random));
}

function digits(random: Random, count: number): string {
  return Array.from({ length: count }, () => random.below(10)).join('');
}

describe('the server reads what we encode', () => {
  test('uuid', async () => {
    const spellings = many((random) => {
      const canonical = uuid().sample(random);
      return [canonical, canonical.toUpperCase(), `{${canonical}}`, canonical.replaceAll('-', '')][
        random.below(4)
      ]!;
    });
    const all = [...spellings, '0'.repeat(32), 'f'.repeat(32)];
    await checkAll(uuid(), all, (value) => {
      const hex = value.replaceAll(/[{}-]/g, '').toLowerCase();
      return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join(
        '-',
      );
    });
  });

  test('text of many alphabets and lengths', async () => {
    const alphabet = Array.from('aZ09 ,;"\'\\\t\n\réß漢字🚲').concat('\u0301', '\ufeff', '\u202e');
    const texts = many((random) =>
      Array.from({ length: 1 + random.below(255) }, () => alphabet[random.below(alphabet.length)]).join(''),
    );
    await checkAll(text({ max: 255 }), [...texts, '🚲'.repeat(255), '\\.', 'NULL', '\\N'], (value) => value);
  });

  test('integer', async () => {
    const texts = many((random) => String(random.below(2 ** random.below(32))));
    await checkAll(integer({ min: 0 }), [...texts, '0', '007', '2147483647'], (value) =>
      String(Number(value)),
    );
    await checkAll(integer(), ['-2147483648', '-1', '-0'], (value) => String(Number(value)));
  });

  test('numeric(12,2)', async () => {
    const decimals = (random: Random) =>
      ['', `.${digits(random, 1)}`, `.${digits(random, 2)}`][random.below(3)]!;
    const texts = many((random) => digits(random, 1 + random.below(10)) + decimals(random));
    const sparse = many((random) => `${10 ** random.below(10)}${['', '.0', '.01', '.10'][random.below(4)]!}`);
    const all = [...texts, ...sparse, '0', '0.00', '0.01', '0.10', '9999999999.99', `${'0'.repeat(30)}1.5`];
    await checkAll(numeric(12, 2, { min: 0 }), all, (value) => {
      const [whole = '', decimal = ''] = value.split('.');
      return `${whole.replace(/^0+(?=\d)/, '')}.${decimal.padEnd(2, '0')}`;
    });
  });

  test('numerics of other scales and signs, also where the column states no precision', async () => {
    for (const [precision, scale] of [
      [1, 0],
      [5, 5],
      [9, 1],
      [20, 6],
      [38, 19],
      [100, 50],
    ] as const) {
      const type = numeric(precision, scale);
      const texts = many((random) => {
        const whole = digits(random, 1 + random.below(Math.max(1, precision - scale)));
        const decimal =
          scale === 0
            ? ''
            : `.${'0'.repeat(random.below(scale))}${digits(random, scale)}`.slice(0, scale + 1);
        return `${random.below(2) === 0 ? '-' : ''}${precision === scale ? '0' : whole}${decimal}`;
      }).slice(0, 1000);
      const { rows } = await client.query<{ value: string }>(
        `SELECT v::numeric(${precision},${scale})::text AS value FROM unnest($1::text[]) WITH ORDINALITY AS t (v, n) ORDER BY n`,
        [texts],
      );
      const wanted = rows.map(({ value }) => value);
      assert.deepEqual(await roundTrip(type, texts), wanted);
      assert.deepEqual(await roundTrip({ ...type, sql: 'numeric' }, texts), wanted);
    }
  });

  test('timestamp, against the cast of the server itself', async () => {
    const texts = many((random) => {
      const year = String(1 + random.below(9999)).padStart(4, '0');
      const two = (value: number) => String(value).padStart(2, '0');
      const date = `${year}-${two(1 + random.below(12))}-${two(1 + random.below(28))}`;
      const time = `${two(random.below(24))}:${two(random.below(60))}:${two(random.below(60))}`;
      const fraction = random.below(2) === 0 ? '' : `.${digits(random, 1 + random.below(6))}`;
      const sign = random.below(2) === 0 ? '+' : '-';
      const zone = ['', 'Z', `${sign}${two(random.below(14))}:${two(random.below(60))}`][random.below(3)]!;
      const isAtBorder = year === '0001' || year === '9999';
      return `${date}${random.below(2) === 0 ? ' ' : 'T'}${time}${fraction}${isAtBorder ? '' : zone}`;
    });
    const all = [
      ...texts,
      '0001-01-01 00:00:00',
      '9999-12-31 23:59:59.999999',
      '1999-12-31 23:59:59.999999',
      '2000-01-01 00:00:00',
      '2024-02-29T23:00:00-14:00',
      '1970-01-01 00:00:00.000001Z',
    ];
    const { rows } = await client.query<{ value: string }>(
      `SELECT (v::timestamptz AT TIME ZONE 'UTC')::text AS value FROM unnest($1::text[]) WITH ORDINALITY AS t (v, n) ORDER BY n`,
      [all],
    );
    assert.deepEqual(
      await roundTrip(timestamp(), all),
      rows.map(({ value }) => value),
    );
  });

  test('the oid and the SQL of every type are those of the server', async () => {
    for (const type of [uuid(), text(), text({ max: 255 }), timestamp(), integer(), numeric(12, 2)]) {
      await client.query(`CREATE TEMPORARY TABLE typed (value ${type.sql})`);
      const { rows } = await client.query<{ oid: number; sql: string }>(
        `SELECT atttypid AS oid, format_type(atttypid, atttypmod) AS sql
           FROM pg_attribute WHERE attrelid = 'pg_temp.typed'::regclass AND attnum = 1`,
      );
      await client.query('DROP TABLE typed');
      assert.deepEqual(rows, [{ oid: type.oid, sql: type.sql }]);
    }
  });
});
