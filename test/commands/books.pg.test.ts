// `status`, `reset` and `prune` against a real PostgreSQL whose books were written by hand: what they show, what they remove and what
// they leave, that they ask, and that whoever runs meanwhile must forget.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { prune } from '../../src/commands/prune.ts';
import { reset } from '../../src/commands/reset.ts';
import type { Status } from '../../src/commands/status.ts';
import { MillraceError } from '../../src/errors.ts';
import { readOptions } from '../../src/options/read.ts';
import { events as eventsTable } from '../../src/schema/events.ts';
import { LOCK_CLASS } from '../../src/sink/postgres/fence.ts';
import { migrate } from '../../src/sink/postgres/migrate.ts';
import { ensureTable } from '../../src/sink/postgres/table.ts';
import { bareEnv, millrace, start, testIo } from '../support/cli.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestDatabase, TestServer } from '../support/postgres.ts';

let server: TestServer;
const folder = mkdtempSync(join(tmpdir(), 'millrace-books-'));
before(async () => {
  server = await startTestServer();
});
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

const EPOCH = '11111111-1111-4111-8111-111111111111';

interface FileSeed {
  readonly id: number;
  readonly name: string;
  readonly state?: string;
  readonly reason?: string;
  readonly ino?: bigint;
  readonly endedDaysAgo?: number;
  /** start, end, inserted, duplicates, rejected, batch */
  readonly slices?: readonly (readonly [number, number, number, number, number, number])[];
}

function generation(id: number): string {
  return `00000000-0000-4000-8000-${String(id).padStart(12, '0')}`;
}

/** A database with engine tables, the events table, and one client for looking. */
class Library {
  readonly database: TestDatabase;
  readonly client: pg.Client;

  static async open(): Promise<Library> {
    const database = await server.createDatabase();
    const client = new pg.Client(database.client);
    await client.connect();
    return new Library(database, client);
  }

  private constructor(database: TestDatabase, client: pg.Client) {
    this.database = database;
    this.client = client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.end();
  }

  async furnish(): Promise<void> {
    await migrate(this.client, { program: 'test' });
    await ensureTable(this.client, eventsTable, { schema: 'public', name: 'events' });
  }

  async source(source: string, target = 'public.events'): Promise<number> {
    const sql = `INSERT INTO millrace.leases (source, target, epoch, holder) VALUES ($1, $2, $3, 'test') RETURNING source_id`;
    const { rows } = await this.client.query<{ source_id: number }>(sql, [source, target, EPOCH]);
    return rows[0]?.source_id ?? assert.fail();
  }

  async file(sourceId: number, seed: FileSeed): Promise<void> {
    const { id, name, state = 'done', reason = null, ino = 1n, endedDaysAgo = 0, slices = [] } = seed;
    const ended = state === 'reading' ? null : endedDaysAgo;
    await this.client.query(
      `INSERT INTO millrace.files (generation, source_id, name, name_bytes, dev, ino, state, reason, size, seen_at, ended_at)
       VALUES ($1, $2, $3, $4, 1, $5, $6, $7, $8, clock_timestamp(), clock_timestamp() - $9 * interval '1 day')`,
      [
        generation(id),
        sourceId,
        name,
        Buffer.from(name),
        ino.toString(),
        state,
        reason,
        ended === null ? null : 1_000,
        ended,
      ],
    );
    for (const [from, to, inserted, duplicates, rejected, batch] of slices) {
      await this.client.query(
        `INSERT INTO millrace.batches (epoch, number, system_identifier, database_oid) VALUES ($1, $2, 1, 1) ON CONFLICT DO NOTHING`,
        [EPOCH, batch],
      );
      await this.client.query(
        `INSERT INTO millrace.slices (generation, start_offset, end_offset, first_line, lines, crc32, records, inserted, duplicates, rejected, epoch, batch)
         VALUES ($1, $2, $3, 1, 1, 0, $4::bigint + $5::bigint + $6::bigint, $4, $5, $6, $7, $8)`,
        [generation(id), from, to, inserted, duplicates, rejected, EPOCH, batch],
      );
      for (let i = 0; i < rejected; i += 1)
        await this.client.query(
          `INSERT INTO millrace.rejects (generation, byte_offset, line, code, sentence, raw_length, epoch, batch) VALUES ($1, $2, 1, 'uuid', 's', 1, $3, $4)`,
          [generation(id), from + i, EPOCH, batch],
        );
    }
  }

  async store(count: number): Promise<void> {
    await this.client.query(
      `INSERT INTO events (event_id, event_type, event_timestamp) SELECT gen_random_uuid(), 'view', now() FROM generate_series(1, $1)`,
      [count],
    );
  }

  async counts(): Promise<Record<string, number>> {
    const { rows } = await this.client.query<Record<string, number>>(
      `SELECT (SELECT count(*)::int FROM events) AS events, (SELECT count(*)::int FROM millrace.files) AS files, (SELECT count(*)::int FROM millrace.slices) AS slices,
         (SELECT count(*)::int FROM millrace.rejects) AS rejects, (SELECT count(*)::int FROM millrace.batches) AS batches, (SELECT sum(forget)::int FROM millrace.leases) AS forget`,
    );
    return rows[0] ?? {};
  }

  async status(...args: readonly string[]): Promise<{ found: Status; stderr: string }> {
    const { code, stdout, stderr } = await millrace(['status', '--json', ...args], {
      env: this.database.env,
    });
    assert.equal(code, 0, stderr);
    return { found: JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Status, stderr };
  }
}

describe('status', () => {
  test('of a database that Millrace never saw says so, and shows nothing', async () => {
    await using library = await Library.open();
    const { found, stderr } = await library.status();
    assert.deepEqual(found, {
      total: { records: 0, inserted: 0, duplicates: 0, duplicatesConflicting: 0, rejected: 0 },
      files: [],
      deferredIndexes: [],
    });
    assert.match(stderr, /nothing was ever read into this database/);
    const { rows } = await library.client.query(`SELECT to_regnamespace('millrace') AS made`);
    assert.deepEqual(rows, [{ made: null }]);
  });

  test('without any database makes none', async () => {
    const data = join(folder, 'none');
    const { code, stdout } = await millrace(['status', '--json', '--data', data], { env: bareEnv() });
    assert.deepEqual(
      [code, JSON.parse(stdout)],
      [
        0,
        {
          total: { records: 0, inserted: 0, duplicates: 0, duplicatesConflicting: 0, rejected: 0 },
          files: [],
          deferredIndexes: [],
        },
      ],
    );
    assert.throws(() => statSync(data));
  });

  test('shows one entry per generation, the size of a file that is still being read, and reasons', async () => {
    await using library = await Library.open();
    await library.furnish();
    const id = await library.source(folder);
    writeFileSync(join(folder, 'growing.csv'), 'x'.repeat(777));
    const { ino } = statSync(join(folder, 'growing.csv'), { bigint: true });
    await library.file(id, {
      id: 1,
      name: 'a.csv',
      slices: [
        [0, 400, 5, 1, 1, 1],
        [400, 1_000, 3, 0, 0, 2],
      ],
    });
    await library.file(id, { id: 2, name: 'a.csv', slices: [[0, 1_000, 0, 9, 0, 3]] });
    await library.file(id, {
      id: 3,
      name: 'growing.csv',
      state: 'reading',
      ino,
      slices: [
        [0, 100, 2, 0, 0, 4],
        [200, 300, 4, 0, 0, 5],
      ],
    });
    await library.file(id, { id: 4, name: 'bad.csv', state: 'refused', reason: 'no header' });
    const { found } = await library.status('--input', folder);
    assert.deepEqual(found.total, {
      records: 25,
      inserted: 14,
      duplicates: 10,
      duplicatesConflicting: 0,
      rejected: 1,
    });
    assert.deepEqual(
      found.files.map(({ name, state, bytes, position, records, inserted, duplicates, rejected, reason }) => [
        name,
        state,
        bytes,
        position,
        records,
        inserted,
        duplicates,
        rejected,
        reason,
      ]),
      [
        ['a.csv', 'done', 1_000, 1_000, 10, 8, 1, 1, null],
        ['a.csv', 'done', 1_000, 1_000, 9, 0, 9, 0, null],
        ['growing.csv', 'reading', 777, 100, 6, 6, 0, 0, null],
        ['bad.csv', 'refused', 1_000, 0, 0, 0, 0, 0, 'no header'],
      ],
    );
    const text = await millrace(['status', '--input', folder], { env: library.database.env });
    assert.match(text.stdout, /^bad\.csv +refused +1,000 +0 +0 /m);
    assert.match(text.stdout, /^all of 4 files +25 +14 +10 +1$/m);
    assert.match(text.stdout, /^bad\.csv is refused: no header$/m);
  });

  test('shows all sources when nobody named one, and only the named one otherwise', async () => {
    await using library = await Library.open();
    await library.furnish();
    const [one, two] = [await library.source('/one'), await library.source('/two')];
    await library.file(one, { id: 1, name: 'a.csv', slices: [[0, 10, 1, 0, 0, 1]] });
    await library.file(two, { id: 2, name: 'b.csv', slices: [[0, 10, 1, 0, 0, 2]] });
    assert.equal((await library.status()).found.files.length, 2);
    assert.deepEqual(
      (await library.status('--source', '/two')).found.files.map(({ name }) => name),
      ['b.csv'],
    );
    const other = await library.status('--source', '/three');
    assert.deepEqual(other.found.files, []);
    assert.match(
      other.stderr,
      /nothing was ever read from \/three into public\.events; there are: \/one -> public\.events, /,
    );
  });

  test('a database that is away is an error with a sentence', async () => {
    const env = { ...bareEnv(), DATABASE_URL: 'postgresql://u:hidden@127.0.0.1:1/d' };
    const { code, stdout, stderr } = await millrace(['status', '--json'], { env });
    assert.deepEqual([code, stdout], [5, '']);
    assert.match(stderr, /^millrace: cannot use postgresql:\/\/u@127\.0\.0\.1:1\/d: /);
    assert.doesNotMatch(stderr, /hidden/);
  });

  test('Ctrl-C ends it while the database does not answer', async () => {
    const silent = net.createServer().listen(0, '127.0.0.1');
    const asked = new Promise((resolve) => silent.once('connection', resolve));
    const { port } = await new Promise<net.AddressInfo>((resolve) => {
      silent.once('listening', () => resolve(silent.address() as net.AddressInfo));
    });
    const { child, ended } = start(['status'], {
      env: { ...bareEnv(), DATABASE_URL: `postgresql://u@127.0.0.1:${port}/d` },
    });
    await asked;
    child.kill('SIGINT');
    const { code, stderr } = await ended;
    assert.deepEqual([code, stderr], [130, '']);
    silent.close();
  });
});

async function furnished(): Promise<Library> {
  const library = await Library.open();
  await library.furnish();
  const [mine, other, elsewhere] = [
    await library.source('/in'),
    await library.source('/other'),
    await library.source('/in', 'shop.events'),
  ];
  await library.file(mine, {
    id: 1,
    name: 'a.csv',
    slices: [
      [0, 10, 2, 0, 1, 1],
      [10, 20, 1, 0, 0, 2],
    ],
  });
  await library.file(mine, { id: 2, name: 'b.csv', slices: [[0, 10, 1, 0, 0, 2]] });
  // Batch 2 also wrote for another source: it stays.
  await library.file(other, { id: 3, name: 'c.csv', slices: [[0, 10, 1, 0, 1, 2]] });
  await library.file(elsewhere, { id: 4, name: 'd.csv', slices: [[0, 10, 1, 0, 0, 3]] });
  await library.store(6);
  return library;
}

async function resetWith(library: Library, args: Record<string, unknown>, answer?: string): Promise<string> {
  const { io, stderr } = testIo(library.database.env, answer);
  const options = readOptions('reset', { input: '/in', ...args }, {});
  assert.equal(await reset(options, io), 0);
  return stderr();
}

describe('reset', () => {
  const FULL = { events: 6, files: 4, slices: 5, rejects: 2, batches: 3, forget: 0 };

  test('removes events and the books of its source, and nothing of others', async () => {
    await using library = await furnished();
    assert.deepEqual(await library.counts(), FULL);
    const said = await resetWith(library, { yes: true });
    assert.match(
      said,
      /this removes 6 rows of table public\.events, and the books of \/in: 2 files, 1 rejected record\n/,
    );
    // Everybody who writes to the table must forget: /in and /other, but not the one of shop.events.
    assert.deepEqual(await library.counts(), {
      events: 0,
      files: 2,
      slices: 2,
      rejects: 1,
      batches: 2,
      forget: 2,
    });
  });

  test('books made by a newer program are left alone', async () => {
    await using library = await furnished();
    await library.client.query(
      "INSERT INTO millrace.migrations (version, name, checksum, program) VALUES (9999, 'later', 'x', '9.0.0')",
    );
    const before = await library.counts();
    const refused = (error: unknown): boolean =>
      error instanceof MillraceError && error.code === 'migration' && /version 9999/.test(error.message);
    await assert.rejects(resetWith(library, { yes: true }), refused);
    await assert.rejects(pruneWith(library, {}), refused);
    assert.deepEqual(await library.counts(), before);
  });

  test('without the right to empty the table it names the right and the GRANT, and removes nothing', async () => {
    await using library = await furnished();
    const before = await library.counts();
    const name = library.database.name.replace('test', 'loader');
    await library.client.query(
      `CREATE ROLE ${name} LOGIN PASSWORD 'p'; GRANT USAGE ON SCHEMA millrace TO ${name};
       GRANT ALL ON ALL TABLES IN SCHEMA millrace TO ${name}; GRANT SELECT, INSERT ON events TO ${name}`,
    );
    const url = new URL(library.database.url);
    [url.username, url.password] = [name, 'p'];
    const ended = await millrace(['reset', '--yes', '--input', '/in'], {
      env: bareEnv({ DATABASE_URL: url.href }),
    });
    assert.equal(ended.code, 5, ended.stderr);
    assert.match(ended.stderr, /may not empty public\.events: it lacks the right TRUNCATE/);
    assert.match(
      ended.stderr,
      new RegExp(`GRANT TRUNCATE ON "public"."events" TO "${name}";.*nothing was removed`),
    );
    assert.deepEqual(await library.counts(), before);
    await library.client.query(`REVOKE ALL ON ALL TABLES IN SCHEMA millrace FROM ${name};
      GRANT TRUNCATE ON events TO ${name}; GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA millrace TO ${name}`);
    const books = await millrace(['reset', '--yes', '--input', '/in'], {
      env: bareEnv({ DATABASE_URL: url.href }),
    });
    assert.equal(books.code, 5, books.stderr);
    assert.match(
      books.stderr,
      /may not do this: permission denied for .*GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA millrace/s,
    );
    assert.deepEqual(await library.counts(), before);
  });

  test('--checkpoint leaves the events, --events the books', async () => {
    await using library = await furnished();
    await resetWith(library, { yes: true, checkpoint: true });
    assert.deepEqual(await library.counts(), {
      events: 6,
      files: 2,
      slices: 2,
      rejects: 1,
      batches: 2,
      forget: 1,
    });
    await resetWith(library, { yes: true, events: true });
    assert.deepEqual(await library.counts(), {
      events: 0,
      files: 2,
      slices: 2,
      rejects: 1,
      batches: 2,
      forget: 3,
    });
  });

  test('asks on a terminal, and only yes means yes', async () => {
    await using library = await furnished();
    for (const answer of ['', '\n', 'n\n', 'yesterday\n'])
      assert.match(await resetWith(library, {}, answer), /nothing was removed\n$/, JSON.stringify(answer));
    assert.deepEqual(await library.counts(), FULL);
    assert.match(await resetWith(library, {}, 'Yes\n'), /removed 6 rows/);
    assert.equal((await library.counts())['events'], 0);
  });

  test('without a terminal and without --yes it is wrong usage, and nothing happens', async () => {
    await using library = await furnished();
    const { code, stderr } = await millrace(['reset', '--input', '/in'], { env: library.database.env });
    assert.equal(code, 2);
    assert.match(stderr, /asks before it removes anything/);
    assert.deepEqual(await library.counts(), FULL);
  });

  test('waits for a batch that is being written, and takes all or nothing', async () => {
    await using library = await furnished();
    await library.client.query('BEGIN');
    await library.client.query('SELECT pg_advisory_xact_lock_shared($1, 1)', [LOCK_CLASS]);
    const resetting = resetWith(library, { yes: true, checkpoint: true });
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal((await library.counts())['files'], 4);
    await library.client.query('COMMIT');
    await resetting;
    assert.equal((await library.counts())['files'], 2);
  });

  test('a table that others refer to is not emptied, and the books stay with it', async () => {
    await using library = await furnished();
    await library.client.query('CREATE TABLE note (event_id uuid REFERENCES events)');
    await assert.rejects(resetWith(library, { yes: true }), (error) => {
      assert.ok(error instanceof MillraceError);
      assert.equal(error.code, 'database');
      assert.match(error.message, /public\.events cannot be emptied/);
      return true;
    });
    assert.deepEqual(await library.counts(), FULL);
  });

  test('of a database without engine tables or table finds nothing', async () => {
    await using library = await Library.open();
    assert.match(await resetWith(library, { yes: true }), /there is nothing to remove/);
  });
});

async function pruneWith(library: Library, args: Record<string, unknown>): Promise<string> {
  const { io, stderr } = testIo(library.database.env);
  assert.equal(await prune(readOptions('prune', { yes: true, ...args }, {}), io), 0);
  return stderr();
}

describe('prune', () => {
  test('removes old books of ended files that are gone, and nothing else', async () => {
    await using library = await Library.open();
    await library.furnish();
    const id = await library.source(folder);
    writeFileSync(join(folder, 'kept.csv'), 'x');
    const { ino } = statSync(join(folder, 'kept.csv'), { bigint: true });
    await library.file(id, {
      id: 1,
      name: 'old.csv',
      endedDaysAgo: 40,
      slices: [
        [0, 10, 1, 0, 1, 1],
        [10, 20, 1, 0, 0, 2],
      ],
    });
    await library.file(id, { id: 2, name: 'bad.csv', state: 'refused', endedDaysAgo: 40 });
    await library.file(id, { id: 3, name: 'young.csv', endedDaysAgo: 20, slices: [[0, 10, 1, 0, 0, 2]] });
    await library.file(id, { id: 4, name: 'kept.csv', ino, endedDaysAgo: 40, slices: [[0, 10, 1, 0, 0, 3]] });
    await library.file(id, { id: 5, name: 'reading.csv', state: 'reading', slices: [[0, 10, 1, 0, 0, 4]] });
    await library.file(id, {
      id: 6,
      name: 'parked.csv',
      state: 'parked',
      endedDaysAgo: 40,
      slices: [[0, 10, 1, 0, 0, 5]],
    });
    await library.store(7);
    const said = await pruneWith(library, { input: folder });
    assert.match(
      said,
      /removed the books of 2 files \(2 slices, 1 rejected record, 1 transaction\); those of 1 file stay: still in the folder/,
    );
    const { rows } = await library.client.query<{ name: string }>(
      'SELECT name FROM millrace.files ORDER BY name',
    );
    assert.deepEqual(
      rows.map(({ name }) => name),
      ['kept.csv', 'parked.csv', 'reading.csv', 'young.csv'],
    );
    assert.deepEqual(await library.counts(), {
      events: 7,
      files: 4,
      slices: 4,
      rejects: 0,
      batches: 4,
      forget: 1,
    });
    assert.match(
      await pruneWith(library, { input: folder }),
      /nothing to remove: no file of .* ended 30 days ago or earlier and has left the folder since; those of 1 file stay/,
    );
    assert.match(
      await pruneWith(library, { input: folder, 'older-than': '10d' }),
      /removed the books of 1 file \(1 slice,/,
    );
  });

  test('a folder that is not there proves nothing about its files', async () => {
    await using library = await Library.open();
    await library.furnish();
    const gone = join(folder, 'unmounted');
    await library.file(await library.source(gone), { id: 1, name: 'old.csv', endedDaysAgo: 40 });
    await assert.rejects(pruneWith(library, { input: gone }), /cannot look into .*unmounted/);
    assert.equal((await library.counts())['files'], 1);
  });
});
