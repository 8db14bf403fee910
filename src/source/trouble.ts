// A file that cannot be read, or whose answer is of no use: what happens by errno, and when it is tried again. Codes, never texts.

import { codeOf } from './content.ts';
import type { Desk } from './desk.ts';
import { beginReading, enter, letGo, noticeOnce, voidFlights } from './desk.ts';
import type { SourceFile } from './file.ts';

const BACKOFF_FIRST_MS = 250;
const BACKOFF_MAX_MS = 60_000;

/** With --once a file that failed so often in a row is reported and not waited for any longer. */
const FAULTS_BEFORE_GIVING_UP = 5;

type Remedy = 'look' | 'wait' | 'rest';

/** What to do by errno name. `look`: it is another file now, or none; `wait`: until somebody grants the right; `rest`: it may pass. */
const REMEDIES: ReadonlyMap<string, Remedy> = new Map([
  ['ENOENT', 'look'],
  ['ENOTDIR', 'look'],
  ['ELOOP', 'look'],
  ['ENXIO', 'look'],
  ['NOT_REGULAR', 'look'],
  ['SHRUNK', 'look'],
  ['CHANGED', 'look'],
  ['EACCES', 'wait'],
  ['EPERM', 'wait'],
]);

/** Takes the file out of reading; whatever of it is in flight is void. */
export function trouble(desk: Desk, file: SourceFile, error: unknown): void {
  const code = typeof error === 'string' ? error : codeOf(error);
  const { name } = file.info;
  voidFlights(desk, file);
  file.faults += 1;
  const blocks = file.faults < FAULTS_BEFORE_GIVING_UP;
  switch (REMEDIES.get(code) ?? 'rest') {
    case 'look':
      // Not at once: a writer that changes it all the time would keep us busy with nothing else.
      rest(desk, file, file.faults === 1 ? 0 : backoff(file), blocks);
      desk.requestScan();
      break;
    case 'wait':
      noticeOnce(
        desk,
        `wait:${file.info.id}`,
        `${name} may not be read (${code}): it is tried again at each scan`,
      );
      letGo(desk, file);
      enter(desk, file, { kind: 'waiting' });
      desk.bell.ring();
      break;
    case 'rest':
      noticeOnce(
        desk,
        `rest:${file.info.id}:${code}`,
        `${name} cannot be read just now (${code}): it is tried again later`,
      );
      // A descriptor may be stale for ever (NFS); what is nowhere else, or unpacked, stays open.
      if (file.place === 'folder' && !file.isPacked) letGo(desk, file);
      rest(desk, file, backoff(file), blocks);
      break;
  }
}

function backoff(file: SourceFile): number {
  return Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (file.faults - 1));
}

/** Lets a file alone for a while. `blocks`: --once waits for it. */
export function rest(desk: Desk, file: SourceFile, forMs: number, blocks: boolean): void {
  enter(desk, file, { kind: 'resting', untilMs: desk.settings.now() + forMs, blocks });
  desk.pending.add(file);
  desk.bell.ring();
}

/** Back to reading, or to the books when they could not be asked about its content. */
export function retryNow(desk: Desk, file: SourceFile): void {
  if (!file.identified) {
    enter(desk, file, { kind: 'asking' });
    desk.unknown.add(file);
    return;
  }
  beginReading(desk, file);
}
