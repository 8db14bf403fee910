// From argv and the environment to judged options: which command, and its values. Everything is judged here, before any I/O, and
// every complaint has one form: `--lanes: must be at least 1, got 0`. The grammar of values is in kinds.ts, the table in options.ts.

import { relative } from 'node:path';
import yargs from 'yargs';
import type { Argv } from 'yargs';
import { MillraceError } from '../errors.ts';
import { COMMAND_NAMES, FILES_MIN, REJECTS_ACTIONS, environmentName, optionsOf } from '../options.ts';
import type { CommandName, OptionSpec, OptionsOf, RejectsAction } from '../options.ts';
import { commandHelp, programHelp } from './help.ts';
import { Unfit } from './kinds.ts';
import { nearest } from './near.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** What the command line asks for. `options` fits `command`. */
export type Request =
  | { readonly kind: 'print'; readonly text: string }
  | { readonly kind: 'run'; readonly command: CommandName; readonly options: unknown };

type Arguments = Readonly<Record<string, unknown>>;

/** What yargs adds by itself. */
const YARGS_KEYS = new Set(['_', '--', '$0', 'help', 'h', 'version', 'paths']);

/**
 * Judges a whole command line. `argv` is without the program's name.
 * @throws {MillraceError} `usage`
 */
export function readCommandLine(
  argv: readonly string[],
  env: Environment,
  version: string,
  width: number,
): Request {
  let request: Request | undefined;
  let failure: Error | null | undefined;
  const chosen = (command: CommandName, args: Arguments): void => {
    request = { kind: 'run', command, options: readOptions(command, args, env) };
  };
  const parser = buildParser(version, chosen);
  // With a callback, yargs prints nothing, ends nothing by itself, and has called it when `parse` returns.
  const words = argv[0] === 'help' ? [...argv.slice(1), '--help'] : [...argv];
  void parser.parse(words, (error: Error | null | undefined, args: Arguments, output: string) => {
    failure = error;
    if (output !== '')
      request = { kind: 'print', text: args['version'] === true ? version : helpFor(args, width) };
  });
  if (failure) throw failure;
  if (request?.kind === 'run') refuseFlagValues(request.command, argv);
  if (request === undefined) throw usage('no command was given', 'millrace --help lists the commands');
  return request;
}

/**
 * The options of one command from parsed arguments, else the environment, else the default.
 * @throws {MillraceError} `usage`
 */
export function readOptions<C extends CommandName>(
  command: C,
  args: Arguments,
  env: Environment,
): OptionsOf<C> {
  const values: Record<string, unknown> = {};
  for (const [key, spec] of optionsOf(command)) values[key] = valueOf(spec, args, env, values);
  if (takesFiles(command)) Object.assign(values, filesOf(command, args));
  refuseCombinations(command, values);
  return values as OptionsOf<C>;
}

function buildParser(version: string, chosen: (command: CommandName, args: Arguments) => void): Argv {
  const parser = yargs()
    .scriptName('millrace')
    .exitProcess(false)
    .detectLocale(false)
    .version(version)
    .help('help')
    .alias('help', 'h')
    .strict()
    .parserConfiguration({
      'camel-case-expansion': false,
      'dot-notation': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'short-option-groups': false,
    })
    .updateStrings({ 'Not enough arguments following: %s': '--%s: needs a value' })
    .middleware((args) => refuseUnknown(args), true)
    .fail((message, error) => {
      throw error instanceof MillraceError ? error : usage(message ?? error.message);
    });
  for (const name of COMMAND_NAMES) declareCommand(parser, name, chosen);
  return parser;
}

function declareCommand(
  parser: Argv,
  name: CommandName,
  chosen: (command: CommandName, args: Arguments) => void,
): void {
  const build = (command: Argv): Argv => {
    if (takesFiles(name)) command.positional('paths', { type: 'string', array: true });
    for (const [, { flag, kind }] of optionsOf(name)) {
      const isFlag = kind.placeholder === '';
      command.option(flag, { type: isFlag ? 'boolean' : 'string', requiresArg: !isFlag });
    }
    return command;
  };
  parser.command(takesFiles(name) ? `${name} [paths...]` : name, name, build, (args) => chosen(name, args));
}

/** Ours, since yargs cannot show what a value looks like, and says `[string]` where a person wants to read `DIR`. */
function helpFor(args: Arguments, width: number): string {
  const word = (args['_'] as readonly unknown[])[0];
  const command = COMMAND_NAMES.find((name) => name === word);
  return command === undefined ? programHelp(width) : commandHelp(command, width);
}

/** Our words instead of yargs' own, in the one form; its `strict` stays as the net below. */
function refuseUnknown(args: Arguments): void {
  if (args['help'] === true || args['version'] === true) return;
  const words = args['_'] as readonly (string | number)[];
  const command = COMMAND_NAMES.find((name) => name === words[0]);
  if (command === undefined) refuseCommand(words);
  const known = optionsOf(command).map(([, spec]) => spec.flag);
  for (const key of Object.keys(args))
    if (!YARGS_KEYS.has(key) && !known.includes(key)) throw unknownOption(command, key, known);
  const stray = words.length > 1 ? words[1] : takesFiles(command) ? undefined : trailing(args)[0];
  if (stray !== undefined)
    throw usage(`${command}: takes no argument "${stray}"`, `millrace ${command} --help says what it takes`);
}

/** What stands after `--`. */
function trailing(args: Arguments): readonly string[] {
  return ((args['--'] as readonly unknown[] | undefined) ?? []).map(String);
}

function refuseCommand(words: readonly (string | number)[]): never {
  const way = `commands: ${COMMAND_NAMES.join(', ')}; millrace --help says more`;
  throw usage(words.length === 0 ? 'no command was given' : `there is no command "${words[0]}"`, way);
}

function unknownOption(command: CommandName, key: string, known: readonly string[]): MillraceError {
  const near = nearest(key, known);
  const dashes = key.length === 1 ? '-' : '--';
  return usage(
    `${dashes}${key}: ${command} has no such option`,
    near === undefined
      ? `millrace ${command} --help lists its options`
      : `did you mean --${near}? (millrace ${command} --help)`,
  );
}

/** yargs reads `--once=yes` as false and `--once=banana` too: a flag takes no value but true and false. */
function refuseFlagValues(command: CommandName, argv: readonly string[]): void {
  const flags = optionsOf(command).filter(([, spec]) => spec.kind.placeholder === '');
  const end = argv.indexOf('--');
  for (const word of end === -1 ? argv : argv.slice(0, end)) {
    const match = /^--(?:no-)?([^=]+)=(.*)$/s.exec(word);
    if (match === null || !flags.some(([, spec]) => spec.flag === match[1])) continue;
    if (match[2] !== 'true' && match[2] !== 'false')
      throw usage(`--${match[1]}: must be true or false, got ${match[2]}`);
  }
}

function valueOf(spec: OptionSpec<unknown>, args: Arguments, env: Environment, earlier: Arguments): unknown {
  const given = args[spec.flag];
  if (Array.isArray(given))
    throw usage(`--${spec.flag}: was given ${given.length} times (${given.join(', ')})`, severalHint(spec));
  if (typeof given === 'boolean' && spec.kind.placeholder !== '')
    throw usage(`--${spec.flag}: needs a value; there is no --no-${spec.flag}`);
  if (typeof given === 'boolean' || typeof given === 'string')
    return judged(spec, `--${spec.flag}`, String(given));
  const name = environmentName(spec.flag);
  const inherited = spec.noEnvironment === true ? undefined : env[name];
  if (inherited !== undefined && inherited !== '') return judged(spec, name, inherited);
  if (spec.default === null) return null;
  return typeof spec.default === 'string'
    ? judged(spec, `--${spec.flag}`, spec.default)
    : spec.default.value(earlier);
}

function severalHint(spec: OptionSpec<unknown>): string {
  return spec.flag === 'pattern' ? 'name all patterns in one option, with commas between' : 'give it once';
}

function judged(spec: OptionSpec<unknown>, said: string, text: string): unknown {
  const value = spec.kind.judge(text);
  if (value instanceof Unfit) throw usage(`${said}: ${value.fault}, got ${text === '' ? 'nothing' : text}`);
  return value;
}

function takesFiles(command: CommandName): boolean {
  return FILES_MIN[command] !== undefined;
}

interface Words {
  readonly paths: readonly string[];
  readonly action?: RejectsAction;
}

function filesOf(command: CommandName, args: Arguments): Words {
  const words = (args['paths'] as readonly unknown[] | undefined) ?? [];
  const afterDashes = (args['_'] as readonly unknown[]).slice(1); // yargs moves them here before the handler
  const files = [...words, ...afterDashes].map(String);
  const action = command === 'rejects' ? REJECTS_ACTIONS.find((word) => word === files[0]) : undefined;
  if (action !== undefined) files.shift();
  refuseWrongNumber(command, files);
  const bad = files.find((file) => file === '' || file.includes('\0'));
  if (bad !== undefined) throw usage(`${command}: FILE must be the name of a file, got "${bad}"`);
  return command === 'rejects' ? { paths: files, action: action ?? 'list' } : { paths: files };
}

const EXAMPLE_EVENT = '3f0c1a52-7f0e-4a5e-9f7b-0d5c2b1a9e77';

function refuseWrongNumber(command: CommandName, words: readonly string[]): void {
  const isOne = command === 'why' || command === 'diff';
  const what = command === 'why' ? 'EVENT_ID' : 'FILE';
  const example = `for example: millrace ${command} ${command === 'why' ? EXAMPLE_EVENT : 'orders.csv'}`;
  if (words.length < (FILES_MIN[command] ?? 0))
    throw usage(`${command}: needs ${isOne ? 'one' : 'at least one'} ${what}`, example);
  if (isOne && words.length > 1)
    throw usage(`${command}: takes one ${what}, got ${words.length}: ${words.join(' ')}`, example);
}

/** What no single value can say. Names only are compared; whether folders exist is asked when they are opened. */
function refuseCombinations(command: CommandName, values: Arguments): void {
  if (command === 'rejects') refuseExportOptions(values);
  if (command !== 'run') return;
  const { after, archiveDir, inputDir } = values as unknown as OptionsOf<'run'>;
  if (after === 'archive' && archiveDir === null)
    throw usage(
      '--archive-dir: must be given with --after archive',
      'for example: --archive-dir data/archive',
    );
  if (archiveDir === null) return;
  if (after !== 'archive') throw usage(`--archive-dir: means nothing with --after ${after}`);
  const below = relative(inputDir, archiveDir);
  if (below === '' || (!/^\.\.(?:\/|$)/.test(below) && !below.startsWith('/')))
    throw usage(`--archive-dir: must not lie inside --input ${inputDir}, got ${archiveDir}`);
}

function refuseExportOptions(values: Arguments): void {
  const { action, exportDir, neutralizeFormulas, exportRaw } = values as unknown as OptionsOf<'rejects'>;
  if (action === 'export') {
    if (exportRaw && neutralizeFormulas)
      throw usage('--raw: excludes --neutralize-formulas, which writes other bytes than the file has');
    return;
  }
  const [said] = [
    ...(exportDir === null ? [] : ['--to']),
    ...(neutralizeFormulas ? ['--neutralize-formulas'] : []),
    ...(exportRaw ? ['--raw'] : []),
  ];
  if (said !== undefined)
    throw usage(`${said}: means nothing with rejects ${action}, only with rejects export`);
}

function usage(message: string, wayOut?: string): MillraceError {
  return new MillraceError('usage', message, wayOut === undefined ? {} : { wayOut });
}
