// Where the files of the folder stand by now, whatever they are called: for who must find one at once that was renamed since the last look.
// A walk through the folder stops the main thread, so one serves everybody for a while.

import type { FileStamp } from '../core/slice.ts';
import type { ScanRule } from './scan.ts';
import { walk } from './scan.ts';
import { inodeKey } from './stamp.ts';

/** A walk takes 5 to 10 us a file, a second for 100,000: so it is believed for 20 times as long as it took, */
const BELIEVED_SHARE = 20;
/** and not for ever when the process was stopped in the middle of it. */
const BELIEVED_MS_MAX = 10_000;

export class Whereabouts {
  readonly #rule: ScanRule;
  readonly #now: () => number;
  #paths: ReadonlyMap<string, Buffer> = new Map();
  #untilMs = -Infinity;
  #walks = 0;

  constructor(rule: ScanRule, now: () => number) {
    this.#rule = rule;
    this.#now = now;
  }

  /** Number of the last walk. */
  get walks(): number {
    return this.#walks;
  }

  /** That walk still stands: who did not find a file in it need not ask again. */
  believes(walkNumber: number): boolean {
    return walkNumber === this.#walks && this.#now() < this.#untilMs;
  }

  /** Null: it is not below the folder. The caller makes sure that the path still means this file. */
  pathOf(stamp: FileStamp): Buffer | null {
    if (!this.believes(this.#walks)) this.#walk();
    return this.#paths.get(inodeKey(stamp)) ?? null;
  }

  /** A scan has seen the folder: names are known again, and a hundred thousand paths need not be kept. */
  forget(): void {
    this.#paths = new Map();
    this.#untilMs = -Infinity;
  }

  #walk(): void {
    const begunMs = this.#now();
    const paths = new Map<string, Buffer>();
    walk(this.#rule, (path, stamp) => paths.set(inodeKey(stamp), path));
    const endedMs = this.#now();
    this.#paths = paths;
    this.#walks += 1;
    this.#untilMs = endedMs + Math.min(BELIEVED_MS_MAX, (endedMs - begunMs) * BELIEVED_SHARE);
  }
}
