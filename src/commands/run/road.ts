// `millrace run`: opens the rooms, lets the road run, closes them in the right order, and says what became of every record. What
// happens on the road itself is in pipeline.ts; what comes before is ../run.ts.

import { randomInt } from 'node:crypto';
import type { Range } from '../../core/climb.ts';
import { DedupSet } from '../../core/dedup.ts';
import { EXIT } from '../../errors.ts';
import type { ExitCode } from '../../errors.ts';
import type { RunOptions } from '../../options.ts';
import { runPipeline } from '../../pipeline.ts';
import type { Ending, RoadMeters } from '../../pipeline.ts';
import type { Pacemaker } from '../../pacemaker.ts';
import type { Pool } from '../../pool.ts';
import { events } from '../../schema/events.ts';
import type { SettledChunk, SinkEvents } from '../../sink/sink.ts';
import { openPostgresSink } from '../../sink/postgres/postgres.ts';
import { resolveTarget } from '../../sink/postgres/target.ts';
import { openDirectory } from '../../source/directory.ts';
import type { DirectorySource } from '../../source/directory.ts';
import type { Logger } from '../../telemetry/log.ts';
import { createMeters } from '../../telemetry/meters.ts';
import type { Meters } from '../../telemetry/meters.ts';
import { startProgress } from '../../telemetry/progress.ts';
import type { Screen } from '../../telemetry/screen.ts';
import { runSummary, summaryText } from '../../telemetry/summary.ts';
import { counted } from '../../telemetry/text.ts';
import type { CommandIo } from '../command.ts';
import { dialectOf } from '../dialect.ts';
import { lanesRange, openPacemaker, replicaWatch } from '../pacing.ts';
import { tellingVariables } from '../pins.ts';
import { programVersion } from '../version.ts';

/** After a stop signal, what is in flight gets so long to commit; then it is rolled back, so that the program ends within 10 s. */
const FINISH_MS_MAX = 6_000;

/** What a run begins with. Whoever began it ends it. */
export interface Begun {
  readonly screen: Screen;
  readonly log: Logger;
  readonly workers: Range;
  readonly pool: Pool;
}

/** @throws {MillraceError} for everything that a person must mend */
export async function runRoad(options: RunOptions, io: CommandIo, begun: Begun): Promise<ExitCode> {
  const { screen, log, workers, pool } = begun;
  const telling = tellingVariables(io.env);
  if (telling !== null) log.info(telling);
  const meters = createMeters({ rejectsShown: options.rejectsShown });
  const ending = new GracefulEnding(io.signal);
  io.signal.addEventListener('abort', () =>
    log.info('finishing what is in flight; a second Ctrl-C ends at once'),
  );
  await using closing = new AsyncDisposableStack();

  const source = await openSource(options, meters, log);
  const target = await resolveTarget(io.env, options.dataDir, {
    keepDatabase: options.keepDatabase,
    say: (line) => log.info(line),
  });
  closing.defer(() => target.close());
  const progress = options.quiet ? null : startProgress({ meters, files: () => source.state, screen, log });
  closing.defer(() => progress?.end());
  const lanes = lanesRange(options.lanes, target);
  const openLane = (lane: number): Promise<boolean> => sink?.prepare(lane) ?? Promise.resolve(false);
  const pace = openPacemaker({ options, lanes, workers, pool, openLane, meters, log });
  const sink = await openPostgresSink({
    target,
    table: events,
    tableName: options.table,
    source: options.source ?? options.inputDir,
    lanes: lanes.max,
    synchronousCommit: options.synchronousCommit === 'on',
    events: sinkEvents(meters, log, ending, pace),
    firstLoad: {
      mode: options.firstLoad,
      backlogBytes: () => source.state.bytesWaiting,
      backlogIsWhole: () => source.state.scanned,
      stop: ending.stop,
      told: (text) => log.info(text),
      building: (text) => {
        meters.waiting(text);
        pace.disturbed();
      },
    },
    programVersion: programVersion(),
    abort: ending.abort,
  });
  // Asked to end before the database ever answered: nothing was begun, and whoever reads --json is told so.
  if (sink === null) {
    progress?.end();
    return conclude(options, io, meters, source);
  }
  closing.defer(() => sink.leave());
  closing.defer(() => source.close());
  log.info(
    { input: options.inputDir, table: `${options.table.schema}.${options.table.name}` },
    `reading ${options.inputDir} into ${target.describe}`,
  );

  const dedup = new DedupSet({ memoryBytes: options.dedupMemoryBytes, seed: randomInt(2 ** 32) });
  await runPipeline({ source, pool, dedup, sink, meters: roadMeters(meters, log), pace }, ending);
  await source.close();
  progress?.end();
  return conclude(options, io, meters, source);
}

function openSource(options: RunOptions, meters: Meters, log: Logger): Promise<DirectorySource> {
  return openDirectory({
    directory: options.inputDir,
    patterns: options.patterns,
    recursive: options.recursive,
    watch: options.watch,
    scanEveryMs: options.scanEveryMs,
    settleMs: options.settleMs,
    settleGrowingMs: options.settleGrowingMs,
    once: options.once,
    after: options.after,
    ...(options.archiveDir !== null && { archiveDirectory: options.archiveDir }),
    dialect: dialectOf(options),
    unpacking: { folder: options.unpackDir, bytesMax: options.unpackedBytesMax },
    rejectsMaxPerFile: options.rejectsMaxPerFile,
    rejectsMax: options.rejectsMax,
    rejectsMaxShare: options.rejectsMaxShare,
    events: {
      notice: (text) => log.warn(text),
      found: (name, bytes) => log.debug({ bytes }, `found ${name}`),
      refused: (name, reason, state) => {
        if (state === 'parked') meters.parked(reason, name);
        else meters.refused(name, reason);
        log.warn(`${name} is ${state}: ${reason}`);
      },
      ended: (name, bytes) => log.debug({ bytes }, `${name} is done`),
    },
  });
}

function sinkEvents(meters: Meters, log: Logger, ending: GracefulEnding, pace: Pacemaker): SinkEvents {
  return {
    waiting: (reason) => {
      meters.waiting(reason);
      pace.disturbed();
      ending.sinkWaits(reason !== null);
      if (reason === null) log.info('the database answers again, going on');
      else log.warn(`waiting: ${reason}`);
    },
    notice: (text) => log.warn(text),
    retried: (sqlstate) => meters.retried(sqlstate),
    committed: (ms) => pace.committed(ms),
    ...(pace.throttles && { replicas: replicaWatch(pace, log) }),
  };
}

function roadMeters(meters: Meters, log: Logger): RoadMeters {
  return {
    room: (name, ms) => meters.room(name, ms),
    parsed: (bytes, parseMs) => meters.parsed(bytes, parseMs),
    written: (batch) => meters.written(batch),
    settled: (settled) => {
      meters.settled(settled.chunk, settled.slices);
      countRefusedRows(settled, meters);
    },
    parked: (reason, name) => {
      meters.parked(reason, name);
      log.warn(`${name ?? 'a file'} is parked: ${reason}`);
    },
    restarted: (reason) => meters.restarted(reason),
  };
}

/** The database's own words may hold values: they stand in the quarantine table, not in what is printed. */
function countRefusedRows({ chunk, refusedRows }: SettledChunk, meters: Meters): void {
  const { slices, recordOffsets, recordLines } = chunk.rows;
  for (const row of refusedRows) {
    const slice = chunk.slices[slices?.[row] ?? 0];
    if (slice === undefined) continue;
    meters.reject({
      file: slice.file.name,
      line: slice.firstLine + (recordLines[row] ?? 0),
      column: null,
      code: 'refused_by_database',
      sentence: 'the record was refused by the database; its words are in millrace.rejects',
      offset: slice.start + (recordOffsets[row] ?? 0),
    });
  }
}

function conclude(options: RunOptions, io: CommandIo, meters: Meters, source: DirectorySource): ExitCode {
  const snapshot = meters.snapshot();
  // A run that goes on would try them again; a finished one has left them unread.
  const unread = options.once ? source.state.filesUnread : 0;
  const places = options.once ? source.state.placesUnread : 0;
  const refusedFiles = snapshot.refused.count + snapshot.parked.count + unread;
  const files = source.state.filesDone + refusedFiles;
  if (!options.quiet) (options.json ? io.stderr : io.stdout).write(`\n${summaryText(snapshot, files)}`);
  if (unread > 0)
    io.stderr.write(
      `millrace: ${counted(unread, 'file')} could not be read (see above); the next run tries again\n`,
    );
  if (places > 0)
    io.stderr.write(
      `millrace: ${counted(places, 'place')} below the input folder could not be looked at (see above); the next run tries again\n`,
    );
  if (options.json) io.stdout.write(`${JSON.stringify(runSummary(snapshot, { files, refusedFiles }))}\n`);
  return refusedFiles + places > 0 ? EXIT.refusedFiles : EXIT.done;
}

/** The first signal lets what is in flight commit; it is rolled back when that takes too long, or when the database is away anyhow. */
class GracefulEnding implements Ending {
  readonly stop: AbortSignal;
  readonly #abort = new AbortController();
  #waiting = false;

  constructor(stop: AbortSignal) {
    this.stop = stop;
    const begin = (): void => {
      if (this.#waiting) this.#abort.abort();
      else setTimeout(() => this.#abort.abort(), FINISH_MS_MAX).unref();
    };
    if (stop.aborted) begin();
    else stop.addEventListener('abort', begin, { once: true });
  }

  get abort(): AbortSignal {
    return this.#abort.signal;
  }

  sinkWaits(waiting: boolean): void {
    this.#waiting = waiting;
    if (waiting && this.stop.aborted) this.#abort.abort();
  }
}
