// The rounds of the self-test: files are made, the program reads them in a child process, and the child is killed at a random moment; until
// the time is over, and then once to the end. What came of it is judged elsewhere.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { copyFile, readdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MillraceError } from '../../errors.ts';
import { seededRandom } from '../../schema/random.ts';
import type { Random } from '../../schema/random.ts';
import { writeEvents } from '../generate.ts';
import type { Scratch } from './scratch.ts';

const MAIN = fileURLToPath(new URL('../../main.ts', import.meta.url));

const SHARES = { duplicates: 0.03, invalid: 0.01, quoted: 0.02 } as const;
const SMALL = { files: 20, rows: 2_000 } as const;
const LARGE = { files: 2, rows: 120_000 } as const;
/** A child is killed at latest so long after it began to store; short, so that it dies at work. */
const KILL_WITHIN_MS = 700;
/** Starting takes about half a second, and ten on a machine that is busy: a child that is killed before it stores anything proves little. */
const PROGRESS_MS_MAX = 60_000;
const FINISH_MS_MAX = 30 * 60_000;

export interface Tally {
  rounds: number;
  /** Children that ended by SIGKILL. */
  kills: number;
  /** Of these, while committed positions were behind what the files hold. */
  killsAtWork: number;
  files: number;
  /** What the generator foretells of the files that it wrote; copies come on top. */
  records: number;
  inserted: number;
  duplicates: number;
  rejected: number;
  /** Copies of earlier files that were sent again: nothing of them may be inserted. */
  readonly again: string[];
}

export interface RoundsInput {
  readonly scratch: Scratch;
  readonly seed: number;
  readonly untilMs: number;
  readonly signal: AbortSignal;
  readonly say: (tally: Tally) => void;
}

export async function runRounds(input: RoundsInput): Promise<Tally> {
  const { scratch, seed, untilMs, signal, say } = input;
  const random = seededRandom(seed, 99);
  const tally: Tally = {
    rounds: 0,
    kills: 0,
    killsAtWork: 0,
    files: 0,
    records: 0,
    inserted: 0,
    duplicates: 0,
    rejected: 0,
    again: [],
  };
  while (!signal.aborted && (performance.now() < untilMs || tally.kills === 0)) {
    tally.rounds += 1;
    await makeFiles(input, tally, random);
    for (let kill = random.below(3); kill >= 0 && !signal.aborted; kill -= 1) {
      await killOnce(input, tally, random);
      say(tally);
    }
  }
  if (!signal.aborted) await finish(scratch, signal);
  return tally;
}

/** A round's files: many small ones or a few large ones; every third round also sends an earlier file again. */
async function makeFiles(
  { scratch, seed, signal }: RoundsInput,
  tally: Tally,
  random: Random,
): Promise<void> {
  const size = tally.rounds % 2 === 1 ? LARGE : SMALL;
  const before = new Set(await readdir(scratch.folder));
  const made = await writeEvents(
    {
      ...SHARES,
      ...size,
      outputDir: scratch.folder,
      seed: (seed + tally.rounds) >>> 0,
      rowsPerFile: { min: 1, max: size.rows },
      intervalMs: 0,
      rate: null,
      append: false,
      workers: 1,
      quiet: true,
      json: false,
    },
    signal,
  );
  tally.files += made.files;
  tally.records += made.records;
  tally.duplicates += made.duplicates;
  tally.rejected += made.invalid;
  tally.inserted += made.records - made.duplicates - made.invalid;
  const after = (await readdir(scratch.folder)).filter((name) => !before.has(name) && name.endsWith('.csv'));
  const again = after[random.below(after.length)];
  if (tally.rounds % 3 === 0 && again !== undefined) await sendAgain(scratch, again, tally);
}

async function sendAgain({ folder }: Scratch, name: string, tally: Tally): Promise<void> {
  const copy = `again-${tally.rounds}.csv`;
  await copyFile(join(folder, name), join(folder, `.${copy}`));
  await rename(join(folder, `.${copy}`), join(folder, copy));
  tally.files += 1;
  tally.again.push(copy);
}

async function killOnce(
  { scratch, signal: ending }: RoundsInput,
  tally: Tally,
  random: Random,
): Promise<void> {
  const before = await committedBytes(scratch);
  const hasWork = before < (await bytesIn(scratch));
  const child = start(scratch, ['--scan-every', '200ms', '--quiet']);
  const ended = endOf(child);
  const giveUpMs = performance.now() + PROGRESS_MS_MAX;
  // A quarter is killed while it starts, takes over and recovers; the others once they have begun to store.
  if (random.below(4) === 0) await sleep(random.below(600));
  else {
    while (
      hasWork &&
      child.exitCode === null &&
      !ending.aborted &&
      performance.now() < giveUpMs &&
      (await committedBytes(scratch)) === before
    )
      await sleep(15);
    await sleep(random.below(KILL_WITHIN_MS));
  }
  child.kill('SIGKILL');
  const { signal, stderr, code } = await ended;
  if (signal !== 'SIGKILL')
    throw new MillraceError(
      'internal',
      `a run ended by itself with exit code ${code}: ${stderr.slice(-2_000)}`,
    );
  tally.kills += 1;
  if ((await committedBytes(scratch)) < (await bytesIn(scratch))) tally.killsAtWork += 1;
}

async function finish(scratch: Scratch, ending: AbortSignal): Promise<void> {
  const child = start(scratch, ['--once', '--quiet']);
  const killed = AbortSignal.any([ending, AbortSignal.timeout(FINISH_MS_MAX)]);
  const kill = (): boolean => child.kill('SIGKILL');
  killed.addEventListener('abort', kill);
  if (killed.aborted) kill();
  const { code, stderr } = await endOf(child);
  killed.removeEventListener('abort', kill);
  if (code !== 0 && !ending.aborted)
    throw new MillraceError('internal', `the last run ended with exit code ${code}: ${stderr.slice(-2_000)}`);
}

/** In a process group of its own: Ctrl-C in a terminal is said to us alone, and the child must end by our hand only. */
function start({ folder, env }: Scratch, args: readonly string[]): ChildProcess {
  const options = ['--input', folder, '--settle', '100ms', '--workers', '1', ...args];
  return spawn(process.execPath, [MAIN, 'run', ...options], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
}

function endOf(
  child: ChildProcess,
): Promise<{ code: number | null; signal: NodeJS.Signals | null; stderr: string }> {
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (part: string) => (stderr = (stderr + part).slice(-8_000)));
  return new Promise((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, stderr }));
  });
}

/** Before the first start there are no books. */
async function committedBytes({ client }: Scratch): Promise<number> {
  const there = await client.query<{ found: boolean }>(
    `SELECT to_regclass('millrace.slices') IS NOT NULL AS found`,
  );
  if (there.rows[0]?.found !== true) return 0;
  const { rows } = await client.query<{ bytes: number }>(
    'SELECT coalesce(sum(end_offset - start_offset), 0)::float8 AS bytes FROM millrace.slices',
  );
  return rows[0]?.bytes ?? 0;
}

async function bytesIn({ folder }: Scratch): Promise<number> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.csv') && !name.startsWith('.'));
  let bytes = 0;
  for (const name of names) bytes += (await stat(join(folder, name))).size;
  return bytes;
}
