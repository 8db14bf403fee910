// The command line of the benchmark: which benchmarks, how large, against whom. Judged whole before anything is touched.

import { parseArgs } from 'node:util';

export const BENCHMARKS = [
  'throughput',
  'latency',
  'small-files',
  'resent',
  'first-load',
  'scale',
  'parse',
  'memory',
  'many-files',
  'soak',
] as const;

export type Benchmark = (typeof BENCHMARKS)[number];

export const PEERS = ['copy', 'copy2', 'pgloader', 'spark'] as const;

export type Peer = (typeof PEERS)[number];

export interface BenchOptions {
  readonly benchmarks: readonly Benchmark[];
  /** Null: each benchmark's own size. */
  readonly rows: number | null;
  readonly rounds: number;
  readonly against: readonly Peer[];
  /** Length of each open-loop part of latency, and of soak. Null: each benchmark's own. */
  readonly seconds: number | null;
  /** Folder of another checkout of Millrace that runs beside this one in throughput; null for none. */
  readonly checkout: string | null;
  readonly compare: string | null;
  readonly json: boolean;
  readonly output: string;
  /** Options for `millrace run`, given to every run of ours. */
  readonly runArgs: readonly string[];
}

/** What `make bench` without arguments runs: about five minutes on two cores. */
const USUAL: readonly Benchmark[] = ['throughput', 'latency', 'small-files', 'resent', 'parse'];

const ROUNDS_MIN = 3;

export const HELP = `make bench ARGS="[benchmark ...] [options]"

benchmarks (without any: ${USUAL.join(', ')})
  throughput   rows/s of one file into the indexed table, beside \\copy and the ceiling
  latency      arrival -> visible, open-loop: idle, 10 files/s, 50 % and 90 % of the maximum rate
  small-files  files of 50 rows, against the same rows in one file
  resent       a file sent again, warm and after a restart, against its first ingest
  first-load   the same as throughput, but only first load, live and copy
  scale        how the rate holds as the table grows, beside \\copy (10 M rows)
  parse        one worker: byte path and papaparse path
  memory       peak memory and processor time of a run; bytes and time per key of the dedup set
  many-files   100,000 files dropped at once, and a start on a folder that holds them; --rows is ten times the files
  soak         a steady load for --seconds (600): latency by minute, memory over time

options
  --rows N           rows of each load (throughput 1000000)
  --rounds N         rounds of each comparison, ${ROUNDS_MIN} or more; of scale alone also fewer (${ROUNDS_MIN})
  --against A,B      peers of throughput: ${PEERS.join(', ')}, or none (copy); scale knows copy only
  --checkout DIR     throughput: another checkout of Millrace beside this one, e.g. of an earlier commit
  --seconds N        length of an open-loop part of latency (20; of a pair, half), and of soak (600)
  --args "..."       options for every run of Millrace, e.g. --args "--lanes 4"
  --compare OLD.json what changed beyond noise since that report
  --output DIR       where the report goes (bench/results/<time>)
  --json             end standard output with one line of JSON
`;

/** Null when help was asked for. @throws an Error with a sentence for what is not understood */
export function readOptions(argv: readonly string[], smallest: number = ROUNDS_MIN): BenchOptions | null {
  const { values, positionals } = parseArgs({
    args: joinValue(argv, '--args'),
    allowPositionals: true,
    options: {
      rows: { type: 'string' },
      rounds: { type: 'string', default: String(smallest) },
      against: { type: 'string', default: 'copy' },
      checkout: { type: 'string' },
      seconds: { type: 'string' },
      args: { type: 'string', default: '' },
      compare: { type: 'string' },
      output: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  // One load of 50 M rows is 40 minutes: whoever asks for scale alone may have a single round, and its report says that it is one.
  const isScale = positionals.length > 0 && positionals.every((word) => word === 'scale');
  const time = new Date().toISOString().slice(0, 19).replaceAll(':', '-');
  return {
    benchmarks:
      positionals.length === 0 ? USUAL : positionals.map((word) => oneOf(word, BENCHMARKS, 'benchmark')),
    rows: values.rows === undefined ? null : whole('--rows', values.rows, 1),
    rounds: whole('--rounds', values.rounds, isScale ? 1 : smallest),
    against: values.against
      .split(',')
      .filter((word) => word !== '' && word !== 'none')
      .map((word) => oneOf(word, PEERS, '--against')),
    seconds: values.seconds === undefined ? null : whole('--seconds', values.seconds, 1),
    checkout: values.checkout ?? null,
    compare: values.compare ?? null,
    json: values.json,
    output: values.output ?? `bench/results/${time}`,
    runArgs: values.args.split(' ').filter(Boolean),
  };
}

/** `--args --lanes` is ambiguous to parseArgs: what follows --args is its value, whatever it begins with. */
function joinValue(argv: readonly string[], flag: string): string[] {
  const at = argv.indexOf(flag);
  return at < 0 || at + 1 >= argv.length
    ? [...argv]
    : [...argv.slice(0, at), `${flag}=${argv[at + 1]}`, ...argv.slice(at + 2)];
}

function oneOf<const T extends string>(word: string, known: readonly T[], what: string): T {
  const found = known.find((each) => each === word);
  if (found === undefined) throw new Error(`${what}: must be one of ${known.join(', ')}, got ${word}`);
  return found;
}

function whole(name: string, text: string, min: number): number {
  const value = Number(text.replaceAll('_', ''));
  if (!Number.isSafeInteger(value) || value < min)
    throw new Error(`${name}: must be a whole number of at least ${min}, got ${text}`);
  return value;
}
