// What a source asks of the books, whoever keeps them. The sink implements it, the source uses it, neither knows the other.
// Every call that writes does so in one transaction under the fence: an instance that was taken over cannot change the books.

import type { FileStamp, GenerationId, GenerationInfo } from './slice.ts';

/** A file as found in the folder: which generations may it be? */
export interface FileQuery {
  readonly nameBytes: Uint8Array;
  readonly ino: bigint;
}

/** A file as it stands in the folder now. */
export interface StandingFile {
  /** Path below the input folder, one character per byte. */
  readonly nameKey: string;
  readonly stamp: FileStamp;
}

export interface KnownSlice {
  readonly start: number;
  readonly end: number;
  readonly firstLine: number;
  readonly lines: number;
  readonly crc: number;
  /** Length and hash of the head, for slices that begin below HEAD_BYTES_MAX. */
  readonly head: { readonly length: number; readonly hash: string } | null;
}

/** `undone`: its rows and books were taken away on purpose; this content is not read again. */
export type FileState = 'reading' | 'done' | 'refused' | 'parked' | 'undone';

/** Behind the reason for which a file is parked. */
export const PARKED_WAY_OUT =
  'mend it and it is read again; millrace resume reads on as it stands, millrace undo takes away what it brought';

/** What the books say of one generation. */
export interface KnownGeneration {
  readonly info: GenerationInfo;
  readonly state: FileState;
  readonly reason: string | null;
  /** As written down when it became done, refused or parked; null while it is being read. */
  readonly ended: { readonly size: number; readonly mtimeNs: bigint; readonly ctimeNs: bigint } | null;
  /** Committed ranges, by start; not necessarily contiguous. */
  readonly slices: readonly KnownSlice[];
  readonly records: number;
  readonly rejected: number;
  /** As written down when it ended; those of slices that are committed since are not in it. */
  readonly blankLines: number;
  /** A person decided to read on after it was parked: no error budget stops it again. */
  readonly resumed: boolean;
  /** Larger = written down later; the newest of several candidates is the current one. */
  readonly order: number;
}

export interface EndedFile {
  readonly info: GenerationInfo;
  readonly stamp: FileStamp;
  /** Where its content ends, when that is not its size: the length of what it unpacks to. */
  readonly reach?: number;
  readonly blankLines: number;
  /** The folder that it is moved to when it is done; null (or left out) when it stays. */
  readonly archivedTo?: string | null;
}

export interface Books {
  /** All generations of this source that have one of these inodes or names. At most a few hundred queries a call. */
  find(files: readonly FileQuery[]): Promise<KnownGeneration[]>;
  /**
   * Which of these are done, and stand where and as they stood then: the newest generation with this device, inode and birth time (where
   * both have one) is done, with this name, size and times. Their places in the list; in doubt a file is left out. Some thousands a call.
   */
  unchanged(files: readonly StandingFile[]): Promise<readonly number[]>;
  /**
   * Marks files done. Confirms each in the database itself: its committed slices cover [0, reach or stamp.size) without a gap; a file that
   * is not covered is left as it is and is missing in the answer. The transaction is flushed even under asynchronous commit and
   * reads the lease, so that after it everything committed before is durable, and a zombie cannot tidy up.
   * Registers a file that has no row yet (an empty file). Also merges adjacent small slices.
   */
  finish(files: readonly EndedFile[]): Promise<ReadonlySet<GenerationId>>;
  /** Writes down that a file is refused as a whole, or parked in the middle. */
  end(file: EndedFile, state: 'refused' | 'parked', reason: string): Promise<void>;
  /** Known under another name or device now, same content, or to be read in another dialect before any of it is committed: the books follow. */
  moved(info: GenerationInfo): Promise<void>;
}

/** A call came to nothing because the sink was left, or a restart in process is needed (the sink's `watch` tells why): drop everything. */
export class BooksClosed extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'BooksClosed';
  }
}
