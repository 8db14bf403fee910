// One run of the harness: the chosen benchmarks one after the other, then the report. main.ts gives it the server and the arguments.

import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bench } from './bench.ts';
import { latency } from './benchmarks/latency.ts';
import { manyFiles } from './benchmarks/many-files.ts';
import { memory } from './benchmarks/memory.ts';
import { parse } from './benchmarks/parse.ts';
import { resent } from './benchmarks/resent.ts';
import { scale } from './benchmarks/scale.ts';
import { smallFiles } from './benchmarks/small-files.ts';
import { soak } from './benchmarks/soak.ts';
import { throughput } from './benchmarks/throughput.ts';
import { describeMachine } from './machine.ts';
import type { BenchOptions, Benchmark } from './options.ts';
import type { Outcome } from './outcome.ts';
import { changesOf, readReport } from './report/compare.ts';
import type { Report } from './report/write.ts';
import { metricsOf, writeReport } from './report/write.ts';
import type { Server } from './scratch.ts';

/** Runs everything and writes the report's folder. @throws when a side fails or a table is wrong: there is no report then */
export async function runBenchmarks(
  server: Server,
  options: BenchOptions,
  argv: readonly string[],
  say: (line: string) => void,
): Promise<Report> {
  const before = options.compare === null ? null : readReport(options.compare); // a wrong path is told now, not in 5 minutes
  const startedAt = new Date().toISOString();
  const machine = await describeMachine(server, loadavg()[0] ?? 0);
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove); // interrupted
  try {
    const bench: Bench = { server, folder, options, say };
    const outcomes: Outcome[] = [];
    for (const name of options.benchmarks) {
      say(`${name}:`);
      outcomes.push(await runOne(bench, name));
    }
    const current = { machine, metrics: metricsOf(outcomes), benchmarks: outcomes };
    const changes = before === null ? null : changesOf(before, current);
    const report = { head: { startedAt, arguments: argv, machine }, outcomes, changes };
    writeReport(options.output, report);
    return report;
  } finally {
    process.off('exit', remove);
    remove();
  }
}

function runOne(bench: Bench, name: Benchmark): Promise<Outcome> {
  switch (name) {
    case 'throughput':
    case 'first-load':
      return throughput(bench, name);
    case 'latency':
      return latency(bench);
    case 'small-files':
      return smallFiles(bench);
    case 'resent':
      return resent(bench);
    case 'scale':
      return scale(bench);
    case 'parse':
      return parse(bench);
    case 'memory':
      return memory(bench);
    case 'many-files':
      return manyFiles(bench);
    case 'soak':
      return soak(bench);
    default:
      return name satisfies never;
  }
}
