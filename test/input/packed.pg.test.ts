// Compressed files through the whole program: read whole and once, at the positions of what they unpack to, across kills; and not at all when
// they are damaged or bombs.

import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { millrace } from '../support/cli.ts';
import { HEADER, csv, event, events, invalidEvent } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { until, withRoad as withRoadOn } from '../support/road.ts';
import type { Road } from '../support/road.ts';

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

const withRoad = (body: (road: Road) => Promise<void>): Promise<void> => withRoadOn(server, body);

test('a compressed file is read whole, of one member or several', () =>
  withRoad(async (road) => {
    const text = csv([...events(0, 300), invalidEvent(1), ...events(300, 200)]);
    const [a, b] = [text.slice(0, 7_001), text.slice(7_001)];
    await road.put('one.csv.gz', gzipSync(text));
    await road.put(
      'several.csv.gz',
      Buffer.concat([gzipSync(a), gzipSync(''), gzipSync(b), Buffer.alloc(512)]),
    );
    const counts = await road.once();
    assert.deepEqual(
      [counts.records, counts.inserted, counts.duplicates, counts.rejected],
      [1_002, 500, 500, 2],
    );
    for (const file of await road.books())
      assert.deepEqual([file.state, file.position], ['done', text.length]);
    const places = await road.query<{ byte_offset: number; raw: Buffer }>(
      'SELECT byte_offset::int, raw FROM millrace.rejects',
    );
    for (const { byte_offset: offset, raw } of places)
      assert.equal(text.slice(offset, offset + raw.length), raw.toString());
    assert.equal((await road.once()).records, 0, 'read once');
    const { stdout, code } = await millrace([
      'check',
      '--json',
      road.path('one.csv.gz'),
      road.path('several.csv.gz'),
    ]);
    const checked = JSON.parse(stdout) as { records: number; inserted: number; rejected: number };
    assert.deepEqual([code, checked.records, checked.inserted, checked.rejected], [1, 1_002, 500, 2]);
  }));

test('a compressed file that is cut off, damaged or a bomb brings no row at all, and says why', () =>
  withRoad(async (road) => {
    const good = gzipSync(csv(events(0, 20_000)));
    const damaged = Buffer.from(good);
    damaged[good.length >> 1]! ^= 0x55;
    const bomb = gzipSync(
      Buffer.concat([Buffer.from(csv(events(0, 5))), Buffer.alloc(80 * 1024 * 1024, 'x')]),
    );
    const cases: readonly (readonly [string, Buffer, RegExp])[] = [
      ['cut.csv.gz', good.subarray(0, good.length - 9), /cut off/],
      ['damaged.csv.gz', damaged, /damaged/],
      ['plain.csv.gz', Buffer.from(csv(events(0, 5))), /no gzip file/],
      [
        'tail.csv.gz',
        Buffer.concat([gzipSync(csv(events(0, 5))), Buffer.from('\0garbage')]),
        /no gzip member/,
      ],
      ['empty.csv.gz', Buffer.alloc(0), /empty/],
      ['bomb.csv.gz', bomb, /as bombs do/],
      ['large.csv.gz', gzipSync(csv(events(0, 50_000)), { level: 1 }), /--unpacked-max/],
    ];
    for (const [name, bytes] of cases) await road.put(name, bytes);
    await road.put('good.csv.gz', gzipSync(csv(events(0, 10))));
    const limits = ['--unpacked-max', '90MiB'];
    const counts = await road.once(['--unpacked-max', '4MiB']);
    assert.deepEqual([counts.inserted, counts.refusedFiles], [10, cases.length]);
    const reasons = await road.query<{ name: string; reason: string }>(
      "SELECT name, reason FROM millrace.files WHERE state = 'refused'",
    );
    const byName = new Map(reasons.map(({ name, reason }) => [name, reason]));
    for (const [name, , reason] of cases.filter(([each]) => each !== 'bomb.csv.gz'))
      assert.match(byName.get(name) ?? '', reason, name);
    const { stdout } = await millrace(['check', ...limits, road.path('bomb.csv.gz')]);
    assert.match(stdout, /as bombs do/);
    assert.equal(await road.count(), 10);
  }));

test('a compressed file in another encoding is unpacked first', () =>
  withRoad(async (road) => {
    const text = `\ufeff${csv(events(0, 40))}`;
    await road.put('wide.csv.gz', gzipSync(Buffer.from(text, 'utf16le')));
    assert.equal((await road.once()).inserted, 40);
    const [file] = await road.books();
    assert.equal(file?.position, text.length * 2);
  }));

test('one that grows by a member is read on where it was, one that is replaced is read anew, a broken one once it is whole', () =>
  withRoad(async (road) => {
    const path = road.path('a.csv.gz');
    await road.put('a.csv.gz', gzipSync(csv(events(0, 100))));
    assert.equal((await road.once()).inserted, 100);
    appendFileSync(path, gzipSync(`${event(100).text}\n${event(101).text}\n`));
    const grown = await road.once();
    assert.deepEqual([grown.records, grown.inserted], [2, 2], 'the first member is not read again');
    await road.put('a.csv.gz', gzipSync(csv(events(50, 100))));
    const replaced = await road.once();
    assert.deepEqual([replaced.records, replaced.inserted], [100, 48]);
    const whole = gzipSync(csv(events(500, 10)));
    writeFileSync(path, whole);
    truncateSync(path, whole.length - 4);
    assert.equal((await road.once()).refusedFiles, 1);
    writeFileSync(path, whole);
    assert.equal((await road.once()).inserted, 10);
  }));

test('killed in the middle, it goes on at the committed position, and leaves no unpacked copy behind', () =>
  withRoad(async (road) => {
    const count = 150_000;
    await road.put('a.csv.gz', gzipSync(csv(events(0, count)), { level: 1 }));
    const args = ['--lanes', '1', '--workers', '1', '--slots', '4', '--unpack-dir', road.path('')];
    const run = road.start(['--settle', '100ms', ...args]);
    await until('a first batch', async () => ((await road.books().catch(() => []))[0]?.position ?? 0) > 0);
    run.child.kill('SIGKILL');
    await run.ended;
    const committed = (await road.books())[0]?.records ?? 0;
    const counts = await road.once(args);
    assert.ok(committed > 0 && committed <= count);
    assert.deepEqual([counts.records + committed, counts.inserted + committed], [count, count]);
    assert.equal((await road.books()).length, 1, 'one generation');
    assert.equal(await road.count(), count);
    assert.deepEqual(readdirSync(road.folder), ['a.csv.gz']);
    assert.equal(HEADER.length > 0, true);
  }));
