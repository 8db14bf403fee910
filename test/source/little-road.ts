// A road of one lane for tests of the directory source: the real source, the real parse function (in this thread), and books kept in
// plain maps, which implement the interface that the sink implements with PostgreSQL. Not a stand-in for PostgreSQL in any other test.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { TestContext } from 'node:test';

import type {
  Books,
  EndedFile,
  FileQuery,
  FileState,
  KnownGeneration,
  KnownSlice,
  StandingFile,
} from '../../src/core/books.ts';
import type { AcceptedChunk } from '../../src/core/chunk.ts';
import type { CommittedSlice, GenerationId, GenerationInfo } from '../../src/core/slice.ts';
import { openDirectory } from '../../src/source/directory.ts';
import type { DirectorySource } from '../../src/source/directory.ts';
import type { DirectoryOptions } from '../../src/source/options.ts';
import type { SourceTask, Verdict } from '../../src/source/source.ts';
import { sameKey } from '../../src/source/stamp.ts';
import { events } from '../../src/schema/events.ts';
import { parseTask } from '../../workers/parse.ts';

interface Row {
  info: GenerationInfo;
  state: FileState;
  reason: string | null;
  ended: KnownGeneration['ended'];
  slices: KnownSlice[];
  records: number;
  rejected: number;
  blankLines: number;
  order: number;
  resumed: boolean;
}

export class MemoryBooks implements Books {
  readonly rows = new Map<GenerationId, Row>();
  readonly finds: number[] = [];
  /** Files of the next `finish` call that are not confirmed. */
  denied = 0;

  commit(chunk: AcceptedChunk): CommittedSlice[] {
    return chunk.slices.map((slice) => {
      const row = this.#row(slice.file);
      const { start, end, firstLine, lines, crc, head } = slice;
      assert.ok(!row.slices.some((one) => one.start < end && start < one.end), 'a range is committed once');
      row.slices.push({ start, end, firstLine, lines, crc, head });
      row.slices.sort((a, b) => a.start - b.start);
      row.records += slice.records;
      row.rejected += slice.rejected;
      const inserted = slice.records - slice.rejected;
      if (slice.endsFile)
        this.#end(
          row,
          { info: slice.file, stamp: slice.file.stamp, blankLines: slice.blankLines },
          'done',
          null,
        );
      return {
        generation: slice.file.id,
        start,
        end,
        records: slice.records,
        inserted,
        duplicates: 0,
        conflicting: 0,
        rejected: slice.rejected,
        refused: 0,
        ended: slice.endsFile,
      };
    });
  }

  find(files: readonly FileQuery[]): Promise<KnownGeneration[]> {
    this.finds.push(files.length);
    const known = [...this.rows.values()].filter(({ info }) =>
      files.some(
        (file) => file.ino === info.stamp.ino || Buffer.compare(file.nameBytes, info.nameBytes) === 0,
      ),
    );
    return Promise.resolve(known.map((row) => ({ ...row, slices: [...row.slices] })));
  }

  unchanged(files: readonly StandingFile[]): Promise<number[]> {
    const isUnchanged = ({ nameKey, stamp }: StandingFile): boolean => {
      const newest = [...this.rows.values()]
        .filter(({ info }) => sameKey(info.stamp, stamp))
        .toSorted((a, b) => a.order - b.order)
        .at(-1);
      if (newest?.state !== 'done' || Buffer.from(newest.info.nameBytes).toString('latin1') !== nameKey)
        return false;
      const { size, mtimeNs, ctimeNs } = newest.ended ?? {};
      return size === stamp.size && mtimeNs === stamp.mtimeNs && ctimeNs === stamp.ctimeNs;
    };
    return Promise.resolve(files.flatMap((file, index) => (isUnchanged(file) ? [index] : [])));
  }

  finish(files: readonly EndedFile[]): Promise<ReadonlySet<GenerationId>> {
    const done = new Set<GenerationId>();
    for (const file of files) {
      const row = this.#row(file.info);
      if (this.denied > 0) {
        this.denied -= 1;
        continue;
      }
      let position = 0;
      for (const slice of row.slices) if (slice.start === position) position = slice.end;
      if (position !== (file.reach ?? file.stamp.size)) continue;
      this.#end(row, file, 'done', null);
      done.add(file.info.id);
    }
    return Promise.resolve(done);
  }

  end(file: EndedFile, state: 'refused' | 'parked', reason: string): Promise<void> {
    this.#end(this.#row(file.info), file, state, reason);
    return Promise.resolve();
  }

  moved(info: GenerationInfo): Promise<void> {
    this.#row(info).info = info;
    return Promise.resolve();
  }

  /** Forgets slices, as if the program had died before they were committed. */
  lose(keep: (slice: KnownSlice, index: number) => boolean): void {
    for (const row of this.rows.values()) {
      row.slices = row.slices.filter(keep);
      row.state = 'reading';
      row.ended = null;
    }
  }

  named(name: string): Row[] {
    return [...this.rows.values()]
      .filter((row) => row.info.name === name)
      .toSorted((a, b) => a.order - b.order);
  }

  #row(info: GenerationInfo): Row {
    const known = this.rows.get(info.id);
    if (known !== undefined) return known;
    const order = this.rows.size;
    const row: Row = {
      info,
      state: 'reading',
      reason: null,
      ended: null,
      slices: [],
      records: 0,
      rejected: 0,
      blankLines: 0,
      order,
      resumed: false,
    };
    this.rows.set(info.id, row);
    return row;
  }

  #end(row: Row, file: EndedFile, state: FileState, reason: string | null): void {
    const { size, mtimeNs, ctimeNs } = file.stamp;
    Object.assign(row, {
      info: file.info,
      state,
      reason,
      blankLines: file.blankLines,
      ended: { size, mtimeNs, ctimeNs },
    });
  }
}

export interface Road {
  readonly source: DirectorySource;
  readonly books: MemoryBooks;
  readonly folder: string;
  readonly notices: string[];
  readonly refused: string[];
  /** event_id -> how often it came out of the source, over all generations. */
  readonly seen: Map<number, number>;
  readonly accepted: AcceptedChunk[];
  /** Called with each task before it is parsed; may change the file. */
  beforeParse: (task: SourceTask) => void;
  afterParse: (task: SourceTask) => void;
  /** Chunks are committed (default) or kept. */
  commit: (chunk: AcceptedChunk) => CommittedSlice[];
  /** Runs until the condition holds. */
  until(condition: () => boolean, what: string): Promise<void>;
  untilIdle(): Promise<void>;
  close(): Promise<void>;
}

export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-source-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export interface RoadOptions extends Partial<DirectoryOptions> {
  readonly books?: MemoryBooks;
  /** Tasks out with workers at the same time; they come back in random order. */
  readonly slots?: number;
}

const FAST = { scanEveryMs: 40, settleMs: 30, settleGrowingMs: 300, watch: 'off' } as const;

export async function openRoad(t: TestContext, folder: string, options: RoadOptions = {}): Promise<Road> {
  const { books = new MemoryBooks(), slots = 4, ...rest } = options;
  const notices: string[] = [];
  const refused: string[] = [];
  const source = await openDirectory({
    ...FAST,
    directory: folder,
    ...rest,
    events: {
      notice: (text) => notices.push(text),
      refused: (name) => refused.push(name),
      found: () => undefined,
      ended: () => undefined,
    },
  });
  const road: Road = {
    source,
    books,
    folder,
    notices,
    refused,
    seen: new Map(),
    accepted: [],
    beforeParse: () => undefined,
    afterParse: () => undefined,
    commit: (chunk) => books.commit(chunk),
    until: (condition, what) => drive(road, slots, condition, what),
    untilIdle: () => drive(road, slots, () => isIdle(road), 'nothing is waiting'),
    close: () => source.close(),
  };
  t.after(() => source.close());
  await source.open(books);
  return road;
}

function isIdle(road: Road): boolean {
  return road.source.state.filesSeen > 0 && road.source.state.filesWaiting === 0;
}

const flying = new WeakMap<Road, SourceTask[]>();

async function drive(road: Road, slots: number, condition: () => boolean, what: string): Promise<void> {
  const out = flying.get(road) ?? [];
  flying.set(road, out);
  // Only a guard against hanging for ever; nothing is measured.
  for (let rounds = 0; !condition(); rounds += 1) {
    assert.ok(
      rounds < 3000,
      `still waiting until ${what}; ${JSON.stringify(road.source.state)} ${road.notices.join(' | ')}`,
    );
    if (!step(road, out, slots)) await setTimeout(5);
    else if (rounds % 16 === 0) await setTimeout(0);
  }
}

/** One task taken and one brought back. */
function step(road: Road, out: SourceTask[], slots: number): boolean {
  while (out.length < slots) {
    const task = road.source.take('long', out.length);
    if (task === null) break;
    out.push(task);
  }
  const pick = Math.floor(Math.random() * out.length);
  const task = out[pick];
  if (task === undefined) return false;
  out.splice(pick, 1);
  road.beforeParse(task);
  const chunk = structuredClone(parseTask(task.parse, events, 'bytes'));
  road.afterParse(task);
  for (const verdict of road.source.accept(task, chunk)) take(road, out, verdict);
  return true;
}

function take(road: Road, out: SourceTask[], verdict: Verdict): void {
  switch (verdict.kind) {
    case 'again':
      out.push(verdict.next);
      return;
    case 'accepted':
      road.accepted.push(verdict.chunk);
      countRows(road, verdict.chunk);
      road.source.settle(road.commit(verdict.chunk));
      return;
    case 'dropped':
      return;
    default:
      verdict satisfies never;
  }
}

function countRows(road: Road, chunk: AcceptedChunk): void {
  const { count, keys, slices } = chunk.rows;
  for (let row = 0; row < count; row += 1) {
    assert.ok((slices?.[row] ?? 0) < chunk.slices.length, 'each row belongs to a slice of the chunk');
    const id = keys[4 * row + 3] ?? 0;
    road.seen.set(id, (road.seen.get(id) ?? 0) + 1);
  }
}

export const HEADER = 'event_id,event_type,product_id,user_id,event_timestamp,quantity,price\n';

/** A record whose key ends in `id`; `note` goes into product_id, quoted. */
export function record(id: number, note?: string): string {
  const product = note === undefined ? `P${id}` : `"${note}"`;
  const key = `00000000-0000-4000-8000-${id.toString(16).padStart(12, '0')}`;
  return `${key},view,${product},U1,2024-01-01 00:00:00,1,2.50\n`;
}

export function records(from: number, to: number, note?: (id: number) => string | undefined): string {
  let text = '';
  for (let id = from; id < to; id += 1) text += record(id, note?.(id));
  return text;
}

/** Every id of [from, to) exactly `times` times. */
export function assertSeen(road: Road, from: number, to: number, times = 1): void {
  for (let id = from; id < to; id += 1) assert.equal(road.seen.get(id) ?? 0, times, `event ${id}`);
}
