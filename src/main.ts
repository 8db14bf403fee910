#!/usr/bin/env node
// The program: argv -> command -> exit code, and what signals, a closed pipe and unexpected errors mean. It knows no command's
// work. Commands are imported when they are asked for, so that `--help` and `status` load neither workers nor parser. Nobody imports it.

import type { CommandIo } from './commands/command.ts';
import { pinEnvironment } from './commands/pins.ts';
import { programVersion } from './commands/version.ts';
import { EXIT, MillraceError } from './errors.ts';
import type { ExitCode } from './errors.ts';
import type { CommandName, OptionsOf } from './options.ts';
import { idleVariables } from './options/environment.ts';
import { readCommandLine } from './options/read.ts';
import { redact, secretsOf } from './telemetry/redact.ts';
import { printable } from './telemetry/text.ts';

/** A command that was asked to end gets so long to finish or roll back what is in flight. */
const FINISH_MS_MAX = 10_000;

/** What may keep the process alive after its command is done; then it is a leak, and no reason to hang. */
const LINGER_MS_MAX = 500;

type Run<C extends CommandName> = (options: OptionsOf<C>, io: CommandIo) => Promise<ExitCode>;

const COMMANDS: { readonly [C in CommandName]: () => Promise<Run<C>> } = {
  run: async () => (await import('./commands/run.ts')).run,
  generate: async () => (await import('./commands/generate.ts')).generate,
  check: async () => (await import('./commands/check.ts')).check,
  status: async () => (await import('./commands/status.ts')).status,
  verify: async () => (await import('./commands/verify.ts')).verify,
  why: async () => (await import('./commands/why.ts')).why,
  diff: async () => (await import('./commands/diff.ts')).diff,
  selftest: async () => (await import('./commands/selftest.ts')).selftest,
  rejects: async () => (await import('./commands/rejects.ts')).rejects,
  resume: async () => (await import('./commands/resume.ts')).resume,
  undo: async () => (await import('./commands/undo.ts')).undo,
  reset: async () => (await import('./commands/reset.ts')).reset,
  prune: async () => (await import('./commands/prune.ts')).prune,
  migrate: async () => (await import('./commands/migrate.ts')).migrateDatabase,
  roles: async () => (await import('./commands/roles.ts')).roles,
  'database-url': async () => (await import('./commands/database-url.ts')).printDatabaseUrl,
  'database-stop': async () => (await import('./commands/database-stop.ts')).stopDatabase,
};

/** Who may read what these make decides the person who runs them: they write files that are meant for others, or none. */
const WITHOUT_DATABASE: readonly CommandName[] = ['generate', 'check', 'roles'];

const ending = new AbortController();

/** With the secrets that lie in files, once a command needs them. */
let environment: CommandIo['env'] = process.env;

function io(): CommandIo {
  const { stdin, stdout, stderr } = process;
  return {
    stdin,
    stdout,
    stderr,
    env: environment,
    signal: ending.signal,
    interactive: stdin.isTTY && stderr.isTTY,
  };
}

async function main(): Promise<ExitCode> {
  const request = readCommandLine(process.argv.slice(2), process.env, programVersion(), helpWidth());
  if (request.kind === 'print') {
    process.stdout.write(`${request.text}\n`);
    return EXIT.done;
  }
  for (const sentence of idleVariables(process.env)) say(`millrace: ${safe(sentence)}\n`);
  if (!WITHOUT_DATABASE.includes(request.command)) {
    process.umask(0o077); // data, archives and logs are for us alone
    environment = (await import('./commands/environment.ts')).withSecrets(process.env);
  }
  const run = (await COMMANDS[request.command]()) as (options: unknown, io: CommandIo) => Promise<ExitCode>;
  return run(request.options, io());
}

/** Long lines are hard to read; and where nobody says how wide it is, help must look the same everywhere. */
function helpWidth(): number {
  return Math.max(60, Math.min(100, process.stdout.columns ?? 100));
}

function say(text: string): void {
  process.stderr.write(redact(text, secretsOf(environment)));
}

/** What a person reads of a failure, and the exit code. Only a bug shows a stack. */
function report(error: unknown): ExitCode {
  if (!(error instanceof MillraceError)) {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    say(`millrace: this should not have happened; please report it with what stands below\n${safe(stack)}\n`);
    return EXIT.stopped;
  }
  say(`millrace: ${safe(error.message)}\n${error.wayOut === undefined ? '' : `  ${safe(error.wayOut)}\n`}`);
  return error.exitCode;
}

/** Lines stay lines; whatever else would move the cursor is written out: names of files and words of the database may hold anything. */
function safe(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** The first signal asks the command to end, the second ends at once. A terminal that closes may say SIGHUP twice. */
function onSignal(signal: NodeJS.Signals): void {
  if (ending.signal.aborted && signal !== 'SIGHUP') process.exit(EXIT.interrupted);
  if (ending.signal.aborted) return;
  ending.abort(signal);
  setTimeout(() => {
    say(
      `millrace: did not finish within ${FINISH_MS_MAX / 1000} s of ${signal} and is ended; the next run goes on\n`,
    );
    process.exit(EXIT.stopped);
  }, FINISH_MS_MAX).unref();
}

/** Nobody reads on (`| head -1`): what is still to be said is lost, which is no failure; the command ends as at a signal. */
function onBrokenPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') throw error;
  if (!ending.signal.aborted) ending.abort('EPIPE');
}

/** State may be half changed after an error that nobody expected: never go on. What is committed is safe. */
function onUnexpected(error: unknown): void {
  process.exit(report(error));
}

pinEnvironment(process.env); // before any package that reads it is loaded
process.on('uncaughtException', onUnexpected);
process.on('unhandledRejection', onUnexpected);
process.stdout.on('error', onBrokenPipe);
process.stderr.on('error', () => {}); // there is no other place to complain
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);

process.exitCode = EXIT.stopped; // what is left when a command's promise never settles and nothing keeps the process alive
process.exitCode = await main().catch(report);
setTimeout(() => process.exit(), LINGER_MS_MAX).unref();
