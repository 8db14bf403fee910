// Bad input, the values: which spellings of keys, numbers, prices and times are taken, which are refused and with which code, and that
// text of any kind stays text. One small file per column.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uuidOf } from '../support/events.ts';
import { judge, lines, read, record, textOf } from '../support/input.ts';

/** Value -> 'ok' or code; compared as a whole so that a failure shows the value. */
function assertJudged(column: string, expected: Readonly<Record<string, string>>): void {
  const values = Object.keys(expected);
  const judged = judge(column, values);
  assert.deepEqual(Object.fromEntries(values.map((value, index) => [value, judged[index]])), expected);
}

function all(code: string, values: readonly string[]): Record<string, string> {
  return Object.fromEntries(values.map((value) => [value, code]));
}

const KEY = '0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d';

test('a UUID is taken in four spellings, any version, and in no other', () => {
  const plain = KEY.replaceAll('-', '');
  assertJudged('event_id', {
    ...all('ok', [KEY, KEY.toUpperCase(), `{${KEY}}`, plain, '00000000-0000-0000-0000-000000000000']),
    ...all('ok', ['ffffffff-ffff-ffff-ffff-ffffffffffff', '0a1b2c3d-4e5f-9a6b-0c7d-9e0f1a2b3c4d']),
    ...all('uuid', [
      `urn:uuid:${KEY}`,
      ` ${KEY}`,
      `${KEY} `,
      KEY.slice(1),
      `${KEY}0`,
      `{${KEY}`,
      `{${plain}}`,
    ]),
    ...all('uuid', [KEY.replace('-', ''), `${plain.slice(0, 16)}-${plain.slice(16)}`, KEY.replace('0', 'g')]),
    ...all('uuid', [KEY.replace('0', '\uff10'), '-'.repeat(36), '1', 'null']),
    '': 'required',
  });
});

test('one UUID in several spellings is one key', () => {
  const spellings = [KEY, KEY.toUpperCase(), `{${KEY}}`, KEY.replaceAll('-', '')];
  const seen = read(lines(...spellings.map((event_id) => record({ event_id }))));
  const keys = new Set(seen.values.map(([key]) => key?.toString('hex')));
  assert.deepEqual([seen.rows, [...keys]], [4, [KEY.replaceAll('-', '')]]);
});

test('a quantity is digits only, within four bytes, and not negative', () => {
  assertJudged('quantity', {
    ...all('ok', ['0', '1', '007', '2147483647', '']),
    ...all('integer', [
      ' 12 ',
      '12 ',
      '1e3',
      '1.0',
      'NaN',
      '"1,000"',
      '0x1F',
      '1_000',
      '\u0661',
      '1-',
      '--1',
      'one',
      '-5',
      '+7',
      '-0',
    ]),
    ...all('integer_range', ['2147483648', '99999999999999999999']),
  });
});

test('a price is a plain decimal, is never rounded, and is not negative', () => {
  assertJudged('price', {
    ...all('ok', ['0', '12.50', '9999999999.99', '1.5', '']),
    ...all('decimal', [
      'NaN',
      'Infinity',
      '-inf',
      '1e400',
      '1e2',
      '"1,5"',
      '"1.234,56"',
      '$5',
      '5€',
      '\u22125',
      ' 5',
      '1.2.3',
      '-1',
      '+1',
      '.5',
      '5.',
    ]),
    ...all('decimal_scale', ['1.005', '0.001']),
    ...all('decimal_range', ['1'.repeat(40), '10000000000']),
  });
});

test('a timestamp is written in one way, names a moment, and is of years 1 to 9999', () => {
  assertJudged('event_timestamp', {
    ...all('ok', [
      '2024-05-06 07:08:09',
      '2024-05-06T07:08:09Z',
      '2024-05-06T07:08:09.123456+05:30',
      '0001-01-01 00:00:00',
    ]),
    ...all('ok', ['2024-02-29 00:00:00', '2024-03-31 02:30:00', '2024-05-06 07:08:09.1']),
    ...all('timestamp', [
      '2024-05-06',
      '2024-05-06 07:08',
      '2024-05-06 07:08:09.1234567',
      '01/02/2024',
      'now',
      'infinity',
    ]),
    ...all('timestamp', [
      '1714979289',
      '1714979289000',
      '2024-W19-1',
      '2024-05-06 07:08:09 CET',
      '10000-01-01 00:00:00',
      '2024-05-06 07:08:09+25:00',
    ]),
    ...all('timestamp', [
      '2024-05-06 07:08:09 BC',
      '2024-05-06 07:08:09 Europe/Berlin',
      '-001-01-01 00:00:00',
    ]),
    ...all('timestamp_calendar', [
      '2024-02-30 00:00:00',
      '2023-02-29 00:00:00',
      '2024-13-01 00:00:00',
      '2024-05-06 07:08:60',
      '2024-05-06 25:00:00',
      '2024-05-06 24:00:00',
    ]),
    ...all('timestamp_range', [
      '0000-01-01 00:00:00',
      '0001-01-01 00:00:00+01:00',
      '9999-12-31 23:59:59-01:00',
    ]),
    '': 'required',
  });
});

test('empty, quoted empty and blank: NULL, NULL and text; words for nothing are text', () => {
  const values = ['', '""', ' ', 'NULL', '\\N', 'null', 'N/A', 'nil'];
  const seen = read(lines(...values.map((product_id) => record({ product_id }))));
  assert.deepEqual(
    values.map((_, row) => textOf(seen, 'product_id', row)),
    [undefined, undefined, ...values.slice(2)],
  );
  assert.deepEqual(judge('event_type', ['', '""', ' ', 'NULL']), [
    'required',
    'required',
    'not_listed',
    'not_listed',
  ]);
});

test('text that means something to SQL, shells, spreadsheets and browsers is stored as it is', () => {
  const texts = [
    "'; DROP TABLE events; --", '$1', '%s', '\\x00', '$(id)', '=cmd|/C calc', '+1', '-1', '@SUM(A1)', '<script>alert(1)</script>',
    '<img src=x onerror=alert(1)>', '&amp;', "O'Brien", '{{7*7}}', '../../etc/passwd',
  ]; // prettier-ignore
  const seen = read(lines(...texts.map((product_id) => record({ product_id }))));
  assert.deepEqual(
    texts.map((_, row) => textOf(seen, 'product_id', row)),
    texts,
  );
  const header = read(`${lines(record()).split('\n')[0]},"'; DROP TABLE events"\n${record()},x\n`);
  assert.equal(header.rows, 1);
  assert.equal(uuidOf(1).length, 36);
});
