// `verify` against what a real run has written: it agrees when nothing was touched, and names every difference that is planted in the
// table, in the books, or in the files.

import assert from 'node:assert/strict';
import { appendFile, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { Sheet } from '../../../src/commands/verify/report.ts';
import { millrace } from '../../support/cli.ts';
import type { Ended } from '../../support/cli.ts';
import { csv, event, events, invalidEvent, quotedEvent } from '../../support/events.ts';
import { startTestServer } from '../../support/postgres.ts';
import type { TestServer } from '../../support/postgres.ts';
import { Road } from '../../support/road.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.stop());

interface Report {
  readonly agrees: boolean;
  readonly differences: number;
  readonly total: Readonly<Record<string, number>>;
  readonly files: readonly (Sheet & { readonly duplicatesConflicting: number })[];
  readonly found: readonly {
    kind: string;
    file: string | null;
    line: number | null;
    key: string | null;
    text: string;
  }[];
  readonly notes: readonly string[];
}

async function verify(road: Road, ...args: string[]): Promise<Report & { readonly code: number | null }> {
  const ended: Ended = await millrace(['verify', '--json', '--input', road.folder, ...args], {
    env: road.database.env,
  });
  assert.ok(ended.stdout !== '', ended.stderr);
  return { ...(JSON.parse(ended.stdout) as Report), code: ended.code };
}

function tell(road: Road, command: string, ...args: readonly string[]): Promise<Ended> {
  return millrace([command, ...args, '--input', road.folder], { env: road.database.env });
}

/** Two files with duplicates within and across, rejects of several kinds, and quoted records. */
async function loaded(): Promise<Road> {
  const road = new Road(await server.createDatabase());
  const first = [...events(0, 300), event(7), invalidEvent(1_000), quotedEvent(400), quotedEvent(401)];
  const second = [...events(250, 100), event(7), invalidEvent(1_001), event(600)];
  await road.put('a.csv', csv(first));
  await road.put(
    'b.csv',
    `${csv(second)}"${event(900).key}",view,a "quote,b,2024-01-01 00:00:00,1,1.00\n\nshort,row\n\xff\n`,
  );
  await road.once();
  return road;
}

async function withRoad(check: (road: Road) => Promise<void>): Promise<void> {
  const road = await loaded();
  try {
    await check(road);
  } finally {
    await road.clean();
  }
}

describe('verify', () => {
  test('files, books and table that nobody touched agree', () =>
    withRoad(async (road) => {
      const report = await verify(road);
      assert.deepEqual(report.found, []);
      assert.equal(report.code, 0);
      const books = await road.books();
      assert.deepEqual(
        report.files.map(
          ({ name, records, recordsFound, inserted, duplicates, rejected, rejectedFound }) => ({
            name,
            records: [records, recordsFound],
            inserted,
            duplicates,
            rejected: [rejected, rejectedFound],
          }),
        ),
        books.map(({ name, records, inserted, duplicates, rejected }) => ({
          name,
          records: [records, records],
          inserted,
          duplicates,
          rejected: [rejected, rejected],
        })),
      );
      assert.ok(report.total['rejected']! >= 4);
      assert.ok(report.total['duplicates']! >= 51);
    }));

  test('a deleted row is named with the place of its record', () =>
    withRoad(async (road) => {
      await road.query('DELETE FROM events WHERE event_id = $1', [event(10).key]);
      const report = await verify(road);
      assert.equal(report.code, 1);
      assert.equal(report.differences, 1);
      const [found] = report.found;
      assert.deepEqual(
        [found?.kind, found?.file, found?.line, found?.key],
        ['missing', 'a.csv', 12, event(10).key],
      );
    }));

  test('a changed value is named with both values', () =>
    withRoad(async (road) => {
      await road.query('UPDATE events SET price = 12345.67 WHERE event_id = $1', [event(20).key]);
      const report = await verify(road);
      assert.equal(report.code, 1);
      assert.deepEqual(
        report.found.map(({ kind, file, line }) => ({ kind, file, line })),
        [{ kind: 'changed', file: 'a.csv', line: 22 }],
      );
      assert.match(report.found[0]?.text ?? '', /price: '[\d.]+' in the file, '12345.67' in the table/);
    }));

  test('a NULL that became a value, and a value that became NULL, are changes', () =>
    withRoad(async (road) => {
      await road.query('UPDATE events SET quantity = NULL WHERE event_id = $1', [event(21).key]);
      const report = await verify(road);
      assert.match(report.found[0]?.text ?? '', /quantity: '\d' in the file, NULL in the table/);
    }));

  test('a row that is rewritten with the same values is no difference', () =>
    withRoad(async (road) => {
      await road.query('UPDATE events SET price = price WHERE event_id = $1', [event(20).key]);
      assert.equal((await verify(road)).code, 0);
    }));

  test('wrong counts in the books are found: inserted, rejected and records', () =>
    withRoad(async (road) => {
      const shift = (sets: string): Promise<unknown> =>
        road.query(
          `UPDATE millrace.slices SET ${sets} WHERE generation = (SELECT generation FROM millrace.files WHERE name = 'a.csv')`,
        );
      await shift('inserted = inserted + 1, duplicates = duplicates - 1');
      assert.deepEqual(
        (await verify(road)).found.map(({ kind }) => kind),
        ['inserted'],
      );
      await shift('inserted = inserted - 2, duplicates = duplicates + 2');
      assert.deepEqual(
        (await verify(road)).found.map(({ kind }) => kind),
        ['inserted'],
      );
      await shift('inserted = inserted + 1, duplicates = duplicates - 1');
      assert.equal((await verify(road)).code, 0);
      await shift('rejected = rejected + 1, duplicates = duplicates - 1');
      assert.deepEqual(
        (await verify(road)).found.map(({ kind }) => kind),
        ['rejected'],
      );
      await shift('rejected = rejected - 1, records = records - 1');
      assert.deepEqual(
        (await verify(road)).found.map(({ kind }) => kind),
        ['records'],
      );
    }));

  test('a row that stands in no file is found, unless such rows are allowed', () =>
    withRoad(async (road) => {
      await road.query(
        `INSERT INTO events (event_id, event_type, event_timestamp) VALUES ($1, 'view', '2024-01-01')`,
        [event(5_000).key],
      );
      const report = await verify(road);
      assert.equal(report.code, 1);
      assert.deepEqual(
        report.found.map(({ kind, key }) => [kind, key]),
        [['extra', event(5_000).key]],
      );
      assert.equal((await verify(road, '--allow-unknown-rows')).code, 0);
      assert.equal((await verify(road, road.path('a.csv'))).code, 0, 'one file says nothing of other rows');
    }));

  test('a reject that is missing, or changed in any part, is found', () =>
    withRoad(async (road) => {
      const tamper = async (sql: string): Promise<readonly string[]> => {
        await road.query(sql);
        return (await verify(road)).found.map(({ kind }) => kind);
      };
      const where = `WHERE code = 'timestamp_calendar' AND generation = (SELECT generation FROM millrace.files WHERE name = 'a.csv')`;
      await road.query('CREATE TABLE good AS SELECT * FROM millrace.rejects');
      for (const change of [
        "raw = 'x'",
        "raw = ''",
        'raw = NULL',
        'raw = substr(raw, 1, length(raw) - 1)',
        "raw = overlay(raw placing 'x' from 3)",
        'raw_length = raw_length - 1, raw = substr(raw, 1, length(raw) - 1)',
        "code = 'uuid'",
      ]) {
        assert.deepEqual(await tamper(`UPDATE millrace.rejects SET ${change} ${where}`), ['reject'], change);
        assert.deepEqual(
          await tamper(
            'DELETE FROM millrace.rejects; INSERT INTO millrace.rejects OVERRIDING SYSTEM VALUE TABLE good',
          ),
          [],
        );
      }
      assert.deepEqual(await tamper(`UPDATE millrace.rejects SET line = line + 1 ${where}`), ['reject']);
      assert.deepEqual(
        await tamper(
          `UPDATE millrace.rejects SET line = line - 1, code = 'uuid' WHERE line = 303 AND code = 'timestamp_calendar'`,
        ),
        ['reject'],
      );
      assert.deepEqual(await tamper(`DELETE FROM millrace.rejects WHERE code = 'uuid' AND line = 303`), [
        'reject',
      ]);
    }));

  test('a file whose committed bytes were overwritten is found, and one that is gone is shown from the books', () =>
    withRoad(async (road) => {
      const bytes = await readFile(road.path('a.csv'));
      bytes[bytes.length - 3] = 0x39;
      await writeFile(road.path('a.csv'), bytes);
      const report = await verify(road);
      assert.equal(report.code, 1);
      assert.deepEqual(
        report.found.map(({ kind, file }) => [kind, file]),
        [['content', 'a.csv']],
      );
      await rm(road.path('a.csv'));
      const gone = await verify(road);
      assert.deepEqual(gone.found, []);
      assert.deepEqual(
        gone.files.map(({ standing }) => standing),
        ['gone', 'agrees'],
      );
    }));

  test('a range that the books have lost is named', () =>
    withRoad(async (road) => {
      await road.query(
        `DELETE FROM millrace.slices WHERE generation = (SELECT generation FROM millrace.files WHERE name = 'a.csv')`,
      );
      const { code, found } = await verify(road, '--allow-unknown-rows');
      assert.equal(code, 1);
      assert.ok(
        found.some(
          ({ kind, file, text }) => kind === 'records' && file === 'a.csv' && text.startsWith('bytes 0 '),
        ),
      );
    }));

  test('rows of files that are gone are counted against the books', () =>
    withRoad(async (road) => {
      await rm(road.path('a.csv'));
      await rm(road.path('b.csv'));
      const whole = await tell(road, 'verify');
      assert.match(whole.stdout, /no file is there to be read again/);
      assert.equal(whole.code, 0);
      await road.query(`UPDATE events SET quantity = 99 WHERE event_id = '${event(3).key}'`);
      const changed = await verify(road, '--allow-unknown-rows');
      assert.deepEqual(changed.found, []);
      assert.ok(changed.notes.some((note) => note.startsWith('1 rows of files whose bytes are gone')));
      await road.query(`DELETE FROM events WHERE event_id IN ('${event(4).key}', '${event(5).key}')`);
      const less = await verify(road, '--allow-unknown-rows');
      assert.deepEqual(
        less.found.map(({ kind }) => kind),
        ['inserted'],
      );
      await road.query('TRUNCATE events');
      assert.equal((await verify(road)).code, 1);
    }));

  test('what was appended or never read is no difference, and is said', () =>
    withRoad(async (road) => {
      await appendFile(road.path('a.csv'), `${event(700).text}\n`);
      await road.put('c.csv', csv(events(800, 2)));
      const report = await verify(road);
      assert.equal(report.code, 0);
      assert.deepEqual(
        report.files.map(({ name, standing, bytesUnread }) => [name, standing, bytesUnread]),
        [
          ['a.csv', 'agrees', event(700).text.length + 1],
          ['b.csv', 'agrees', 0],
          ['c.csv', 'unread', 0],
        ],
      );
    }));

  test('rows that a constraint refused are rejects of the database, not missing rows', async () => {
    const road = new Road(await server.createDatabase());
    try {
      await road.put('a.csv', csv(events(0, 3)));
      await road.once();
      await road.query(`ALTER TABLE events ADD CONSTRAINT no_user CHECK (user_id <> 'user_refused')`);
      const refused = event(11).text.replace(/user_\d+/, 'user_refused');
      await road.put('b.csv', `${csv(events(10, 1))}${refused}\n${event(12).text}\n`);
      await road.once();
      const report = await verify(road);
      assert.deepEqual(report.found, []);
      assert.equal(report.total['rejected'], 1);
      await road.query(`DELETE FROM millrace.rejects`);
      assert.deepEqual(
        (await verify(road)).found.map(({ kind }) => kind),
        ['rejected', 'missing'],
      );
    } finally {
      await road.clean();
    }
  });

  test('compressed files, other delimiters, NULL words and encodings are read again as the books say', async () => {
    const road = new Road(await server.createDatabase());
    try {
      const dialect = ['--pattern', '*.csv,*.gz', '--null', 'NULL'];
      const nulls = event(2).text.replace(/,user_\d+,/, ',NULL,');
      const semicolons = csv([event(1), { ...event(2), text: nulls }, invalidEvent(3)]).replaceAll(',', ';');
      await road.put('a.csv.gz', gzipSync(semicolons));
      await road.put('b.csv', Buffer.from(`\ufeff${csv(events(10, 3))}`, 'utf16le'));
      await road.once(dialect);
      const report = await verify(road);
      assert.deepEqual(report.found, []);
      assert.deepEqual(
        report.files.map(({ name, standing, recordsFound }) => [name, standing, recordsFound]),
        [
          ['a.csv.gz', 'agrees', 3],
          ['b.csv', 'agrees', 3],
        ],
      );
      await road.query(`DELETE FROM events WHERE event_id = $1`, [event(1).key]);
      const after = await verify(road);
      assert.deepEqual(
        after.found.map(({ kind, file, line }) => [kind, file, line]),
        [['missing', 'a.csv.gz', 2]],
      );
    } finally {
      await road.clean();
    }
  });

  test('a file of several slices is read slice by slice, and many rejects are compared as ranges', async () => {
    const road = new Road(await server.createDatabase());
    try {
      const records = Array.from({ length: 60_000 }, (_, i) => (i % 10 === 3 ? invalidEvent(i) : event(i)));
      await road.put('big.csv', csv(records));
      await road.once(['--rejects-max-per-file', '50']);
      const report = await verify(road);
      assert.deepEqual(report.found, []);
      assert.deepEqual([report.total['records'], report.total['rejected']], [60_000, 6_000]);
      await road.query(
        `UPDATE millrace.rejects SET records = records - 1 WHERE code = 'more_rejects' AND line = (SELECT max(line) FROM millrace.rejects)`,
      );
      assert.deepEqual(
        (await verify(road)).found.map(({ kind }) => kind),
        ['reject'],
      );
    } finally {
      await road.clean();
    }
  });

  test('a file that neither folder nor books know is an error, one that was not read yet is no agreement', () =>
    withRoad(async (road) => {
      const none = await tell(road, 'verify', 'none.csv');
      assert.deepEqual([none.code, /the books know no file none\.csv/.test(none.stderr)], [5, true]);
      await road.put('later.csv', csv(events(3_000, 2)));
      const later = await tell(road, 'verify', 'later.csv');
      assert.deepEqual([later.code, /nothing was compared/.test(later.stdout)], [0, true]);
    }));

  test('agrees after a replay, an undo, a renaming and with a parked file', () =>
    withRoad(async (road) => {
      const agrees = async (): Promise<Map<string, string>> => {
        const { code, stdout } = await tell(road, 'verify', '--json');
        assert.equal(code, 0, stdout);
        const { files } = JSON.parse(stdout) as { files: { name: string; standing: string }[] };
        return new Map(files.map(({ name, standing }) => [name, standing]));
      };
      await road.query('ALTER TABLE events ADD CONSTRAINT cheap CHECK (quantity < 1000) NOT VALID');
      const dear = { ...event(4_000), text: event(4_000).text.replace(/,\d+,([\d.]+)$/, ',5000,$1') };
      await road.put('replayed.csv', csv([...events(4_001, 5), dear]));
      await road.put('parked.csv', csv([...events(4_100, 5), invalidEvent(1), invalidEvent(2)]));
      await road.once(['--rejects-max', '1']);
      assert.equal((await agrees()).get('parked.csv'), 'refused');
      const hidden = await tell(road, 'why', event(4_101).key);
      assert.match(hidden.stdout, /parked\.csv: it may hold the event, but nothing of it is stored: parked/);
      await road.query('ALTER TABLE events DROP CONSTRAINT cheap');
      assert.match((await tell(road, 'rejects', 'replay', 'replayed.csv')).stderr, /1 record stored/);
      assert.equal((await agrees()).get('replayed.csv'), 'agrees');
      assert.match(
        (await tell(road, 'why', dear.key)).stdout,
        /replayed\.csv:7 .*: inserted by batch 1, 20.*Z\n/,
      );
      await rename(road.path('replayed.csv'), road.path('renamed.csv'));
      await road.once();
      assert.equal((await agrees()).get('renamed.csv'), 'agrees');
      assert.equal((await tell(road, 'undo', 'renamed.csv', '--yes')).code, 0);
      assert.equal((await agrees()).get('renamed.csv'), 'refused');
    }));

  test('after a prune the rows of the file that is gone are named, or allowed', async () => {
    const road = new Road(await server.createDatabase());
    try {
      await road.put('a.csv', csv(events(0, 3)));
      await road.put('b.csv', csv(events(10, 3)));
      await road.once();
      await unlink(road.path('a.csv'));
      assert.equal((await tell(road, 'prune', '--yes', '--older-than', '0s')).code, 0);
      const strict = await tell(road, 'verify');
      assert.equal(strict.code, 1);
      assert.match(strict.stdout, /--allow-unknown-rows|neither a file nor the books/);
      assert.match(strict.stdout, /3 differences found/);
      const lenient = await tell(road, 'verify', '--allow-unknown-rows');
      assert.equal(lenient.code, 0, lenient.stdout);
    } finally {
      await road.clean();
    }
  });
});
