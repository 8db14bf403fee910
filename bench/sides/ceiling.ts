// The ceiling: the same rows, encoded and sorted beforehand by our own worker code into a file, sent by bare lanes with nothing else to do:
// no parsing, no sorting, no dedup, no books, no fence. What no loader through this protocol and these batches can pass.

import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodedBatches } from '../encode.ts';
import type { Side } from './side.ts';
import { runWhole } from './side.ts';

const LANES = fileURLToPath(new URL('../children/bare-lanes.ts', import.meta.url));

export function ceilingSide(scratchFolder: string, lanes: number): Side {
  const encoded = join(scratchFolder, 'encoded.bin');
  return {
    name: 'ceiling',
    title: `the ceiling (${lanes} bare lanes)`,
    workers: 0,
    absent: async () => null,
    prepare: async (load) => {
      const file = openSync(encoded, 'w');
      for (const batch of encodedBatches(load.file)) writeBatch(file, batch);
      closeSync(file);
    },
    open: async (scratch) => ({
      run: (sampler) =>
        runWhole('the ceiling', [process.execPath, LANES, encoded, String(lanes)], scratch, sampler),
      close: async () => {},
    }),
  };
}

/** Length, then tuples; read again by children/bare-lanes.ts. */
function writeBatch(file: number, tuples: readonly Uint8Array[]): void {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(tuples.reduce((sum, each) => sum + each.length, 0));
  for (const part of [length, ...tuples]) for (let at = 0; at < part.length;) at += writeSync(file, part, at);
}
