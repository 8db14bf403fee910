// `make bench`: arguments -> server -> benchmarks -> report. What is measured and how stands in BENCHMARKS.md.

import type { ResolvedTarget } from '../src/sink/postgres/target.ts';
import { resolveTarget } from '../src/sink/postgres/target.ts';
import type { Interruption } from './interrupt.ts';
import { endChildren, exitCodeOf, untilInterrupted } from './interrupt.ts';
import type { BenchOptions } from './options.ts';
import { HELP, readOptions } from './options.ts';
import { markdownOf } from './report/markdown.ts';
import { lineOf } from './report/write.ts';
import { runBenchmarks } from './run.ts';
import { dropScratch } from './scratch.ts';

/** A server that is away must not keep us. */
const GIVE_UP_MS = 10_000;

const argv = process.argv.slice(2);
process.exitCode = await main();

async function main(): Promise<number> {
  let options: BenchOptions | null;
  try {
    options = readOptions(argv);
  } catch (error) {
    console.error(`bench: ${(error as Error).message}\nbench: --help shows what there is`);
    return 2;
  }
  if (options === null) {
    console.log(HELP);
    return 0;
  }
  return bench(options);
}

/** With --json standard output belongs to the one line. */
async function bench(options: BenchOptions): Promise<number> {
  const say = (line: string): void => (options.json ? console.error(line) : console.log(line));
  const target = await resolveTarget(process.env, 'data', { keepDatabase: false, say });
  try {
    const work = await untilInterrupted(runBenchmarks(target, options, argv, say));
    if (work.kind !== 'done') return await giveUp(work.kind, target, say);
    const { head, outcomes, changes } = work.result;
    say(`\n${markdownOf(head, outcomes, changes)}`);
    say(`report: ${options.output}/report.md, report.html, report.json`);
    if (options.json) console.log(JSON.stringify(lineOf(outcomes)));
    return 0;
  } finally {
    await target.close();
  }
}

/** The folder goes with the process (run.ts). What was being measured may wait for something that never comes now, so we end of ourselves. */
async function giveUp(
  signal: Interruption,
  target: ResolvedTarget,
  say: (line: string) => void,
): Promise<never> {
  say(`interrupted (${signal}): nothing is reported`);
  setTimeout(() => process.exit(exitCodeOf(signal)), GIVE_UP_MS);
  await endChildren();
  await dropScratch(target);
  await target.close();
  process.exit(exitCodeOf(signal));
}
