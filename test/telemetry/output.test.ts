// What people see: the live line, the log, the closing table, and that nothing foreign moves the cursor or shows a password.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { createLog, prettyLine } from '../../src/telemetry/log.ts';
import { createMeters } from '../../src/telemetry/meters.ts';
import { progressLine, startProgress } from '../../src/telemetry/progress.ts';
import { redact, secretsOf } from '../../src/telemetry/redact.ts';
import { openScreen } from '../../src/telemetry/screen.ts';
import type { Screen } from '../../src/telemetry/screen.ts';
import { rejectLine, runSummary, summaryText } from '../../src/telemetry/summary.ts';
import { bytesText, columnsOf, count, fitted, printable, timeText } from '../../src/telemetry/text.ts';
import { rejectAt, settledChunk } from './support.ts';

const IDLE = { filesDone: 0, filesWaiting: 0, filesRefused: 0, bytesWaiting: 0 };

interface Paper {
  readonly screen: Screen;
  readonly written: string[];
}

function paper(columns?: number, env: NodeJS.ProcessEnv = {}): Paper {
  const written: string[] = [];
  const terminal = columns === undefined ? {} : { isTTY: true, columns };
  const write = (text: string): unknown => written.push(text);
  return { screen: openScreen({ write, ...terminal }, env), written };
}

describe('texts', () => {
  test('numbers, times and sizes read well', () => {
    assert.deepEqual([0, 999, 1000, 1234567].map(count), ['0', '999', '1,000', '1,234,567']);
    assert.deepEqual([0.5, 9.99, 9.999, 999.4, 999.6, 59_949, 59_999, 3_599_600, 90_061_000].map(timeText), [
      '0.50 ms',
      '10.0 ms',
      '10 ms',
      '999 ms',
      '1.0 s',
      '59.9 s',
      '1 min 0 s',
      '1 h 0 min',
      '25 h 1 min',
    ]);
    assert.deepEqual([0, 999, 1024, 5e9, 1023 * 1024].map(bytesText), [
      '0 B',
      '999 B',
      '1.0 KiB',
      '4.7 GiB',
      '1.0 MiB',
    ]);
  });

  test('nothing that is printed can move the cursor or turn the direction', () => {
    assert.equal(printable('a\u001b[2J\u202eb\u0007\n\u2028'), 'a\\x1b[2J\\u{202e}b\\x07\\x0a\\u{2028}');
    assert.equal(printable('Übung 試験.csv'), 'Übung 試験.csv');
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        // oxlint-disable-next-line no-control-regex -- exactly these must not be there
        assert.doesNotMatch(printable(text), /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
      }),
    );
  });

  test('a fitted text never takes more columns than there are', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.nat(50), (text, columns) => {
        assert.ok(columnsOf(fitted(text, columns)) <= columns);
      }),
    );
    assert.equal(fitted('abcdefgh', 6), 'abc...');
  });
});

describe('passwords', () => {
  test('are taken out wherever they usually stand', () => {
    const cases = {
      'postgresql://joe:s3cret@host:5432/db': 'postgresql://joe:***@host:5432/db',
      'at postgres://joe:p%40ss:word@[::1]/db?x=1 now': 'at postgres://joe:***@[::1]/db?x=1 now',
      'postgres://joe@host/db': 'postgres://joe@host/db',
      'PGPASSWORD=abc PGUSER=joe': 'PGPASSWORD=*** PGUSER=joe',
      '{"password":"a b","user":"joe"}': '{"password":***,"user":"joe"}',
      'file:///a/b:12:c@d': 'file:///a/b:12:c@d',
    };
    for (const [text, safe] of Object.entries(cases)) assert.equal(redact(text), safe);
  });

  test('are taken out wherever they stand when the environment tells them', () => {
    const env = { PGPASSWORD: 'first-one', DATABASE_URL: 'postgres://u:second%20one@h/d' };
    assert.deepEqual(secretsOf(env), ['second%20one', 'second one', 'first-one']);
    assert.equal(redact('x first-one y second one', secretsOf(env)), 'x *** y ***');
    const quoted = secretsOf({ PGPASSWORD: 'a"b\\c&d' });
    for (const form of ['a"b\\c&d', 'a\\"b\\\\c&d', 'a%22b%5Cc%26d'])
      assert.equal(redact(`x ${form} y`, quoted), 'x *** y', form);
    assert.deepEqual(secretsOf({ DATABASE_URL: 'postgres:///d?host=/run&password=third-one' }), [
      'third-one',
    ]);
    // Masked where it stands as a password, and nowhere else: `***` for a user's name would tell what the password is.
    for (const names of [
      { DATABASE_URL: 'postgres://millrace:millrace@db/events' },
      { DATABASE_URL: 'postgres://joe:events@db/events' },
      { PGUSER: 'millrace', PGPASSWORD: 'millrace' },
    ])
      assert.deepEqual(secretsOf(names), [], JSON.stringify(names));
    assert.equal(
      redact('millrace reads as millrace: postgres://millrace:millrace@db/events PGPASSWORD=millrace', []),
      'millrace reads as millrace: postgres://millrace:***@db/events PGPASSWORD=***',
    );
    assert.deepEqual(secretsOf({ DATABASE_URL: 'not a url' }), []);
    assert.deepEqual(secretsOf({ DATABASE_URL: 'postgres://u:%zz@h/d' }), ['%zz']);
  });
});

describe('the screen', () => {
  test('a printed line goes above the live line, which stays', () => {
    const { screen, written } = paper(40);
    screen.show('working');
    screen.print('news');
    screen.show(null);
    assert.deepEqual(written, ['\r\u001b[Kworking', '\r\u001b[Knews\nworking', '\r\u001b[K']);
  });

  test('the live line leaves the last column free, whatever is in it', () => {
    const { screen, written } = paper(20);
    screen.show('x'.repeat(50));
    assert.equal(written[0], `\r\u001b[K${'x'.repeat(16)}...`);
  });

  test('without a terminal, or on a dumb one, there is no live line', () => {
    for (const { screen, written } of [paper(), paper(80, { TERM: 'dumb' })]) {
      screen.show('working');
      screen.print('news');
      screen.show(null);
      assert.deepEqual(written, ['news\n']);
    }
  });

  test('a closed stream is no failure', () => {
    const screen = openScreen({ write: () => assert.fail('written'), writable: false, isTTY: true }, {});
    screen.print('news');
    screen.show('working');
  });
});

describe('the log', () => {
  test('is JSON lines for machines', () => {
    const { screen, written } = paper();
    const log = createLog(screen, { level: 'info', format: 'auto' });
    log.debug('not this');
    log.warn({ sqlstate: '57P01' }, 'waiting for postgres://u:secret@h/d');
    const [line = ''] = written;
    const { time, ...rest } = JSON.parse(line) as Record<string, unknown>;
    assert.match(String(time), /^\d{4}-\d\d-\d\dT/);
    assert.deepEqual(rest, { level: 'warn', sqlstate: '57P01', msg: 'waiting for postgres://u:***@h/d' });
    assert.equal(written.length, 1);
  });

  test('keeps what a database error says of the values of a row to itself', () => {
    for (const format of ['json', 'pretty'] as const) {
      const { screen, written } = paper();
      const values = {
        detail: 'Key (user_id)=(planted)',
        where: 'COPY events, line 1: "planted"',
        hint: 'planted',
      };
      const err = Object.assign(new Error('no such key'), { code: '23503', ...values });
      createLog(screen, { level: 'info', format }).error({ err }, 'failed');
      assert.match(written.join(''), /no such key/);
      assert.doesNotMatch(written.join(''), /planted/);
    }
  });

  test('is short lines for people, with the stack of an error', () => {
    const { screen, written } = paper(80);
    const log = createLog(screen, { level: 'info', format: 'auto' });
    log.info('reading');
    log.error({ err: new TypeError('oops'), file: 'a\nb.csv' }, 'failed');
    assert.match(written[0] ?? '', /^\d\d:\d\d:\d\d reading\n$/);
    assert.match(
      written[1] ?? '',
      /^\d\d:\d\d:\d\d error: failed \(file a\\x0ab\.csv\)\n {2}TypeError: oops\n {6}at /,
    );
    assert.equal(
      prettyLine('{"level":"info","time":"2026-01-02T03:04:05.678Z","msg":"hi","n":1}'),
      '03:04:05 hi (n 1)',
    );
  });
});

describe('progress', () => {
  test('the line tells rates, files, backlog, rejects and latency', () => {
    let now = 0;
    const meters = createMeters({ rejectsShown: 1, now: () => now });
    now = 2_000;
    meters.settled(...settledChunk({ name: 'a', inserted: 2_990, duplicates: 8, rejected: 2, seenMs: 0 }));
    const files = { filesDone: 1, filesWaiting: 2, filesRefused: 1, bytesWaiting: 10 * 2 ** 20 };
    const line = progressLine(meters.snapshot(), files, { rows: 2_000, bytes: 2 ** 20 }, 200);
    assert.equal(
      line,
      '2,000 rows/s (1,500 in all) | 3,000 read | files 1 done, 2 waiting, 1 refused | 10.0 MiB left, 10.0 s | 8 duplicates | 2 rejected | p50 2.0 s p99 2.0 s',
    );
    assert.equal(
      progressLine(meters.snapshot(), files, { rows: 2_000, bytes: 2 ** 20 }, 130),
      '2,000 rows/s (1,500 in all) | files 1 done, 2 waiting, 1 refused | 10.0 MiB left, 10.0 s | 2 rejected | p50 2.0 s p99 2.0 s',
    );
    meters.waiting('the database does not answer');
    assert.match(
      progressLine(meters.snapshot(), files, { rows: 0, bytes: 0 }, 200),
      /^waiting: the database does not answer \| /,
    );
  });

  test('before anything happened there is no division by nothing', () => {
    const snapshot = createMeters({ rejectsShown: 1, now: () => 0 }).snapshot();
    const line = progressLine(snapshot, IDLE, { rows: 0, bytes: 0 }, 200);
    assert.equal(line, '0 rows/s (0 in all) | 0 read | files 0 done, 0 waiting');
  });

  test('on a terminal the line is rewritten a few times a second, and taken away at the end', (context) => {
    context.mock.timers.enable({ apis: ['setInterval'] });
    const { screen, written } = paper(200);
    const meters = createMeters({ rejectsShown: 1 });
    const progress = startProgress({
      meters,
      files: () => IDLE,
      screen,
      log: createLog(screen, { level: 'info', format: 'auto' }),
    });
    context.mock.timers.tick(1_000);
    assert.equal(written.length, 5);
    assert.match(written[4] ?? '', /^\r\u001b\[K\d+ rows\/s/); // oxlint-disable-line no-control-regex
    progress.end();
    context.mock.timers.tick(10_000);
    assert.deepEqual(written.slice(5), ['\r\u001b[K']);
  });

  test('elsewhere a line is logged every 10 s, and only when something happened or is waited for', (context) => {
    context.mock.timers.enable({ apis: ['setInterval'] });
    const { screen, written } = paper();
    const meters = createMeters({ rejectsShown: 1 });
    const progress = startProgress({
      meters,
      files: () => IDLE,
      screen,
      log: createLog(screen, { level: 'info', format: 'auto' }),
    });
    context.mock.timers.tick(10_000);
    assert.equal(written.length, 0);
    meters.settled(...settledChunk({ name: 'a', inserted: 1 }));
    context.mock.timers.tick(10_000);
    const { msg, inserted } = JSON.parse(written[0] ?? '') as { msg: string; inserted: number };
    assert.deepEqual([msg, inserted], ['progress', 1]);
    context.mock.timers.tick(20_000);
    assert.equal(written.length, 1);
    meters.waiting('the database is away');
    context.mock.timers.tick(20_000);
    assert.equal(written.length, 3);
    progress.end();
  });
});

test('a log for people says in a sentence how far it is', (context) => {
  context.mock.timers.enable({ apis: ['setInterval'] });
  const { screen, written } = paper();
  const meters = createMeters({ rejectsShown: 1 });
  const log = createLog(screen, { level: 'info', format: 'pretty' });
  const progress = startProgress({ meters, files: () => IDLE, screen, log });
  meters.settled(...settledChunk({ name: 'a', inserted: 1_234 }));
  context.mock.timers.tick(10_000);
  meters.waiting('the database is away');
  context.mock.timers.tick(10_000);
  progress.end();
  assert.match(
    written[0] ?? '',
    /^[\d:]{8} [\d,]+ rows\/s \(.* in all\) \| 1,234 read \| files 0 done, 0 waiting/,
  );
  assert.match(written[1] ?? '', /^[\d:]{8} waiting: the database is away \| 1,234 read/);
  assert.doesNotMatch(written.join(''), /rowsPerSecond|filesDone|p50Ms/);
});

describe('the closing table', () => {
  test('shows files, sums, latency, rejects and troubles', () => {
    let now = 0;
    const meters = createMeters({ rejectsShown: 1, now: () => now });
    now = 2_000;
    meters.settled(
      ...settledChunk(
        { name: 'b\u202e.csv', inserted: 1_000, seenMs: 1_000 },
        {
          name: 'a.csv',
          inserted: 5,
          duplicates: 3,
          rejected: 2,
          seenMs: 1_000,
          rejects: [rejectAt(3), rejectAt(9)],
        },
      ),
    );
    meters.refused('c.csv', 'no header');
    meters.parked('the database refused too much', 'd.csv');
    meters.retried('57P01');
    meters.restarted('a commit vanished');
    assert.equal(
      summaryText(meters.snapshot(), 4),
      [
        'file             read  inserted  duplicates  rejected  seconds  rows/s',
        '--------------  -----  --------  ----------  --------  -------  ------',
        'a.csv              10         5           3         2     1.00      10',
        'b\\u{202e}.csv   1,000     1,000           0         0     1.00   1,000',
        'all of 2 files  1,010     1,005           3         2     1.00   1,010',
        '',
        'from arrival to commit: p50 1.0 s, p90 1.0 s, p99 1.0 s, at most 1.0 s',
        '',
        '2 records rejected (decimal 2); the first 1, all in millrace.rejects:',
        "  a.csv:3:price: decimal: price 'x' is not a plain decimal number",
        '',
        '1 file refused:',
        '  c.csv: no header',
        '',
        '1 file parked:',
        '  d.csv: the database refused too much',
        '',
        'tried again after database errors: 57P01 1 time',
        '',
        'began again from the checkpoint: a commit vanished',
        '',
      ].join('\n'),
    );
  });

  test('says so when there was nothing', () => {
    assert.equal(summaryText(createMeters({ rejectsShown: 1 }).snapshot(), 0), 'there was nothing to read\n');
  });

  test('of many files shows the sum and the worst', () => {
    const meters = createMeters({ rejectsShown: 0 });
    for (let i = 0; i < 30; i += 1)
      meters.settled(...settledChunk({ name: `f${i}`, inserted: 1, rejected: i % 10 }));
    const lines = summaryText(meters.snapshot(), 30).split('\n');
    assert.match(lines[2] ?? '', /^all of 30 files +165 +30 +0 +135 /);
    assert.deepEqual(
      lines.slice(6, 11).map((line) => line.split(' ')[0]),
      ['f19', 'f29', 'f9', 'f18', 'f28'],
    );
    assert.equal(lines[11], '');
  });

  test('the object for programs has numbers only', () => {
    const meters = createMeters({ rejectsShown: 1, now: () => 0 });
    meters.settled(...settledChunk({ name: 'a', inserted: 1, duplicates: 2, rejected: 3 }));
    assert.deepEqual(runSummary(meters.snapshot(), { files: 2, refusedFiles: 1 }), {
      files: 2,
      records: 6,
      inserted: 1,
      duplicates: 2,
      duplicatesConflicting: 0,
      rejected: 3,
      refusedFiles: 1,
      seconds: 0,
      restedSeconds: 0,
    });
  });

  test('a reject of a whole record has no column', () => {
    const sample = {
      file: 'a\n.csv',
      line: 7,
      column: null,
      code: 'too_few_fields',
      sentence: 'the record is short',
      offset: 0,
    };
    assert.equal(rejectLine(sample), 'a\\x0a.csv:7:-: too_few_fields: the record is short');
  });
});
