// Slices: byte ranges of a file that begin and end at a record boundary; the unit of dispatch and of progress. This file
// holds their types: what the source asks of a worker, and what a committed slice is remembered by. No reading happens here.

import type { EncodingOption } from './encoding.ts';
import type { Reject } from './reject.ts';

declare const brand: unique symbol;

/** One content of one file; a random UUID chosen by the engine. */
export type GenerationId = string & { readonly [brand]: 'GenerationId' };

/** Size of the pieces that a large file is cut into. Bigger ones do not parse faster, and hold the first commit back. */
export const SLICE_BYTES = 4 * 1024 * 1024;

/**
 * So many slices are read as one where very much is waiting: their rows are sorted together, so that the primary key's leaves, which no longer
 * fit into the server's memory, are visited less often. 10 M rows into a server with its default settings (single loads) took 88 s instead of 97, 144 s of
 * its processor time instead of 160; 2 M more into a table of 12 M, 27 s instead of 32. With two slices nothing was won, with eight no more.
 * A third lane took 103 s. Every second run begun in the middle of the keys, so that lanes do not meet at the same leaves: no difference.
 */
export const LONG_SLICES = 4;

/** A record may not be longer; bounds what a worker reads beyond a slice's end. */
export const RECORD_BYTES_MAX = 1024 * 1024;

/** How much of a file's beginning identifies its content. */
export const HEAD_BYTES_MAX = 64 * 1024;

/** What `stat` says of a file; all from BigInt stats, as decimal strings where they may pass 2^53. */
export interface FileStamp {
  readonly dev: bigint;
  readonly ino: bigint;
  /** Birth time in ns, or null where the file system has none (zero, or simply the ctime). */
  readonly birthNs: bigint | null;
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** SHA-256 of the first `length` bytes of a file; length = min(HEAD_BYTES_MAX, committed position). */
export interface Head {
  readonly length: number;
  /** In hexadecimal: as an array of bytes it would be a buffer of its own in two heaps, for each file. */
  readonly hash: string;
}

/**
 * One request to a worker: parse the records of this range. `fd` belongs to the main thread (threads share descriptors); when it
 * is null the worker opens `path` itself, checks that it is a regular file, and reports its stamp. The worker finds the header by itself.
 */
export interface SliceTask {
  readonly generation: GenerationId;
  /**
   * Absolute path, one character per byte: names need not be valid UTF-8. As bytes it would be a buffer of its own in two heaps, for each of
   * many small files.
   */
  readonly path: string;
  readonly fd: number | null;
  readonly start: number;
  /** Nominal end: the slice ends at the first record end at or after it (and not after `limit`). */
  readonly end: number;
  /** false: `start` is only a guess; the records begin after the first LF at or after `start - 1`. */
  readonly exact: boolean;
  /** Nothing at or beyond this offset belongs to this slice: the file's size as seen, or the start of a slice already committed. */
  readonly limit: number;
  /**
   * true: `limit` is a certain record boundary or the end of a final file, so that an unterminated or unclosed last record is decided
   * now. false: such a tail is left alone, and the slice ends before it.
   */
  readonly final: boolean;
}

/** How a file is to be read: one dialect for all new contents of a run, and for each content the one that it was begun with. */
export interface Dialect {
  /** 'lf': LF outside quotes ends a record and one CR before it is dropped; 'cr': CR-only files. */
  readonly newline: 'lf' | 'cr';
  /** One ASCII character, or null (or left out): the one of four that yields the column names. */
  readonly delimiter?: string | null;
  /** Words that mean NULL wherever they are all of a field, quoted or not; an empty field always does. */
  readonly nulls?: readonly string[];
  /** 'auto' (or left out): UTF-8, or UTF-16 where a byte order mark says so. */
  readonly encoding?: EncodingOption;
}

/** What a worker gets: one large slice, or up to 256 small files at once. */
export interface ParseTask {
  readonly slices: readonly SliceTask[];
  readonly dialect: Dialect;
  /** At most this many rejects are listed per slice; the rest is counted and ranged. */
  readonly rejectsMax: number;
}

/** What a worker is sent: the task, and memory of rows that are committed for those that it will make. */
export interface ParseOrder extends ParseTask {
  readonly spare: ArrayBuffer | null;
}

/** What a worker found in one range. */
export type ParsedSlice =
  | {
      readonly kind: 'parsed';
      /** True offsets: where the first record began (or the file, when start = 0) and where the last one ended. start = end: nothing complete. */
      readonly start: number;
      readonly end: number;
      /** Physical lines in [start, end), the header's included. */
      readonly lines: number;
      readonly crc: number;
      /** Only when start < HEAD_BYTES_MAX and something was read: the head up to min(HEAD_BYTES_MAX, end). */
      readonly head: Head | null;
      /** Only of the slice that begins the file: its bytes up to the end of the header. */
      readonly header: Uint8Array | null;
      /** Records that begin in the range: rows + rejected. */
      readonly records: number;
      readonly rows: number;
      readonly rejected: number;
      readonly blankLines: number;
      /** Columns of the header that no table column takes. */
      readonly extraColumns: number;
      readonly rejects: readonly Reject[];
      /** What stands between `end` and `limit`, when `final` was false. */
      readonly tail: 'none' | 'unterminated' | 'open_quote';
      /** Stamp of the file after reading; only when the worker opened it. */
      readonly stamp: FileStamp | null;
    }
  /** The file as a whole cannot be taken, e.g. a bad header; `reason` is a sentence. */
  | {
      readonly kind: 'refused';
      readonly code: FileFault;
      readonly reason: string;
      readonly stamp: FileStamp | null;
    }
  /** Not looked at: the slices before it in this task brought so many rejects that it must come again, in another task. */
  | { readonly kind: 'postponed' }
  /** The file could not be opened or read; `code` is the errno name, e.g. ENOENT, EACCES, EIO, or NOT_REGULAR, or SHRUNK. */
  | { readonly kind: 'unreadable'; readonly code: string };

/** Reasons to refuse a file as a whole; stable codes. */
export const FILE_FAULTS = {
  missing_column: 'a required column is missing in the header',
  duplicate_column: 'a column name occurs twice in the header',
  bad_header: 'the first line is not a header',
  header_too_large: 'the header is longer than 1 MiB',
  wrong_dialect: 'the file has another delimiter or other line ends than it is read with',
  wrong_encoding: 'the file is in another encoding than it is read with',
  compressed: 'the file is compressed in a way that is not read, is damaged, or unpacks to too much',
} as const;

export type FileFault = keyof typeof FILE_FAULTS;

/** The file behind a slice, shared by all its slices: what the books say about it. */
export interface GenerationInfo {
  readonly id: GenerationId;
  /** Path below the input folder, printable. */
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly stamp: FileStamp;
  /** The generation that had this name or inode before, if any. */
  readonly replaces: GenerationId | null;
  /** How it is read, from its first byte to its last. */
  readonly dialect: Dialect;
}

/** A parsed slice whose start was proven right: it may be judged and written. Lines are those of the file, from 1. */
export interface AcceptedSlice {
  readonly file: GenerationInfo;
  readonly start: number;
  readonly end: number;
  readonly firstLine: number;
  readonly lines: number;
  readonly crc: number;
  readonly head: Head | null;
  /** Of the slice that begins the file: its bytes up to the end of the header. */
  readonly header: Uint8Array | null;
  readonly records: number;
  readonly rejected: number;
  readonly blankLines: number;
  readonly rejects: readonly Reject[];
  /** It is all of a file that has been still for long enough: with this slice the file is done. */
  readonly endsFile: boolean;
  /** Monotonic milliseconds (performance.now) when its bytes were first seen; for the latency from arrival to commit. */
  readonly seenMs: number;
  /**
   * Reads a record's bytes again, for a row that the database refused. `offset` is absolute. Null when the file's bytes are gone.
   * At most RAW_BYTES_MAX bytes are returned.
   */
  readonly reread: (offset: number, length: number) => Uint8Array | null;
}

/** A committed range with its final counts; goes back to the source. */
export interface CommittedSlice {
  readonly generation: GenerationId;
  readonly start: number;
  readonly end: number;
  readonly records: number;
  readonly inserted: number;
  readonly duplicates: number;
  /** Of the duplicates, those with other values than the stored row. */
  readonly conflicting: number;
  readonly rejected: number;
  /** How many of `rejected` the database refused. */
  readonly refused: number;
  /** The slice ended its file, and the same transaction wrote the file down as done. */
  readonly ended: boolean;
}
