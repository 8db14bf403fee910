// Compressed files of the folder: unpacked when they are still and a place is free, compared with what is committed of them, and then read
// like others, from the unpacked bytes. Any change of the file means: unpack and compare again.

import { closeSync } from 'node:fs';

import { compareOpen } from './content.ts';
import type { Desk } from './desk.ts';
import { beginReading, enter, inBackground, OPEN_FILES_MAX, renew } from './desk.ts';
import type { SourceFile } from './file.ts';
import { endFile } from './ledger.ts';
import { sameKey, stampOf } from './stamp.ts';
import { trouble } from './trouble.ts';
import { unpack } from './unpack.ts';

/** More at once only make the disk seek. */
const UNPACKING_MAX = 2;

/** Starts when there is room; the file has just been looked at and is still. */
export function startUnpacking(desk: Desk, file: SourceFile): void {
  if (file.phase.kind !== 'unpacking' || file.phase.running) return;
  if (desk.openFiles >= OPEN_FILES_MAX || desk.unpacking >= UNPACKING_MAX) return;
  const phase = { kind: 'unpacking', running: true } as const;
  enter(desk, file, phase);
  desk.unpacking += 1;
  const work = unpackFile(desk, file, phase).catch((error: unknown) => {
    if (file.phase === phase) trouble(desk, file, error);
  });
  inBackground(
    desk,
    work.finally(() => {
      desk.unpacking -= 1;
    }),
  );
}

async function unpackFile(desk: Desk, file: SourceFile, phase: SourceFile['phase']): Promise<void> {
  const { stamp } = file;
  const ending = new AbortController();
  const watch = setInterval(() => {
    if (desk.closed || file.phase !== phase) ending.abort();
  }, 100);
  const found = await unpack(
    file.path,
    desk.settings.unpacking,
    (stats) => {
      const now = stampOf(stats, desk.rule.birthsKept);
      return sameKey(stamp, now) && now.size === stamp.size && now.mtimeNs === stamp.mtimeNs;
    },
    ending.signal,
  ).finally(() => clearInterval(watch));
  const isWanted = file.phase === phase && !desk.closed;
  if (found.kind !== 'unpacked') {
    if (!isWanted) return;
    if (found.kind === 'refused')
      endFile(desk, file, 'refused', `the compressed file cannot be read: ${found.reason}`);
    else trouble(desk, file, 'ENOENT');
    return;
  }
  const isSame = isWanted && (await compareOpen(found.fd, [...file.reading.pieces], 'all')) === 'same';
  if (file.phase !== phase || desk.closed) {
    closeSync(found.fd);
    return;
  }
  if (!isSame) {
    closeSync(found.fd);
    renew(desk, file, 'overwritten');
    return;
  }
  desk.openFiles += 1;
  file.handle = { fd: found.fd, users: 0, letGo: false };
  file.unpackedBytes = found.size;
  desk.pending.delete(file);
  beginReading(desk, file);
}
