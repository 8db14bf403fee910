// `millrace generate`: writes CSV files of made-up events and says exactly what must become of them. Which rows: core/generate/;
// their bytes: workers/generate.ts; the files: generate/target.ts.

import { randomInt } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { planFiles } from '../core/generate/files.ts';
import { EXIT, MillraceError } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import type { GenerateOptions } from '../options.ts';
import type { CommandIo } from './command.ts';
import { makeBlocks } from './generate/blocks.ts';
import { openPace } from './generate/pace.ts';
import type { Pace } from './generate/pace.ts';
import { NO_PROGRESS, openProgress } from './generate/progress.ts';
import type { Progress } from './generate/progress.ts';
import { folderTarget, growingTarget } from './generate/target.ts';
import type { Target } from './generate/target.ts';

/** What was written, and what must become of it; the object that `--json` prints. */
export interface GenerateSummary {
  readonly files: number;
  readonly records: number;
  /** So many must end as duplicates and so many as rejects; all others are stored. */
  readonly duplicates: number;
  readonly invalid: number;
  readonly seed: number;
}

/** Running totals. */
export type Written = { -readonly [K in Exclude<keyof GenerateSummary, 'seed'>]: number };

/** One file a second, when nothing says how much is wanted. */
const DEFAULT_INTERVAL_MS = 1000;
/** More make no more rows: the main thread writes them all. */
const WORKERS_MAX = 4;

const SEED_END = 2 ** 32;

/** Writes until the limits are reached or the signal fires, then says what was written. Throws MillraceError. */
export async function generate(
  options: GenerateOptions,
  io: Pick<CommandIo, 'stdout' | 'stderr' | 'signal'>,
): Promise<ExitCode> {
  const started = performance.now();
  const progress = options.quiet ? NO_PROGRESS : openProgress(io.stderr);
  let summary: GenerateSummary;
  try {
    summary = await writeEvents(options, io.signal, progress);
  } finally {
    progress.end();
  }
  const text = summaryText(summary, options.outputDir, (performance.now() - started) / 1000);
  if (!options.quiet) (options.json ? io.stderr : io.stdout).write(text);
  if (options.json) io.stdout.write(`${JSON.stringify(summary)}\n`);
  return EXIT.done;
}

/** The work without the words. A file that was begun is finished after the signal, and taken away after a failure. */
export async function writeEvents(
  options: GenerateOptions,
  signal: AbortSignal,
  progress: Progress = NO_PROGRESS,
): Promise<GenerateSummary> {
  checkShares(options);
  const { files, rows, rate, duplicates, invalid, quoted, rowsPerFile } = options;
  const seed = options.seed ?? randomInt(SEED_END);
  const isEndless = files === null && rows === null && rate === null;
  const pace = openPace({ intervalMs: options.intervalMs ?? (isEndless ? DEFAULT_INTERVAL_MS : 0), rate });
  const target = options.append ? growingTarget(options.outputDir) : folderTarget(options.outputDir, seed);
  const blocks = makeBlocks(
    planFiles({ seed, rowsPerFile, files, rows }),
    { seed, duplicates, invalid, quoted },
    options.workers ?? Math.max(1, Math.min(WORKERS_MAX, availableParallelism() - 1)),
  );
  try {
    return { ...(await writeBlocks(blocks, target, pace, signal, progress)), seed };
  } finally {
    target.close();
  }
}

async function writeBlocks(
  blocks: ReturnType<typeof makeBlocks>,
  target: Target,
  pace: Pace,
  signal: AbortSignal,
  progress: Progress,
): Promise<Written> {
  const written: Written = { files: 0, records: 0, duplicates: 0, invalid: 0 };
  for await (const block of blocks) {
    if (block.first === block.file.first) {
      await pace(block.first, signal);
      if (signal.aborted) break;
      target.begin(block.file.number);
    }
    target.write(block.bytes);
    written.records += block.rows;
    written.duplicates += block.duplicates;
    written.invalid += block.invalid;
    if (block.isLast) target.finish();
    written.files = target.files();
    progress.update(written);
  }
  return written;
}

function checkShares({ duplicates, invalid }: GenerateOptions): void {
  if (duplicates + invalid > 1)
    throw new MillraceError(
      'usage',
      `--duplicates: must be at most what --invalid ${invalid} leaves of 1, got ${duplicates}`,
    );
}

function summaryText(summary: GenerateSummary, folder: string, seconds: number): string {
  const { files, records, duplicates, invalid, seed } = summary;
  const stored = records - duplicates - invalid;
  return (
    `Wrote ${count(records, 'record')} in ${count(files, 'file')} to ${folder} in ${seconds.toFixed(1)} s (seed ${seed}).\n` +
    `In an empty table they must end as ${stored} inserted, ${duplicates} duplicates, ${invalid} rejected.\n`
  );
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
