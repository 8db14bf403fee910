// The question before something is removed. A program cannot answer it: it says --yes.

import { createInterface } from 'node:readline';
import { EXIT, MillraceError } from '../../errors.ts';
import type { ExitCode } from '../../errors.ts';
import type { CommandIo } from '../command.ts';
import type { Outcome } from './open.ts';

/** @throws {MillraceError} `usage` when nobody can be asked, before anything else is done */
export function refuseWithoutAnswer(command: string, yes: boolean, io: CommandIo): void {
  if (yes || io.interactive) return;
  throw new MillraceError(
    'usage',
    `${command}: asks before it removes anything, and nobody can be asked here`,
    {
      wayOut: `${command} --yes removes without asking`,
    },
  );
}

/** Only `y` and `yes` mean yes; the end of the input and Ctrl-C mean no. */
export async function agreed(question: string, io: CommandIo): Promise<boolean> {
  io.stderr.write(`${question} [y/N] `);
  // Not as a terminal: the line stays the system's to edit, and Ctrl-C stays a signal.
  const lines = createInterface({ input: io.stdin, terminal: false, signal: io.signal });
  for await (const line of lines) return /^\s*y(?:es)?\s*$/i.test(line);
  return false;
}

/** Tells what was done, and the exit code. */
export function sayOutcome(outcome: Outcome<string>, io: CommandIo): ExitCode {
  switch (outcome.kind) {
    case 'done':
      io.stderr.write(`millrace: ${outcome.value}\n`);
      return EXIT.done;
    case 'none':
      io.stderr.write('millrace: there is no database yet, so nothing to remove\n');
      return EXIT.done;
    case 'interrupted':
      io.stderr.write('millrace: interrupted before anything was known to be removed\n');
      return EXIT.interrupted;
    default:
      return outcome satisfies never;
  }
}
