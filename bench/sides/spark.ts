// The job that Millrace replaces: Spark 3.5 Structured Streaming with a file source, dropDuplicates, foreachBatch and JDBC, as usually
// written and tuned. The session is up before the clock starts. `make bench-peers` installs it into .toolchain/.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';

import { environmentOf } from '../environment.ts';
import type { Load } from '../load.ts';
import type { Scratch } from '../scratch.ts';
import type { OpenSide, Side } from './side.ts';
import { openWaiting } from './side.ts';

const JOB = fileURLToPath(new URL('../peers/spark_job.py', import.meta.url));
const PEERS = fileURLToPath(new URL('../../.toolchain/peers/', import.meta.url));

export function sparkSide(scratchFolder: string, setting: 'usual' | 'tuned'): Side {
  return {
    name: setting === 'usual' ? 'sparkUsual' : 'sparkTuned',
    title: setting === 'usual' ? 'Spark 3.5, as usually written' : 'Spark 3.5, tuned',
    workers: 0,
    absent: async () => missing(),
    prepare: async () => {},
    open: (scratch, load) => openSpark(scratch, load, scratchFolder, setting),
  };
}

/** The first thing that is not there, as a sentence. */
function missing(): string | null {
  const answers = (program: string, flag: string): boolean =>
    spawnSync(program, [flag], { stdio: 'ignore' }).status === 0;
  if (!answers('java', '-version')) return 'Spark needs Java, and there is none on PATH';
  if (!answers('python3', '--version')) return 'Spark needs Python 3, and there is none on PATH';
  if (!existsSync(join(PEERS, 'python', 'pyspark')) || driver() === undefined)
    return 'Spark is not installed: make bench-peers brings it into .toolchain/';
  return null;
}

function driver(): string | undefined {
  const jars = existsSync(PEERS) ? readdirSync(PEERS).filter((name) => name.endsWith('.jar')) : [];
  return jars[0] === undefined ? undefined : join(PEERS, jars[0]);
}

function openSpark(
  scratch: Scratch,
  load: Load,
  folder: string,
  setting: 'usual' | 'tuned',
): Promise<OpenSide> {
  const { host, port, user, password } = new pg.Client(scratch.url);
  const settings = {
    setting,
    input: load.folder,
    checkpoint: mkdtempSync(join(folder, 'spark-')),
    // The driver speaks TCP only; the embedded server listens there too.
    server: host.startsWith('/') ? `127.0.0.1:${port}` : `${host}:${port}`,
    database: new pg.Client(scratch.url).database,
    user,
    password,
    driver: driver(),
  };
  const child = spawn('python3', [JOB], {
    env: { ...environmentOf(scratch.url), PYTHONPATH: join(PEERS, 'python'), JOB: JSON.stringify(settings) },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  return openWaiting(child, 'Spark');
}
