// Generated records: that they end as the generator says, in the shares that were asked for, and the same for every division.

import assert from 'node:assert/strict';
import { isUtf8 } from 'node:buffer';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import Papa from 'papaparse';
import type { Recipe } from '../../../src/core/generate/fate.ts';
import { rowUuid, seedKeys } from '../../../src/core/generate/hash.ts';
import { generateRows, HEADER } from '../../../src/core/generate/record.ts';
import { spoil } from '../../../src/core/generate/spoil.ts';
import { events } from '../../../src/schema/events.ts';
import { faultOf } from '../../schema/encoding.ts';

const MIXED: Recipe = { seed: 7, duplicates: 0.1, invalid: 0.1, quoted: 0.2 };

interface Outcome {
  readonly stored: ReadonlyMap<string, readonly string[]>;
  readonly duplicates: number;
  readonly rejected: number;
  readonly records: number;
}

/** What must become of the records, read with papaparse and judged with the column types, in a Map. */
function outcomeOf(text: string): Outcome {
  const stored = new Map<string, readonly string[]>();
  let duplicates = 0;
  let rejected = 0;
  const { data, errors } = Papa.parse<string[]>(text, {
    header: false,
    delimiter: ',',
    newline: '\n',
    skipEmptyLines: true,
  });
  assert.deepEqual(errors, []);
  for (const fields of data) {
    const key = fields[0]?.toLowerCase() ?? '';
    if (!isValid(fields)) rejected += 1;
    else if (stored.has(key)) duplicates += 1;
    else stored.set(key, fields);
  }
  return { stored, duplicates, rejected, records: data.length };
}

function isValid(fields: readonly string[]): boolean {
  if (fields.length !== events.columns.length) return false;
  return events.columns.every(({ type, required }, index) => {
    const bytes = Buffer.from(fields[index]!, 'latin1'); // one character per byte
    if (bytes.length === 0) return !required;
    return isUtf8(bytes) && faultOf(type, bytes.toString()) === null;
  });
}

describe('generated rows', () => {
  test('the header names the columns of the table in order', () => {
    assert.equal(HEADER, 'event_id,event_type,product_id,user_id,event_timestamp,quantity,price\n');
  });

  test('become exactly what the generator says', () => {
    const share = fc.constantFrom(0, 0.001, 0.03, 0.1, 0.25, 0.5, 0.9, 1);
    const recipe = fc
      .record({ seed: fc.nat(), duplicates: share, invalid: share, quoted: share })
      .filter(({ duplicates, invalid }) => duplicates + invalid <= 1);
    fc.assert(
      fc.property(recipe, fc.integer({ min: 1, max: 1500 }), (shares, count) => {
        const made = generateRows(shares, 0, count);
        const { duplicates, rejected, records } = outcomeOf(made.text);
        assert.deepEqual(
          { duplicates, rejected, records },
          { duplicates: made.duplicates, rejected: made.invalid, records: count },
        );
      }),
      { numRuns: 80 },
    );
  });

  test('keep the shares that were asked for', () => {
    const made = generateRows(MIXED, 0, 10_000);
    assert.ok(Math.abs(made.duplicates - 1000) <= 10, `${made.duplicates} duplicates`);
    assert.ok(Math.abs(made.invalid - 1000) <= 10, `${made.invalid} invalid`);
    const quoted = made.text.split('\n').filter((line) => line.includes('"')).length;
    assert.ok(Math.abs(quoted - 2200) <= 250, `${quoted} lines with quotes`); // one in ten has two of them
  });

  test('a few shares have few special rows, and the first valid row is never a duplicate', () => {
    assert.deepEqual(
      { ...generateRows({ ...MIXED, duplicates: 1, invalid: 0 }, 0, 500), text: '' },
      { text: '', duplicates: 499, invalid: 0 },
    );
    assert.deepEqual(
      { ...generateRows({ ...MIXED, duplicates: 0, invalid: 1 }, 0, 500), text: '' },
      { text: '', duplicates: 0, invalid: 500 },
    );
    const few = generateRows({ ...MIXED, duplicates: 0.001, invalid: 0 }, 0, 100_000).duplicates;
    assert.ok(few >= 99 && few <= 101, `${few} duplicates`);
  });

  test('are the same however they are divided among workers', () => {
    const whole = generateRows(MIXED, 0, 1000);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1000 }), fc.integer({ min: 0, max: 1000 }), (a, b) => {
        const [first, second] = [Math.min(a, b), Math.max(a, b)];
        const parts = [
          [0, first],
          [first, second - first],
          [second, 1000 - second],
        ] as const;
        const made = parts.map(([from, count]) => generateRows(MIXED, from, count));
        assert.equal(made.map(({ text }) => text).join(''), whole.text);
        assert.equal(
          made.reduce((sum, { duplicates }) => sum + duplicates, 0),
          whole.duplicates,
        );
      }),
      { numRuns: 30 },
    );
  });

  test('are others for another seed', () => {
    const keysOf = (seed: number) => [
      ...outcomeOf(generateRows({ ...MIXED, seed }, 0, 1000).text).stored.keys(),
    ];
    const seeds = [0, 1, 2, 2 ** 32 - 1, 2 ** 33];
    const keys = seeds.flatMap(keysOf);
    assert.equal(new Set(keys).size, keys.length);
  });

  test('look like a shop: four event types, 50 products with a price each, 500 users, time going forward', () => {
    const rows = [
      ...outcomeOf(
        generateRows({ seed: 3, duplicates: 0, invalid: 0, quoted: 0 }, 0, 20_000).text,
      ).stored.values(),
    ];
    const share = (type: string) => rows.filter((fields) => fields[1] === type).length / rows.length;
    assert.ok(Math.abs(share('view') - 0.7) < 0.02 && Math.abs(share('add_to_cart') - 0.18) < 0.02);
    assert.ok(Math.abs(share('purchase') - 0.08) < 0.02 && Math.abs(share('remove_from_cart') - 0.04) < 0.02);
    assert.equal(new Set(rows.map((fields) => fields[2])).size, 50);
    assert.equal(new Set(rows.map((fields) => `${fields[2]} ${fields[6]}`)).size, 50);
    assert.equal(new Set(rows.map((fields) => fields[3])).size, 501); // and nobody, for visitors without a name
    const times = rows.map((fields) => fields[4]!);
    assert.equal(times[0]?.slice(0, 10), '2024-01-01');
    assert.ok(times.every((time, index) => index === 0 || time > times[index - 1]!));
  });

  test('without --quoted there is no quote character, so that readers take their fast path', () => {
    assert.ok(!generateRows({ ...MIXED, quoted: 0 }, 0, 20_000).text.includes('"'));
  });

  test('every way of spoiling a record is refused, on one line', () => {
    const good = () =>
      [
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
        'view',
        'p',
        'u',
        '2024-01-01 00:00:00',
        '1',
        '1.50',
      ] as Parameters<typeof spoil>[0];
    assert.ok(isValid(good()));
    const ways = new Set<string>();
    for (let hash = 0; hash < 200; hash += 1) {
      const line = spoil(good(), hash);
      assert.match(line, /^[^"\r\n]*\n$/);
      assert.ok(!isValid(line.slice(0, -1).split(',')), line);
      ways.add(line);
    }
    assert.ok(ways.size >= 20, `${ways.size} ways`);
  });
});

test('the UUID of a row is different for every row, beyond 2^32 rows too, and has the shape of version 4', () => {
  const keys = seedKeys(11);
  const seen = new Set<string>();
  const starts = [0, 2 ** 31 - 5000, 2 ** 32 - 5000, 2 ** 40, 2 ** 53 - 20_000];
  for (const start of starts)
    for (let row = start; row < start + 10_000; row += 1) {
      const uuid = rowUuid(keys, row);
      if (!/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(uuid))
        assert.fail(uuid);
      seen.add(uuid);
    }
  assert.equal(seen.size, starts.length * 10_000);
  // By construction: the same low 32 bits share the last word, and differ in the second.
  assert.equal(rowUuid(keys, 5).slice(-8), rowUuid(keys, 5 + 2 ** 32).slice(-8));
  assert.notEqual(rowUuid(keys, 5).slice(9, 18), rowUuid(keys, 5 + 2 ** 32).slice(9, 18));
});
