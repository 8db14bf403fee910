// Every way Millrace can fail, in one place: the error type that people see, its exit codes, and the table that turns
// an SQLSTATE of PostgreSQL into a policy. A leaf: it imports nothing, and nobody else decides on an error's text.

/** Exit codes of the program; part of its interface, listed in the README. */
export const EXIT = {
  done: 0,
  found: 1,
  usage: 2,
  refusedFiles: 3,
  fenced: 4,
  stopped: 5,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The closed list of failures. A code is stable: scripts may rely on it. */
export const ERROR_CODES = {
  usage: EXIT.usage,
  /** The input folder, an archive folder or a file named on the command line cannot be used. */
  input: EXIT.stopped,
  /** The embedded server cannot be made, started or reached. */
  embedded: EXIT.stopped,
  /** PostgreSQL says something that a person must mend (see `policyOf`). */
  database: EXIT.stopped,
  /** The user's table exists and does not fit. */
  table: EXIT.stopped,
  /** The engine tables are newer than this program, or were edited by hand. */
  migration: EXIT.stopped,
  /** A younger instance has taken over this source. */
  fenced: EXIT.fenced,
  /** A broken invariant of our own; a bug report is welcome. */
  internal: EXIT.stopped,
} as const satisfies Record<string, ExitCode>;

export type ErrorCode = keyof typeof ERROR_CODES;

/**
 * A failure that a person reads. `message` names the thing and the value, `wayOut` says what to do.
 * Anything that is not a MillraceError is a bug and is printed with its stack.
 */
export class MillraceError extends Error {
  readonly code: ErrorCode;
  readonly wayOut: string | undefined;

  constructor(code: ErrorCode, message: string, options: { wayOut?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MillraceError';
    this.code = code;
    this.wayOut = options.wayOut;
  }

  get exitCode(): ExitCode {
    return ERROR_CODES[this.code];
  }
}

/**
 * What to do when a statement of a batch's transaction fails.
 * - `wait`: back off and try again; ingestion pauses, nothing is lost.
 * - `unsure`: the memory could not know this key: once more with every row unsure.
 * - `lookup`: this batch, or one of its slices, may be there already: look, then settle or restart in process.
 * - `restart`: what the engine believes no longer holds: restart in process.
 * - `bisect`: rows are refused: find them by trial.
 * - `stop`: a person must mend something.
 */
export type Policy = 'wait' | 'unsure' | 'lookup' | 'restart' | 'bisect' | 'stop';

/** The step of the transaction that failed; `indexes` is a transaction of its own. Only `rows` and `unsure` (with their constraint check) may be bisected. */
export type Step =
  | 'connect'
  | 'fence'
  | 'rows'
  | 'unsure'
  | 'checks'
  | 'rejects'
  | 'positions'
  | 'commit'
  | 'indexes';

/** The fields of a PostgreSQL error that a policy may rest on; never its message, which is translated. */
export interface DatabaseFault {
  readonly sqlstate: string;
  readonly schema?: string | undefined;
  readonly table?: string | undefined;
}

/**
 * SQLSTATE -> policy, longest prefix wins. Classes are the first two characters (PostgreSQL manual, appendix A).
 * A binary field of the wrong width is 08P01: a protocol fault of ours, not a lost connection.
 */
const POLICY_BY_SQLSTATE: ReadonlyMap<string, Policy> = new Map([
  ['08', 'wait'],
  ['08P01', 'stop'],
  ['22', 'bisect'],
  ['22021', 'stop'], // our texts are valid UTF-8 without NUL: a column has another type than when we looked
  ['22P03', 'stop'],
  ['22P04', 'stop'],
  ['23', 'bisect'],
  ['25006', 'wait'], // read-only: a standby before its promotion
  ['25P03', 'wait'],
  ['25P04', 'wait'],
  ['40', 'wait'],
  ['44000', 'bisect'],
  ['53', 'wait'],
  ['55P03', 'wait'],
  ['57014', 'wait'], // after 10 in a row the lane stops: somebody's time-out is too short
  ['57P01', 'wait'],
  ['57P02', 'wait'],
  ['57P03', 'wait'],
  ['57P05', 'wait'],
  ['58030', 'wait'],
  ['P0001', 'bisect'],
]);

const BISECTABLE_STEPS: ReadonlySet<Step> = new Set<Step>(['rows', 'unsure', 'checks']);

/**
 * The failure table; every SQLSTATE that is not listed stops the engine with a sentence, since guessing could lose rows.
 * No constraint is judged by its name: that of a partition's key is its own. Whatever is unique, the stage tells whether it was the key.
 */
export function policyOf(fault: DatabaseFault, step: Step): Policy {
  const ours = fault.schema === 'millrace';
  if (fault.sqlstate === '23505') {
    if (ours) return 'lookup';
    if (step === 'rows') return 'unsure';
  }
  if (fault.sqlstate === '23503' && ours) return 'restart';
  const policy = longestPrefix(fault.sqlstate);
  if (policy !== 'bisect') return policy;
  return !ours && BISECTABLE_STEPS.has(step) ? 'bisect' : 'stop';
}

function longestPrefix(sqlstate: string): Policy {
  return POLICY_BY_SQLSTATE.get(sqlstate) ?? POLICY_BY_SQLSTATE.get(sqlstate.slice(0, 2)) ?? 'stop';
}
