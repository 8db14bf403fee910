// The program as a user runs it, and commands with streams of a test's own.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { CommandIo } from '../../src/commands/command.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves when standard output holds `word`. */
  readonly said: (word: string) => Promise<void>;
}

/** Our environment without what would choose a database or an option. */
export function bareEnv(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(?:PG|MILLRACE_|DATABASE_URL$|NODE_OPTIONS$|NODE_TEST_CONTEXT$)/.test(name),
  );
  return { ...Object.fromEntries(kept), ...more };
}

export interface StartOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Options of Node itself, before the program. */
  readonly node?: readonly string[];
}

export function start(args: readonly string[], options: StartOptions = {}): Started {
  const child = spawn(process.execPath, [...(options.node ?? []), MAIN, ...args], {
    cwd: ROOT,
    env: options.env ?? bareEnv(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let heard = (): void => {};
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    out += part;
    heard();
  });
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => (err += part));
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code, signal) => {
      heard();
      resolve({ code, signal, stdout: out, stderr: err });
    });
  });
  const said = async (word: string): Promise<void> => {
    while (!out.includes(word) && child.exitCode === null && child.signalCode === null) {
      const { promise, resolve } = Promise.withResolvers<void>();
      heard = resolve;
      await promise;
    }
  };
  return { child, ended, said };
}

export function millrace(args: readonly string[], options: StartOptions = {}): Promise<Ended> {
  return start(args, options).ended;
}

export interface TestIo {
  readonly io: CommandIo;
  readonly stdout: () => string;
  readonly stderr: () => string;
}

/** Streams in memory. `answer` is what somebody types; with it, the command thinks that it can ask. */
export function testIo(env: NodeJS.ProcessEnv = {}, answer?: string): TestIo {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  if (answer !== undefined) stdin.end(answer);
  const signal = new AbortController().signal;
  return {
    io: { stdin, stdout, stderr, env, signal, interactive: answer !== undefined },
    stdout: () => String(stdout.read() ?? ''),
    stderr: () => String(stderr.read() ?? ''),
  };
}
