// The road end to end on real files and a real database: what goes in, what the books say, what the table holds.

import assert from 'node:assert/strict';
import { appendFile, chmod, readFile, rename, truncate, unlink, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import type { TestRecord } from '../support/events.ts';
import { HEADER, csv, event, events, invalidEvent, quotedEvent } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { until, whyNotOrdinary, withRoad as withRoadOn } from '../support/road.ts';
import type { Road } from '../support/road.ts';

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

const withRoad = (body: (road: Road) => Promise<void>): Promise<void> => withRoadOn(server, body);

const files = (entries: Record<string, readonly TestRecord[]>): Map<string, readonly TestRecord[]> =>
  new Map(Object.entries(entries));

describe('the road', () => {
  test('brings each valid event into the table once and books every record', () =>
    withRoad(async (road) => {
      const a = [...events(0, 500), ...events(100, 20), invalidEvent(9_001)];
      const b = [...events(400, 300), quotedEvent(9_100), quotedEvent(9_101), invalidEvent(9_002)];
      await road.put('a.csv', csv(a));
      await road.put('b.csv', csv(b, '\r\n'));
      await road.put('notes.txt', 'not for us');
      const counts = await road.once();
      const { seconds, ...whole } = counts;
      assert.deepEqual(whole, {
        files: 2,
        records: a.length + b.length,
        inserted: 702,
        duplicates: 120,
        rejected: 2,
        refusedFiles: 0,
        duplicatesConflicting: 0,
        restedSeconds: 0,
      });
      assert.ok(seconds >= 0);
      await road.balance(files({ 'a.csv': a, 'b.csv': b }));
    }));

  test('reads nothing again when it is started again', () =>
    withRoad(async (road) => {
      await road.put('a.csv', csv(events(0, 200)));
      assert.equal((await road.once()).inserted, 200);
      const again = await road.once();
      assert.deepEqual([again.records, again.inserted], [0, 0]);
      await road.balance(files({ 'a.csv': events(0, 200) }));
    }));

  test('keeps each reject with its place, its reason and its bytes, and stores its neighbours', () =>
    withRoad(async (road) => {
      const lines = [
        HEADER,
        event(1).text,
        'nonsense',
        `"${event(2).key},view`,
        event(3).text,
        invalidEvent(4).text,
        event(5).text,
      ];
      const text = lines.map((line) => `${line}\n`).join('');
      await road.put('bad.csv', text);
      assert.equal((await road.once()).rejected, 3);
      const rejects = await road.query<{
        byte_offset: string;
        line: string;
        code: string;
        raw: Buffer;
        column_name: string;
      }>('SELECT byte_offset, line, code, raw, column_name FROM millrace.rejects ORDER BY byte_offset');
      assert.deepEqual(
        rejects.map(({ line, code }) => [line, code]),
        [
          ['3', 'too_few_fields'],
          ['4', 'unclosed_quote'],
          ['6', 'timestamp_calendar'],
        ],
      );
      for (const { byte_offset, raw } of rejects)
        assert.equal(raw.toString(), text.slice(Number(byte_offset), Number(byte_offset) + raw.length));
      assert.equal(rejects[2]?.column_name, 'event_timestamp');
      assert.equal(await road.count(), 3);
    }));

  test('refuses a file with a bad header as a whole, says why, and reads the others', () =>
    withRoad(async (road) => {
      await road.put('bad.csv', 'event_id,price\n1,2\n');
      await road.put('good.csv', csv(events(0, 10)));
      const ended = await road.start(['--once', '--json', '--settle', '100ms']).ended;
      assert.equal(ended.code, 3, ended.stderr);
      const [bad] = await road.query<{ state: string; reason: string }>(
        "SELECT state, reason FROM millrace.files WHERE name = 'bad.csv'",
      );
      assert.equal(bad?.state, 'refused');
      assert.match(bad?.reason ?? '', /event_type/);
      assert.equal(await road.count(), 10);
    }));

  test(
    'ends with 3 when a file could not be read, and takes it when it can',
    { skip: whyNotOrdinary() },
    () =>
      withRoad(async (road) => {
        await road.put('good.csv', csv(events(0, 10)));
        await road.put('secret.csv', csv(events(10, 10)));
        await chmod(road.path('secret.csv'), 0o000);
        const ended = await road.start(['--once', '--json', '--settle', '100ms'], {}, 'ordinary').ended;
        assert.equal(ended.code, 3, ended.stderr);
        assert.match(ended.stderr, /secret\.csv/);
        await chmod(road.path('secret.csv'), 0o644);
        assert.equal((await road.once()).inserted, 10);
        await road.balance(files({ 'good.csv': events(0, 10), 'secret.csv': events(10, 10) }));
      }),
  );

  test('takes a thousand small files in one go', () =>
    withRoad(async (road) => {
      const all: Record<string, TestRecord[]> = {};
      for (let index = 0; index < 1_000; index += 1) {
        const records = [...events(index * 10, 10), event(index)];
        all[`small-${index}.csv`] = records;
        await writeFile(road.path(`small-${index}.csv`), csv(records));
      }
      const counts = await road.once();
      assert.deepEqual([counts.files, counts.inserted, counts.duplicates], [1_000, 10_000, 1_000]);
      await road.balance(files(all));
    }));

  test('cuts a large file into slices that are parsed at the same time, quotes and line breaks included', () =>
    withRoad(async (road) => {
      const records = Array.from({ length: 120_000 }, (_, index) =>
        index % 7 === 0 ? quotedEvent(index) : event(index),
      );
      await road.put('large.csv', csv(records));
      const counts = await road.once(['--workers', '2']);
      assert.deepEqual([counts.inserted, counts.duplicates, counts.rejected], [120_000, 0, 0]);
      await road.balance(files({ 'large.csv': records }));
    }));

  test('counts a file sent again as duplicates, under a new generation', () =>
    withRoad(async (road) => {
      const records = events(0, 300);
      await road.put('a.csv', csv(records));
      await road.once();
      await road.put('copy.csv', csv(records));
      const again = await road.once();
      assert.deepEqual([again.inserted, again.duplicates], [0, 300]);
      await road.put('a.csv', csv(records));
      assert.equal((await road.once()).duplicates, 300);
      assert.equal((await road.books()).length, 3);
      assert.equal(await road.count(), 300);
    }));

  test('needs no dedup memory to give the same table', () =>
    withRoad(async (road) => {
      const a = [...events(0, 3_000), ...events(0, 500)];
      await road.put('a.csv', csv(a));
      const counts = await road.once(['--dedup-memory', '0']);
      assert.deepEqual([counts.inserted, counts.duplicates], [3_000, 500]);
      await road.balance(files({ 'a.csv': a }));
    }));
});

describe('a file that changes', () => {
  test('that grows is read as it grows, and a last line without its end is left until the file is still', () =>
    withRoad(async (road) => {
      const run = road.start(['--settle', '300ms', '--settle-growing', '1s', '--scan-every', '200ms']);
      const first = events(0, 50);
      await writeFile(road.path('log.csv'), csv(first));
      await until('the first rows', async () => (await road.count()) === 50);
      const more = events(50, 50)
        .map((record) => `${record.text}\n`)
        .join('');
      await appendFile(road.path('log.csv'), more.slice(0, -30));
      await until('all complete rows', async () => (await road.count()) === 99);
      await appendFile(road.path('log.csv'), more.slice(-30));
      await until('the completed row', async () => (await road.count()) === 100);
      await appendFile(road.path('log.csv'), event(100).text);
      await until('the unterminated row of a still file', async () => (await road.count()) === 101);
      run.child.kill('SIGTERM');
      assert.equal((await run.ended).code, 0);
      await road.balance(files({ 'log.csv': events(0, 101) }));
    }));

  test('that is renamed goes on under its new name', () =>
    withRoad(async (road) => {
      const run = road.start(['--scan-every', '200ms']);
      await writeFile(road.path('a.csv'), csv(events(0, 50)));
      await until('the first rows', async () => (await road.count()) === 50);
      await rename(road.path('a.csv'), road.path('b.csv'));
      await appendFile(
        road.path('b.csv'),
        events(50, 10)
          .map((record) => `${record.text}\n`)
          .join(''),
      );
      await until('the appended rows', async () => (await road.count()) === 60);
      run.child.kill('SIGTERM');
      await run.ended;
      await road.balance(files({ 'b.csv': events(0, 60) }));
    }));

  test('that is overwritten in place behind its committed position is read again as another content', () =>
    withRoad(async (road) => {
      await writeFile(road.path('a.csv'), csv(events(0, 200)));
      await road.once();
      const other = csv(events(1_000, 200));
      const before = (await readFile(road.path('a.csv'))).length;
      await writeFile(
        road.path('a.csv'),
        other.length >= before ? other.slice(0, before) : other.padEnd(before, '\n'),
      );
      await road.once();
      assert.ok((await road.count()) >= 398, String(await road.count()));
      assert.equal((await road.books()).length, 2);
    }));

  test('that is cut short and written anew is read from its beginning', () =>
    withRoad(async (road) => {
      const run = road.start(['--scan-every', '200ms']);
      await writeFile(road.path('a.csv'), csv(events(0, 100)));
      await until('the first rows', async () => (await road.count()) === 100);
      await truncate(road.path('a.csv'), 0);
      await sleep(50);
      await writeFile(road.path('a.csv'), csv(events(500, 20)));
      await until('the new rows', async () => (await road.count()) === 120);
      run.child.kill('SIGTERM');
      await run.ended;
      assert.equal(await road.count(), 120);
    }));

  test('that is rotated while it is read loses nothing', () =>
    withRoad(async (road) => {
      const all: Record<string, TestRecord[]> = {};
      const run = road.start(['--scan-every', '200ms']);
      for (let turn = 0; turn < 5; turn += 1) {
        const records = events(turn * 30_000, 30_000);
        await road.put('current.csv', csv(records));
        await until('the first slice', async () => (await road.count()) > turn * 30_000);
        await rename(road.path('current.csv'), road.path(`rotated-${turn}.csv`));
        all[`rotated-${turn}.csv`] = records;
      }
      await until('all rows', async () => (await road.count()) === 150_000);
      run.child.kill('SIGTERM');
      assert.equal((await run.ended).code, 0);
      await road.once();
      await road.balance(files(all));
    }));

  test('that is archived is gone from the folder and whole in the archive', () =>
    withRoad(async (road) => {
      const archive = `${road.folder}-archive`;
      await road.put('a.csv', csv(events(0, 100)));
      const counts = await road.once(['--after', 'archive', '--archive-dir', archive]);
      assert.equal(counts.inserted, 100);
      assert.equal(await readFile(`${archive}/a.csv`, 'utf8'), csv(events(0, 100)));
      await assert.rejects(readFile(road.path('a.csv')), { code: 'ENOENT' });
      await unlink(`${archive}/a.csv`);
    }));
});
