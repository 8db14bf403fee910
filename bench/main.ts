// `make bench`: how fast Millrace is beside `\copy` on this machine, in this run. Every side loads the same generated file into the
// same fresh indexed table, in turn; each table is verified before its number counts; medians with minimum and maximum.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createReadStream, mkdtempSync, rmSync, statSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';

import { events } from '../src/schema/events.ts';
import { checksum, freshDatabase, openServer } from './scratch.ts';
import type { Scratch } from './scratch.ts';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const COLUMNS = events.columns.map((column) => column.name).join(', ');

interface Measured {
  readonly seconds: number;
  readonly cpuSeconds: number | null;
  readonly peakMiB: number | null;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: 'string', default: '1000000' },
    rounds: { type: 'string', default: '3' },
    files: { type: 'string', default: '200' },
    args: { type: 'string', default: '' },
  },
});
const wanted = positionals.length === 0 ? ['throughput', 'latency'] : positionals;
const server = await openServer();
const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
try {
  console.log(machine());
  if (wanted.includes('throughput')) await throughput(Number(values.rows), Number(values.rounds));
  if (wanted.includes('latency')) await latency(Number(values.files));
} finally {
  rmSync(folder, { recursive: true, force: true });
  await server.close();
}

function machine(): string {
  const commit =
    spawnSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).stdout?.trim() ||
    'unknown commit';
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} cores, ${memory} GiB, Node ${process.version}, ${commit}, ${server.describe}`;
}

async function throughput(rows: number, rounds: number): Promise<void> {
  const inbox = join(folder, 'inbox');
  execFileSync(process.execPath, [
    MAIN,
    'generate',
    '--output',
    inbox,
    '--rows',
    String(rows),
    '--rows-per-file',
    String(rows),
    '--seed',
    '1',
    '--json',
  ]);
  const [file] = execFileSync('find', [inbox, '-name', '*.csv'], { encoding: 'utf8' }).trim().split('\n');
  if (file === undefined) throw new Error(`the generator left no file in ${inbox}`);
  console.log(`${rows} rows, ${statSync(file).size} bytes, into the indexed table, ${rounds} rounds in turn`);
  const sides = {
    copy: (scratch: Scratch) => copySide(scratch, file),
    millrace: (scratch: Scratch) => millraceSide(scratch, inbox),
  };
  const results: Record<keyof typeof sides, Measured[]> = { copy: [], millrace: [] };
  let expected: string | null = null;
  for (let round = 0; round < rounds; round += 1) {
    const order = (['copy', 'millrace'] as const).toSorted(() => (round % 2 === 0 ? 1 : -1));
    for (const side of order) {
      const scratch = await freshDatabase(server);
      const measured = await sides[side](scratch);
      const sum = await checksum(scratch);
      await scratch.drop();
      expected ??= sum;
      if (sum !== expected)
        throw new Error(`${side} stored ${sum}, expected ${expected}: its number does not count`);
      results[side].push(measured);
      console.log(`  ${side.padEnd(9)} ${measured.seconds.toFixed(2)} s${extras(measured)}`);
    }
  }
  const ratios = results.copy.map((copy, round) => copy.seconds / (results.millrace[round]?.seconds ?? NaN));
  console.log(`verified: ${expected}`);
  for (const side of ['copy', 'millrace'] as const)
    console.log(`${side}: ${spread(results[side].map((each) => rows / each.seconds / 1000))} k rows/s`);
  console.log(`millrace / copy: ${spread(ratios)} x`);
}

/** `psql \copy`; without psql the same bytes through pg-copy-streams as CSV text. */
async function copySide(scratch: Scratch, file: string): Promise<Measured> {
  const began = performance.now();
  if (spawnSync('psql', ['--version']).status === 0) {
    const command = `\\copy events (${COLUMNS}) FROM '${file}' WITH (FORMAT csv, HEADER)`;
    execFileSync('psql', [scratch.url, '-q', '-X', '-v', 'ON_ERROR_STOP=1', '-c', command]);
  } else {
    const client = new pg.Client(scratch.url);
    await client.connect();
    await pipeline(
      createReadStream(file, { highWaterMark: 1024 * 1024 }),
      client.query(copyFrom(`COPY events (${COLUMNS}) FROM STDIN WITH (FORMAT csv, HEADER)`)),
    );
    await client.end();
  }
  return { seconds: (performance.now() - began) / 1000, cpuSeconds: null, peakMiB: null };
}

/** The whole program, start and end included. */
async function millraceSide(scratch: Scratch, inbox: string): Promise<Measured> {
  const began = performance.now();
  const before = process.resourceUsage();
  const args = [
    MAIN,
    'run',
    '--once',
    '--json',
    '--settle',
    '100ms',
    '--input',
    inbox,
    ...values.args.split(' ').filter(Boolean),
  ];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, DATABASE_URL: scratch.url },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (part: Buffer) => (said += part.toString()));
  child.stdout.resume();
  const peak = peakOf(child.pid ?? 0);
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`millrace ended with ${code}: ${said}`);
  void before;
  return { seconds: (performance.now() - began) / 1000, cpuSeconds: null, peakMiB: peak() };
}

/** Peak resident memory of a running process, sampled from /proc; null elsewhere. */
function peakOf(pid: number): () => number | null {
  let peakKiB: number | null = null;
  const timer = setInterval(() => {
    const status = spawnSync('cat', [`/proc/${pid}/status`], { encoding: 'utf8' }).stdout ?? '';
    const found = /VmHWM:\s+(\d+)/.exec(status)?.[1];
    if (found !== undefined) peakKiB = Number(found);
  }, 200);
  return () => {
    clearInterval(timer);
    return peakKiB === null ? null : Math.round(peakKiB / 1024);
  };
}

/** One 50-row file at a time: from its rename to the moment an independent reader sees its rows. */
async function latency(files: number): Promise<void> {
  const scratch = await freshDatabase(server);
  const inbox = join(folder, 'latency');
  execFileSync('mkdir', [inbox]);
  const staging = join(folder, 'staging');
  execFileSync(process.execPath, [
    MAIN,
    'generate',
    '--output',
    staging,
    '--files',
    String(files),
    '--rows-per-file',
    '50',
    '--seed',
    '2',
    '--json',
  ]);
  const names = execFileSync('ls', [staging], { encoding: 'utf8' }).trim().split('\n');
  const child = spawn(process.execPath, [MAIN, 'run', '--input', inbox], {
    env: { ...process.env, DATABASE_URL: scratch.url },
    stdio: 'ignore',
  });
  const reader = new pg.Client(scratch.url);
  await reader.connect();
  const seen: number[] = [];
  await writeFile(join(inbox, 'warm-up.csv'), 'event_id,event_type,event_timestamp\n');
  await sleep(2_000);
  for (const [index, name] of names.entries()) {
    await sleep(20);
    await rename(join(staging, name), join(inbox, name));
    const began = performance.now();
    for (;;) {
      const { rows } = await reader.query<{ n: number }>({
        name: 'seen',
        text: 'SELECT count(*)::int AS n FROM events',
      });
      if ((rows[0]?.n ?? 0) >= (index + 1) * 50) break;
      if (performance.now() - began > 20_000) throw new Error(`${name} did not arrive`);
    }
    seen.push(performance.now() - began);
  }
  child.kill('SIGTERM');
  await new Promise((resolve) => child.on('close', resolve));
  const bare = await bareTransactions(reader, files);
  await reader.end();
  await scratch.drop();
  console.log(`rename -> visible, one 50-row file at a time: ${percentiles(seen)}`);
  console.log(`bare 50-row COPY transaction beside it: ${percentiles(bare)}`);
}

async function bareTransactions(client: pg.Client, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const began = performance.now();
    await client.query('BEGIN');
    const copy = client.query(copyFrom('COPY events (event_id, event_type, event_timestamp) FROM STDIN'));
    const lines = Array.from({ length: 50 }, () => `${crypto.randomUUID()}\tview\t2024-01-01 00:00:00\n`);
    await pipeline([lines.join('')], copy);
    await client.query('COMMIT');
    times.push(performance.now() - began);
  }
  return times;
}

function extras({ peakMiB }: Measured): string {
  return peakMiB === null ? '' : `, peak ${peakMiB} MiB`;
}

function spread(numbers: readonly number[]): string {
  const sorted = numbers.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? NaN;
  return `${median.toFixed(2)} (${sorted[0]?.toFixed(2)} to ${sorted.at(-1)?.toFixed(2)})`;
}

function percentiles(numbers: readonly number[]): string {
  const sorted = numbers.toSorted((a, b) => a - b);
  const at = (share: number): string => (sorted[Math.floor((sorted.length - 1) * share)] ?? NaN).toFixed(1);
  return `p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, p99 ${at(0.99)} ms`;
}
