// The files that the sides load: made by our own generator with a fixed seed, so that every machine loads the same bytes.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { endWithUs } from './interrupt.ts';

export const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

const SEED = 1;

/** One file, alone in its folder. */
export interface Load {
  readonly folder: string;
  readonly file: string;
  readonly rows: number;
  readonly bytes: number;
}

const execute = promisify(execFile);

/** Makes `folder` with one file of `rows` rows. */
export async function makeLoad(folder: string, rows: number, seed = SEED): Promise<Load> {
  await generate(folder, ['--rows', String(rows), '--rows-per-file', String(rows), '--seed', String(seed)]);
  const [name, ...others] = readdirSync(folder);
  if (name === undefined || others.length > 0)
    throw new Error(
      `the generator left ${others.length + (name === undefined ? 0 : 1)} files in ${folder}, not 1`,
    );
  const file = join(folder, name);
  return { folder, file, rows, bytes: statSync(file).size };
}

/** Makes `folder` with `files` files; their paths, in the order of names. */
export async function makeFiles(
  folder: string,
  files: number,
  rowsPerFile: number,
  seed = SEED,
): Promise<string[]> {
  const wanted = ['--files', String(files), '--rows-per-file', String(rowsPerFile), '--seed', String(seed)];
  await generate(folder, wanted);
  return readdirSync(folder)
    .toSorted()
    .map((name) => join(folder, name));
}

/** The same records in one file: the first one's header, and no other. */
export async function joinFiles(paths: readonly string[], file: string): Promise<number> {
  const out = createWriteStream(file);
  for (const [index, path] of paths.entries()) {
    const bytes = readFileSync(path);
    const part = index === 0 ? bytes : bytes.subarray(bytes.indexOf(0x0a) + 1);
    if (!out.write(part)) await once(out, 'drain');
  }
  out.end();
  await once(out, 'finish');
  return statSync(file).size;
}

/** The key of a file's first record: what a reader looks for. */
export function firstKey(path: string): string {
  const [header = '', record = ''] = readFileSync(path, 'utf8').split('\n', 2);
  const column = header.split(',').indexOf('event_id');
  const key = record.split(',')[column];
  if (key === undefined) throw new Error(`${path} has no event_id in its first record`);
  return key;
}

async function generate(folder: string, args: readonly string[]): Promise<void> {
  const work = execute(
    process.execPath,
    [MAIN, 'generate', '--output', folder, '--quiet', '--json', ...args],
    {
      env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    },
  );
  endWithUs(work.child);
  await work;
}
