// `psql \copy`, on one connection and on two with the file cut by hand. Without psql, the same bytes through pg-copy-streams in a
// process of its own. It checks nothing and keeps no place: the floor of what a loader does.

import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Load } from '../load.ts';
import type { Sampler } from '../measure/sampler.ts';
import type { Scratch } from '../scratch.ts';
import { COLUMN_LIST } from '../scratch.ts';
import type { Side } from './side.ts';
import { runWhole } from './side.ts';

const STREAM = fileURLToPath(new URL('../children/copy-stream.ts', import.meta.url));

const COPY_SQL = `events (${COLUMN_LIST}) FROM`;

export function copySide(scratchFolder: string, connections: 1 | 2): Side {
  const parts: string[] = [];
  const psql = hasPsql();
  const through = psql ? '' : ', through pg-copy-streams';
  return {
    name: connections === 1 ? 'copy' : 'copy2',
    title: connections === 1 ? `copy${through}` : `copy, two connections${through}`,
    workers: 0,
    absent: async () => null,
    prepare: async (load) => {
      const cut = connections === 1 ? [load.file] : cutFile(load, scratchFolder);
      parts.splice(0, parts.length, ...cut);
    },
    open: async (scratch) => ({
      run: async (sampler) => {
        await Promise.all(parts.map((part) => copyPart(scratch, part, sampler, psql)));
      },
      close: async () => {},
    }),
  };
}

function hasPsql(): boolean {
  return spawnSync('psql', ['--version'], { stdio: 'ignore' }).status === 0;
}

async function copyPart(scratch: Scratch, file: string, sampler: Sampler, psql: boolean): Promise<void> {
  const command = `\\copy ${COPY_SQL} '${file.replaceAll("'", "''")}' WITH (FORMAT csv, HEADER)`;
  const program: [string, ...string[]] = psql
    ? ['psql', scratch.url, '-q', '-X', '-v', 'ON_ERROR_STOP=1', '-c', command]
    : [process.execPath, STREAM, file];
  await runWhole('copy', program, scratch, sampler);
}

/** Two halves at a line's end, each with the header. Right for generated files only: no record of theirs spans lines. */
export function cutFile(load: Load, folder: string): string[] {
  const bytes = readFileSync(load.file);
  const header = bytes.subarray(0, bytes.indexOf(0x0a) + 1);
  const middle = bytes.indexOf(0x0a, bytes.length >> 1) + 1;
  const halves = [bytes.subarray(0, middle), bytes.subarray(middle)];
  return halves.map((half, index) => {
    const path = join(folder, `half-${index}.csv`);
    const file = openSync(path, 'w');
    if (index > 0) writeSync(file, header);
    for (let at = 0; at < half.length;) at += writeSync(file, half, at);
    closeSync(file);
    return path;
  });
}
