// Bad input, the folder: odd names, links, endings, re-sent and many files, and files of bad rows only, through the whole program into a
// real database.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { HEADER, csv, event, events, invalidEvent } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { withRoad as withRoadOn } from '../support/road.ts';
import type { Road } from '../support/road.ts';

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

const withRoad = (body: (road: Road) => Promise<void>): Promise<void> => withRoadOn(server, body);

test('the first of several records with one key is stored, the others are duplicates, in a file and across files', () =>
  withRoad(async (road) => {
    const shouted = event(1).text.replace(event(1).key, event(1).key.toUpperCase());
    await road.put('a.csv', `${csv([event(1), event(1, 1), event(2)])}${shouted}\n`);
    const first = await road.once();
    assert.deepEqual([first.records, first.inserted, first.duplicates], [4, 2, 2]);
    await road.put('b.csv', csv([event(1, 2), event(3)]));
    const second = await road.once();
    assert.deepEqual([second.records, second.inserted, second.duplicates], [2, 1, 1]);
    const [row] = await road.query<{ text: string }>(
      `SELECT concat_ws(',', event_id, event_type, product_id, user_id, event_timestamp, quantity, price) AS text FROM events WHERE event_id = $1`,
      [event(1).key],
    );
    assert.equal(row?.text, event(1).text, 'the first one wins');
  }));

test('texts that mean something to SQL, spreadsheets and browsers come out of the table as they went in', () =>
  withRoad(async (road) => {
    const texts = [
      "'; DROP TABLE events; --",
      '$1',
      '\\x00',
      '\\.',
      '=cmd|A1',
      '@x',
      '<script>alert(1)</script>',
      '<img src=x onerror=x>',
    ];
    const rows = texts.map((text, index) => event(index).text.replace(/prod_\d+/, () => text));
    await road.put("'; DROP TABLE events; --<script>.csv", [HEADER, ...rows, ''].join('\n'));
    assert.equal((await road.once()).inserted, texts.length);
    const stored = await road.query<{ product_id: string }>('SELECT product_id FROM events');
    assert.deepEqual(stored.map((row) => row.product_id).toSorted(), texts.toSorted());
  }));

const ODD_NAMES: readonly (string | Buffer)[] = [
  'a\nb.csv', 'quo"te.csv', "o'brien.csv", '\u{1f600}.csv', '\u202egpj.csv', '-rf.csv', 'a..csv', `${'x'.repeat(251)}.csv`,
  Buffer.from('bad\xff\xfe.csv', 'latin1'), 'blank .csv', ' .csv', '*.csv', '$(id).csv', '[table].csv', '{a}.csv', '`id`.csv', '%s%n.csv',
  '\x1b[2J.csv', '\\.csv', '\tq.csv',
]; // prettier-ignore

test('file names of any bytes are read, written down byte for byte and printed without effect', () =>
  withRoad(async (road) => {
    ODD_NAMES.forEach((name, index) => {
      const path = Buffer.concat([Buffer.from(`${road.folder}/`), Buffer.from(name as string)]);
      writeFileSync(path, csv([event(index)]));
    });
    const { code, stderr } = await road.start(['--once', '--settle', '100ms']).ended;
    assert.equal(code, 0, stderr);
    // oxlint-disable-next-line no-control-regex -- exactly these must not be there
    assert.doesNotMatch(stderr, /\u202e|\x1b\[2J/);
    assert.equal(await road.count(), ODD_NAMES.length);
    const books = await road.query<{ name_bytes: Buffer }>('SELECT name_bytes FROM millrace.files');
    assert.deepEqual(
      new Set(books.map((row) => row.name_bytes.toString('hex'))),
      new Set(ODD_NAMES.map((name) => Buffer.from(name as string).toString('hex'))),
    );
  }));

test('unfinished, hidden and foreign names, folders, links and pipes are not read', () =>
  withRoad(async (road) => {
    for (const name of ['a.csv.tmp', 'b.csv.part', '.c.csv', 'd.csv~', 'E.CSV', 'f', 'g.txt'])
      writeFileSync(road.path(name), csv([event(1)]));
    mkdirSync(road.path('folder.csv'));
    symlinkSync('/etc/passwd', road.path('link.csv'));
    symlinkSync('nowhere', road.path('dangling.csv'));
    execFileSync('sh', ['-c', 'mkfifo "$0"', road.path('pipe.csv')]);
    await road.put('good.csv', csv([event(2)]));
    const counts = await road.once();
    assert.deepEqual([counts.files, counts.records, counts.inserted], [1, 1, 1]);
    assert.equal((await road.once(['--pattern', '*.CSV,f'])).inserted, 1, 'by option they are');
  }));

test('many small files and one of long and short rows', () =>
  withRoad(async (road) => {
    for (let index = 0; index < 1_500; index += 1)
      writeFileSync(road.path(`${index}.csv`), csv([event(index)]));
    const mixed = events(2_000, 300).map(({ text }, index) =>
      index % 100 === 0 ? `${text},${'x'.repeat(900_000)}` : `${text},`,
    );
    await road.put('mixed.csv', [`${HEADER},note`, ...mixed, ''].join('\n'));
    const counts = await road.once();
    assert.deepEqual([counts.files, counts.records, counts.inserted], [1_501, 1_800, 1_800]);
  }));

test('a file of bad records only is counted whole, and its listed rejects are bounded', () =>
  withRoad(async (road) => {
    await road.put('bad.csv', [HEADER, ...Array.from({ length: 3_000 }, () => 'bad'), ''].join('\n'));
    const mixed = Array.from({ length: 100 }, (_, index) =>
      index % 10 === 3 ? invalidEvent(index) : event(index),
    );
    await road.put('tenth.csv', csv(mixed));
    const counts = await road.once(['--rejects-max-per-file', '100']);
    assert.deepEqual([counts.records, counts.inserted, counts.rejected], [3_100, 90, 3_010]);
    const [row] = await road.query<{ listed: number; records: number }>(
      `SELECT count(*)::int AS listed, sum(records)::int AS records FROM millrace.rejects r
       JOIN millrace.files f USING (generation) WHERE f.name = 'bad.csv'`,
    );
    assert.equal(row?.records, 3_000);
    assert.ok((row?.listed ?? 0) <= 101, `${row?.listed} listed`);
  }));

test('the same content under another name, sent again, appended to, or compressed brings no row twice', () =>
  withRoad(async (road) => {
    const records = events(0, 50);
    await road.put('a.csv', csv(records));
    assert.equal((await road.once()).inserted, 50);
    await road.put('b.csv', csv(records));
    await road.put('a.csv', csv(records));
    const again = await road.once();
    assert.deepEqual([again.inserted, again.duplicates], [0, 100]);
    await road.put('c.csv.gz', gzipSync(csv([...records, event(60)])));
    const packed = await road.once();
    const { inserted, duplicates, rejected } = packed;
    assert.deepEqual(
      { records: packed.records, inserted, duplicates, rejected },
      { records: 51, inserted: 1, duplicates: 50, rejected: 0 },
    );
  }));
