// Worker of the load generator: the thread around core/generate/block.ts. Files are written by the main thread, in order.

import { move, transferableSymbol, valueSymbol } from 'piscina';
import type { GenerateTask } from '../src/core/generate/block.ts';
import { generateBlock } from '../src/core/generate/block.ts';

/** For piscina: a GeneratedBlock whose bytes change threads without a copy. */
export function generate(task: GenerateTask): unknown {
  const block = generateBlock(task);
  return move({
    get [transferableSymbol]() {
      return [block.bytes.buffer];
    },
    get [valueSymbol]() {
      return block;
    },
  });
}
