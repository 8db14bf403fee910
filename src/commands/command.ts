// What a command gets from the program and gives back. The types only; commands do not touch `process` themselves, so that a
// test can run one with streams, an environment and a signal of its own.

/** A stream for text; a terminal says its width. */
export type Output = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
export type Input = NodeJS.ReadableStream & { readonly isTTY?: boolean };

/** A command is `(options, io) => Promise<ExitCode>`; it throws MillraceError for what a person must mend, anything else is a bug. */
export interface CommandIo {
  readonly stdin: Input;
  /** Results only: what a program may read. */
  readonly stdout: Output;
  /** Everything said to people while a command works. */
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Fires at the first SIGINT, SIGTERM or SIGHUP: finish or roll back what is in flight, within 10 s. */
  readonly signal: AbortSignal;
  /** Somebody can be asked: standard input and standard error are terminals. */
  readonly interactive: boolean;
}
