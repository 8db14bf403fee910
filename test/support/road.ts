// The whole program as a user runs it: a real process on a folder of files and a real database; and the balance at the end: the
// books of every file, and the table, against the naive model.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';

import type { TestRecord } from './events.ts';
import type { TestDatabase, TestServer } from './postgres.ts';

/** Drops root's rights for one command. */
const AS_NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** Why a run as an ordinary user cannot be tried here; false when it can. */
export function whyNotOrdinary(): string | false {
  if (process.getuid?.() !== 0) return false;
  const [setpriv = '', ...args] = AS_NOBODY;
  const reached = spawnSync(setpriv, [...args, process.execPath, MAIN, '--version']).status === 0;
  return reached
    ? false
    : 'root reads everything, and an ordinary user cannot reach this checkout (or there is no setpriv)';
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A started `run`. */
export interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** What it has said on standard error so far. */
  said(): string;
}

export interface RunCounts {
  readonly files: number;
  readonly records: number;
  readonly inserted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly refusedFiles: number;
  readonly seconds: number;
}

export interface FileBooks {
  readonly name: string;
  readonly state: string;
  readonly position: number;
  readonly records: number;
  readonly inserted: number;
  readonly duplicates: number;
  readonly rejected: number;
}

/** A road for one test, on the file's own server. */
export async function withRoad(server: TestServer, body: (road: Road) => Promise<void>): Promise<void> {
  const road = new Road(await server.createDatabase());
  try {
    await body(road);
  } finally {
    await road.clean();
  }
}

/** One folder, one database, any number of runs. Call `clean` at the end. */
export class Road {
  readonly folder: string;
  readonly database: TestDatabase;
  readonly #runs = new Set<Run>();

  constructor(database: TestDatabase) {
    this.folder = mkdtempSync(join(tmpdir(), 'millrace-road-'));
    this.database = database;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Writes a file as a good producer does: under a dot name, then renamed. */
  async put(name: string, text: string | Uint8Array): Promise<void> {
    await writeFile(this.path(`.${name}.tmp`), text);
    await rename(this.path(`.${name}.tmp`), this.path(name));
  }

  /** `as` 'ordinary': not as root, who may read everything. */
  start(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}, as: 'self' | 'ordinary' = 'self'): Run {
    const command = [process.execPath, MAIN, 'run', '--input', this.folder, ...args];
    const demoted = as === 'ordinary' && process.getuid?.() === 0;
    if (demoted) chmodSync(this.folder, 0o755);
    const [program = '', ...rest] = demoted ? [...AS_NOBODY, ...command] : command;
    const child = spawn(program, rest, {
      env: { ...this.database.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
    const ended = new Promise<Ended>((resolve) => {
      child.on('close', (code, signal) => resolve({ code, signal, stdout: stdout(), stderr: stderr() }));
    });
    const run = { child, ended, said: stderr };
    this.#runs.add(run);
    void ended.then(() => this.#runs.delete(run));
    return run;
  }

  /** `run --once --json` to its end, which must be good. */
  async once(args: readonly string[] = []): Promise<RunCounts> {
    const { code, stdout, stderr } = await this.start(['--once', '--json', '--settle', '100ms', ...args])
      .ended;
    assert.ok(code === 0 || code === 3, `exit code ${code}\n${stderr}`);
    return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as RunCounts;
  }

  async query<R extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<R[]> {
    const client = new pg.Client(this.database.client);
    client.on('error', () => {});
    await client.connect();
    try {
      return (await client.query<R>(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  async count(): Promise<number> {
    const [row] = await this.query<{ count: number }>(
      "SELECT CASE WHEN to_regclass('events') IS NULL THEN 0 ELSE (SELECT count(*)::int FROM events) END AS count",
    ).catch(() => this.query<{ count: number }>('SELECT 0 AS count'));
    return row?.count ?? 0;
  }

  books(): Promise<FileBooks[]> {
    return this.query<FileBooks>(
      `SELECT name, state, position::float8, records::float8, inserted::float8, duplicates::float8, rejected::float8
       FROM millrace.file_totals ORDER BY name, seen_at`,
    );
  }

  /**
   * The promise, checked by an independent reader: every record of every file is in exactly one column of the books, the table holds
   * each valid key once and with the content of one of its records, and nothing else. `files` has the records per name; a name may
   * have had several generations, whose books are added up.
   */
  async balance(
    files: ReadonlyMap<string, readonly TestRecord[]>,
    foreign: readonly string[] = [],
  ): Promise<void> {
    const books = Map.groupBy(await this.books(), (file) => file.name);
    for (const [name, records] of files) {
      const generations = books.get(name) ?? [];
      const sum = (pick: (file: FileBooks) => number): number =>
        generations.reduce((all, file) => all + pick(file), 0);
      assert.equal(
        sum((file) => file.records),
        records.length,
        `records of ${name}`,
      );
      assert.equal(
        sum((file) => file.rejected),
        records.filter((record) => !record.valid).length,
        `rejected of ${name}`,
      );
      assert.equal(
        sum((file) => file.inserted + file.duplicates + file.rejected),
        records.length,
        `balance of ${name}`,
      );
    }
    await this.#tableEqualsModel(files, foreign);
    const inserted = [...books.values()].flat().reduce((all, file) => all + file.inserted, 0);
    assert.equal(await this.count(), inserted + foreign.length, 'rows = booked as inserted');
  }

  async #tableEqualsModel(
    files: ReadonlyMap<string, readonly TestRecord[]>,
    foreign: readonly string[],
  ): Promise<void> {
    const model = new Map<string, Set<string>>(foreign.map((key) => [key, new Set()]));
    for (const record of [...files.values()].flat().filter((each) => each.valid)) {
      if (!model.has(record.key)) model.set(record.key, new Set());
      model.get(record.key)?.add(record.text);
    }
    const rows = await this.query<{ key: string; text: string }>(
      `SELECT event_id::text AS key, concat_ws(',', event_id, event_type, product_id, user_id, event_timestamp, quantity, price) AS text FROM events`,
    );
    assert.deepEqual(new Set(rows.map((row) => row.key)), new Set(model.keys()));
    const own = new Set(foreign);
    for (const { key, text } of rows) {
      const texts = model.get(key);
      if (own.has(key) || texts === undefined || [...texts].some((each) => each.includes('"'))) continue;
      assert.ok(texts.has(text), `row of ${key} is nobody's: ${text}`);
    }
  }

  /** Ends what still runs and removes the folder. */
  async clean(): Promise<void> {
    for (const run of this.#runs) {
      run.child.kill('SIGKILL');
      await run.ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Changes with each instance that takes the source, before it reads anything. */
export async function epochOf(road: Road): Promise<string> {
  const [lease] = await road.query<{ epoch: string }>('SELECT epoch::text FROM millrace.leases');
  return lease?.epoch ?? '';
}

/** Waits until `condition` holds; fails after `ms` with what it waited for. */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  ms = 60_000,
): Promise<void> {
  const end = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > end) assert.fail(`waited ${ms} ms in vain for: ${what}`);
    await sleep(20);
  }
}

function collect(stream: NodeJS.ReadableStream): () => string {
  let all = '';
  stream.setEncoding('utf8');
  stream.on('data', (part: string) => (all += part));
  return () => all;
}
