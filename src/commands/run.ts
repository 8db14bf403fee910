// `millrace run`, its beginning: the parse workers load what they need on one processor while the rest of the program is loaded on another.
// All else is run/road.ts.

import { setFlagsFromString } from 'node:v8';
import type { ExitCode } from '../errors.ts';
import type { RunOptions } from '../options.ts';
import { openPool, workersRange } from '../pool.ts';
import { createLog } from '../telemetry/log.ts';
import { secretsOf } from '../telemetry/redact.ts';
import { openScreen } from '../telemetry/screen.ts';
import type { CommandIo } from './command.ts';

const POOL_CLOSE_MS_MAX = 1_000;

/**
 * V8 doubles the young generation of a thread that goes on working, up to 64 MB, and touches all of it sooner or later: at 16 files a second
 * the program grew from 148 to 197 MiB in five minutes. It stays as it is at the start (2 MB): 141 to 145 MiB in the same time, for the
 * same processor time. The limits of a thread are read when it begins, which for the main thread is too late; this one is read each time.
 */
const KEEP_YOUNG_SMALL = '--semi-space-growth-factor=1';

/** @throws {MillraceError} for everything that a person must mend */
export async function run(options: RunOptions, io: CommandIo): Promise<ExitCode> {
  setFlagsFromString(KEEP_YOUNG_SMALL);
  const screen = openScreen(io.stderr, io.env, secretsOf(io.env));
  const log = createLog(screen, {
    level: options.quiet ? 'warn' : options.logLevel,
    format: options.logFormat,
  });
  const workers = workersRange(options.workers);
  const pool = openPool({
    workers: workers.start,
    onError: (error) => log.error({ err: error }, 'a parse worker failed'),
  });
  try {
    const { runRoad } = await import('./run/road.ts');
    return await runRoad(options, io, { screen, log, workers, pool });
  } finally {
    await pool.close(POOL_CLOSE_MS_MAX);
  }
}
