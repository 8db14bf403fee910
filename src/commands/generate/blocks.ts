// The bytes of generated files, made in worker threads and handed out in order. Nothing is written here.

import { Piscina } from 'piscina';
import type { GeneratedBlock, GenerateTask } from '../../core/generate/block.ts';
import type { Recipe } from '../../core/generate/fate.ts';
import type { PlannedFile } from '../../core/generate/files.ts';

/** About 1 MB: large enough to hide the way between the threads, small enough to keep a few of them in flight. */
const BLOCK_ROWS_MAX = 10_000;

/** Blocks made or being made ahead of the writer, per worker; 3 x 1 MB each. */
const AHEAD_PER_WORKER = 3;

export interface FileBlock extends GeneratedBlock {
  /** Number of its first row. */
  readonly first: number;
  readonly file: PlannedFile;
  /** The last one of its file. */
  readonly isLast: boolean;
}

type BlockTask = GenerateTask & Pick<FileBlock, 'file' | 'isLast'>;

/** Blocks in the order of the plan. Ends its threads when the loop over it ends, however that happens. */
export async function* makeBlocks(
  files: Iterable<PlannedFile>,
  recipe: Recipe,
  workers: number,
): AsyncGenerator<FileBlock, void, undefined> {
  const pool = new Piscina<GenerateTask, GeneratedBlock>({
    filename: new URL('../../../workers/entry.cts', import.meta.url).href,
    name: 'generate',
    minThreads: workers,
    maxThreads: workers,
    idleTimeout: 2 ** 31 - 1,
    atomics: 'disabled', // see src/pool.ts
  });
  const ahead: Promise<FileBlock>[] = [];
  const tasks = blockTasks(files, recipe);
  const fill = () => {
    while (ahead.length < workers * AHEAD_PER_WORKER) {
      const task = tasks.next().value;
      if (task === undefined) return;
      ahead.push(runTask(pool, task));
    }
  };
  try {
    for (fill(); ahead.length > 0; fill()) {
      const next = ahead.shift();
      if (next !== undefined) yield await next;
    }
  } finally {
    // A thread that is ended in the middle of a task makes piscina raise an error that nobody can catch.
    await Promise.allSettled(ahead);
    await pool.destroy();
  }
}

function runTask(pool: Piscina<GenerateTask, GeneratedBlock>, task: BlockTask): Promise<FileBlock> {
  const { recipe, first, count, file, isLast } = task;
  const made = pool.run({ recipe, first, count }).then((block) => ({ ...block, first, file, isLast }));
  made.catch(() => undefined); // reported by whoever awaits it; a block that nobody wants any more may fail
  return made;
}

function* blockTasks(files: Iterable<PlannedFile>, recipe: Recipe): Generator<BlockTask, void, undefined> {
  for (const file of files) {
    const end = file.first + file.count;
    for (let first = file.first; first < end; first += BLOCK_ROWS_MAX) {
      const count = Math.min(BLOCK_ROWS_MAX, end - first);
      yield { recipe, first, count, file, isLast: first + count === end };
    }
  }
}
