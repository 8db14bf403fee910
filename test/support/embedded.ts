// Programs for tests of the embedded server: small child processes that open it, obey line by line, and can be killed.
// Not for tests that only need a database: see postgres.ts.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { stopEmbedded } from '../../src/sink/postgres/embedded.ts';
import type { EmbeddedServer } from '../../src/sink/postgres/embedded.ts';
import { environmentWithoutDatabase } from './postgres.ts';

/** `open` says where the server is; `connect` holds a connection until `close`, which ends the program in order. */
const SCRIPT = `
  const { openEmbedded, closeEmbedded } = await import(process.env.EMBEDDED_MODULE);
  const options = { dataFolder: process.env.DATA_FOLDER, keep: false, say: (line) => console.log('say ' + line) };
  const server = await openEmbedded(options).catch((error) => {
    if (error.name !== 'MillraceError') throw error;
    console.log('failed ' + error.code + ': ' + error.message);
    process.exit(error.exitCode);
  });
  console.log('open ' + JSON.stringify(server));
  const { Client } = (await import(process.env.PG_MODULE)).default;
  const client = new Client(server.client);
  for await (const line of (await import('node:readline')).createInterface({ input: process.stdin })) {
    if (line === 'connect') await client.connect();
    if (line === 'disconnect') await client.end();
    if (line === 'close') {
      await closeEmbedded(options);
      console.log('done close');
      process.exit(0);
    }
    console.log('done ' + line);
  }
`;

const EMBEDDED_MODULE = new URL('../../src/sink/postgres/embedded.ts', import.meta.url).href;

export interface Program {
  readonly child: ChildProcess;
  /** What it said to its user, so far. */
  readonly said: readonly string[];
  /** Resolves when it has opened the server. */
  readonly opened: () => Promise<EmbeddedServer>;
  /** Resolves to the code and sentence of the failure to open it. */
  readonly failed: () => Promise<string>;
  /** Gives an order and waits until it is done. */
  readonly tell: (order: 'connect' | 'disconnect' | 'close') => Promise<void>;
}

export interface ProgramOptions {
  readonly account?: { readonly uid: number; readonly gid: number };
  /** Another checkout's src/sink/postgres/embedded.ts, as a URL. */
  readonly module?: string;
  /** A process group of its own, as a terminal gives. */
  readonly ownGroup?: boolean;
}

export function startProgram(dataFolder: string, options: ProgramOptions = {}): Program {
  const child = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT], {
    cwd: '/',
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: options.ownGroup === true,
    env: {
      ...environmentWithoutDatabase(),
      DATA_FOLDER: dataFolder,
      EMBEDDED_MODULE: options.module ?? EMBEDDED_MODULE,
      PG_MODULE: import.meta.resolve('pg'),
    },
    ...options.account,
  });
  const said: string[] = [];
  const waiting = new Map<string, (rest: string) => void>();
  const heard = new Map<string, string>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const [word, rest] = splitOnce(line);
    if (word === 'say') said.push(rest);
    const key = word === 'done' ? line : word;
    heard.set(key, rest);
    waiting.get(key)?.(rest);
  });
  const hear = async (key: string) => {
    const early = heard.get(key);
    if (early !== undefined) return early;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    waiting.set(key, resolve);
    child.once('exit', (code, signal) =>
      reject(new Error(`the program ended (${code ?? signal}) before "${key}"`)),
    );
    return promise;
  };
  return {
    child,
    said,
    opened: async () => JSON.parse(await hear('open')) as EmbeddedServer,
    failed: () => hear('failed'),
    tell: async (order) => {
      child.stdin?.write(`${order}\n`);
      await hear(`done ${order}`);
    },
  };
}

/** kill -9 and wait until it is gone. */
export async function killProgram({ child }: Program): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** A short temporary folder that every user may pass through, with a `data` folder in it. */
export function makeDataFolder(): { folder: string; dataFolder: string } {
  const folder = mkdtempSync('/tmp/millrace-embedded-');
  chmodSync(folder, 0o755);
  const dataFolder = join(folder, 'data');
  mkdirSync(dataFolder);
  return { folder, dataFolder };
}

export async function removeDataFolder(folder: string, dataFolder: string): Promise<void> {
  if (existsSync(dataFolder)) await stopEmbedded({ dataFolder, keep: false });
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}

/** Looks every 2 ms; fails after 20 s. */
export async function eventually(what: string, isTrue: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!isTrue()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await sleep(2);
  }
}

function splitOnce(line: string): [string, string] {
  const at = line.indexOf(' ');
  return [line.slice(0, at), line.slice(at + 1)];
}
