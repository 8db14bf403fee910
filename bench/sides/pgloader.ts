// pgloader, Debian's package, with its defaults: it parses, sets bad rows aside, and loads in batches through COPY.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';

import { events } from '../../src/schema/events.ts';
import type { Scratch } from '../scratch.ts';
import type { OpenSide, Side } from './side.ts';
import { runWhole } from './side.ts';

export function pgloaderSide(scratchFolder: string): Side {
  return {
    name: 'pgloader',
    title: 'pgloader',
    workers: 0,
    absent: async () =>
      spawnSync('pgloader', ['--version'], { stdio: 'ignore' }).error === undefined
        ? null
        : 'pgloader is not installed (Debian: apt-get install pgloader)',
    prepare: async () => {},
    open: async (scratch, load) => openPgloader(scratch, load.file, scratchFolder),
  };
}

function openPgloader(scratch: Scratch, file: string, folder: string): OpenSide {
  const script = join(folder, 'load.pgloader');
  writeFileSync(script, scriptOf(scratch, file), { mode: 0o600 });
  return {
    run: (sampler) =>
      runWhole('pgloader', ['pgloader', '--quiet', '--root-dir', folder, script], scratch, sampler),
    close: async () => {},
  };
}

/** Its manual's page "Loading CSV data". An empty field is NULL, as \copy reads it. */
function scriptOf(scratch: Scratch, file: string): string {
  const columns = events.columns.map(({ name }) => `${name} [null if blanks]`).join(', ');
  const names = events.columns.map(({ name }) => name).join(', ');
  return `LOAD CSV FROM '${file}' (${columns})
INTO ${addressOf(scratch)}?tablename=public.events (${names})
WITH skip header = 1, fields terminated by ',', fields optionally enclosed by '"';
`;
}

/** pgloader writes a socket's folder as a host of its own kind, and takes no percent-encoding in it. */
function addressOf(scratch: Scratch): string {
  const { host, port, user, password, database } = new pg.Client(scratch.url);
  const place = host.startsWith('/') ? `unix:${host}:${port}` : `${host}:${port}`;
  return `postgresql://${user}:${password}@${place}/${database}`;
}
