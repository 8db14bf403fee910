// Disks that are full or broken: under the server, under the archive, under the log, under a source file. Small file systems are
// mounted where the machine allows it; system calls are made to fail with strace where that is installed.

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { start } from '../support/cli.ts';
import { csv, events } from '../support/events.ts';
import type { TestRecord } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import type { Road } from '../support/road.ts';
import { until, withRoad } from '../support/road.ts';
import { cannotMount, cannotTrace } from './support.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

async function onSmallDisk(kilobytes: number, body: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-small-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k`, 'tmpfs', folder]);
  try {
    await body(folder);
  } finally {
    execFileSync('umount', ['-l', folder]);
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Traced {
  readonly ended: Promise<{ code: number | null; stderr: string }>;
  /** Asks the program itself to end; strace ends with it. */
  terminate(): void;
}

/** The program under strace, with one kind of system call made to fail. */
function underStrace(road: Road, inject: string[], args: string[]): Traced {
  const child = spawn(
    'strace',
    [
      '-f',
      '-qq',
      '-o',
      '/dev/null',
      ...inject,
      process.execPath,
      MAIN,
      'run',
      '--input',
      road.folder,
      ...args,
    ],
    { env: road.database.env, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<{ code: number | null; stderr: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, stderr }));
  });
  const terminate = (): void => {
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
    for (const pid of children.trim().split(' ')) process.kill(Number(pid), 'SIGTERM');
  };
  return { ended, terminate };
}

test(
  'a full disk under the table is waited for, no row is refused, and all are there when there is room',
  { skip: cannotMount(), timeout: 120_000 },
  () =>
    onSmallDisk(24_000, async (disk) => {
      const { uid, gid } = statSync(server.cluster);
      chmodSync(disk, 0o700);
      chownSync(disk, uid, gid);
      const place = `small_${process.pid}`;
      await withRoad(server, async (road) => {
        await road.query(`CREATE TABLESPACE ${place} LOCATION '${disk}'`);
        await road.put('a.csv', csv(events(0, 10)));
        await road.once();
        await road.query(`ALTER TABLE events SET TABLESPACE ${place}`);
        const ballast = join(disk, 'ballast');
        const free = Number(
          execFileSync('df', ['--output=avail', disk], { encoding: 'utf8' }).split('\n')[1],
        );
        writeFileSync(ballast, Buffer.alloc((free - 400) * 1024));
        const records = events(100, 30_000);
        await road.put('b.csv', csv(records));
        const run = road.start(['--once', '--settle', '100ms']);
        await until('it says that it waits', () => run.said().includes('53100'));
        assert.equal(await road.count(), 10);
        unlinkSync(ballast);
        const { code, stderr } = await run.ended;
        assert.equal(code, 0, stderr);
        await road.balance(
          new Map([
            ['a.csv', events(0, 10)],
            ['b.csv', records],
          ]),
        );
        await road.query('ALTER TABLE events SET TABLESPACE pg_default');
        await road.query(`DROP TABLESPACE ${place}`);
      });
    }),
);

test(
  'an input folder that is unmounted while it is read, and mounted again, is read on',
  { skip: cannotMount() },
  () =>
    withRoad(server, async (road) => {
      const inbox = road.path('inbox');
      mkdirSync(inbox);
      const mount = (): Buffer => execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', inbox]);
      const unmount = (): Buffer => execFileSync('umount', ['-l', inbox]);
      const put = (name: string, first: number): void =>
        writeFileSync(join(inbox, name), csv(events(first, 10)));
      mount();
      try {
        put('a.csv', 0);
        const args = ['run', '--quiet', '--input', inbox, '--scan-every', '100ms', '--settle', '100ms'];
        const run = start(args, { env: road.database.env });
        await until('the first file', async () => (await road.count()) === 10);
        unmount();
        // What lies below the mount point is a folder like any other, with another file of that name.
        put('a.csv', 100);
        await until('what lay below', async () => (await road.count()) === 20);
        mount();
        put('a.csv', 200);
        await until('the file on the new one', async () => (await road.count()) === 30);
        run.child.kill('SIGTERM');
        assert.equal((await run.ended).code, 0);
      } finally {
        spawnSync('umount', ['-l', inbox]); // whether or not it is mounted just now
      }
    }),
);

test(
  'a full disk under the archive leaves the file where it is, whole, and says so',
  { skip: cannotMount() },
  () =>
    onSmallDisk(64, (archive) =>
      withRoad(server, async (road) => {
        const records = events(0, 3_000);
        await road.put('a.csv', csv(records));
        const { code, stderr } = await road.start([
          '--once',
          '--settle',
          '100ms',
          '--after',
          'archive',
          '--archive-dir',
          archive,
        ]).ended;
        assert.equal(code, 0, stderr);
        assert.match(stderr, /could not be archived \(ENOSPC\)/);
        assert.equal(statSync(road.path('a.csv')).size, csv(records).length);
        await road.balance(new Map([['a.csv', records]]));
        assert.deepEqual(
          readdirSync(archive).filter(
            (name) => name.endsWith('.csv') && statSync(join(archive, name)).size > 0,
          ),
          [],
        );
      }),
    ),
);

test(
  'a log that cannot be written ends nothing',
  { skip: process.platform === 'linux' ? false : '/dev/full is there on Linux only' },
  () =>
    withRoad(server, async (road) => {
      await road.put('a.csv', csv(events(0, 100)));
      const full = openSync('/dev/full', 'w');
      const child = spawn(
        process.execPath,
        [MAIN, 'run', '--once', '--settle', '100ms', '--input', road.folder],
        {
          env: road.database.env,
          stdio: ['ignore', 'ignore', full],
        },
      );
      const code = await new Promise((resolve) => {
        child.on('close', resolve);
      });
      assert.equal(code, 0);
      await road.balance(new Map([['a.csv', events(0, 100)]]));
    }),
);

test(
  'a source file that cannot be read (EIO) is told of, the others are read, and it is read when it can be',
  { skip: cannotTrace(), timeout: 120_000 },
  () =>
    withRoad(server, async (road) => {
      await road.put('bad.csv', csv(events(0, 50)));
      await road.put('good.csv', csv(events(50, 50)));
      const inject = ['-P', road.path('bad.csv'), '-e', 'inject=pread64,read:error=EIO'];
      const { stderr } = await underStrace(road, inject, ['--once', '--settle', '100ms']).ended;
      assert.match(stderr, /bad\.csv.*EIO/);
      assert.equal(await road.count(), 50);
      await road.once();
      await road.balance(
        new Map([
          ['bad.csv', events(0, 50)],
          ['good.csv', events(50, 50)],
        ]),
      );
    }),
);

for (const error of ['ENOSPC', 'EMFILE'])
  test(
    `without a watch to be had (${error}) the scan finds every file`,
    { skip: cannotTrace(), timeout: 120_000 },
    () =>
      withRoad(server, async (road) => {
        await road.put('a.csv', csv(events(0, 50)));
        const inject = [
          '-e',
          error === 'EMFILE' ? 'inject=inotify_init1:error=EMFILE' : 'inject=inotify_add_watch:error=ENOSPC',
        ];
        const running = underStrace(road, inject, ['--scan-every', '200ms', '--log-level', 'debug']);
        await until('the first rows', async () => (await road.count()) === 50);
        await road.put('b.csv', csv(events(50, 50)));
        await until('the rows that no event told of', async () => (await road.count()) === 100);
        running.terminate();
        const { stderr } = await running.ended;
        const sysctl =
          error === 'EMFILE' ? /fs\.inotify\.max_user_instances/g : /fs\.inotify\.max_user_watches/g;
        assert.equal(stderr.match(sysctl)?.length, 1, stderr);
        await road.balance(
          new Map([
            ['a.csv', events(0, 50)],
            ['b.csv', events(50, 50)],
          ]),
        );
      }),
  );

/** The program in a user namespace of its own, in which the kernel itself gives out so few watches. */
function withWatches(road: Road, watches: number, args: readonly string[]): Traced {
  const command = `echo ${watches} > /proc/sys/user/max_inotify_watches && exec "$@"`;
  const run = [process.execPath, MAIN, 'run', '--input', road.folder, ...args];
  const child = spawn('unshare', ['-U', '-r', 'sh', '-c', command, 'sh', ...run], {
    env: road.database.env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<{ code: number | null; stderr: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, stderr }));
  });
  return { ended, terminate: () => void child.kill('SIGTERM') };
}

/** Why watches cannot be taken away from one program here; false when they can. */
function cannotTakeWatches(): string | false {
  try {
    const command = 'echo 0 > /proc/sys/user/max_inotify_watches';
    execFileSync('unshare', ['-U', '-r', 'sh', '-c', command], { stdio: 'ignore' });
    return false;
  } catch {
    return 'there are no user namespaces here in which watches could be taken away';
  }
}

test(
  'watches exhausted in the kernel: the scan finds every file, in sub-folders too, and one sentence names the sysctl',
  { skip: cannotTakeWatches(), timeout: 120_000 },
  () =>
    withRoad(server, async (road) => {
      const placed = new Map<string, TestRecord[]>();
      // One for the folder itself, none for what is in it; then none at all.
      for (const [round, watches] of [1, 0].entries()) {
        const from = round * 1_000;
        const running = withWatches(road, watches, ['--recursive', '--scan-every', '200ms']);
        for (let index = 0; index < 12; index += 1) {
          const name = `${round}-${index}`;
          mkdirSync(road.path(name));
          const records = events(from + index * 50, 50);
          placed.set(`${name}/a.csv`, records);
          writeFileSync(road.path(`${name}/a.csv`), csv(records));
          if (index === 5)
            await until('the first half', async () => (await road.count()) === round * 600 + 300);
        }
        await until('all rows', async () => (await road.count()) === (round + 1) * 600);
        running.terminate();
        const { code, stderr } = await running.ended;
        assert.equal(code, 0, stderr);
        assert.equal(stderr.match(/fs\.inotify\.max_user_watches/g)?.length, 1, stderr);
      }
      await road.balance(placed);
    }),
);

test(
  'kill -9 at the n-th write to a socket or file, for many n, loses nothing',
  { skip: cannotTrace(), timeout: 300_000 },
  () =>
    withRoad(server, async (road) => {
      const all = new Map<string, ReturnType<typeof events>>();
      let killed = 0;
      for (const n of [40, 55, 70, 85, 100, 130]) {
        const records = events(n * 1_000, 300);
        all.set(`${n}.csv`, records);
        await road.put(`${n}.csv`, csv(records));
        const { code } = await underStrace(
          road,
          ['-e', `inject=write,writev,sendto:signal=KILL:when=${n}`],
          ['--once', '--settle', '100ms'],
        ).ended;
        if (code !== 0) killed += 1;
      }
      assert.ok(killed > 0, 'none of them was killed');
      await road.once();
      await road.balance(all);
    }),
);
