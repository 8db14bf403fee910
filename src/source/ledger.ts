// What the source writes into the books: files that are done, refused, parked or moved. Each call may fail while the database is
// away; it is tried again until it succeeds, `open` starts anew, or the source closes.

import { setTimeout } from 'node:timers/promises';

import type { Books } from '../core/books.ts';
import type { FileStamp, GenerationId } from '../core/slice.ts';
import { codeOf } from './content.ts';
import type { Desk } from './desk.ts';
import { enter, inBackground, letGo, noticeOnce, voidFlights } from './desk.ts';
import type { SourceFile } from './file.ts';
import { extent } from './reading.ts';

const RETRY_MS = 500;

/** The books follow a file that has another name or device now. */
export function follow(desk: Desk, file: SourceFile): void {
  const { info } = file;
  inBackground(
    desk,
    persist(desk, `moved:${info.id}`, (books) => books.moved(info)),
  );
}

/** The same before anything of it is read on. `then` does not come when the source begins anew meanwhile. */
export function followFirst(desk: Desk, file: SourceFile, then: () => void): void {
  const { info } = file;
  const { era } = desk;
  const work = persist(desk, `moved:${info.id}`, (books) => books.moved(info)).then(() => {
    if (desk.era === era && !desk.closed) then();
  });
  inBackground(desk, work);
}

/** Refused as a whole, or given up in the middle: nothing more of it is read, and the books say why. */
export function endFile(desk: Desk, file: SourceFile, state: 'refused' | 'parked', reason: string): void {
  voidFlights(desk, file);
  letGo(desk, file);
  enter(desk, file, { kind: state });
  file.registered = true;
  desk.counts.refused += 1;
  desk.settings.events.refused(file.info.name, reason, state);
  const ended = { info: file.info, stamp: file.stamp, blankLines: file.blankLines };
  inBackground(
    desk,
    persist(desk, `end:${file.info.id}`, (books) => books.end(ended, state, reason)),
  );
  desk.bell.ring();
}

async function persist(desk: Desk, key: string, write: (books: Books) => Promise<void>): Promise<void> {
  const { books, era } = desk;
  while (books !== null && desk.era === era) {
    try {
      await write(books);
      return;
    } catch (error) {
      complain(desk, key, error);
      if (desk.closed) return;
      await setTimeout(RETRY_MS);
    }
  }
}

/** Asks the books to confirm that these are wholly committed. Null when they could not be asked. */
export async function confirm(
  desk: Desk,
  files: readonly SourceFile[],
): Promise<ReadonlySet<GenerationId> | null> {
  const { books } = desk;
  if (books === null) return null;
  const ended = files.map((file) => ({
    info: file.info,
    stamp: stampAtEnd(file),
    ...(file.isPacked && { reach: extent(file.reading) }),
    blankLines: file.blankLines,
    archivedTo: desk.settings.after === 'archive' ? desk.settings.archiveDirectory : null,
  }));
  try {
    return await books.finish(ended);
  } catch (error) {
    complain(desk, 'finish', error);
    return null;
  }
}

/** The size that was read is the one that must be covered. */
function stampAtEnd(file: SourceFile): FileStamp {
  return file.isPacked ? file.stamp : { ...file.stamp, size: extent(file.reading) };
}

/** The sink reports a database that is away by itself; here it is only said that something waits for it. */
export function complain(desk: Desk, key: string, error: unknown): void {
  if (desk.closed) return;
  const what = error instanceof Error ? error.message : codeOf(error);
  noticeOnce(desk, `books:${key}`, `the books could not be reached, trying again: ${what}`);
}
