// What every benchmark is handed: the server, a folder of its own, the options, and somebody to tell how far it is.

import type { BenchOptions } from './options.ts';
import type { Server } from './scratch.ts';

export interface Bench {
  readonly server: Server;
  /** Empty at the start, removed at the end. */
  readonly folder: string;
  readonly options: BenchOptions;
  readonly say: (line: string) => void;
}
