// Each guard of `make check` is shown a planted fault and must find it: the linter with its type-aware rules, the compiler,
// the formatter, the search for dead code. The import walls have a test of their own.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { lint, plantedProject, runTool } from './support.ts';

const FAULTS: Readonly<Record<string, string>> = {
  // These five need types: they prove that tsgolint runs.
  'typescript(no-floating-promises)': `export function go(): void { Promise.resolve(1); }`,
  'typescript(no-misused-promises)': `export const go = (list: number[]): void => list.forEach(async () => { await 1; });`,
  'typescript(switch-exhaustiveness-check)': `export function say(what: 'a' | 'b'): void { switch (what) { case 'a': break; } }`,
  'typescript(await-thenable)': `export async function go(): Promise<number> { return (await 1) + 1; }`,
  'typescript(only-throw-error)': `export function go(): never { throw 'text'; }`,

  'typescript(no-explicit-any)': `export function go(value: any): unknown { return value; }`,
  'typescript(no-non-null-assertion)': `export const first = (list: number[]): number => list[0]!;`,
  'typescript(consistent-type-imports)': `import { Readable } from 'node:stream'; export type A = Readable;`,
  'eslint(eqeqeq)': `export const same = (a: unknown, b: unknown): boolean => a == b;`,
  'eslint(no-unused-vars)': `const forgotten = 1; export const used = 2;`,
  'eslint(no-empty)': `export function go(): void { try { go(); } catch {} }`,
  'import(no-default-export)': `export default 1;`,
  'unicorn(prefer-node-protocol)': `import 'fs';`,
};

test('each rule of the linter finds its planted fault', async () => {
  const entries = Object.entries(FAULTS);
  using project = plantedProject(
    Object.fromEntries(entries.map(([, code], index) => [`src/commands/fault-${index}.ts`, `${code}\n`])),
  );
  const found = (await lint(project.path)).map(({ file, rule }) => `${file} ${rule}`);
  const missed = entries.filter(([rule], index) => !found.includes(`src/commands/fault-${index}.ts ${rule}`));
  assert.deepEqual(missed, []);
});

test('a circle of imports is found', async () => {
  using project = plantedProject({
    'src/core/a.ts': `import { b } from './b.ts';\nexport const a = (): unknown => b;\n`,
    'src/core/b.ts': `import { a } from './a.ts';\nexport const b = (): unknown => a;\n`,
  });
  assert.ok((await lint(project.path)).some(({ rule }) => rule === 'import(no-cycle)'));
});

test('one fault fails the linter, none lets it pass', async () => {
  using bad = plantedProject({ 'src/core/a.ts': `export const same = (a: unknown): boolean => a == 1;\n` });
  using good = plantedProject({ 'src/core/a.ts': `export const same = (a: unknown): boolean => a === 1;\n` });
  assert.notEqual((await runTool('oxlint', [], bad.path)).code, 0);
  assert.equal((await runTool('oxlint', [], good.path)).code, 0);
});

test('the compiler refuses what Node cannot strip, and reads of an array that may miss', async () => {
  using project = plantedProject({
    'src/a.ts': `export enum Colour { red }\nexport const first = (list: number[]): number => list[0];\n`,
  });
  const { code, out } = await runTool('tsc', ['--noEmit', '-p', '.'], project.path);
  assert.notEqual(code, 0);
  assert.match(out, /a\.ts\(1,13\): error TS1294/);
  assert.match(out, /a\.ts\(2,\d+\): error TS2322/);
});

test('the formatter finds a file that was not formatted', async () => {
  using project = plantedProject({ 'src/a.ts': `export const a = "text"\n` });
  const { code, out, err } = await runTool('oxfmt', ['--check', '.'], project.path);
  assert.equal(code, 1);
  assert.match(out + err, /src\/a\.ts/);
});

test('an export, a file and a dependency that nobody uses are found', async () => {
  using project = plantedProject({
    'src/main.ts': `import { used } from './part.ts';\nused();\n`,
    'src/part.ts': `export function used(): void {}\nexport function deadExport(): void {}\n`,
    'src/dead-file.ts': `export const a = 1;\n`,
  });
  const { code, out } = await runTool('knip', [], project.path);
  assert.equal(code, 1);
  assert.match(out, /deadExport/);
  assert.match(out, /src\/dead-file\.ts/);
  assert.match(out, /papaparse/);
});
