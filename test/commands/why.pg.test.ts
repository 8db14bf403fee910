// `why` against what real runs have written: every place of an event, and what became of it there.

import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { millrace } from '../support/cli.ts';
import { csv, event, events, invalidEvent, quotedEvent } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { Road } from '../support/road.ts';

let server: TestServer;
let road: Road;
before(async () => {
  server = await startTestServer();
  road = new Road(await server.createDatabase());
  await road.put('a.csv', csv([...events(0, 20), invalidEvent(500), quotedEvent(40), event(3)]));
  await road.once();
  const upper = event(3).text.replace(event(3).key, event(3).key.toUpperCase());
  await road.put('b.csv', csv([event(100), { ...event(3), text: upper }, event(4, 9), invalidEvent(4)]));
  await road.once();
});
after(async () => {
  await road.clean();
  await server.stop();
});

interface Answer {
  readonly event: string;
  readonly stored: {
    readonly values: Record<string, unknown>;
    readonly batch: { number: number } | null;
  } | null;
  readonly seen: readonly {
    file: string;
    line: number;
    offset: number;
    fate: string;
    of: string | null;
    code: string | null;
    detail: string | null;
  }[];
  readonly kept: readonly { file: string; code: string }[];
  readonly notSearched: readonly { file: string; reason: string }[];
}

async function why(key: string): Promise<Answer & { readonly code: number | null; readonly text: string }> {
  const ended = await millrace(['why', key, '--json', '--input', road.folder], { env: road.database.env });
  assert.ok(ended.stdout !== '', ended.stderr);
  return { ...(JSON.parse(ended.stdout) as Answer), code: ended.code, text: ended.stderr };
}

test('the record that was stored, its repeats in any spelling, and of which record they are duplicates', async () => {
  const { code, seen, stored, text } = await why(`{${event(3).key.toUpperCase()}}`);
  assert.equal(code, 0);
  assert.deepEqual(
    seen.map(({ file, line, fate, of, detail }) => [file, line, fate, of, detail]),
    [
      ['a.csv', 5, 'inserted', null, null],
      ['a.csv', 25, 'duplicate', 'a.csv:5', null],
      ['b.csv', 3, 'duplicate', 'a.csv:5', null],
    ],
  );
  assert.equal(stored?.values['event_id'], event(3).key);
  assert.equal(stored?.batch?.number, 1);
  assert.match(text, /a\.csv:25 \(byte \d+; batch 1, \d{4}-.*Z\): duplicate of a\.csv:5/);
});

test('a duplicate with other values says which, and a reject says why', async () => {
  const { seen } = await why(event(4).key);
  assert.deepEqual(
    seen.map(({ file, line, fate, of, code }) => [file, line, fate, of, code]),
    [
      ['a.csv', 6, 'inserted', null, null],
      ['b.csv', 4, 'duplicate', 'a.csv:6', null],
      ['b.csv', 5, 'rejected', null, 'timestamp_calendar'],
    ],
  );
  assert.match(seen[1]?.detail ?? '', /'.*' in the file, '.*' in the table/);
});

test('an event that was only rejected, one of several lines, and one that was never seen', async () => {
  const rejected = await why(invalidEvent(500).key);
  assert.equal(rejected.stored, null);
  assert.deepEqual(
    rejected.seen.map(({ line, fate }) => [line, fate]),
    [[22, 'rejected']],
  );
  const quoted = await why(quotedEvent(40).key);
  assert.deepEqual(
    quoted.seen.map(({ line, fate }) => [line, fate]),
    [[23, 'inserted']],
  );
  const never = await why(event(999).key);
  assert.equal(never.code, 1);
  assert.match(never.text, /is not stored\nit stands in none of the files/);
});

test('a row that somebody removed, or wrote, is told as such', async () => {
  await road.query('DELETE FROM events WHERE event_id = $1', [event(10).key]);
  assert.deepEqual(
    (await why(event(10).key)).seen.map(({ fate }) => fate),
    ['rowless'],
  );
  await road.query('UPDATE events SET price = 1 WHERE event_id = $1', [event(11).key]);
  const { seen, text } = await why(event(11).key);
  assert.deepEqual(
    seen.map(({ fate }) => fate),
    ['untraced'],
  );
  assert.match(text, /a transaction that the books do not know/);
});

test('a file that is gone is named, and what quarantine kept of it is shown', async () => {
  await rm(road.path('b.csv'));
  const { seen, kept, notSearched } = await why(event(4).key);
  assert.deepEqual(
    seen.map(({ file }) => file),
    ['a.csv'],
  );
  assert.deepEqual(
    kept.map(({ file, code }) => [file, code]),
    [
      ['b.csv', 'duplicate_conflict'],
      ['b.csv', 'timestamp_calendar'],
    ],
  );
  assert.deepEqual(notSearched, [{ file: 'b.csv', reason: 'the file is gone' }]);
  const { stored, text } = await why(event(100).key);
  assert.notEqual(stored, null);
  assert.match(text, /b\.csv: the file is gone; a transaction of this file stored the row/);
});

test('what is no UUID is a wrong usage', async () => {
  const { code, stderr } = await millrace(['why', 'abc', '--input', road.folder], { env: road.database.env });
  assert.equal(code, 2);
  assert.match(stderr, /EVENT_ID must be a UUID, got abc/);
});
