// Files that are not plain CSV, read by a run with options: every command that reads them again is told nothing of these options, and
// must see the file as it was read. Each file brings rows, NULL words, records that a rule refuses, and one that the database refuses.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { appendFile, rename } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { diff } from '../../src/commands/diff.ts';
import { migrateDatabase } from '../../src/commands/migrate.ts';
import { rejects } from '../../src/commands/rejects.ts';
import { resume } from '../../src/commands/resume.ts';
import { undo } from '../../src/commands/undo.ts';
import { verify } from '../../src/commands/verify.ts';
import { why } from '../../src/commands/why.ts';
import { readCommandLine, readOptions } from '../../src/options/read.ts';
import { testIo } from '../support/cli.ts';
import { HEADER, events, uuidOf } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { Road } from '../support/road.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.stop());

const COMMANDS = { diff, rejects, resume, undo, verify, why };

interface Told {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command in this process; the options of the file's form are never among its words. */
async function tell(road: Road, command: keyof typeof COMMANDS, ...args: string[]): Promise<Told> {
  const parsed = readCommandLine([command, ...args, '--input', road.folder], {}, '', 100);
  assert.ok(parsed.kind === 'run');
  const { io, stdout, stderr } = testIo(road.database.env);
  const run = COMMANDS[command] as (options: unknown, with_: typeof io) => Promise<number>;
  const code = await run(parsed.options, io);
  return { code, stdout: stdout(), stderr: stderr() };
}

interface Form {
  readonly what: string;
  readonly name: string;
  readonly options: readonly string[];
  readonly delimiter: string;
  readonly lineEnd: string;
  readonly null: string;
  /** The file's bytes of a text. */
  readonly bytes: (text: string) => Buffer;
  readonly isPacked?: true;
}

const PLAIN = {
  name: 'form.csv',
  delimiter: ',',
  lineEnd: '\n',
  null: '',
  options: [],
  bytes: (text: string): Buffer => Buffer.from(text),
};

const FORMS: readonly Form[] = [
  {
    ...PLAIN,
    what: 'UTF-16, compressed',
    name: 'form.csv.gz',
    options: ['--encoding', 'utf-16le'],
    bytes: (text) => Buffer.from(text, 'utf16le'),
    isPacked: true,
  },
  { ...PLAIN, what: 'UTF-16 with its mark', bytes: (text) => Buffer.from(`\ufeff${text}`, 'utf16le') },
  {
    ...PLAIN,
    what: 'Latin-1',
    options: ['--encoding', 'latin1'],
    bytes: (text) => Buffer.from(text, 'latin1'),
  },
  { ...PLAIN, what: 'semicolons', options: ['--delimiter', ';'], delimiter: ';', lineEnd: '\r\n' },
  { ...PLAIN, what: 'a delimiter that nobody would guess', options: ['--delimiter', '^'], delimiter: '^' },
  { ...PLAIN, what: 'NULL words', options: ['--null', 'NA,n/a'], null: 'NA' },
  { ...PLAIN, what: 'line ends of old Macs', options: ['--newline', 'cr'], lineEnd: '\r' },
];

/** Fields of a record; quantity may be the form's word for NULL. */
function record(
  form: Form,
  number: number,
  change: { user?: string; quantity?: string; price?: string } = {},
): string {
  const { user = `zoë_${number}`, quantity = form.null, price = '1.50' } = change;
  return [uuidOf(number), 'view', 'p', user, '2024-05-06 07:08:09', quantity, price].join(form.delimiter);
}

function contentOf(form: Form, records: readonly string[]): Buffer {
  const header = HEADER.replaceAll(',', form.delimiter);
  const bytes = form.bytes([header, ...records].map((line) => `${line}${form.lineEnd}`).join(''));
  return form.isPacked === true ? gzipSync(bytes) : bytes;
}

const PLAIN_ROWS = 5;
const REFUSED = 'refusé';

async function keys(road: Road): Promise<string[]> {
  const rows = await road.query<{ key: string }>('SELECT event_id::text AS key FROM events');
  return rows.map(({ key }) => key).toSorted();
}

/** Rows of somebody else, a constraint, and the file of the form. */
async function loaded(form: Form): Promise<{ road: Road; records: string[] }> {
  const road = new Road(await server.createDatabase());
  await migrateDatabase(readOptions('migrate', {}, {}), testIo(road.database.env).io);
  for (const { key } of events(900, PLAIN_ROWS))
    await road.query(
      `INSERT INTO events (event_id, event_type, event_timestamp) VALUES ($1, 'view', now())`,
      [key],
    );
  await road.query(`ALTER TABLE events ADD CONSTRAINT no_refused CHECK (user_id <> '${REFUSED}')`);
  const records = [
    record(form, 1),
    record(form, 2, { quantity: '7' }),
    record(form, 3, { user: REFUSED }),
    record(form, 4, { quantity: 'mañana' }),
    record(form, 5),
  ];
  await road.put(form.name, contentOf(form, records));
  const counts = await road.once(form.options);
  assert.deepEqual([counts.inserted, counts.rejected], [3, 2], form.what);
  return { road, records };
}

interface Report {
  readonly found: readonly unknown[];
  readonly files: readonly {
    readonly name: string;
    readonly standing: string;
    readonly recordsFound: number;
  }[];
}

async function assertAgrees(road: Road, name: string, records = 5): Promise<void> {
  const { stdout } = await tell(road, 'verify', '--json', '--allow-unknown-rows');
  const report = JSON.parse(stdout) as Report;
  assert.deepEqual(report.found, []);
  const file = report.files.findLast((one) => one.name === name);
  assert.deepEqual([file?.standing, file?.recordsFound], ['agrees', records]);
}

describe('a file is read again in the form that it was read in', () => {
  for (const form of FORMS)
    test(form.what, async () => {
      const { road, records } = await loaded(form);
      try {
        await assertAgrees(road, form.name);

        const seen = await tell(road, 'why', uuidOf(5));
        assert.match(seen.stdout, new RegExp(`${form.name.replaceAll('.', '\\.')}:6 .*: inserted`));
        assert.match((await tell(road, 'why', uuidOf(4))).stdout, /:5 .*: rejected: integer/);

        const header = HEADER.replaceAll(',', form.delimiter);
        const refused = [header, records[2], records[3]].map((line) => `${line}${form.lineEnd}`).join('');
        const exported = await tell(road, 'rejects', 'export', form.name);
        assert.equal(exported.stdout, refused);
        const folder = mkdtempSync(join(tmpdir(), 'millrace-export-'));
        await tell(road, 'rejects', 'export', form.name, '--raw', '--to', folder);
        assert.deepEqual(readdirSync(folder), ['form.csv'], 'what is written is not compressed');
        assert.deepEqual(readFileSync(join(folder, 'form.csv')), form.bytes(refused));
        rmSync(folder, { recursive: true });

        await road.query('ALTER TABLE events DROP CONSTRAINT no_refused');
        const replayed = await tell(road, 'rejects', 'replay', '--json');
        assert.deepEqual(JSON.parse(replayed.stdout), {
          inserted: 1,
          duplicates: 0,
          rejected: 1,
          untried: 0,
        });
        const [row] = await road.query(`SELECT user_id, quantity FROM events WHERE event_id = $1`, [
          uuidOf(3),
        ]);
        assert.deepEqual(row, { user_id: REFUSED, quantity: null });
        await assertAgrees(road, form.name);

        const corrected = [record(form, 1, { price: '2.50' }), ...records.slice(1), record(form, 6)];
        await road.put(form.name, contentOf(form, corrected));
        const differs = JSON.parse((await tell(road, 'diff', form.name, '--json')).stdout) as Record<
          string,
          { count: number }
        >;
        assert.deepEqual(
          [differs['new']?.count, differs['changed']?.count, differs['gone']?.count, differs['same']],
          [1, 1, 0, 3],
        );

        await road.put(form.name, contentOf(form, records));
        const undone = await tell(road, 'undo', '--yes', '--json', form.name);
        assert.equal(undone.code, 0, undone.stderr);
        assert.equal((JSON.parse(undone.stdout) as { removed: number }).removed, 4);
        assert.deepEqual(
          await keys(road),
          events(900, PLAIN_ROWS)
            .map(({ key }) => key)
            .toSorted(),
        );
      } finally {
        await road.clean();
      }
    });
});

describe('the dialect of a content', () => {
  const nulls = FORMS.find(({ what }) => what === 'NULL words') ?? FORMS[0]!;

  test('stays what it was when the run is started with another one, and is said; undone, it is read in the new one', async () => {
    const road = new Road(await server.createDatabase());
    try {
      await road.put('form.csv', contentOf(nulls, [record(nulls, 1)]));
      await road.once(nulls.options);
      await appendFile(
        road.path('form.csv'),
        `${record(nulls, 2)}\n${record(nulls, 3, { quantity: '-' })}\n`,
      );
      const { stderr } = await road.start(['--once', '--null', '-', '--settle', '100ms']).ended;
      assert.match(
        stderr,
        /form\.csv was begun with --null 'NA,n\/a' and is read on so, not with --null '-'/,
      );
      assert.deepEqual(await keys(road), [uuidOf(1), uuidOf(2)].toSorted());
      await assertAgrees(road, 'form.csv', 3);

      await tell(road, 'undo', '--yes', 'form.csv');
      await tell(road, 'resume', 'form.csv');
      await road.once(['--null', '-']);
      assert.deepEqual(await keys(road), [uuidOf(3)]);
      assert.deepEqual(await road.query('SELECT nulls FROM millrace.files'), [{ nulls: ['-'] }]);
      await assertAgrees(road, 'form.csv', 3);
    } finally {
      await road.clean();
    }
  });

  test('a file that was refused is tried again in another dialect, and only then', async () => {
    const road = new Road(await server.createDatabase());
    try {
      const form = { ...PLAIN, what: '', delimiter: '^', null: '' };
      await road.put('form.csv', contentOf(form, [record(form, 1)]));
      assert.equal((await road.once()).inserted, 0);
      assert.equal((await road.once()).refusedFiles, 1);
      assert.equal((await road.query('SELECT FROM millrace.files')).length, 1);
      assert.equal((await road.once(['--delimiter', '^'])).inserted, 1);
      await assertAgrees(road, 'form.csv', 1);
    } finally {
      await road.clean();
    }
  });

  test('options that contradict the books are refused by diff, and unknown to the others', async () => {
    const { road } = await loaded(nulls);
    try {
      await assert.rejects(tell(road, 'diff', 'form.csv', '--null', '-'), {
        message: `form.csv was read with --null 'NA,n/a', and --null '-' is said now`,
      });
      for (const command of ['verify', 'undo', 'rejects'] as const)
        await assert.rejects(tell(road, command, 'form.csv', '--null', '-'), { code: 'usage' });
    } finally {
      await road.clean();
    }
  });
});

describe('files that were archived', () => {
  test('are found by their content where the books say they went, also one of many of its name', async () => {
    const form = FORMS[0]!;
    const road = new Road(await server.createDatabase());
    const archive = mkdtempSync(join(tmpdir(), 'millrace-archive-'));
    try {
      const options = [...form.options, '--after', 'archive', '--archive-dir', archive];
      for (const number of [1, 2, 3]) {
        await road.put(form.name, contentOf(form, [record(form, number), record(form, number + 10)]));
        await road.once(options);
      }
      assert.deepEqual(readdirSync(archive).toSorted(), ['form.csv.gz', 'form.csv.gz.1', 'form.csv.gz.2']);
      const { stdout } = await tell(road, 'verify', '--json');
      const report = JSON.parse(stdout) as Report;
      assert.deepEqual(report.found, []);
      assert.deepEqual(
        report.files.map(({ standing, recordsFound }) => [standing, recordsFound]),
        [1, 2, 3].map(() => ['agrees', 2]),
      );
      assert.match((await tell(road, 'why', uuidOf(12))).stdout, /form\.csv\.gz:3 .*: inserted/);

      // The archive moved: then a person says where.
      const other = join(archive, 'elsewhere');
      mkdirSync(other);
      for (const name of ['form.csv.gz', 'form.csv.gz.1', 'form.csv.gz.2'])
        await rename(join(archive, name), join(other, name));
      assert.match((await tell(road, 'why', uuidOf(12))).stdout, /not searched: form\.csv\.gz/);
      assert.match((await tell(road, 'why', uuidOf(12), '--archive-dir', other)).stdout, /:3 .*: inserted/);
      const undone = await tell(road, 'undo', '--yes', form.name, '--archive-dir', other);
      assert.equal(undone.code, 0, undone.stderr);
      assert.deepEqual(await keys(road), [1, 11, 2, 12].map(uuidOf).toSorted());
    } finally {
      await road.clean();
      rmSync(archive, { recursive: true });
    }
  });
});
