// The words of `--help`, and the README's option table; both are rendered from the option table, so they cannot disagree with it.

import { COMMAND_NAMES, OPTIONS, environmentName, optionsOf } from '../options.ts';
import type { CommandName, OptionSpec } from '../options.ts';

/** What stands on the left, what on the right. */
type Entry = readonly [string, string];

interface CommandText {
  /** A sentence, in the imperative. */
  readonly sentence: string;
  readonly more?: string;
  readonly positional?: string;
  readonly examples: readonly Entry[];
  readonly exits: readonly Entry[];
}

const DONE: Entry = ['0', 'done'];
const USAGE: Entry = ['2', 'wrong usage'];
const STOPPED: Entry = ['5', 'stopped by something that a person must mend'];
const INTERRUPTED: Entry = ['130', 'ended at once by a second Ctrl-C'];
const LEFT_OFF: Entry = ['130', 'ended by Ctrl-C before it was done'];

const COMMON: readonly Entry[] = [
  ['--help, -h', 'show this help'],
  ['--version', 'show the version'],
];
const ENVIRONMENT =
  'Every option but --yes and the like can also be set in the environment: --scan-every is MILLRACE_SCAN_EVERY, and a flag such as --json is MILLRACE_JSON=1. The command line wins; --no-json turns a flag off again.';

/** How the placeholders that are no plain words are written; only those that a command's options use are shown. */
const VALUES: Readonly<Record<string, string>> = {
  TIME: 'TIME is a number with ms, s, min, h or d: 500ms, 10min.',
  SIZE: 'SIZE is 0 or a number with B, KiB, MiB or GiB: 64MiB.',
  SHARE: 'SHARE is a part of the whole: 0.05 or 5%.',
  'GLOB[,GLOB]': 'In a GLOB, * and ? stand for any characters and for one.',
};
const DATABASE =
  'The database is the one that DATABASE_URL (or PGHOST and the other PG* variables) names; without them, Millrace uses a PostgreSQL of its own.';

const COMMANDS: Readonly<Record<CommandName, CommandText>> = {
  run: {
    sentence: 'Stream the CSV files of a folder into PostgreSQL, each event exactly once, as they arrive.',
    more: `${DATABASE} The first Ctrl-C finishes what is in flight and ends; the second ends at once. Nothing is lost either way.`,
    examples: [
      ['millrace run', 'watch data/input_data until Ctrl-C'],
      ['millrace run --once --input /data/shop --json', 'load what is there, print the counts as JSON'],
    ],
    exits: [
      ['0', 'done; rejected records are part of that'],
      USAGE,
      ['3', 'done, but whole files were refused, parked or could not be read'],
      ['4', 'a younger instance has taken over this source'],
      STOPPED,
      INTERRUPTED,
    ],
  },
  generate: {
    sentence: 'Write CSV files of made-up events, and say exactly what must become of them.',
    more: 'Without --files or --rows it goes on until Ctrl-C.',
    examples: [
      ['millrace generate', 'a small file every second until Ctrl-C'],
      [
        'millrace generate --files 4 --rows 1000000 --rows-per-file 250000 --duplicates 2% --seed 7',
        'a million records, of which 2 % repeat another one',
      ],
    ],
    exits: [DONE, USAGE, STOPPED, INTERRUPTED],
  },
  check: {
    sentence: 'Read CSV files just as run would, without a database, and list what would be rejected.',
    more: 'Each rejected record is printed as file:line:column: code: sentence, with - for the column when the whole record is at fault. With --json, up to 10,000 of them are listed.',
    positional: 'FILE...',
    examples: [
      ['millrace check orders.csv', 'counts, and the first rejects with their places'],
      ['millrace check --json data/input_data/*.csv', 'the same for a program'],
    ],
    exits: [
      ['0', 'nothing to complain of'],
      ['1', 'records or files would be rejected'],
      USAGE,
      STOPPED,
      LEFT_OFF,
    ],
  },
  status: {
    sentence: 'Show the books: what was read of each file, and what became of its records.',
    more: `Every content that a file ever had has an entry of its own. ${DATABASE}`,
    examples: [
      ['millrace status', 'the files of data/input_data'],
      ['millrace status --json | jq .total', 'the sums for a program'],
    ],
    exits: [DONE, USAGE, STOPPED, LEFT_OFF],
  },
  verify: {
    positional: '[FILE...]',
    sentence: 'Read the files again by other code, and compare them with the books and with the table.',
    more: `Prints a balance sheet per file, and every difference with its place. Files that are gone are shown from the books. Without FILE, rows of the table that no file explains are differences, too. Needs room for a temporary copy of all records in the database; one snapshot is compared, so a run may go on meanwhile. ${DATABASE}`,
    examples: [
      ['millrace verify', 'all files of data/input_data, and the table as a whole'],
      ['millrace verify --input /data/shop orders.csv', 'one file'],
    ],
    exits: [['0', 'everything agrees'], ['1', 'something does not agree'], USAGE, STOPPED, INTERRUPTED],
  },
  why: {
    positional: 'EVENT_ID',
    sentence: 'Show every place where an event was seen, and what became of it there.',
    more: `The files of this source are searched again, so duplicates are found, too; files that are gone are named. The row is traced to its batch by its transaction. ${DATABASE}`,
    examples: [
      ['millrace why 3f0c1a52-7f0e-4a5e-9f7b-0d5c2b1a9e77', 'inserted, duplicate of which, rejected why'],
    ],
    exits: [['0', 'it was seen'], ['1', 'it was never seen'], USAGE, STOPPED, INTERRUPTED],
  },
  diff: {
    positional: 'FILE',
    sentence:
      'Compare a file that was sent again with what its earlier content brought: what is new, gone, changed.',
    more: `What the earlier content brought are the rows that it inserted, found by their transaction; its bytes need not be there any more. It makes no difference whether the new content was read already. Nothing is changed: the first one committed stays. ${DATABASE}`,
    examples: [['millrace diff data/input_data/orders.csv', 'after a corrected orders.csv has arrived']],
    exits: [['0', 'no difference'], ['1', 'something is new, gone or changed'], USAGE, STOPPED, INTERRUPTED],
  },
  selftest: {
    sentence: 'Prove on this machine that kill -9 at random moments loses nothing and stores nothing twice.',
    more: `Works in a database of its own beside yours, which is made for it and removed again (the user needs CREATEDB), and in a temporary folder. Your table and your files are not touched. The result is checked by verify, and against what the generator foretold. ${DATABASE}`,
    examples: [
      ['millrace selftest', 'a minute of it'],
      ['millrace selftest --minutes 10 --seed 7', 'longer, with the same records each time'],
    ],
    exits: [
      ['0', 'the promise held'],
      ['1', 'it did not; what was found stays for a look'],
      USAGE,
      STOPPED,
      INTERRUPTED,
    ],
  },
  rejects: {
    sentence: 'Show the quarantine: the records that were refused, with place and reason.',
    more: `ACTION is list (the default), export or replay. export writes the records as they stood in the file, under its header, to be mended and delivered again. replay reads them again by the rules of today, exactly once: a record whose row is stored then leaves the quarantine in the same transaction. FILE is the name of a file as the books have it; without one, all files count. ${DATABASE}`,
    positional: '[ACTION] [FILE...]',
    examples: [
      ['millrace rejects', 'counts by file and code, and the last ones'],
      ['millrace rejects export --to mended orders.csv', 'write mended/orders.csv to edit'],
      ['millrace rejects replay --code refused_by_database', 'try again after a constraint was dropped'],
    ],
    exits: [
      DONE,
      ['1', 'replay: some records were refused again; export: some are not kept whole'],
      USAGE,
      STOPPED,
    ],
  },
  resume: {
    sentence: 'Read on in a file that was parked, or read one again that was undone.',
    more: `The error budget does not stop it again. An instance that is running goes on with it by itself. ${DATABASE}`,
    positional: 'FILE...',
    examples: [['millrace resume orders.csv', 'read on where it was parked']],
    exits: [DONE, ['1', 'there is no such parked file'], USAGE, STOPPED],
  },
  undo: {
    sentence: 'Remove exactly the rows that a file inserted, and its books.',
    more: `The file must still be there, since its keys are read from it again. A row that somebody changed since is left and reported; an event that another file brought too goes all the same when this one was first. The file is not read again, until resume says so or it gets another content. Says what it will remove and asks. ${DATABASE}`,
    positional: 'FILE...',
    examples: [
      ['millrace undo orders.csv', 'after asking'],
      ['millrace undo --yes archive/orders.csv', 'a file that was archived'],
    ],
    exits: [DONE, ['1', 'done, but some rows were left'], USAGE, STOPPED],
  },
  reset: {
    sentence: 'Remove stored events, the books of a source, or both (when neither is named).',
    more: `Says what it will remove and asks. Without the books, the files are read again; without the events alone, they are not. An instance that is running forgets what it knew and goes on from what is left. ${DATABASE}`,
    examples: [
      ['millrace reset', 'start anew: events and books'],
      [
        'millrace reset --checkpoint --yes',
        'read all files again; events already stored count as duplicates',
      ],
    ],
    exits: [DONE, USAGE, STOPPED, LEFT_OFF],
  },
  prune: {
    sentence: 'Remove the books of files that ended long ago; stored events stay.',
    more: `Books of files that are still in the folder stay as well, since those would be read again. Says what it will remove and asks. ${DATABASE}`,
    examples: [
      ['millrace prune', 'books older than 30 days, after asking'],
      ['millrace prune --older-than 7d --yes', 'for a timer'],
    ],
    exits: [DONE, USAGE, STOPPED, LEFT_OFF],
  },
  migrate: {
    sentence: 'Make or update the books, and make the table, as run would; and nothing else.',
    more: `For the role that owns them, where run works as one that may not make tables (see roles). ${DATABASE}`,
    examples: [['millrace migrate', 'before the first run, and after each update']],
    exits: [DONE, USAGE, STOPPED, INTERRUPTED],
  },
  roles: {
    sentence: 'Print roles with the least rights that work, as SQL: owner, ingest, operator and read.',
    more: 'Touches no database. The script may be run again at any time; it begins with the order of steps.',
    examples: [
      ['millrace roles | psql shop', 'make the roles, or grant what new tables need'],
      ['millrace roles --table shop.events --role-prefix shop', 'for another table, under other names'],
    ],
    exits: [DONE, USAGE],
  },
  'database-url': {
    sentence: 'Print the URL of the database, for psql and other clients.',
    more: 'Of the embedded PostgreSQL, the URL holds the password.',
    examples: [
      ['psql "$(millrace database-url --start)"', 'open psql on it, starting it when needed'],
      ['millrace database-stop', 'end it again'],
    ],
    exits: [
      DONE,
      USAGE,
      ['5', 'the embedded PostgreSQL is not running (--start starts it), or does not start'],
    ],
  },
  'database-stop': {
    sentence: 'End the embedded PostgreSQL, whoever started it. The data stays.',
    examples: [
      ['millrace database-stop', 'end it'],
      ['millrace database-stop --data /srv/millrace', 'end the one that lives there'],
    ],
    exits: [DONE, USAGE, STOPPED],
  },
};

/** The help of the program as a whole, in lines of at most `width` characters. */
export function programHelp(width: number): string {
  const commands = COMMAND_NAMES.map((name): Entry => [formOf(name), COMMANDS[name].sentence]);
  return [
    'millrace <command> [options]',
    'Streams CSV files of events into PostgreSQL, exactly once.',
    `Commands:\n${columns(commands, width)}`,
    `Options:\n${columns(COMMON, width)}`,
    `Examples:\n${columns(
      [
        ['millrace run --once', 'load data/input_data into a PostgreSQL of its own'],
        ['millrace run --help', 'all about one command'],
      ],
      width,
    )}`,
  ].join('\n\n');
}

/** The help of one command. */
export function commandHelp(name: CommandName, width: number): string {
  const { sentence, more, examples, exits } = COMMANDS[name];
  const options = optionsOf(name).map(([, spec]): Entry => {
    const given = defaultText(spec);
    return [
      `--${spec.flag} ${spec.kind.placeholder}`.trim(),
      given === '' ? spec.help : `${spec.help} (default: ${given})`,
    ];
  });
  return [
    `millrace ${formOf(name)} [options]`,
    wrapped(more === undefined ? sentence : `${sentence} ${more}`, width).join('\n'),
    `Options:\n${columns([...options, ...COMMON], width)}`,
    `Examples:\n${columns(examples, width)}`,
    `Exit codes:\n${columns(exits, width)}`,
    wrapped([...valuesText(name), ENVIRONMENT].join(' '), width).join('\n'),
  ].join('\n\n');
}

function valuesText(name: CommandName): readonly string[] {
  const used = new Set(optionsOf(name).map(([, spec]) => spec.kind.placeholder));
  return [...used].flatMap((placeholder) => VALUES[placeholder] ?? []);
}

function formOf(name: CommandName): string {
  const { positional } = COMMANDS[name];
  return positional === undefined ? name : `${name} ${positional}`;
}

/** A left column wider than this gets a line of its own. */
const LEFT_MAX = 28;

function columns(entries: readonly Entry[], width: number): string {
  const left = Math.min(LEFT_MAX, Math.max(...entries.map(([name]) => name.length)));
  const indent = ' '.repeat(left + 4);
  return entries
    .flatMap(([name, text]) => {
      const lines = wrapped(text, width - indent.length);
      const begin =
        name.length > left ? [`  ${name}`, `${indent}${lines[0]}`] : [`  ${name.padEnd(left)}  ${lines[0]}`];
      return [...begin, ...lines.slice(1).map((line) => indent + line)];
    })
    .join('\n');
}

function wrapped(text: string, width: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line !== '' && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines;
}

function defaultText(spec: OptionSpec<unknown>): string {
  if (spec.default === null || spec.default === 'false') return '';
  return typeof spec.default === 'string' ? spec.default : spec.default.text;
}

/** The README's option table. One row per option; a test compares it with the README. */
export function optionsAsMarkdown(): string {
  const rows = Object.values(OPTIONS as Readonly<Record<string, OptionSpec<unknown>>>).map((spec) => [
    `\`--${spec.flag}\``,
    spec.noEnvironment === true ? '' : `\`${environmentName(spec.flag)}\``,
    cell(spec.kind.placeholder),
    cell(defaultText(spec)),
    spec.commands.length === COMMAND_NAMES.length ? 'all' : spec.commands.join(', '),
    cell(spec.help),
  ]);
  const header = ['option', 'environment', 'value', 'default', 'commands', 'meaning'];
  const lines = [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  return `${lines.join('\n')}\n`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('*', '\\*');
}
