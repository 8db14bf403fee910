// The second reading of `verify` against the pipeline's own parser, on bytes that try to break both: they share no code, so where they agree on
// every record, its place and its fault, each vouches for the other.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { readLayout, readRecords } from '../../../src/commands/verify/reader.ts';
import type { FoundRecord } from '../../../src/commands/verify/reader.ts';
import { judgeValue } from '../../../src/commands/verify/values.ts';
import type { GenerationId } from '../../../src/core/slice.ts';
import { events } from '../../../src/schema/events.ts';
import { parseTask } from '../../../workers/parse.ts';
import { HEADER, event, invalidEvent, quotedEvent } from '../../support/events.ts';

const folder = mkdtempSync(join(tmpdir(), 'millrace-reader-'));
const path = join(folder, 'a.csv');
after(() => rmSync(folder, { recursive: true, force: true }));

async function secondReading(bytes: Buffer, newline: 'lf' | 'cr' = 'lf'): Promise<FoundRecord[] | null> {
  writeFileSync(path, bytes);
  const file = await open(path);
  try {
    const layout = await readLayout(file, bytes.length, events, { newline });
    if (layout === null) return null;
    const found: FoundRecord[] = [];
    for await (const block of readRecords(file, layout, events, { start: 0, end: bytes.length, line: 1 }))
      for (const record of block) found.push(record);
    return found;
  } finally {
    await file.close();
  }
}

/** [offset, line, code or null] of every record, in the order of the file; null when the file is refused. */
async function firstReading(
  bytes: Buffer,
  newline: 'lf' | 'cr' = 'lf',
): Promise<unknown[][] | 'foreign' | null> {
  writeFileSync(path, bytes);
  const size = bytes.length;
  const slice = {
    start: 0,
    end: size,
    exact: true,
    limit: size,
    final: true,
    fd: null,
    path,
  };
  const generation = randomUUID() as string as GenerationId;
  const chunk = parseTask(
    { slices: [{ ...slice, generation }], dialect: { newline }, rejectsMax: 1e6 },
    events,
    'bytes',
  );
  const [parsed] = chunk.slices;
  // A file that looks like another encoding is refused as a whole, and has no records to compare.
  if (parsed?.kind === 'refused' && parsed.code === 'wrong_encoding') return 'foreign';
  if (parsed?.kind !== 'parsed') return null;
  const { recordOffsets, recordLines, count } = chunk.rows;
  const rows = Array.from({ length: count }, (_, row) => [recordOffsets[row]!, recordLines[row]! + 1, null]);
  const rejects = parsed.rejects.map(({ offset, line, code }) => [offset, line + 1, code]);
  return [...rows, ...rejects].toSorted((a, b) => Number(a[0]) - Number(b[0]));
}

async function agree(bytes: Buffer, newline: 'lf' | 'cr' = 'lf'): Promise<number> {
  const first = await firstReading(bytes, newline);
  const second = await secondReading(bytes, newline);
  const shown = JSON.stringify(bytes.toString('latin1').slice(0, 2_000));
  if (first === 'foreign') return 0;
  if (first === null) {
    assert.ok(second === null || second.length === 0, shown);
    return 0;
  }
  assert.deepEqual(
    (second ?? []).map(({ offset, line, code }) => [offset, line, code]),
    first,
    shown,
  );
  return first.length;
}

const nasty = fc.constantFrom(
  '"',
  '""',
  ',',
  '\n',
  '\r\n',
  '\r',
  '\0',
  '\xff',
  '\xc3\xa9',
  '\ufeff',
  ' ',
  'x',
  '"x',
  'x"',
  '\n\n',
  '",',
  ',"',
);
const record = fc.oneof(
  { weight: 4, arbitrary: fc.nat(1_000).map((n) => event(n).text) },
  { weight: 1, arbitrary: fc.nat(1_000).map((n) => quotedEvent(n).text) },
  { weight: 1, arbitrary: fc.nat(1_000).map((n) => invalidEvent(n).text) },
);
/** Good records with one piece of dirt somewhere. */
const dirty = fc.tuple(record, fc.nat(), nasty).map(([text, at, dirt]) => {
  const place = at % (text.length + 1);
  return text.slice(0, place) + dirt + text.slice(place);
});
const lines = fc.array(
  fc.oneof(
    record,
    dirty,
    fc.array(nasty, { maxLength: 12 }).map((all) => all.join('')),
  ),
  {
    maxLength: 12,
  },
);
const ends = fc.constantFrom('\n', '\r\n');

describe('the second reading', () => {
  test('finds the same records at the same places with the same faults as the pipeline', async () => {
    let records = 0;
    await fc.assert(
      fc.asyncProperty(lines, ends, fc.boolean(), async (all, end, isTerminated) => {
        const text = [HEADER, ...all].join(end) + (isTerminated ? end : '');
        records += await agree(Buffer.from(text, 'latin1'));
      }),
      { numRuns: 1_500 },
    );
    assert.ok(records > 3_000, `only ${records} records were compared`);
  });

  test('agrees about files of old Macs, other delimiters, a BOM and blank lines', async () => {
    const good = [event(1), event(2), quotedEvent(3), invalidEvent(4)].map(({ text }) => text);
    assert.equal(await agree(Buffer.from([HEADER, ...good, ''].join('\r')), 'cr'), 4);
    const tabbed = [HEADER, ...good.slice(0, 2)].join('\n').replaceAll(',', '\t');
    assert.equal(await agree(Buffer.from(`\ufeff\n\r\n${tabbed}\n\n\n`)), 2);
  });

  test('agrees about records at the limit of 1 MiB, and about lines far beyond it', async () => {
    const { key } = event(1);
    for (const fill of [2 ** 20 - 100, 2 ** 20 - 81, 2 ** 20 - 80, 2 ** 20, 3 * 2 ** 20]) {
      for (const quote of ['', '"']) {
        const wide = `${key},view,${quote}${'p'.repeat(fill)}${quote},u,2024-01-01 00:00:00,1,1.00`;
        await agree(Buffer.from([HEADER, event(2).text, wide, event(3).text, ''].join('\n')));
      }
      const open = `${key},view,"${`${'p'.repeat(999)}\n`.repeat(fill / 1_000)}`;
      await agree(Buffer.from([HEADER, event(2).text, open, event(3).text, ''].join('\n')));
    }
  });

  test(
    'agrees about quotes below a header of many columns, and reads them in linear time',
    { timeout: 120_000 },
    async () => {
      const columns = Array.from({ length: 40_000 }, (_, column) => `c${column}`).join(',');
      // Each line opens a quote that the next one closes: read as one record, they are one of very many fields.
      const lines = (count: number): string => `${HEADER},${columns}\n${'x","\n'.repeat(count)}`;
      assert.equal(await agree(Buffer.from(lines(2_000))), 2_000);
      assert.equal(await agree(Buffer.from(`${lines(500)}x\n"\n${'x","\n'.repeat(500)}`)), 1_002);
      // 5 MB; without its memory this takes over an hour. The time-out of the test is the measure.
      assert.equal((await secondReading(Buffer.from(lines(1_000_000))))?.length, 1_000_000);
      // 50 MB without any record.
      const [only, ...others] = (await secondReading(Buffer.from(`${HEADER}\n${'"'.repeat(50e6)}`))) ?? [];
      assert.deepEqual([only?.code, others.length], ['record_too_large', 0]);
    },
  );

  test('judges values as the encoders of the table do', () => {
    const words =
      '0 1 9 12 2024 - + : . T Z 02 29 30 2147483647 2147483648 24 59 60 0001 9999 { } a F g é 🚲 view 00 14 00:00';
    const pieces = fc.constantFrom(' ', '\n', ...words.split(' '));
    const free = fc.array(pieces, { minLength: 1, maxLength: 14 }).map((all) => all.join(''));
    const two = fc.integer({ min: 0, max: 61 }).map((n) => String(n).padStart(2, '0'));
    const year = fc.constantFrom('0000', '0001', '1900', '2000', '2024', '9999');
    const moment = fc
      .tuple(
        year,
        two,
        two,
        two,
        two,
        two,
        fc.constantFrom('', 'Z', '+14:00', '-14:00', '+14:01', '.1', '.1234567', '-05:30'),
      )
      .map(([y, mo, d, h, mi, s, rest]) => `${y}-${mo}-${d} ${h}:${mi}:${s}${rest}`);
    fc.assert(
      fc.property(fc.oneof(free, moment, fc.uuid(), fc.string()), (text) => {
        if (text === '' || text.includes('\0') || !text.isWellFormed()) return;
        const source = Buffer.from(text);
        for (const column of events.columns) {
          const out = { bytes: Buffer.alloc(source.length * 2 + 64), position: 0 };
          const fault = column.type.encode(source, 0, source.length, out);
          const judged = judgeValue(column, text);
          assert.equal(
            'fault' in judged ? judged.fault : null,
            fault,
            `${column.name}: ${JSON.stringify(text)}`,
          );
        }
      }),
      { numRuns: 20_000 },
    );
  });
});
