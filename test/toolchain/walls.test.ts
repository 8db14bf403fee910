// Each wall is planted with a violation that the linter must find, and each door is walked through. Not a test of the
// program: the real tree is only asked whether it keeps the walls.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { lint, plantedProject, ROOT } from './support.ts';

/** Importing file -> lines of it that must be refused, each. Lines without names, so that one file can hold them all. */
const VIOLATIONS: Readonly<Record<string, readonly string[]>> = {
  'src/main.ts': [
    `import './pipeline.ts';`,
    `import './sink/postgres/lane.ts';`,
    `import './source/source.ts';`,
  ],
  'src/options.ts': [
    `import './schema/table.ts';`,
    `import type {} from './schema/events.ts';`,
    `import './commands/run.ts';`,
  ],
  'src/errors.ts': [`import './options.ts';`, `import './core/chunk.ts';`],
  'src/commands/run.ts': [
    `import '../main.ts';`,
    `import '../../bench/main.ts';`,
    `import '../../test/support/postgres.ts';`,
    `import type {} from '../../workers/parse.ts';`,
  ],
  'src/pipeline.ts': [
    `import './source/source.ts';`,
    `import { type X } from './source/source.ts';`,
    `import type {} from './source/directory.ts';`,
    `import './sink/sink.ts';`,
    `import type {} from './sink/postgres/lane.ts';`,
    `import './telemetry/log.ts';`,
    `import './pool.ts';`,
    `import './options.ts';`,
    `import './commands/run.ts';`,
    `import 'node:fs/promises';`,
    `import 'pg';`,
    `import 'chokidar';`,
  ],
  'src/pool.ts': [
    `import './source/directory.ts';`,
    `import './sink/sink.ts';`,
    `import '../workers/parse.ts';`,
  ],
  'src/source/directory.ts': [
    `import '../sink/sink.ts';`,
    `import type {} from '../sink/sink.ts';`,
    `import '../telemetry/log.ts';`,
    `import '../options.ts';`,
    `import '../pool.ts';`,
    `export * from '../pipeline.ts';`,
  ],
  'src/sink/postgres/lane.ts': [
    `import '../../source/source.ts';`,
    `import type {} from '../../source/source.ts';`,
    `import '../../options.ts';`,
    `await import('../../commands/run.ts');`,
    `export {} from '../../pipeline.ts';`,
    `export type * from '../../pool.ts';`,
  ],
  'src/telemetry/log.ts': [
    `import '../pipeline.ts';`,
    `import '../sink/sink.ts';`,
    `import '../options.ts';`,
  ],
  'src/dashboard/server.ts': [`import '../sink/sink.ts';`, `import '../pipeline.ts';`],
  'workers/parse.ts': [
    `import '../src/source/directory.ts';`,
    `import '../src/sink/sink.ts';`,
    `import '../src/pool.ts';`,
    `import '../src/options.ts';`,
    `import '../src/telemetry/log.ts';`,
  ],
  'src/core/dedup.ts': [
    `import '../pipeline.ts';`,
    `import '../source/source.ts';`,
    `import type {} from '../sink/sink.ts';`,
    `import '../telemetry/log.ts';`,
    `import '../options.ts';`,
    `import type {} from '../../workers/parse.ts';`,
    `export type Y = import('../sink/sink.ts').Y;`,
    `await import(name);`,
    ...opening(),
  ],
  'src/schema/events.ts': [
    `import '../core/chunk.ts';`,
    `import '../options.ts';`,
    `import '../sink/sink.ts';`,
    ...opening(),
  ],
  'bench/main.ts': [`import '../src/main.ts';`, `import '../test/support/postgres.ts';`],
  'test/core/dedup.test.ts': [`import '../../src/main.ts';`],
  'src/stray.ts': [`import './errors.ts';`],
};

/** What opens something, for rooms of bytes and values only. */
function opening(): string[] {
  const builtins = ['fs', 'fs/promises', 'net', 'worker_threads', 'child_process', 'perf_hooks'];
  const packages = ['pg', 'pg-copy-streams', 'pino', 'chokidar', 'piscina'];
  return [...builtins.map((name) => `node:${name}`), ...packages].map((name) => `import '${name}';`);
}

const IMPURITIES = [
  `export const a = Date.now();`,
  `export const b = new Date();`,
  `export const c = Math.random();`,
  `export const d = process.env['HOME'];`,
  `export const x = performance.now();`,
  `setTimeout(() => undefined, 1);`,
  `console.log('x');`,
];

const DOORS: Readonly<Record<string, readonly string[]>> = {
  'src/main.ts': [
    `import './commands/run.ts';`,
    `import './options.ts';`,
    `import './errors.ts';`,
    `import 'node:util';`,
  ],
  'src/commands/run.ts': [
    ...['pipeline', 'pool', 'options', 'errors'].map((name) => `import '../${name}.ts';`),
    ...['source/directory', 'sink/postgres/lane', 'telemetry/log'].map((name) => `import '../${name}.ts';`),
  ],
  'src/pipeline.ts': [
    `import type {} from './source/source.ts';`,
    `import type {} from './sink/sink.ts';`,
    `import type {} from './telemetry/progress.ts';`,
    `import type {} from './pool.ts';`,
    `import './core/batch.ts';`,
    `import './errors.ts';`,
  ],
  'src/pool.ts': [
    `import 'piscina';`,
    `import type {} from '../workers/parse.ts';`,
    `import './core/chunk.ts';`,
  ],
  'src/source/directory.ts': [
    `import 'chokidar';`,
    `import 'node:fs';`,
    `import './source.ts';`,
    `import '../core/slice.ts';`,
  ],
  'src/sink/postgres/lane.ts': [
    `import 'pg';`,
    `import './copy.ts';`,
    `import '../sink.ts';`,
    `import '../../schema/table.ts';`,
  ],
  'workers/parse.ts': [
    `import 'node:fs';`,
    `import '../src/core/record.ts';`,
    `import '../src/schema/events.ts';`,
  ],
  'src/core/slice.ts': [
    `import 'node:zlib';`,
    `import './chunk.ts';`,
    `import '../schema/table.ts';`,
    `import '../errors.ts';`,
  ],
  'src/schema/table.ts': [`import 'node:buffer';`, `import './column.ts';`, `import '../errors.ts';`],
  'test/core/dedup.test.ts': [
    `import '../../src/core/dedup.ts';`,
    `import '../../bench/stats.ts';`,
    `import 'node:fs';`,
  ],
};

/** Plants the lines and gives those of them that the rule refused and those that it let pass, each as `file: line`. */
async function judge(rule: string, planted: Readonly<Record<string, readonly string[]>>) {
  using project = plantedProject(
    Object.fromEntries(Object.entries(planted).map(([file, lines]) => [file, `${lines.join('\n')}\n`])),
  );
  const complaints = (await lint(project.path)).filter((complaint) => complaint.rule === rule);
  const guilty = new Set(complaints.map(({ file, line }) => `${file}:${line}`));
  const all = Object.entries(planted).flatMap(([file, lines]) =>
    lines.map((text, index) => ({ said: `${file}: ${text}`, refused: guilty.has(`${file}:${index + 1}`) })),
  );
  return {
    refused: all.filter(({ refused }) => refused).map(({ said }) => said),
    passed: all.filter(({ refused }) => !refused).map(({ said }) => said),
  };
}

test('every planted import through a wall is refused by the linter', async () => {
  assert.deepEqual((await judge('walls(imports)', VIOLATIONS)).passed, []);
});

test('every door of the plan is open', async () => {
  assert.deepEqual((await judge('walls(imports)', DOORS)).refused, []);
});

test('core and schema may not read a clock, a die or the environment', async () => {
  for (const file of ['src/core/dedup.ts', 'src/schema/events.ts']) {
    assert.deepEqual((await judge('walls(pure)', { [file]: IMPURITIES })).passed, []);
  }
});

test('a value that carries the name of a global, and a date made from a value, are pure', async () => {
  const lines = [
    `export const days = (performance: number) => new Date(performance);`,
    `export const x = Math.floor(1.5);`,
  ];
  assert.deepEqual((await judge('walls(pure)', { 'src/core/dedup.ts': lines })).refused, []);
});

test('the real tree keeps every wall', async () => {
  const complaints = await lint(ROOT);
  assert.deepEqual(
    complaints.filter(({ rule }) => rule.startsWith('walls(')),
    [],
  );
});
