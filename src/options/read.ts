// From argv and the environment to judged options: which command, and its values. Everything is judged here, before any I/O, and
// every complaint has one form: `--lanes: must be at least 1, got 0`. The grammar of values is in kinds.ts, the table in options.ts.

import { relative } from 'node:path';
import { parseArgs } from 'node:util';
import { MillraceError } from '../errors.ts';
import {
  COMMAND_NAMES,
  FILES_MIN,
  OPTIONS,
  REJECTS_ACTIONS,
  environmentName,
  optionsOf,
} from '../options.ts';
import type { CommandName, OptionSpec, OptionsOf, RejectsAction } from '../options.ts';
import { commandHelp, programHelp } from './help.ts';
import { Unfit } from './kinds.ts';
import { nearest } from './near.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** What the command line asks for. `options` fits `command`. */
export type Request =
  | { readonly kind: 'print'; readonly text: string }
  | { readonly kind: 'run'; readonly command: CommandName; readonly options: unknown };

/** Values by flag; a list when an option was given several times. */
type Arguments = Readonly<Record<string, unknown>>;

/** An option as it was given. `null`: nothing stands where its value should. */
interface Given {
  readonly flag: string;
  readonly value: string | boolean | null;
}

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
  const { words, given } = takeApart(argv[0] === 'help' ? [...argv.slice(1), '--help'] : argv);
  const asked = (flag: string): boolean => given.some((each) => each.flag === flag && each.value === true);
  const command = COMMAND_NAMES.find((name) => name === words[0]);
  if (asked('version')) return { kind: 'print', text: version };
  if (asked('help'))
    return {
      kind: 'print',
      text: command === undefined ? programHelp(width) : commandHelp(command, width),
    };
  if (command === undefined) refuseCommand(words);
  refuseUnknown(command, words, given);
  return { kind: 'run', command, options: readOptions(command, argumentsOf(given), env, words.slice(1)) };
}

/**
 * The options of one command from parsed arguments, else the environment, else the default.
 * @throws {MillraceError} `usage`
 */
export function readOptions<C extends CommandName>(
  command: C,
  args: Arguments,
  env: Environment,
  words: readonly string[] = [],
): OptionsOf<C> {
  const values: Record<string, unknown> = {};
  for (const [key, spec] of optionsOf(command)) values[key] = valueOf(spec, args, env, values);
  if (takesFiles(command)) Object.assign(values, filesOf(command, words));
  refuseCombinations(command, values);
  return values as OptionsOf<C>;
}

/** What has no value: `--once`, `--no-once`, `--once=true`. */
const FLAGS = new Set(
  Object.values(OPTIONS).flatMap(({ flag, kind }) => (kind.placeholder === '' ? [flag] : [])),
);

/** Words and options in the order in which they stand; nothing is judged but whether a value is there. */
function takeApart(argv: readonly string[]): { words: string[]; given: Given[] } {
  const types = Object.values(OPTIONS).map(
    ({ flag }) => [flag, FLAGS.has(flag) ? 'boolean' : 'string'] as const,
  );
  const { tokens } = parseArgs({
    args: [...argv],
    options: {
      ...Object.fromEntries(types.map(([flag, type]) => [flag, { type }])),
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean' },
    },
    strict: false, // its own complaints are not in our form, and it knows no commands
    allowPositionals: true,
    allowNegative: true,
    tokens: true,
  });
  const words: string[] = [];
  const given: Given[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value);
    else if (token.kind === 'option') given.push({ flag: token.name, value: valueGiven(token) });
  }
  return { words, given };
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value?: string | undefined;
  readonly inlineValue?: boolean | undefined;
}

/** `--lanes --once` names two options, `--lanes -1` a number. */
function valueGiven({ name, rawName, value, inlineValue }: OptionToken): string | boolean | null {
  if (value === undefined) {
    if (rawName === `--no-${name}`) return false;
    return FLAGS.has(name) || !isOption(name) ? true : null;
  }
  return inlineValue === false && /^-\D/.test(value) ? null : value;
}

function isOption(flag: string): boolean {
  return Object.values(OPTIONS).some((spec) => spec.flag === flag);
}

/** Of a flag that was given several times the last one counts; an option with a value becomes a list, which is refused by its name. */
function argumentsOf(given: readonly Given[]): Arguments {
  const args: Record<string, unknown> = {};
  for (const { flag, value } of given) {
    if (value === null) throw usage(`--${flag}: needs a value`);
    if (FLAGS.has(flag) && typeof value === 'string' && value !== 'true' && value !== 'false')
      throw usage(`--${flag}: must be true or false, got ${value}`);
    const earlier = FLAGS.has(flag) ? undefined : args[flag];
    args[flag] = earlier === undefined ? value : [earlier, value].flat();
  }
  return args;
}

function refuseUnknown(command: CommandName, words: readonly string[], given: readonly Given[]): void {
  const known = optionsOf(command).map(([, spec]) => spec.flag);
  const unknown = given.find(({ flag }) => !known.includes(flag));
  if (unknown !== undefined) throw unknownOption(command, unknown.flag, known);
  if (words.length > 1 && !takesFiles(command))
    throw usage(
      `${command}: takes no argument "${words[1]}"`,
      `millrace ${command} --help says what it takes`,
    );
}

function refuseCommand(words: readonly string[]): never {
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

function filesOf(command: CommandName, words: readonly string[]): Words {
  const files = [...words];
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
