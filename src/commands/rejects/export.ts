// `millrace rejects export`: the refused records as they stood in their file, under its header: a CSV file that can be mended and
// delivered again. The bytes are the file's own, in UTF-8 whatever its encoding is, unless they are asked for raw, or formulas are neutralised.

import { open, rename, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type pg from 'pg';
import { decodeAll, unitBytes } from '../../core/encoding.ts';
import type { Encoding } from '../../core/encoding.ts';
import { neutralize } from '../../core/formulas.ts';
import { EXIT, MillraceError } from '../../errors.ts';
import type { ExitCode } from '../../errors.ts';
import { makeFolders } from '../../folders.ts';
import type { RejectsOptions } from '../../options.ts';
import { counted, printable } from '../../telemetry/text.ts';
import { createFinder } from '../books/content.ts';
import { folderOf, headerOf } from '../books/files.ts';
import type { BookedFile, KnownHeader } from '../books/files.ts';
import type { OpenBooks } from '../books/open.ts';
import { filesWithRejects, isWhole, pageOf } from '../books/quarantine.ts';
import type { Chosen } from '../books/quarantine.ts';
import type { CommandIo } from '../command.ts';

const PAGE_RECORDS = 1_000;
const CR = 0x0d;
const LF = 0x0a;

interface Source {
  readonly file: BookedFile;
  readonly header: KnownHeader;
}

function makeExportFolder(folder: string): void {
  try {
    makeFolders(folder, 0o700);
  } catch (cause) {
    throw new MillraceError('input', `the folder ${folder} cannot be made: ${(cause as Error).message}`, {
      wayOut: 'Name another one with --to.',
      cause,
    });
  }
}

/** Exit 1 when some records are not kept to their last byte: those are named by `rejects list` only. */
export async function exportRejects(
  { client }: OpenBooks,
  options: RejectsOptions,
  chosen: Chosen,
  io: CommandIo,
): Promise<ExitCode> {
  const finder = createFinder({ ...options, inputDir: folderOf(chosen.source, options.inputDir) });
  const sources: Source[] = [];
  let isPartial = false;
  for (const file of await filesWithRejects(client, chosen)) {
    const header = await headerOf(client, finder, file);
    if (header !== null) sources.push({ file, header });
    else {
      isPartial = true;
      io.stderr.write(`millrace: the header of ${printable(file.name)} is known nowhere: left out\n`);
    }
  }
  if (options.exportDir === null) refuseMixedHeaders(sources, options.exportRaw);
  else makeExportFolder(options.exportDir);
  let [written, cut] = [0, 0];
  const names = new Set<string>();
  for (const [index, source] of sources.entries()) {
    const { parts, records, left } = await recordsOf(client, chosen, source, options);
    const header = options.exportRaw ? source.header.raw : source.header.bytes;
    [written, cut] = [written + records, cut + left];
    if (options.exportDir === null) {
      if (index === 0) io.stdout.write(header);
      for (const part of parts) io.stdout.write(part);
    } else await writeWhole(join(options.exportDir, freeName(source, names)), [header, ...parts]);
  }
  const rest = cut === 0 ? '' : `; ${counted(cut, 'record')} not kept to the last byte, so left out`;
  io.stderr.write(
    `millrace: ${counted(written, 'record')} of ${counted(sources.length, 'file')} written${rest}\n`,
  );
  return isPartial || cut > 0 ? EXIT.found : EXIT.done;
}

function refuseMixedHeaders(sources: readonly Source[], isRaw: boolean): void {
  const [first] = sources;
  if (first === undefined) return;
  const bytesOf = ({ raw, bytes }: KnownHeader): Buffer => (isRaw ? raw : bytes);
  const other = sources.find(({ header }) => !bytesOf(first.header).equals(bytesOf(header)));
  if (other === undefined) {
    refuseMixedNulls(first, sources);
    return;
  }
  throw new MillraceError(
    'input',
    `the headers of ${printable(first.file.name)} and ${printable(other.file.name)} differ, so their records do not fit into one CSV file`,
    { wayOut: 'name one FILE, or write one file for each with --to DIR' },
  );
}

/** What is NULL in one of them would be text in the other, however the export is read. */
function refuseMixedNulls(first: Source, sources: readonly Source[]): void {
  const wordsOf = ({ header }: Source): string => header.nulls.toSorted().join(',');
  const other = sources.find((one) => wordsOf(one) !== wordsOf(first));
  if (other === undefined) return;
  throw new MillraceError(
    'input',
    `${printable(first.file.name)} and ${printable(other.file.name)} were read with different --null words, so their records do not fit into one CSV file`,
    { wayOut: 'name one FILE, or write one file for each with --to DIR' },
  );
}

/** All of one file: at most --rejects-max-per-file records of at most 64 KiB. */
async function recordsOf(
  client: pg.Client,
  chosen: Chosen,
  { file, header }: Source,
  { exportRaw, neutralizeFormulas }: RejectsOptions,
): Promise<{ parts: Buffer[]; records: number; left: number }> {
  const lineEnd = exportRaw ? encoded(header.encoding, lineEndOf(header)) : lineEndOf(header);
  const parts: Buffer[] = [];
  let left = 0;
  for (let after = -1; ;) {
    const page = await pageOf(client, chosen, file.generation, after, PAGE_RECORDS);
    for (const one of page) {
      if (!isWhole(one)) left += 1;
      else {
        const text = exportRaw ? one.raw : decodeAll(header.encoding, one.raw);
        const record = neutralizeFormulas ? neutralize(text, header.header.delimiter) : text;
        parts.push(Buffer.concat([record, lineEnd]));
      }
    }
    const last = page.at(-1);
    if (last === undefined) return { parts, records: parts.length, left };
    after = last.offset;
  }
}

function lineEndOf({ bytes, newline }: KnownHeader): Buffer {
  const isWindows = newline === LF && bytes.at(-1) === LF && bytes.at(-2) === CR;
  return isWindows ? Buffer.from('\r\n') : Buffer.from([newline]);
}

/** Of ASCII only. */
function encoded(encoding: Encoding, text: Buffer): Buffer {
  if (unitBytes(encoding) === 1) return text;
  const wide = Buffer.from(text.toString('latin1'), 'utf16le');
  return encoding === 'utf-16be' ? wide.swap16() : wide;
}

/** A name of the folder's own, since two generations, or two folders, may have a file of one name. */
function freeName({ file }: Source, taken: Set<string>): string {
  // What is written here is not compressed.
  const plain = basename(file.name).replaceAll('\\', '_').replace(/\.gz$/i, '');
  const name = taken.has(plain) ? `${file.generation}-${plain}` : plain;
  taken.add(name);
  return name.startsWith('.') ? `_${name}` : name;
}

/**
 * For its user alone: it holds what was delivered. Under its name only when it is whole; never in the place of another file, which may be
 * the delivered one, and all that there is of what was not read yet.
 */
async function writeWhole(path: string, parts: readonly Buffer[]): Promise<void> {
  try {
    await (await open(path, 'wx', 0o600)).close();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
    throw new MillraceError('input', `${printable(path)} is there already, and is not overwritten`, {
      wayOut: 'name an empty folder with --to, or move that file away',
      cause,
    });
  }
  await writeFile(`${path}.part`, Buffer.concat(parts), { mode: 0o600, flag: 'w' });
  await rename(`${path}.part`, path);
}
