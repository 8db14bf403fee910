// The bytes of a file that was read, for commands that read it again: where it may stand today (its folder, or the archive it was moved
// to), opened safely and unpacked as on the road, since positions are those of the unpacked bytes. What the bytes mean is not known here.

import { close, constants, read } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import type { Encoding } from '../../core/encoding.ts';
import { encodingOf } from '../../core/encoding.ts';
import type { Dialect } from '../../core/slice.ts';
import { unpack } from '../../source/unpack.ts';

export interface Unpacking {
  readonly unpackDir: string;
  readonly unpackedBytesMax: number;
}

/** Unpacked where it is compressed. A descriptor of ours until it is closed. */
export interface Content {
  readonly fd: number;
  readonly size: number;
  readonly close: () => Promise<void>;
}

/** `gone`: no regular file is there. `unreadable`: one is, but nobody can tell what was in it. */
export type Opened =
  | { readonly kind: 'open'; readonly content: Content }
  | { readonly kind: 'gone' }
  | { readonly kind: 'unreadable'; readonly reason: string };

const readFrom = promisify(read);
const closeFd = promisify(close);
const CRC_BLOCK_BYTES = 4 * 1024 * 1024;
/** As every gzip member begins; no file of records does, so that also `a.csv.gz.1` and an unpacked copy are taken for what they are. */
const GZIP_MARK = '1f8b';

/** Never through a symbolic link, never waiting for a FIFO. Throws what is wrong with the machine. */
export async function openContent(path: Buffer | string, unpacking: Unpacking): Promise<Opened> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  let file: FileHandle;
  try {
    file = await open(path, flags);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(code)) return { kind: 'gone' };
    if (['EACCES', 'EPERM'].includes(code))
      return { kind: 'unreadable', reason: `it may not be read (${code})` };
    throw error;
  }
  const stats = await file.stat();
  if (!stats.isFile() || (await readAt(file, 0, 2)).toString('hex') === GZIP_MARK) {
    await file.close();
    return stats.isFile() ? openPacked(path, unpacking) : { kind: 'gone' };
  }
  return { kind: 'open', content: { fd: file.fd, size: stats.size, close: () => file.close() } };
}

async function openPacked(path: Buffer | string, unpacking: Unpacking): Promise<Opened> {
  const rule = { folder: unpacking.unpackDir, bytesMax: unpacking.unpackedBytesMax };
  const found = await unpack(path, rule, () => true);
  if (found.kind === 'gone') return found;
  if (found.kind === 'refused') return { kind: 'unreadable', reason: found.reason };
  const { fd, size } = found;
  return { kind: 'open', content: { fd, size, close: () => closeFd(fd) } };
}

/** Fewer bytes only where the file ends. */
export async function readAt(
  { fd }: { readonly fd: number },
  offset: number,
  length: number,
): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(Math.max(0, length));
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await readFrom(fd, bytes, filled, bytes.length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

/** The encoding that a content was read in: what its books say, and where they say `auto` its own first bytes. */
export async function encodingOfContent(
  content: { readonly fd: number },
  { encoding = 'auto' }: Dialect,
): Promise<Encoding> {
  return encodingOf(await readAt(content, 0, 4), encoding);
}

/** A committed range. */
interface Range {
  readonly start: number;
  readonly end: number;
  readonly crc: number;
}

/** The first range whose checksum differs. */
export async function firstChanged<T extends Range>(
  content: { readonly fd: number },
  ranges: readonly T[],
): Promise<T | null> {
  for (const range of ranges) {
    let crc = 0;
    let at = range.start;
    while (at < range.end) {
      const bytes = await readAt(content, at, Math.min(CRC_BLOCK_BYTES, range.end - at));
      if (bytes.length === 0) return range;
      crc = crc32(bytes, crc);
      at += bytes.length;
    }
    if (crc !== range.crc) return range;
  }
  return null;
}

/** Where files of a source are looked for. */
export interface Finder {
  /** The input folder. */
  readonly folder: string;
  /** The archive, where a person named one; else the books say it for each file. */
  readonly archiveDir: string | null;
  readonly unpacking: Unpacking;
  /** Of each archive folder: the names in there, by the name that they were made from. */
  readonly listings: Map<string, Promise<ReadonlyMap<string, readonly string[]>>>;
}

export function createFinder(options: {
  readonly inputDir: string;
  readonly archiveDir: string | null;
  readonly unpackDir: string;
  readonly unpackedBytesMax: number;
}): Finder {
  const { inputDir: folder, archiveDir, unpackDir, unpackedBytesMax } = options;
  return { folder, archiveDir, unpacking: { unpackDir, unpackedBytesMax }, listings: new Map() };
}

/** A file as the books know it. */
export interface Sought {
  readonly nameBytes: Buffer;
  readonly ino: string;
  readonly archivedTo: string | null;
}

/** Its place in the folder, and behind it those in the archive, which only its content can tell apart. */
export async function placesOf(finder: Finder, file: Sought): Promise<Buffer[]> {
  const own = Buffer.concat([Buffer.from(`${finder.folder}/`), file.nameBytes]);
  const archives = new Set([finder.archiveDir, file.archivedTo]);
  const found: Buffer[] = [];
  for (const archive of archives)
    if (archive !== null) found.push(...(await archived(finder, archive, file)));
  return [own, ...found];
}

/** The same inode first: a rename keeps it, and a name that is delivered every day is there many times. */
async function archived(finder: Finder, archive: string, { nameBytes, ino }: Sought): Promise<Buffer[]> {
  const slash = nameBytes.lastIndexOf(0x2f) + 1;
  const folder = Buffer.concat([Buffer.from(join(archive, '/')), nameBytes.subarray(0, slash)]);
  const key = folder.toString('latin1');
  const listing = finder.listings.get(key) ?? listOf(folder);
  finder.listings.set(key, listing);
  const names = (await listing).get(nameBytes.subarray(slash).toString('latin1')) ?? [];
  const places = names.map((name) => Buffer.concat([folder, Buffer.from(name, 'latin1')]));
  const isOwn = await Promise.all(places.map(async (place) => (await inodeOf(place)) === ino));
  return [...places.filter((_, i) => isOwn[i]), ...places.filter((_, i) => isOwn[i] !== true)];
}

async function inodeOf(path: Buffer): Promise<string | null> {
  const stats = await lstat(path, { bigint: true }).catch(() => null); // moved meanwhile: it is not found then
  return stats === null ? null : stats.ino.toString();
}

/** A folder that is not there, or is not ours, has no files for us: what is looked for is called gone then. */
async function listOf(folder: Buffer): Promise<ReadonlyMap<string, readonly string[]>> {
  const entries = await readdir(folder, { encoding: 'buffer' }).catch(() => []);
  const names = new Map<string, string[]>();
  for (const entry of entries) {
    const name = entry.toString('latin1');
    const plain = /^(.*)\.\d+$/s.exec(name)?.[1];
    for (const each of plain === undefined ? [name] : [name, plain]) {
      const list = names.get(each) ?? [];
      names.set(each, list);
      list.push(name);
    }
  }
  return names;
}

/**
 * The content of a file that the books know, with the committed `ranges`. Where there is no other place than its folder, what stands
 * there is given, whatever it is; `isSuperseded`: that is another content's.
 */
export async function findContent(
  finder: Finder,
  file: Sought,
  ranges: readonly Range[],
  isSuperseded: boolean,
): Promise<Opened> {
  const [own, ...others] = await placesOf(finder, file);
  const first: Opened =
    isSuperseded || own === undefined ? { kind: 'gone' } : await openContent(own, finder.unpacking);
  if (others.length === 0) return first;
  if (first.kind === 'open' && (await firstChanged(first.content, ranges)) === null) return first;
  for (const place of others) {
    const opened = await openContent(place, finder.unpacking);
    if (opened.kind !== 'open') continue;
    if ((await firstChanged(opened.content, ranges)) === null) {
      if (first.kind === 'open') await first.content.close();
      return opened;
    }
    await opened.content.close();
  }
  return first;
}
