// `make bench`: arguments -> server -> benchmarks -> report. What is measured and how stands in BENCHMARKS.md.

import { resolveTarget } from '../src/sink/postgres/target.ts';
import type { BenchOptions } from './options.ts';
import { HELP, readOptions } from './options.ts';
import { markdownOf } from './report/markdown.ts';
import { lineOf } from './report/write.ts';
import { runBenchmarks } from './run.ts';

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
    const { head, outcomes, changes } = await runBenchmarks(target, options, argv, say);
    say(`\n${markdownOf(head, outcomes, changes)}`);
    say(`report: ${options.output}/report.md, report.html, report.json`);
    if (options.json) console.log(JSON.stringify(lineOf(outcomes)));
    return 0;
  } finally {
    await target.close();
  }
}
