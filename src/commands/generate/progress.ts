// What `generate` says while it works: one live line on a terminal, a line now and then elsewhere. Silent for short runs.

import type { Output } from '../command.ts';
import type { Written } from '../generate.ts';

const SILENT_MS = 2_000;
const TERMINAL_EVERY_MS = 200;
const LINE_EVERY_MS = 10_000;
const ERASE_LINE = '\r\u001b[K';

export interface Progress {
  update(written: Written): void;
  /** Takes the live line away. */
  end(): void;
}

export const NO_PROGRESS: Progress = { update: () => undefined, end: () => undefined };

export function openProgress(stderr: Output): Progress {
  const live = stderr.isTTY === true;
  const started = performance.now();
  let nextMs = started + (live ? SILENT_MS : LINE_EVERY_MS);
  let shown = false;
  return {
    update(written) {
      const now = performance.now();
      if (now < nextMs) return;
      nextMs = now + (live ? TERMINAL_EVERY_MS : LINE_EVERY_MS);
      const line = progressText(written, (now - started) / 1000);
      stderr.write(live ? `${ERASE_LINE}${line.slice(0, (stderr.columns ?? 80) - 1)}` : `${line}\n`);
      shown = live;
    },
    end() {
      if (shown) stderr.write(ERASE_LINE);
    },
  };
}

function progressText({ files, records }: Written, seconds: number): string {
  const rate = Math.round(records / seconds);
  return `generate: ${records.toLocaleString('en')} records in ${files.toLocaleString('en')} files, ${rate.toLocaleString('en')} records/s`;
}
