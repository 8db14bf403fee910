// Load that is unusual in kind, not in amount: books that are full of files, an input folder that comes and goes, a clock that jumps.

import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { FILES, UNCHANGED } from '../../src/sink/postgres/find.ts';
import { start } from '../support/cli.ts';
import { csv, events } from '../support/events.ts';
import type { TestRecord } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { until, withRoad } from '../support/road.ts';

const JUMPING_CLOCK = new URL('./jumping-clock.ts', import.meta.url);

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

test('a question about 500 files goes through the indexes, however many files are in the books', () =>
  withRoad(server, async (road) => {
    await road.put('a.csv', csv(events(0, 10)));
    await road.once();
    await road.query(
      `INSERT INTO millrace.files (generation, source_id, name, name_bytes, dev, ino, state, size, mtime_ns, ctime_ns, ended_at)
       SELECT gen_random_uuid(), 1, 'old-' || n, convert_to('old-' || n, 'UTF8'), 1, 10000000000000 + n, 'done', 0, 0, 0, now()
       FROM generate_series(1, 100000) n`,
    );
    await road.query('ANALYZE millrace.files');
    const asked = await road.query<{ ino: string; name_bytes: Buffer }>(
      "SELECT ino, name_bytes FROM millrace.files WHERE name LIKE 'old-%' ORDER BY ordinal LIMIT 500",
    );
    const values = [1, asked.map(({ ino }) => ino), asked.map((row) => row.name_bytes)];
    const plan = await road.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${FILES}`, values);
    const text = plan.map((row) => row['QUERY PLAN']).join('\n');
    assert.match(text, /Index/);
    assert.doesNotMatch(text, /Seq Scan/);
    const found = await road.query(FILES, values);
    assert.equal(found.length, 500);
    const array = (of: (row: { ino: string; name_bytes: Buffer }) => string): string =>
      `{${asked.map(of).join(',')}}`;
    const [ones, inos, zeros] = [array(() => '1'), array(({ ino }) => ino), array(() => '0')];
    const names = array(({ name_bytes: name }) => `"\\\\x${name.toString('hex')}"`);
    const standing = [1, ones, inos, array(() => 'NULL'), names, zeros, zeros, zeros];
    const probe = await road.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${UNCHANGED}`, standing);
    const steps = probe.map((row) => row['QUERY PLAN']).join('\n');
    assert.match(steps, /Index Scan/);
    assert.doesNotMatch(steps, /Seq Scan/);
    assert.equal((await road.query(UNCHANGED, standing)).length, 500);
  }));

/** Each way in which the folder may go away, and what stands in its place afterwards. */
const REMAKINGS: Readonly<Record<string, (parent: string, folder: string) => void>> = {
  'deleted and made again': (_, folder) => {
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
  },
  'replaced by another in one step': (parent, folder) => {
    mkdirSync(`${parent}/next`);
    renameSync(folder, `${parent}/old`);
    renameSync(`${parent}/next`, folder);
  },
  'deleted with its parent': (parent, folder) => {
    rmSync(parent, { recursive: true });
    mkdirSync(folder, { recursive: true });
  },
  'made again as a symlink': (parent, folder) => {
    rmSync(folder, { recursive: true });
    mkdirSync(`${parent}/elsewhere`);
    symlinkSync(`${parent}/elsewhere`, folder);
  },
};

for (const [how, remake] of Object.entries(REMAKINGS))
  for (const scanEvery of ['100ms', '1h'])
    test(`a folder ${how} while the program runs is read on, with a scan every ${scanEvery}`, (t) =>
      withRoad(server, async (road) => {
        const parent = road.path('parent');
        const folder = `${parent}/inbox`;
        mkdirSync(folder, { recursive: true });
        const args = ['run', '--quiet', '--input', folder, '--scan-every', scanEvery, '--settle', '100ms'];
        const run = start(args, { env: road.database.env });
        t.after(() => void run.child.kill('SIGKILL'));
        const placed = new Map<string, TestRecord[]>();
        const put = (name: string, records: TestRecord[]): void => {
          placed.set(name, records);
          writeFileSync(`${parent}/${name}`, csv(records));
          renameSync(`${parent}/${name}`, `${folder}/${name}`);
        };
        put('a.csv', events(0, 20));
        await until('the first rows', async () => (await road.count()) === 20);
        await until('the first file', async () => (await road.books()).some(({ state }) => state === 'done'));
        remake(parent, folder);
        // Twice: what lies there when it comes back, and what comes later.
        put('b.csv', events(20, 20));
        await until('the file in the new folder', async () => (await road.count()) === 40);
        put('c.csv', events(40, 20));
        await until('the file that came later', async () => (await road.count()) === 60);
        run.child.kill('SIGTERM');
        assert.equal((await run.ended).code, 0);
        await road.balance(placed);
      }));

test('an input folder that is a symlink is watched for events', () =>
  withRoad(server, async (road) => {
    mkdirSync(road.path('real'));
    symlinkSync(road.path('real'), road.path('link'));
    const args = ['run', '--quiet', '--input', road.path('link'), '--scan-every', '1h'];
    const run = start(args, { env: road.database.env });
    const placed = new Map<string, TestRecord[]>();
    for (const name of ['a.csv', 'b.csv', 'c.csv']) {
      const records = events(placed.size * 20, 20);
      placed.set(name, records);
      writeFileSync(road.path(name), csv(records));
      renameSync(road.path(name), road.path(`real/${name}`));
      await until('its rows', async () => (await road.count()) === placed.size * 20);
    }
    run.child.kill('SIGTERM');
    assert.equal((await run.ended).code, 0);
    await road.balance(placed);
  }));

/** Every number in a text of JSON lines, with the path to it. */
function numbersIn(text: string): [path: string, value: number][] {
  const found: [string, number][] = [];
  const walk = (path: string, value: unknown): void => {
    if (typeof value === 'number') found.push([path, value]);
    else if (value !== null && typeof value === 'object')
      for (const [name, each] of Object.entries(value)) walk(`${path}.${name}`, each);
  };
  for (const line of text.split('\n').filter((each) => each.startsWith('{'))) walk('', JSON.parse(line));
  return found;
}

test('a clock set back and forth by days all the time: no negative figure, no lost lease, every row once', () =>
  withRoad(server, async (road) => {
    const env = { NODE_OPTIONS: `--import=${JUMPING_CLOCK.href}` };
    const run = road.start(
      [
        '--json',
        '--log-format',
        'json',
        '--log-level',
        'debug',
        '--scan-every',
        '200ms',
        '--settle',
        '300ms',
      ],
      env,
    );
    const placed = new Map<string, TestRecord[]>();
    for (let index = 0; index < 30; index += 1) {
      const records = events(index * 100, 100);
      placed.set(`${index}.csv`, records);
      await road.put(`${index}.csv`, csv(records));
      // Files of a server whose clock is wrong as well.
      const years = [1971, 2024, 2099][index % 3] ?? 2024;
      utimesSync(road.path(`${index}.csv`), new Date(`${years}-01-01`), new Date(`${years}-01-01`));
      await until('its rows', async () => (await road.count()) >= index * 100);
    }
    await until('all files to be done', async () => {
      const books = await road.books();
      return books.length === 30 && books.every(({ state }) => state === 'done');
    });
    // Longer than one progress line, longer than the watch over the lease, and over several jumps.
    await until('a progress line', () => run.said().includes('"progress"'));
    run.child.kill('SIGTERM');
    const { code, stdout, stderr } = await run.ended;
    assert.equal(code, 0, stderr);
    const days = new Set([...stderr.matchAll(/"time":"(\d{4}-\d\d-\d\d)/g)].map(([, day]) => day));
    assert.ok(days.size >= 3, `the clock did not jump: ${[...days].join(', ')}`);
    const numbers = numbersIn(stdout + stderr);
    assert.ok(numbers.length > 20, stdout);
    assert.deepEqual(
      numbers.filter(([, value]) => !(value >= 0)),
      [],
    );
    assert.doesNotMatch(stderr, /taken over|-\d+(\.\d+)? ?(ms|s|min|rows)/);
    await road.balance(placed);
    const again = await road.start(['--once', '--json', '--settle', '100ms'], env).ended;
    assert.equal(again.code, 0, again.stderr);
    assert.deepEqual(
      numbersIn(again.stdout).filter(([, value]) => !(value >= 0)),
      [],
    );
    assert.equal((JSON.parse(again.stdout) as { records: number }).records, 0);
  }));
