// Which content is this file? Pure decisions from what lstat and the books say; the content itself is compared elsewhere and comes
// in as one word. In doubt a file is read again from its beginning, which dedup makes safe; it is never skipped.

import { sameDialect } from '../core/booked-dialect.ts';
import type { KnownGeneration } from '../core/books.ts';
import type { Dialect, FileStamp, GenerationId } from '../core/slice.ts';
import { birthsConflict } from './stamp.ts';

export interface FoundFile {
  readonly nameBytes: Uint8Array;
  readonly stamp: FileStamp;
  /** Compressed: its size says nothing about how far it was read. */
  readonly isPacked?: boolean;
  /** How it would be read today. */
  readonly info?: { readonly dialect: Dialect };
}

/** What a comparison of committed bytes with the file gave; 'unread' before there was one. */
export type Content = 'unread' | 'same' | 'other';

/** Content that was read has been overwritten; or what was parked has been mended. */
export type Warning = 'overwritten' | 'mended';

export type Identity =
  /** Read from 0 under a new generation. */
  | { readonly kind: 'new'; readonly replaces: GenerationId | null; readonly warning: Warning | null }
  /** Known and unchanged since it was done, refused or parked. */
  | { readonly kind: 'settled'; readonly known: KnownGeneration }
  /** Known: go on at its gaps. `moved`: the books must follow its new name or device. */
  | { readonly kind: 'continue'; readonly known: KnownGeneration; readonly moved: boolean }
  /** Compare the content first, then ask again. 'ends': the head and the last slice; 'all': every slice. */
  | { readonly kind: 'compare'; readonly known: KnownGeneration; readonly what: 'ends' | 'all' };

/** How a candidate of the books relates to the file. */
type Kinship = 'same' | 'other_device' | 'same_name' | 'same_inode' | 'none';

/** Decides for a file that this process sees for the first time. Called again with the outcome when it asks to compare. */
export function identify(
  file: FoundFile,
  candidates: readonly KnownGeneration[],
  content: Content,
): Identity {
  const same = newest(file, candidates, 'same');
  if (same !== null) return identifyKnown(file, same, candidates, content);
  const otherDevice = newest(file, candidates, 'other_device');
  if (otherDevice !== null) return identifyOnOtherDevice(file, otherDevice, content);
  // A re-sent or replaced file, or one that merely took over a freed inode: no warning.
  const previous = newest(file, candidates, 'same_name') ?? newest(file, candidates, 'same_inode');
  return { kind: 'new', replaces: previous?.info.id ?? null, warning: null };
}

function identifyKnown(
  file: FoundFile,
  known: KnownGeneration,
  candidates: readonly KnownGeneration[],
  content: Content,
): Identity {
  const moved = !sameName(file, known);
  switch (known.state) {
    case 'parked':
      return identifyParked(file, known, content);
    case 'refused':
    case 'undone':
      return isLeft(file, known) ? { kind: 'settled', known } : replaced(known.info.id, null);
    case 'done':
      if (unchanged(file, known, 'ctime') && !moved) return { kind: 'settled', known };
      break;
    case 'reading':
      break;
    default:
      known.state satisfies never;
  }
  if (isShorter(file, known) || content === 'other') {
    const previous = moved ? newest(file, candidates, 'same_name') : known;
    return replaced((previous ?? known).info.id, moved ? null : 'overwritten');
  }
  if (content === 'same' || known.slices.length === 0) return { kind: 'continue', known, moved };
  return { kind: 'compare', known, what: grownSinceDone(file, known) ? 'ends' : comparison(file, known) };
}

/** Device numbers change with reboots and containers; the same inode, birth time and path there is believed when all content agrees. */
function identifyOnOtherDevice(file: FoundFile, known: KnownGeneration, content: Content): Identity {
  if (known.state === 'parked') return identifyParked(file, known, content);
  if (known.state === 'refused' || known.state === 'undone') {
    return isLeft(file, known) ? { kind: 'settled', known } : replaced(known.info.id, null);
  }
  // To the nanosecond the same three times, inode, size and path: no doubt that would be worth reading it all.
  const certain = file.stamp.birthNs !== null && known.info.stamp.birthNs !== null;
  if (certain && unchanged(file, known, 'ctime')) return { kind: 'settled', known };
  if (isShorter(file, known) || content === 'other') return replaced(known.info.id, null);
  if (content === 'same') return { kind: 'continue', known, moved: true };
  return { kind: 'compare', known, what: 'all' };
}

/**
 * What was parked waits for a person: `resume`, `undo`, or another content. A producer that goes on appending is no person, so growth behind
 * what is committed leaves it parked; where nothing is committed nobody can tell the two apart, and it is read again.
 */
function identifyParked(file: FoundFile, known: KnownGeneration, content: Content): Identity {
  if (known.ended === null || unchanged(file, known, 'mtime')) return { kind: 'settled', known };
  const grown = grownSinceDone(file, known) && known.slices.length > 0 && file.isPacked !== true;
  if (!grown || content === 'other') return replaced(known.info.id, 'mended');
  return content === 'same' ? { kind: 'settled', known } : { kind: 'compare', known, what: 'ends' };
}

/** A refused or undone file is left alone as long as it is the same; a refused one, in the dialect in which it was refused. */
function isLeft(file: FoundFile, known: KnownGeneration): boolean {
  const { dialect } = known.info;
  return (
    unchanged(file, known, 'mtime') &&
    (known.state !== 'refused' || sameDialect(file.info?.dialect ?? dialect, dialect))
  );
}

function replaced(replaces: GenerationId, warning: Warning | null): Identity {
  return { kind: 'new', replaces, warning };
}

function newest(
  file: FoundFile,
  candidates: readonly KnownGeneration[],
  kinship: Kinship,
): KnownGeneration | null {
  let best: KnownGeneration | null = null;
  for (const candidate of candidates) {
    if (kinshipOf(file, candidate) !== kinship) continue;
    if (best === null || candidate.order > best.order) best = candidate;
  }
  return best;
}

function kinshipOf(file: FoundFile, known: KnownGeneration): Kinship {
  const named = sameName(file, known);
  if (file.stamp.ino === known.info.stamp.ino && !birthsConflict(file.stamp, known.info.stamp)) {
    if (file.stamp.dev === known.info.stamp.dev) return 'same';
    return named ? 'other_device' : 'none';
  }
  if (named) return 'same_name';
  return file.stamp.ino === known.info.stamp.ino ? 'same_inode' : 'none';
}

function sameName(file: FoundFile, known: KnownGeneration): boolean {
  return Buffer.compare(file.nameBytes, known.info.nameBytes) === 0;
}

function unchanged(file: FoundFile, known: KnownGeneration, depth: 'mtime' | 'ctime'): boolean {
  const ended = known.ended;
  if (ended === null || ended.size !== file.stamp.size || ended.mtimeNs !== file.stamp.mtimeNs) return false;
  return depth === 'mtime' || ended.ctimeNs === file.stamp.ctimeNs;
}

function grownSinceDone(file: FoundFile, known: KnownGeneration): boolean {
  return known.ended !== null && file.stamp.size > known.ended.size;
}

/**
 * A file that did not grow may have been changed anywhere: when it was done, its times say that it was touched; while it was being read,
 * the books hold no times, so that nothing vouches for its middle.
 */
function comparison(file: FoundFile, known: KnownGeneration): 'ends' | 'all' {
  return known.state === 'done' || file.stamp.size === extentOf(known) ? 'all' : 'ends';
}

function isShorter(file: FoundFile, known: KnownGeneration): boolean {
  return file.isPacked !== true && file.stamp.size < extentOf(known);
}

function extentOf(known: KnownGeneration): number {
  return known.slices.reduce((end, slice) => Math.max(end, slice.end), 0);
}
