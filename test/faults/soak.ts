// The soak: a load at a share of full speed for as long as one says, with an evil every so often, and the proof at the end that every row
// is stored once. The table is emptied into a ledger of sums all the time, so that disk use stays bounded and nothing has to be believed.

import { statfsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import pg from 'pg';

import { seededRandom } from '../../src/schema/random.ts';
import { startFaultProxy } from '../support/fault-proxy.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { Road } from '../support/road.ts';
import { EVILS } from './nemesis.ts';
import { Sight } from './phases.ts';
import { NO_SUMS, SUMS_SQL, addSums } from './soak-content.ts';
import type { Sums } from './soak-content.ts';
import type { Produced, ProducerOrder, ProducerTask } from './soak-producer.ts';
import type { Sample } from './soak-samples.ts';
import { lookAt } from './soak-samples.ts';
import { Supervisor } from './supervisor.ts';
import type { Victims } from './victims.ts';
import { noDamage } from './victims.ts';

const PRODUCER = new URL('./soak-producer.ts', import.meta.url);
/** Everything must be read and deleted so long after the last evil. */
const REST_MS_MAX = 300_000;
const SAMPLE_MS = 1_000;
/** Behind a lane that an evil has left hanging; lanes queue up behind us meanwhile. */
const DRAIN_LOCK_TIMEOUT = '3s';
const FREE_BYTES_MIN = 2 * 2 ** 30;
/** Files that lie ready while full speed is measured. */
const BACKLOG_FILES = 60;

export interface SoakSettings {
  readonly seed: number;
  readonly seconds: number;
  readonly evilEveryMs: number;
  /** Of full speed. */
  readonly share: number;
  /** Full speed is measured for so long, after as long of warming up. */
  readonly measureMs: number;
  readonly rowsPerFile: number;
  /** The table is emptied every so often. */
  readonly drainEveryMs: number;
  readonly rowsPerSecondMax: number;
  readonly say: (line: string) => void;
}

export interface Soaked {
  readonly fullSpeed: number;
  readonly rate: number;
  /** The time of the load alone. */
  readonly beganMs: number;
  readonly endedMs: number;
  readonly evils: Readonly<Record<string, number>>;
  readonly counts: Supervisor['counts'];
  readonly produced: Produced;
  readonly stored: Sums;
  readonly samples: readonly Sample[];
  readonly databaseMiBMax: number;
  /** From the end of the load to the last file deleted. */
  readonly restMs: number;
  readonly violations: readonly string[];
}

/** The first ends the program; the others it must live through. */
const EVIL_NAMES = [
  'kill',
  'stop the server',
  'terminate backends',
  'cut all connections',
  'long freeze',
  'kill the server',
  'long silence',
  'kill a backend',
] as const;
type EvilName = (typeof EVIL_NAMES)[number];

/** In the last third of the soak nobody kills the program: one process must live through everything else. */
const KILLS_UNTIL = 2 / 3;

export async function soak(settings: SoakSettings): Promise<Soaked> {
  const server = await startTestServer({ durable: true, settings: { max_wal_size: '1GB' } });
  try {
    return await soakOn(server, settings);
  } finally {
    await server.stop();
  }
}

async function soakOn(server: TestServer, settings: SoakSettings): Promise<Soaked> {
  const road = new Road(await server.createDatabase());
  const sight = new Sight();
  const proxy = await startFaultProxy(server.port, () => sight.open());
  const { seed, rowsPerFile } = settings;
  const workerData: ProducerTask = { folder: road.folder, seed, rowsPerFile };
  const producer = new Worker(PRODUCER, { workerData });
  try {
    await road.put('first.csv', '');
    await road.once();
    await road.query('CREATE TABLE soak_ledger (count bigint, sum numeric, squares numeric, wrong bigint)');
    const url = new URL(road.database.url);
    url.port = String(proxy.port);
    const args = ['--after', 'delete', '--quiet', '--log-level', 'warn', '--log-format', 'json'];
    args.push('--settle', '1s', '--scan-every', '1s', '--dedup-memory', '16MiB', '--first-load', 'never');
    using program = new Supervisor(road, args, sight, () => ({ DATABASE_URL: url.href }));
    const victims = { program, server, database: road.database, proxy, sight };
    const soaking = new Soaking(settings, road, victims, producer);
    return await soaking.run();
  } finally {
    await producer.terminate();
    await road.clean();
    await proxy.close();
  }
}

class Soaking {
  readonly #settings: SoakSettings;
  readonly #road: Road;
  readonly #victims: Victims;
  readonly #producer: Worker;
  readonly #samples: Sample[] = [];
  readonly #damage = noDamage();
  readonly #evils: Record<string, number> = {};
  readonly #violations: string[] = [];
  readonly #beganMs = performance.now();
  readonly #over = new AbortController();
  #life = { number: 0, sinceMs: 0 };
  #databaseMiBMax = 0;

  constructor(settings: SoakSettings, road: Road, victims: Victims, producer: Worker) {
    this.#settings = settings;
    this.#road = road;
    this.#victims = victims;
    this.#producer = producer;
  }

  async run(): Promise<Soaked> {
    try {
      return await this.#play();
    } finally {
      this.#over.abort(); // however it ends, nobody goes on watching
    }
  }

  async #play(): Promise<Soaked> {
    const [settings, victims] = [this.#settings, this.#victims];
    const watching = Promise.all([this.#sample(), this.#drainAgainAndAgain()]);
    const fullSpeed = await this.#measureFullSpeed();
    const rate = Math.min(settings.rowsPerSecondMax, fullSpeed * settings.share);
    settings.say(`full speed ${perSecond(fullSpeed)}; from now on ${perSecond(rate)}`);
    const beganMs = this.#now();
    this.#order({ kind: 'rate', rowsPerSecond: rate });
    await this.#torment(beganMs + settings.seconds * 1000);
    const endedMs = this.#now();
    const produced = await this.#stopProducing();
    await victims.program.settles('all files to be read and deleted', () => this.#isEmpty(), REST_MS_MAX);
    const restMs = this.#now() - endedMs;
    await victims.program.stop();
    this.#over.abort();
    await watching;
    await this.#drain(true);
    const stored = await this.#ledger();
    await this.#checkBooks(produced, stored);
    return {
      fullSpeed,
      rate,
      beganMs,
      endedMs,
      produced,
      stored,
      restMs,
      samples: this.#samples,
      evils: this.#evils,
      counts: victims.program.counts,
      databaseMiBMax: this.#databaseMiBMax,
      violations: [...this.#violations, ...victims.program.violations],
    };
  }

  /** With the generator at work and as many files lying ready as the program can take: the speed of all this together. */
  async #measureFullSpeed(): Promise<number> {
    this.#order({ kind: 'backlog', files: BACKLOG_FILES });
    await this.#victims.program.settles(
      'the first rows',
      async () => (await this.#booked()) > 0,
      REST_MS_MAX,
    );
    await sleep(this.#settings.measureMs);
    const [atMs, before] = [this.#now(), await this.#booked()];
    await sleep(this.#settings.measureMs);
    return ((await this.#booked()) - before) / ((this.#now() - atMs) / 1000);
  }

  /** Evils in a seeded order, each once in a round, until the end of the load. */
  async #torment(untilMs: number): Promise<void> {
    const { seed, seconds, evilEveryMs, say } = this.#settings;
    const random = seededRandom(seed, 1);
    const killsUntilMs = untilMs - seconds * 1000 * (1 - KILLS_UNTIL);
    let round: EvilName[] = [];
    for (let dueMs = this.#now() + evilEveryMs; dueMs <= untilMs; dueMs += evilEveryMs) {
      await this.#pause(dueMs);
      if (round.length === 0) round = [...EVIL_NAMES];
      let [name] = round.splice(random.below(round.length), 1);
      if (name === 'kill' && this.#now() > killsUntilMs) name = 'terminate backends';
      if (name === undefined) continue;
      say(`${clock(this.#now())} ${this.#state()}; ${name}`);
      this.#evils[name] = (this.#evils[name] ?? 0) + 1;
      await evilOf(name)(this.#victims, random, this.#damage);
    }
    await this.#pause(untilMs);
  }

  async #pause(untilMs: number): Promise<void> {
    const ms = untilMs - this.#now();
    if (ms > 0) await sleep(ms);
  }

  async #sample(): Promise<void> {
    while (!this.#over.signal.aborted) {
      const { program } = this.#victims;
      const atMs = this.#now();
      if (program.counts.starts !== this.#life.number)
        this.#life = { number: program.counts.starts, sinceMs: atMs };
      const seen = lookAt(program.pid);
      const filesWaiting = (await readdir(this.#road.folder)).length;
      const { number: life, sinceMs } = this.#life;
      if (seen !== null) this.#samples.push({ atMs, life, ageMs: atMs - sinceMs, ...seen, filesWaiting });
      this.#watchDisk();
      await sleep(SAMPLE_MS);
    }
  }

  #watchDisk(): void {
    const { bavail, bsize } = statfsSync(tmpdir());
    if (bavail * bsize >= FREE_BYTES_MIN || this.#over.signal.aborted) return;
    const text = `less than ${FREE_BYTES_MIN / 2 ** 30} GiB are free: nothing more is written`;
    if (this.#violations.includes(text)) return;
    this.#violations.push(text);
    this.#order({ kind: 'backlog', files: 0 });
  }

  async #drainAgainAndAgain(): Promise<void> {
    for (let dueMs = this.#now(); !this.#over.signal.aborted; dueMs += this.#settings.drainEveryMs) {
      while (this.#now() < dueMs && !this.#over.signal.aborted) await sleep(100);
      await this.#drain(false);
    }
  }

  /** Sums and TRUNCATE in one transaction, while nobody can write: a row is in the ledger or in the table, never in both. */
  async #drain(mustWork: boolean): Promise<void> {
    const client = new pg.Client(this.#victims.database.client);
    client.on('error', () => {});
    try {
      await client.connect();
      await client.query(`SET lock_timeout = '${DRAIN_LOCK_TIMEOUT}'`);
      await client.query('BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE');
      await client.query(`INSERT INTO soak_ledger ${SUMS_SQL}`, [String(this.#settings.seed)]);
      const { rows } = await client.query<{ bytes: string }>(
        'SELECT pg_database_size(current_database()) + coalesce((SELECT sum(size) FROM pg_ls_waldir()), 0) AS bytes',
      );
      await client.query('TRUNCATE events');
      await client.query('COMMIT');
      this.#databaseMiBMax = Math.max(this.#databaseMiBMax, Number(rows[0]?.bytes) / 2 ** 20);
    } catch (error) {
      // An evil was quicker; the next time will do.
      if (mustWork) throw error;
    } finally {
      await client.end().catch(() => {});
    }
  }

  async #ledger(): Promise<Sums> {
    const rows = await this.#road.query<{ count: string; sum: string; squares: string; wrong: string }>(
      'SELECT * FROM soak_ledger',
    );
    const wrong = rows.reduce((all, row) => all + Number(row.wrong), 0);
    if (wrong > 0) this.#violations.push(`${wrong} stored rows are not what was written`);
    return rows
      .map((row) => ({ count: Number(row.count), sum: BigInt(row.sum), squares: BigInt(row.squares) }))
      .reduce(addSums, NO_SUMS);
  }

  async #checkBooks(produced: Produced, stored: Sums): Promise<void> {
    for (const what of ['count', 'sum', 'squares'] as const)
      if (stored[what] !== produced[what])
        this.#violations.push(`${what} of the rows: ${produced[what]} written, ${stored[what]} stored`);
    const [books] = await this.#road.query<Record<string, number>>(
      `SELECT sum(inserted)::float8 AS inserted, sum(duplicates)::float8 AS duplicates, sum(rejected)::float8 AS rejected,
         (SELECT count(*)::float8 FROM millrace.files WHERE state = 'done' AND name <> 'first.csv') AS files,
         (SELECT count(*)::float8 FROM millrace.rejects) AS quarantined FROM millrace.slices`,
    );
    const { count, files } = produced;
    const wanted = { inserted: count, duplicates: files, rejected: files, files, quarantined: files };
    for (const [what, value] of Object.entries(wanted))
      if (books?.[what] !== value)
        this.#violations.push(`the books: ${value} ${what} were written, ${books?.[what]} are booked`);
  }

  async #isEmpty(): Promise<boolean> {
    return (await readdir(this.#road.folder)).length === 0;
  }

  /** 0 while the server is away. */
  async #booked(): Promise<number> {
    const [row] = await this.#road
      .query<{ rows: number }>('SELECT coalesce(sum(inserted), 0)::float8 AS rows FROM millrace.slices')
      .catch(() => []);
    return row?.rows ?? 0;
  }

  #order(order: ProducerOrder): void {
    this.#producer.postMessage(order);
  }

  #stopProducing(): Promise<Produced> {
    this.#order({ kind: 'stop' });
    return new Promise((resolve, reject) => {
      this.#producer.once('message', resolve);
      this.#producer.once('error', reject);
    });
  }

  #state(): string {
    const last = this.#samples.at(-1);
    return last === undefined
      ? ''
      : `${last.filesWaiting} files in the folder, ${last.rssMiB.toFixed(0)} MiB, ${last.openFiles} open files, life ${last.life}`;
  }

  #now(): number {
    return performance.now() - this.#beganMs;
  }
}

function evilOf(name: EvilName): (typeof EVILS)[number]['evil'] {
  if (name === 'long freeze') return ({ program }, random) => program.freeze(1_000 + random.below(5_000));
  if (name === 'long silence')
    return async ({ proxy }, random, damage) => {
      proxy.swallow(true);
      damage.silences += 1;
      await sleep(500 + random.below(4_500));
      proxy.swallow(false);
    };
  const found = EVILS.find((each) => each.name === name);
  if (found === undefined) throw new Error(`the nemesis knows no ${name}`);
  return found.evil;
}

export function perSecond(rows: number): string {
  return `${Math.round(rows).toLocaleString('en-US')} rows/s`;
}

function clock(ms: number): string {
  return `${String(Math.floor(ms / 60_000)).padStart(3)}:${String(Math.floor(ms / 1000) % 60).padStart(2, '0')}`;
}
