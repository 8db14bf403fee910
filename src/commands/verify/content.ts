// The content of a file as records stand in it: opened safely, and unpacked where it is compressed, since positions are those of the unpacked
// bytes. Not for other encodings than UTF-8: those are named, and not read again.

import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { Dialect } from '../../core/slice.ts';
import { MillraceError } from '../../errors.ts';
import { readAt } from './reader.ts';

export interface Unpacking {
  readonly unpackDir: string;
  readonly unpackedBytesMax: number;
}

/** Null when it is not there, or is no regular file. Never through a symbolic link, never waiting for a FIFO. */
export async function openContent(path: Buffer, unpacking: Unpacking): Promise<FileHandle | null> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch((error: unknown) => {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(code)) return null;
    throw error;
  });
  if (file === null) return null;
  if (!(await file.stat()).isFile()) {
    await file.close();
    return null;
  }
  if (!/\.gz$/i.test(path.toString('latin1'))) return file;
  try {
    return await unpacked(file, unpacking);
  } finally {
    await file.close();
  }
}

/** Into a file without a name, which is gone when it is closed. A damaged file gives what comes before the damage. */
async function unpacked(file: FileHandle, { unpackDir, unpackedBytesMax }: Unpacking): Promise<FileHandle> {
  const path = join(unpackDir, `.millrace-verify-${randomUUID()}`);
  const target = await open(path, 'wx+', 0o600);
  await unlink(path);
  let position = 0;
  try {
    await pipeline(file.createReadStream({ autoClose: false }), createGunzip(), async (blocks) => {
      for await (const block of blocks as AsyncIterable<Buffer>) {
        if (position + block.length > unpackedBytesMax)
          throw new MillraceError('input', `a file unpacks to more than ${unpackedBytesMax} bytes`, {
            wayOut: '--unpacked-max says how much is allowed',
          });
        let written = 0;
        while (written < block.length)
          written += (await target.write(block, written, block.length - written, position + written))
            .bytesWritten;
        position += block.length;
      }
    });
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    const isDamage = code.startsWith('Z_');
    if (isDamage) return target;
    await target.close();
    throw error;
  }
  return target;
}

/** Written in another encoding than UTF-8: `verify`, `why` and `diff` cannot read its records. */
export async function isForeign(file: FileHandle, { encoding = 'auto' }: Dialect): Promise<boolean> {
  if (encoding !== 'auto') return encoding !== 'utf-8';
  const mark = (await readAt(file, 0, 2)).toString('hex');
  return mark === 'fffe' || mark === 'feff';
}
