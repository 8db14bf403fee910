// Records read again one at a time give what the road gave when the whole file was read.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { readAgain } from '../../src/core/again.ts';
import { neutralize } from '../../src/core/formulas.ts';
import type { Header } from '../../src/core/header.ts';
import { readHeader } from '../../src/core/header.ts';
import { events as table } from '../../src/schema/events.ts';
import { HEADER, event, invalidEvent, quotedEvent } from '../support/events.ts';

const LF = 0x0a;

function headerOf(text: string): Header {
  const result = readHeader(Buffer.from(text), true, table, LF);
  assert.ok(result.kind === 'header');
  return result.header;
}

function kinds(records: readonly string[]): string[] {
  const bytes = records.map((text, index) => ({ offset: index * 1_000, raw: Buffer.from(text) }));
  return readAgain(bytes, { header: headerOf(`${HEADER}\n`), newline: LF, nulls: [] }, table).map((answer) =>
    answer.kind === 'rejected' ? `${answer.reject.code} ${answer.reject.offset}` : answer.kind,
  );
}

test('a record is a row, or a reject at its place in the file, whatever stands before it', () => {
  const { text } = event(1);
  assert.deepEqual(kinds([text, 'short', quotedEvent(2).text, invalidEvent(3).text, `"${text}`, text]), [
    'row',
    'too_few_fields 1000',
    'row',
    'timestamp_calendar 3000',
    'unclosed_quote 4000',
    'row',
  ]);
});

test('bytes that are not one record are told so, not guessed at', () => {
  const { text } = event(1);
  assert.deepEqual(kinds([`${text}\n${text}`, '', `${text}\r`]), ['untold', 'untold', 'decimal 2000']);
});

test('the key is that of the record, and the tuple that of the file', () => {
  const [one, two] = [event(5), quotedEvent(6)];
  const header = headerOf(`${HEADER}\n`);
  const raws = [one, two].map(({ text }, index) => ({ offset: index, raw: Buffer.from(text) }));
  const together = readAgain(raws, { header, newline: LF, nulls: [] }, table);
  const alone = raws.map((raw) => readAgain([raw], { header, newline: LF, nulls: [] }, table)[0]);
  assert.deepEqual(together, alone);
  assert.deepEqual(
    together.map((answer) => (answer.kind === 'row' ? answer.key : '')),
    [one.key, two.key].map((key) => key.replaceAll('-', '')),
  );
});

test('formulas lose their power, in quotes too, and all other bytes stay', () => {
  const cases = [
    ['=1,a', "'=1,a"],
    ['a,"=1+1",b', `a,"'=1+1",b`],
    ['"a ""=b"", =c",-1', `"a ""=b"", =c",'-1`],
    ['"",@x,+1', `"",'@x,'+1`],
    ['"open,=1', '"open,=1'],
    ['a-b,c=d', 'a-b,c=d'],
  ] as const;
  for (const [given, wanted] of cases) assert.equal(neutralize(Buffer.from(given), 0x2c).toString(), wanted);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const out = [...neutralize(bytes, 0x2c)];
      assert.deepEqual(
        out.filter((byte) => byte !== 0x27),
        [...bytes].filter((byte) => byte !== 0x27),
      );
    }),
  );
});
