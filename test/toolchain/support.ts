// What the tests of the toolchain share: a throw-away copy of the project's rules, and running a command in it. Not for
// tests of the program.

import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const RULES = [
  'package.json',
  'tsconfig.json',
  '.oxlintrc.json',
  '.oxfmtrc.json',
  'knip.jsonc',
  'test/toolchain/walls.ts',
];

export type Ended = { code: number | null; out: string; err: string };

/** A temporary folder that is removed when the block ends. */
export function temporaryFolder(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'millrace-toolchain-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** A folder with the project's own rules and packages, and only the given files (path -> content) as its code. */
export function plantedProject(files: Readonly<Record<string, string>>): { path: string } & Disposable {
  const folder = temporaryFolder();
  for (const name of RULES) cpSync(join(ROOT, name), join(folder.path, name));
  symlinkSync(join(ROOT, 'node_modules'), join(folder.path, 'node_modules'));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder.path, name)), { recursive: true });
    writeFileSync(join(folder.path, name), content);
  }
  return folder;
}

/** Runs a command to its end and gives what it said; never fails on an exit code. */
export function run(
  command: string,
  args: readonly string[],
  options: { cwd: string; env?: NodeJS.ProcessEnv },
): Promise<Ended> {
  const { promise, resolve, reject } = Promise.withResolvers<Ended>();
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended: Ended = { code: null, out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (ended.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (ended.err += text));
  child.on('error', reject);
  child.on('close', (code) => resolve({ ...ended, code }));
  return promise;
}

/** Starts a tool of node_modules with the Node that runs this test. */
export function runTool(
  tool: 'knip' | 'oxfmt' | 'oxlint' | 'tsc',
  args: readonly string[],
  cwd: string,
): Promise<Ended> {
  return run(process.execPath, [join(ROOT, 'node_modules/.bin', tool), ...args], { cwd });
}

export type Complaint = { file: string; line: number; rule: string; message: string };
type Diagnostic = { filename: string; code: string; message: string; labels: { span: { line: number } }[] };

/** Lints the folder with the project's own configuration. */
export async function lint(cwd: string): Promise<Complaint[]> {
  const { out, err } = await runTool('oxlint', ['--format=json'], cwd);
  if (!out.startsWith('{')) throw new Error(`oxlint said no JSON: ${out}${err}`);
  const { diagnostics } = JSON.parse(out) as { diagnostics: Diagnostic[] };
  return diagnostics.map(({ filename, code, message, labels }) => ({
    file: filename,
    line: labels[0]?.span.line ?? 0,
    rule: code,
    message,
  }));
}
