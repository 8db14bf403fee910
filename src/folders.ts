// Makes folders as `mkdir -p` does. Not with Node's own `recursive`: below /proc and the like, where a folder is there and nothing can be made
// in it (ENOENT), that one tries without end, and cannot be interrupted.

import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/** Gives the topmost folder that was made; undefined when all were there. Throws what `mkdir` and `stat` throw. */
export function makeFolders(path: string, mode?: number): string | undefined {
  const missing: string[] = [];
  for (let folder = resolve(path); !isThere(folder); folder = dirname(folder)) missing.push(folder);
  for (const folder of missing.toReversed()) makeOne(folder, mode);
  // A file of that name: EEXIST.
  if (missing.length === 0 && !statSync(path).isDirectory()) mkdirSync(path);
  return missing.at(-1);
}

function isThere(folder: string): boolean {
  return statSync(folder, { throwIfNoEntry: false }) !== undefined;
}

function makeOne(folder: string, mode: number | undefined): void {
  try {
    mkdirSync(folder, { ...(mode !== undefined && { mode }) });
  } catch (error) {
    const isMade = statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true;
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !isMade) throw error; // somebody else was quicker
  }
}
