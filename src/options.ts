// The one option table: flag, environment name, default, unit, help, and the commands that take it. Types, help texts and the
// README's table all come from here. Reading argv and the environment is done in options/read.ts, help in options/help.ts.

import { tmpdir } from 'node:os';
import {
  countRange,
  delimiter,
  duration,
  flag,
  folder,
  identifier,
  label,
  oneOf,
  orAuto,
  patterns,
  rate,
  share,
  size,
  table,
  wholeNumber,
  words,
} from './options/kinds.ts';
import type { Kind } from './options/kinds.ts';

export const COMMAND_NAMES = [
  'run',
  'generate',
  'check',
  'status',
  'verify',
  'why',
  'diff',
  'selftest',
  'rejects',
  'resume',
  'undo',
  'reset',
  'prune',
  'migrate',
  'roles',
  'database-url',
  'database-stop',
] as const;

export type CommandName = (typeof COMMAND_NAMES)[number];

/** A default that depends on the machine or on other options; `text` says it in the help. */
export interface Derived<T> {
  readonly text: string;
  /** Gets the values that were judged before it, in the order of the table. */
  readonly value: (earlier: Readonly<Record<string, unknown>>) => T;
}

/** Written as a user would write it, and judged like any other value; null: there is none, see `help`. */
export type Default<T> = string | null | Derived<T>;

export interface OptionSpec<
  T,
  C extends readonly CommandName[] = readonly CommandName[],
  D extends Default<T> = Default<T>,
> {
  readonly flag: string;
  readonly kind: Kind<T>;
  readonly default: D;
  readonly help: string;
  readonly commands: C;
  /** Must be said each time: an environment variable may not decide it. */
  readonly noEnvironment?: true;
}

function option<T, const C extends readonly CommandName[], const D extends Default<NoInfer<T>>>(
  spec: OptionSpec<T, C, D>,
): OptionSpec<T, C, D> {
  return spec;
}

const DAY_MS = 86_400_000;

/** Commands that look into the books of a source. */
const BOOKS = [
  'run',
  'status',
  'verify',
  'why',
  'diff',
  'rejects',
  'resume',
  'undo',
  'reset',
  'prune',
] as const;
const CONNECTING = [...BOOKS, 'selftest', 'migrate', 'database-url', 'database-stop'] as const;

/** Commands that take FILE arguments: at least so many, and what is called wrong without them. */
export const FILES_MIN: Readonly<Partial<Record<CommandName, number>>> = {
  check: 1,
  verify: 0,
  why: 1,
  diff: 1,
  rejects: 0,
  resume: 1,
  undo: 1,
};

/** What `rejects` does; the first word after it, when it is one of these. */
export const REJECTS_ACTIONS = ['list', 'export', 'replay'] as const;

export const OPTIONS = {
  inputDir: option({
    flag: 'input',
    kind: folder,
    default: 'data/input_data',
    help: 'the folder that is watched',
    commands: BOOKS,
  }),
  once: option({
    flag: 'once',
    kind: flag,
    default: 'false',
    help: 'end when everything present is committed, instead of watching on',
    commands: ['run'],
  }),
  json: option({
    flag: 'json',
    kind: flag,
    default: 'false',
    help: 'end standard output with one line of JSON; what is meant for people goes to standard error',
    commands: ['run', 'generate', 'check', 'status', 'rejects', 'undo', 'verify', 'why', 'diff', 'selftest'],
  }),
  table: option({
    flag: 'table',
    kind: table,
    default: 'events',
    help: 'the table that rows go to; made when it is not there',
    commands: [...BOOKS, 'migrate', 'roles'],
  }),
  source: option({
    flag: 'source',
    kind: label,
    default: null,
    help: 'name of this source in the books; one instance may write per source and table (default: the absolute path of --input)',
    commands: BOOKS,
  }),
  patterns: option({
    flag: 'pattern',
    kind: patterns,
    default: '*.csv,*.csv.gz',
    help: 'which file names are taken; several between commas',
    commands: ['run'],
  }),
  recursive: option({
    flag: 'recursive',
    kind: flag,
    default: 'false',
    help: 'watch sub-folders too',
    commands: ['run'],
  }),
  newline: option({
    flag: 'newline',
    kind: oneOf(['lf', 'cr']),
    default: 'lf',
    help: 'what ends a record: lf (also CR LF), or cr for files of old Macs',
    commands: ['run', 'check', 'diff'],
  }),
  delimiter: option({
    flag: 'delimiter',
    kind: delimiter,
    default: 'auto',
    help: 'what separates fields; auto: comma, semicolon, tab or pipe, whichever yields the column names',
    commands: ['run', 'check', 'diff'],
  }),
  nulls: option({
    flag: 'null',
    kind: words,
    default: null,
    help: 'words that mean NULL when they are all of a field, quoted or not (default: none; an empty field always does)',
    commands: ['run', 'check', 'diff'],
  }),
  encoding: option({
    flag: 'encoding',
    kind: oneOf(['auto', 'utf-8', 'latin1', 'windows-1252', 'utf-16le', 'utf-16be']),
    default: 'auto',
    help: 'encoding of the files; auto: UTF-8, or UTF-16 with its mark, and a file that looks like another one is refused',
    commands: ['run', 'check', 'diff'],
  }),
  unpackDir: option({
    flag: 'unpack-dir',
    kind: folder,
    default: { text: "the system's folder for temporary files", value: () => tmpdir() },
    help: 'where the content of .gz files lies while it is read; up to eight at a time, gone with the program',
    commands: ['run', 'check', 'verify', 'why', 'diff', 'rejects', 'undo'],
  }),
  unpackedBytesMax: option({
    flag: 'unpacked-max',
    kind: size(1, 2 ** 46),
    default: '16GiB',
    help: 'a .gz file that unpacks to more is refused',
    commands: ['run', 'check', 'verify', 'why', 'diff', 'rejects', 'undo'],
  }),
  watch: option({
    flag: 'watch',
    kind: oneOf(['auto', 'poll', 'off']),
    default: 'auto',
    help: 'how new files are noticed: by events, by polling (network file systems without events), or by scans only',
    commands: ['run'],
  }),
  scanEveryMs: option({
    flag: 'scan-every',
    kind: duration(50, DAY_MS),
    default: '5s',
    help: 'how often the folder is read whole, since any watcher can miss files',
    commands: ['run'],
  }),
  settleMs: option({
    flag: 'settle',
    kind: duration(0, DAY_MS),
    default: '1s',
    help: 'a file that never grew is complete when it was still for so long',
    commands: ['run'],
  }),
  settleGrowingMs: option({
    flag: 'settle-growing',
    kind: duration(0, 30 * DAY_MS),
    default: '10min',
    help: 'a file that grew before is complete when it was still for so long',
    commands: ['run'],
  }),
  after: option({
    flag: 'after',
    kind: oneOf(['keep', 'archive', 'delete']),
    default: 'keep',
    help: 'what happens to a file once all of it is committed and flushed',
    commands: ['run'],
  }),
  archiveDir: option({
    flag: 'archive-dir',
    kind: folder,
    default: null,
    help: 'where --after archive moves files; same file system as --input, not inside it (no default). Commands that read files again look there too; of files archived by this version the books know it',
    commands: ['run', 'verify', 'why', 'diff', 'rejects', 'undo'],
  }),
  rejectsMaxPerFile: option({
    flag: 'rejects-max-per-file',
    kind: wholeNumber(0, 10_000_000),
    default: '10000',
    help: 'further rejected records of a file are counted, not stored one by one',
    commands: ['run'],
  }),
  rejectsMax: option({
    flag: 'rejects-max',
    kind: wholeNumber(0, 1_000_000_000),
    default: null,
    help: 'a file with more rejected records is parked until a person decides: millrace resume, or undo (default: no limit)',
    commands: ['run'],
  }),
  rejectsMaxShare: option({
    flag: 'rejects-max-share',
    kind: share,
    default: null,
    help: 'the same as a share of the records of the file, from 100 records on or at its end (default: no limit)',
    commands: ['run'],
  }),
  rejectsShown: option({
    flag: 'rejects-shown',
    kind: wholeNumber(0, 1_000_000),
    default: '20',
    help: 'rejected records shown at the end, with place and reason',
    commands: ['run', 'check', 'rejects'],
  }),
  dedupMemoryBytes: option({
    flag: 'dedup-memory',
    kind: size(0, 2 ** 40),
    default: '256MiB',
    help: 'memory for keys already seen; 0 asks the index every time. The table is the same with any value',
    commands: ['run'],
  }),
  lanes: option({
    flag: 'lanes',
    kind: orAuto(wholeNumber(1, 64)),
    default: 'auto',
    help: 'connections that write at the same time; auto: 2, and more (at most 16; one per core where the database is on this machine) while each makes a long load faster',
    commands: ['run'],
  }),
  workers: option({
    flag: 'workers',
    kind: orAuto(wholeNumber(1, 256)),
    default: 'auto',
    help: 'threads that parse (run) or make rows (generate); auto: 1, and more (one less than cores, at most 8) when the lanes have to wait for them; generate: one less than cores, 1 to 4',
    commands: ['run', 'generate'],
  }),
  slots: option({
    flag: 'slots',
    kind: orAuto(wholeNumber(2, 4096)),
    default: 'auto',
    help: 'tasks in flight at most; each is up to 4 MiB of files and takes about three times that in memory; auto: 2 for each worker and 4 for each lane, 10 at first (5 of them for slices of large files, or 4 for slices of 16 MiB while more than 128 MiB of a file wait), at most a quarter of the memory',
    commands: ['run'],
  }),
  throttle: option({
    flag: 'throttle',
    kind: oneOf(['auto', 'off']),
    default: 'auto',
    help: 'auto: write less, and say so, while commits or replicas of the database are slower than the next two options allow',
    commands: ['run'],
  }),
  commitMsMax: option({
    flag: 'commit-max',
    kind: duration(1, DAY_MS),
    default: '1s',
    help: '--throttle auto: how long a COMMIT may take (median of the last ones)',
    commands: ['run'],
  }),
  replicaLagMax: option({
    flag: 'replica-lag-max',
    kind: size(1, 2 ** 50),
    default: '1GiB',
    help: '--throttle auto: how much WAL a connected replica may have still to replay',
    commands: ['run'],
  }),
  synchronousCommit: option({
    flag: 'synchronous-commit',
    kind: oneOf(['on', 'off']),
    default: 'on',
    help: 'off: commits are faster, and a server crash may take the last ones back, rows and positions together; they are then read again',
    commands: ['run'],
  }),
  firstLoad: option({
    flag: 'first-load',
    kind: oneOf(['auto', 'never']),
    default: 'auto',
    help: 'auto: while much (about 200,000 rows) goes into the empty table that Millrace made, its indexes but the primary key are away, and then built again; never: they stay',
    commands: ['run'],
  }),
  dataDir: option({
    flag: 'data',
    kind: folder,
    default: 'data',
    help: 'where the embedded PostgreSQL lives (in postgres/ below it) when no database is configured',
    commands: CONNECTING,
  }),
  rolePrefix: option({
    flag: 'role-prefix',
    kind: identifier,
    default: 'millrace',
    help: 'how the names of the roles begin: millrace_owner, millrace_ingest, millrace_operator, millrace_read',
    commands: ['roles'],
  }),
  keepDatabase: option({
    flag: 'keep-database',
    kind: flag,
    default: 'false',
    help: 'leave the embedded PostgreSQL running at the end',
    commands: ['run'],
  }),
  logLevel: option({
    flag: 'log-level',
    kind: oneOf(['debug', 'info', 'warn', 'error', 'silent']),
    default: 'info',
    help: 'the least important lines that are logged',
    commands: ['run'],
  }),
  logFormat: option({
    flag: 'log-format',
    kind: oneOf(['auto', 'pretty', 'json']),
    default: 'auto',
    help: 'auto: for people on a terminal, JSON lines elsewhere',
    commands: ['run'],
  }),
  quiet: option({
    flag: 'quiet',
    kind: flag,
    default: 'false',
    help: 'no progress line and no closing table; warnings and errors only',
    commands: ['run', 'generate'],
  }),
  outputDir: option({
    flag: 'output',
    kind: folder,
    default: 'data/input_data',
    help: 'the folder that files are written to; made when it is not there',
    commands: ['generate'],
  }),
  seed: option({
    flag: 'seed',
    kind: wholeNumber(0, 0xffff_ffff),
    default: null,
    help: 'the same seed and shares give the same records (default: a random one, which is printed)',
    commands: ['generate', 'selftest'],
  }),
  files: option({
    flag: 'files',
    kind: wholeNumber(1, 100_000_000),
    default: null,
    help: 'stop after so many files (default: no limit)',
    commands: ['generate'],
  }),
  rows: option({
    flag: 'rows',
    kind: wholeNumber(1, 100_000_000_000),
    default: null,
    help: 'stop after so many records (default: no limit)',
    commands: ['generate'],
  }),
  rowsPerFile: option({
    flag: 'rows-per-file',
    kind: countRange(1, 1_000_000_000),
    default: '10-100',
    help: 'records in one file, or the range to draw them from',
    commands: ['generate'],
  }),
  intervalMs: option({
    flag: 'interval',
    kind: duration(0, DAY_MS),
    default: null,
    help: 'time from one file to the next (default: 1s, or none when --files, --rows or --rate says how much)',
    commands: ['generate'],
  }),
  rate: option({
    flag: 'rate',
    kind: rate,
    default: null,
    help: 'events per second in all (default: as --interval gives)',
    commands: ['generate'],
  }),
  duplicates: option({
    flag: 'duplicates',
    kind: share,
    default: '0',
    help: 'share of records that repeat an earlier event_id',
    commands: ['generate'],
  }),
  invalid: option({
    flag: 'invalid',
    kind: share,
    default: '0',
    help: 'share of records that must be rejected',
    commands: ['generate'],
  }),
  quoted: option({
    flag: 'quoted',
    kind: share,
    default: '0',
    help: 'share of records with quoted fields',
    commands: ['generate'],
  }),
  append: option({
    flag: 'append',
    kind: flag,
    default: 'false',
    help: 'grow one file instead of writing new ones',
    commands: ['generate'],
  }),
  events: option({
    flag: 'events',
    kind: flag,
    default: 'false',
    help: 'remove the rows of the table',
    commands: ['reset'],
    noEnvironment: true,
  }),
  checkpoint: option({
    flag: 'checkpoint',
    kind: flag,
    default: 'false',
    help: 'remove the books of this source, so that its files are read again',
    commands: ['reset'],
    noEnvironment: true,
  }),
  olderThanMs: option({
    flag: 'older-than',
    kind: duration(0, 36_500 * DAY_MS),
    default: '30d',
    help: 'books of files that ended longer ago are removed',
    commands: ['prune'],
  }),
  allowUnknownRows: option({
    flag: 'allow-unknown-rows',
    kind: flag,
    default: 'false',
    help: 'rows that neither a file nor the books know are no difference: others write to this table, or books were pruned',
    commands: ['verify'],
  }),
  minutes: option({
    flag: 'minutes',
    kind: rate,
    default: '1',
    help: 'how long to go on killing; reading on to the end and verifying comes on top',
    commands: ['selftest'],
  }),
  yes: option({
    flag: 'yes',
    kind: flag,
    default: 'false',
    help: 'do not ask',
    commands: ['undo', 'reset', 'prune'],
    noEnvironment: true,
  }),
  rejectCode: option({
    flag: 'code',
    kind: label,
    default: null,
    help: 'only rejects with this code (default: all codes)',
    commands: ['rejects'],
    noEnvironment: true,
  }),
  exportDir: option({
    flag: 'to',
    kind: folder,
    default: null,
    help: 'rejects export: write one CSV file per file into this folder, which is made when it is not there (default: standard output)',
    commands: ['rejects'],
    noEnvironment: true,
  }),
  exportRaw: option({
    flag: 'raw',
    kind: flag,
    default: 'false',
    help: 'rejects export: the bytes as they stood in the file, in its encoding (default: in UTF-8)',
    commands: ['rejects'],
    noEnvironment: true,
  }),
  neutralizeFormulas: option({
    flag: 'neutralize-formulas',
    kind: flag,
    default: 'false',
    help: "rejects export: put a ' before fields that a spreadsheet would run as a formula; they are other values then",
    commands: ['rejects'],
    noEnvironment: true,
  }),
  start: option({
    flag: 'start',
    kind: flag,
    default: 'false',
    help: 'start the embedded PostgreSQL when it is not running, and leave it running',
    commands: ['database-url'],
    noEnvironment: true,
  }),
} as const;

type Table = typeof OPTIONS;
type ValueOf<S> =
  S extends OptionSpec<infer T, readonly CommandName[], infer D> ? (D extends null ? T | null : T) : never;
type Takes<S, C extends CommandName> = S extends { readonly commands: readonly (infer N)[] }
  ? C extends N
    ? true
    : false
  : false;

/** The judged options of one command; some also get their files. */
export type OptionsOf<C extends CommandName> = {
  readonly [K in keyof Table as Takes<Table[K], C> extends true ? K : never]: ValueOf<Table[K]>;
} & (C extends 'check' | 'verify' | 'why' | 'diff' | 'rejects' | 'resume' | 'undo'
  ? { readonly paths: readonly string[] }
  : unknown) &
  (C extends 'rejects' ? { readonly action: RejectsAction } : unknown);

export type RejectsAction = (typeof REJECTS_ACTIONS)[number];

export type RunOptions = OptionsOf<'run'>;
export type GenerateOptions = OptionsOf<'generate'>;
export type CheckOptions = OptionsOf<'check'>;
export type StatusOptions = OptionsOf<'status'>;
export type VerifyOptions = OptionsOf<'verify'>;
export type WhyOptions = OptionsOf<'why'>;
export type DiffOptions = OptionsOf<'diff'>;
export type SelftestOptions = OptionsOf<'selftest'>;
export type RejectsOptions = OptionsOf<'rejects'>;
export type ResumeOptions = OptionsOf<'resume'>;
export type UndoOptions = OptionsOf<'undo'>;
export type ResetOptions = OptionsOf<'reset'>;
export type PruneOptions = OptionsOf<'prune'>;
export type MigrateOptions = OptionsOf<'migrate'>;
export type RolesOptions = OptionsOf<'roles'>;
export type DatabaseUrlOptions = OptionsOf<'database-url'>;
export type DatabaseStopOptions = OptionsOf<'database-stop'>;

/** The environment variable of an option: `--scan-every` is MILLRACE_SCAN_EVERY. */
export function environmentName(optionFlag: string): string {
  return `MILLRACE_${optionFlag.toUpperCase().replaceAll('-', '_')}`;
}

/** The table's entries that a command takes, in the order of the table. */
export function optionsOf(command: CommandName): readonly (readonly [string, OptionSpec<unknown>])[] {
  return Object.entries(OPTIONS as Readonly<Record<string, OptionSpec<unknown>>>).filter(([, spec]) =>
    spec.commands.includes(command),
  );
}
