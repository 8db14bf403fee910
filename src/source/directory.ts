// Room 1: a directory as a source. The wiring of its parts: when to look, whom to ask, what to hand out. What looks mean is looks.ts,
// what answers of workers mean is acceptance.ts, what time decides is closing.ts.

import { isUtf8 } from 'node:buffer';
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { Bell } from '../core/bell.ts';
import type { Books } from '../core/books.ts';
import type { AcceptedChunk, ParsedChunk } from '../core/chunk.ts';
import type { CommittedSlice, GenerationId } from '../core/slice.ts';
import type { TaskSize } from '../core/slots.ts';
import { acceptTask, dropHandles, failTask } from './acceptance.ts';
import { deletingKey, finishDeleting } from './after.ts';
import { recognise } from './asleep.ts';
import { FINISH_MAX, attend, endWithBatch, finish } from './closing.ts';
import { countRefused } from './budget.ts';
import { codeOf } from './content.ts';
import type { Desk } from './desk.ts';
import { enter, forget, inBackground, letGo, noticeOnce, voidFlights, wake } from './desk.ts';
import { contentSize } from './file.ts';
import { Inquiry } from './inquiry.ts';
import { applyEntries, applyScan, lookAgain, meet } from './looks.ts';
import { nameFilter, nameKey, ownBytes, printableName, textOfKey } from './names.ts';
import { hasMore, offer } from './offer.ts';
import type { DirectoryOptions, Settings } from './options.ts';
import { judgeOptions } from './options.ts';
import { ReadyFiles } from './ready.ts';
import { commit, committedBytes, giveBack, isCommitted } from './reading.ts';
import type { Entry, ScanRule, Unreadable } from './scan.ts';
import { look, scan } from './scan.ts';
import type { Source, SourceState, SourceTask, Verdict } from './source.ts';
import type { Watcher } from './watcher.ts';
import { watchFailure, watchFolder } from './watcher.ts';
import { Whereabouts } from './whereabouts.ts';

/** Between two goes at what time decides; so the books are asked to finish files at most four times a second, unless a call is full. */
const ATTEND_EVERY_MS = 250;
/** With --once a person waits for it. */
const ATTEND_EVERY_ONCE_MS = 20;
/** A scan of a huge folder may take seconds: at most a tenth of the time goes into scanning. */
const SCAN_SHARE = 10;
const POLL_MS = 500;
/**
 * Bookkeeping under way when the source is closed gets this long; the next start finishes what is left. After the 7 s that batches get at
 * a signal, it and the closing of all else must fit into the 10 s in which the program ends.
 */
const CLOSE_MS = 1500;

export interface DirectorySource extends Source {
  /** Files that the watcher missed and only the scan found (with a watcher; all of them without). */
  readonly foundByScan: number;
}

/** Judges the folders (throws MillraceError 'input'); nothing is read before `open`. */
export async function openDirectory(options: DirectoryOptions): Promise<DirectorySource> {
  return new Directory(await judgeOptions(options));
}

class Directory implements DirectorySource {
  readonly bell = new Bell();
  readonly #desk: Desk;
  readonly #inquiry: Inquiry;
  readonly #scanBell = new Bell();
  readonly #attendBell = new Bell();
  #watcher: Watcher | null = null;
  #loops: Promise<unknown> | null = null;
  #closing: Promise<void> | null = null;
  #scanned = false;
  #exhausted = false;
  /** Empty before the first look. */
  #folderIdentity = '';
  #folderFault: string | null = null;
  /** The next scan decides whether --once is over. */
  #lastLook = false;

  constructor(settings: Settings) {
    this.#desk = createDesk(settings, this.bell, () => this.#scanBell.ring());
    this.#inquiry = new Inquiry(this.#desk);
  }

  get exhausted(): boolean {
    return this.#exhausted;
  }

  get hasMore(): boolean {
    return hasMore(this.#desk);
  }

  get foundByScan(): number {
    return this.#desk.counts.foundByScan;
  }

  get state(): SourceState {
    return { ...stateOf(this.#desk), scanned: this.#scanned };
  }

  async open(books: Books): Promise<void> {
    forgetAll(this.#desk);
    this.#desk.books = books;
    this.#desk.era += 1;
    this.#scanned = false;
    this.#exhausted = false;
    if (this.#loops === null) {
      this.#startWatching();
      this.#loops = Promise.all([this.#scanLoop(), this.#attendLoop()]);
    } else {
      this.#scanBell.ring();
    }
  }

  take(room: TaskSize, inFlight: number): SourceTask | null {
    return this.#desk.closed ? null : offer(this.#desk, room, inFlight);
  }

  accept(task: SourceTask, chunk: ParsedChunk): readonly Verdict[] {
    return acceptTask(this.#desk, task, chunk);
  }

  fail(task: SourceTask, reason: string): readonly Verdict[] {
    return failTask(this.#desk, task, reason);
  }

  settle(slices: readonly CommittedSlice[]): void {
    const desk = this.#desk;
    for (const slice of slices) {
      const file = desk.byGeneration.get(slice.generation);
      if (file === undefined || !commit(file.reading, slice.start)) continue;
      countRefused(desk, file, slice.refused);
      if (isCommitted(file.reading, contentSize(file)) && file.place === 'folder') letGo(desk, file);
      // The watcher holds back a second change within 50 ms: look at once at a file that grows.
      if (file.stillness.grew && file.phase.kind === 'reading') lookAgain(desk, file);
      if (slice.ended) endWithBatch(desk, file);
      wake(desk, file);
    }
    if (desk.settings.once && isIdle(desk)) this.#attendBell.ring(); // a person waits for the end
  }

  park(generation: GenerationId): void {
    const desk = this.#desk;
    const file = desk.byGeneration.get(generation);
    if (file === undefined || file.phase.kind === 'parked') return;
    voidFlights(desk, file);
    letGo(desk, file);
    enter(desk, file, { kind: 'parked' });
    desk.counts.refused += 1;
    this.bell.ring();
  }

  giveBack(chunk: AcceptedChunk): void {
    for (const slice of chunk.slices) {
      const file = this.#desk.byGeneration.get(slice.file.id);
      if (file === undefined) continue;
      giveBack(file.reading, slice.start);
      file.records -= slice.records;
      file.rejected -= slice.rejected;
      file.blankLines -= slice.blankLines;
      wake(this.#desk, file);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const desk = this.#desk;
    desk.closed = true;
    this.#scanBell.ring();
    this.#attendBell.ring();
    await this.#watcher?.close();
    const bookkeeping = Promise.allSettled([...desk.writing, this.#loops]);
    const deadline = new AbortController();
    await Promise.race([bookkeeping, setTimeout(CLOSE_MS, undefined, { signal: deadline.signal })]);
    deadline.abort();
    for (const file of desk.byInode.values()) letGo(desk, file);
    this.bell.ring();
  }

  #startWatching(): void {
    const { settings } = this.#desk;
    // --once looks at everything by itself at the beginning and at the end.
    if (settings.watch !== 'auto' || settings.once) return;
    this.#watcher = watchFolder(settings.directory, settings.recursive, this.#desk.rule.accepts, {
      look: (paths) => this.#lookAt(paths),
      scan: () => this.#scanBell.ring(),
      failed: (code) => this.#noteWatchFailure(code),
    });
  }

  /** Nothing is lost by it, files are only found later; said once per cause. */
  #noteWatchFailure(code: string): void {
    const { directory, scanEveryMs } = this.#desk.settings;
    noticeOnce(
      this.#desk,
      `watch:${code}`,
      `${directory} cannot be watched for events (${code}; ${watchFailure(code)}): the scan every ${scanEveryMs / 1000} s finds all files`,
    );
  }

  #lookAt(paths: readonly string[]): void {
    const desk = this.#desk;
    if (desk.closed || desk.books === null) return;
    for (const path of paths) {
      const key = nameKey(Buffer.from(path).subarray(this.#desk.rule.folder.length + 1));
      desk.looks += 1;
      const entry = this.#desk.rule.accepts(textOfKey(key.slice(key.lastIndexOf('/') + 1)))
        ? look(this.#desk.rule, key)
        : null;
      if (entry !== null) meet(desk, entry, desk.looks);
    }
    this.#inquiry.start();
  }

  async #scanLoop(): Promise<void> {
    const desk = this.#desk;
    while (!desk.closed) {
      const begunMs = desk.settings.now();
      await this.#scanOnce();
      const tookMs = desk.settings.now() - begunMs;
      const everyMs =
        desk.settings.watch === 'poll'
          ? Math.min(POLL_MS, desk.settings.scanEveryMs)
          : desk.settings.scanEveryMs;
      await waitAtMost(this.#scanBell, Math.max(everyMs, tookMs * SCAN_SHARE));
    }
  }

  async #scanOnce(): Promise<void> {
    const desk = this.#desk;
    const { era, books } = desk;
    if (books === null) return;
    desk.looks += 1;
    const lookNumber = desk.looks;
    const isLastLook = this.#lastLook;
    const isOver = (): boolean => desk.era !== era || desk.closed;
    const result = await scan(this.#desk.rule, async (entries) => {
      // What is found later is new, or comes back, and the books are asked for all that they know of it.
      if (!this.#scanned && !isOver()) await recognise(desk, entries, lookNumber);
      if (isOver()) return;
      applyEntries(desk, entries, lookNumber);
      this.#inquiry.start();
    });
    if (isOver()) return;
    const root = result.unreadable.find(({ place }) => place.length === 0);
    this.#noteFolder(root?.code ?? null);
    noteUnreadable(desk, result.unreadable);
    // A folder that is gone has no files; of one that cannot be read just now nothing is known.
    if (root === undefined || root.code === 'ENOENT') applyScan(desk, result, lookNumber);
    desk.whereabouts.forget();
    for (const entry of result.deleting) this.#mendDeleting(entry);
    this.#inquiry.start();
    this.#scanned = true;
    if (isLastLook && isIdle(desk)) this.#exhausted = true;
    // Asked for while this scan was under way, it is for the next one; taken back here, a folder whose scan takes long would never end.
    if (isLastLook) this.#lastLook = false;
    this.bell.ring();
  }

  /** Gone, back, or another one: a watcher may keep silent about the folder itself, and the next scan may be an hour away. */
  #folderChanged(): boolean {
    if (this.#folderIdentity === '') return false;
    const identity = identityOfFolder(this.#desk.settings.directory);
    if (this.#folderFault !== null) return identity !== '';
    return identity !== this.#folderIdentity;
  }

  /** Says once that the folder is away, and watches it anew when it is back or another one. */
  #noteFolder(fault: string | null): void {
    const { settings } = this.#desk;
    if (fault !== null && this.#folderFault === null) {
      settings.events.notice(
        `the input folder ${settings.directory} cannot be read (${fault}): waiting for it`,
      );
    }
    const identity = fault === null ? identityOfFolder(settings.directory) : '';
    const isNew =
      fault === null &&
      this.#folderIdentity !== '' &&
      (this.#folderFault !== null || identity !== this.#folderIdentity);
    this.#folderFault = fault;
    if (identity !== '') this.#folderIdentity = identity;
    if (!isNew) return;
    settings.events.notice(`the input folder ${settings.directory} is there again`);
    const old = this.#watcher;
    this.#startWatching();
    if (old !== null) inBackground(this.#desk, old.close());
  }

  #mendDeleting(entry: Entry): void {
    const desk = this.#desk;
    const work = finishDeleting(desk, entry).catch((error: unknown) => {
      noticeOnce(
        desk,
        deletingKey(entry),
        `a file that waits to be deleted is left for the next start (${codeOf(error)})`,
      );
    });
    inBackground(desk, work);
  }

  async #attendLoop(): Promise<void> {
    const desk = this.#desk;
    while (!desk.closed) {
      const still = desk.books === null ? [] : attend(desk);
      if (still.length > 0) await finish(desk, still);
      this.#inquiry.start();
      if (this.#watcher !== null && this.#folderChanged()) this.#scanBell.ring();
      if (desk.settings.once && this.#scanned && !this.#exhausted && !this.#lastLook && isIdle(desk)) {
        this.#lastLook = true;
        this.#scanBell.ring();
      }
      if (still.length < FINISH_MAX)
        await waitAtMost(this.#attendBell, desk.settings.once ? ATTEND_EVERY_ONCE_MS : ATTEND_EVERY_MS);
    }
  }
}

async function waitAtMost(bell: Bell, ms: number): Promise<void> {
  const timer = new AbortController();
  await bell.wait(setTimeout(ms, undefined, { signal: timer.signal }).catch(() => undefined));
  timer.abort();
}

/** A folder that is gone has nothing in it; of one that cannot be read nothing is known. */
function noteUnreadable(desk: Desk, places: readonly Unreadable[]): void {
  const unknown = places.filter(({ code }) => code !== 'ENOENT' && code !== 'ENOTDIR');
  desk.hidden = new Set(unknown.map(({ place }) => nameKey(place)));
  for (const { place, isFolder, code } of unknown) {
    if (place.length === 0) continue; // said by #noteFolder
    const what = isFolder ? `the folder ${printableName(place)}` : printableName(place);
    noticeOnce(
      desk,
      `hidden:${nameKey(place)}`,
      `${what} may not be read (${code}): it is tried again at each scan`,
    );
  }
}

/** Nothing that --once would wait for. */
function isIdle(desk: Desk): boolean {
  return (
    desk.busy.size === 0 && desk.unknown.size === 0 && desk.writing.size === 0 && desk.flights.size === 0
  );
}

function createDesk(settings: Settings, bell: Bell, requestScan: () => void): Desk {
  const rule = ruleOf(settings);
  return {
    settings,
    rule,
    whereabouts: new Whereabouts(rule, settings.now),
    bell,
    byInode: new Map(),
    byName: new Map(),
    byGeneration: new Map(),
    asleep: new Map(),
    small: new ReadyFiles(),
    large: new ReadyFiles(),
    flights: new Map(),
    landed: new Map(),
    retired: [],
    unknown: new Set(),
    pending: new Set(),
    busy: new Set(),
    unread: new Set(),
    hidden: new Set(),
    told: new Set(),
    counts: { seen: 0, done: 0, refused: 0, foundByScan: 0 },
    writing: new Set(),
    books: null,
    era: 0,
    looks: 0,
    cutsSinceIdle: 0,
    openFiles: 0,
    unpacking: 0,
    closed: false,
    requestScan,
  };
}

function ruleOf({ directory, recursive, patterns }: Settings): ScanRule {
  const folder = ownBytes(Buffer.from(directory));
  const folderText = isUtf8(folder) ? folder.toString('utf8') : null;
  return { folder, folderText, recursive, accepts: nameFilter(patterns), birthsKept: keepsBirths(directory) };
}

/** Of what is read, also behind a symlink that may have been pointed elsewhere. A new folder often gets the inode of the old one. Empty when it is gone. */
function identityOfFolder(path: string): string {
  try {
    const { dev, ino, birthtimeNs } = statSync(path, { bigint: true });
    return `${dev}:${ino}:${birthtimeNs}`;
  } catch {
    return '';
  }
}

/**
 * Does this file system keep birth times, or is the ctime put in their place? A folder has been changed since it was made, one of
 * its parents surely; then the two times differ.
 */
function keepsBirths(folder: string): boolean {
  const { dev } = statSync(folder, { bigint: true });
  for (let path = folder; ; path = dirname(path)) {
    const stats = statSync(path, { bigint: true });
    if (stats.dev !== dev) return false;
    if (stats.birthtimeNs > 0n && stats.birthtimeNs !== stats.ctimeNs) return true;
    if (path === dirname(path)) return false;
  }
}

/** Only what the books say counts from here on. */
function forgetAll(desk: Desk): void {
  for (const file of desk.byInode.values()) forget(desk, file);
  for (let file = desk.small.takeFirst(); file !== null; file = desk.small.takeFirst());
  for (let file = desk.large.takeFirst(); file !== null; file = desk.large.takeFirst());
  for (const flights of desk.flights.values()) dropHandles(desk, flights);
  desk.asleep.clear();
  desk.flights.clear();
  desk.landed.clear();
  desk.retired.length = 0;
  desk.unknown.clear();
  desk.pending.clear();
  desk.busy.clear();
  desk.unread.clear();
  desk.hidden = new Set();
  Object.assign(desk.counts, { seen: 0, done: 0, refused: 0, foundByScan: 0 });
}

function stateOf(desk: Desk): Omit<SourceState, 'scanned'> {
  let bytesWaiting = 0;
  let filesWaiting = 0;
  for (const file of desk.busy) {
    if (file.phase.kind === 'done' || file.phase.kind === 'finishing') continue;
    filesWaiting += 1;
    bytesWaiting += Math.max(0, contentSize(file) - committedBytes(file.reading));
  }
  const { seen, done, refused } = desk.counts;
  return {
    filesSeen: seen,
    filesDone: done,
    filesWaiting,
    filesRefused: refused,
    filesUnread: desk.unread.size,
    placesUnread: desk.hidden.size,
    bytesWaiting,
  };
}
