// Takes what workers bring back: proves that it is still the file that was meant and that slices join, and releases them in file order
// with the line numbers of the file. Nothing that was changed under the reading gets through here.

import { fstatSync } from 'node:fs';

import { PARKED_WAY_OUT } from '../core/books.ts';
import type { AcceptedChunk, ParsedChunk } from '../core/chunk.ts';
import type { AcceptedSlice, FileStamp, ParsedSlice } from '../core/slice.ts';
import { overBudget } from './budget.ts';
import { endsAgreeSync, rangeAgreesSync, withFileSync } from './content.ts';
import type { Desk, Flight } from './desk.ts';
import { closeIfUnused, renew, voidFlights, wake } from './desk.ts';
import type { SourceFile } from './file.ts';
import { contentSize, countResult } from './file.ts';
import { isStill } from './finality.ts';
import { endFile } from './ledger.ts';
import { lookAgain, noteStillness } from './looks.ts';
import { makeTask } from './offer.ts';
import type { Outcome, Parsed, Piece } from './reading.ts';
import { arrive, extent, giveBack, isJoinable } from './reading.ts';
import { placeRejects } from './rejects.ts';
import { rereader } from './reread.ts';
import { lstatQuietly } from './scan.ts';
import type { SourceTask, Verdict } from './source.ts';
import { changeBetween, sameKey, stampOf } from './stamp.ts';
import { rest, trouble } from './trouble.ts';

const CONTRADICTIONS_MAX = 3;
const CONTRADICTION_REST_MS = 10_000;

/** A task came back from its worker. */
export function acceptTask(desk: Desk, task: SourceTask, chunk: ParsedChunk): Verdict[] {
  const flights = takeFlights(desk, task);
  const verdicts =
    flights.length === 1 ? acceptOne(desk, task, flights, chunk) : acceptMany(desk, task, flights, chunk);
  verdicts.push(...retiredVerdicts(desk));
  for (const { file } of flights) wake(desk, file);
  return verdicts;
}

/** The worker died on it again and again: alone next time, or, alone already, parked. */
export function failTask(desk: Desk, task: SourceTask, reason: string): Verdict[] {
  const flights = takeFlights(desk, task);
  const [first] = flights;
  for (const flight of flights) {
    const { file } = flight;
    if (flight.cut.void) continue;
    if (flights.length > 1 && first !== undefined) {
      voidFlights(desk, file);
      file.alone = true;
      wake(desk, file);
    } else {
      endFile(desk, file, 'parked', `${reason}; ${PARKED_WAY_OUT}`);
    }
  }
  return [{ kind: 'dropped', task }, ...retiredVerdicts(desk)];
}

/** Tasks that were withheld and became void meanwhile. */
function retiredVerdicts(desk: Desk): Verdict[] {
  return desk.retired.splice(0).map((task) => ({ kind: 'dropped', task }));
}

function takeFlights(desk: Desk, task: SourceTask): readonly Flight[] {
  const flights = desk.flights.get(task) ?? [];
  desk.flights.delete(task);
  dropHandles(desk, flights);
  return flights;
}

/** These tasks use their descriptors no more. */
export function dropHandles(desk: Desk, flights: readonly Flight[]): void {
  for (const { handle } of flights) {
    if (handle === null) continue;
    handle.users -= 1;
    closeIfUnused(desk, handle);
  }
}

function acceptOne(desk: Desk, task: SourceTask, flights: readonly Flight[], chunk: ParsedChunk): Verdict[] {
  const [flight] = flights;
  const [result] = chunk.slices;
  if (flight === undefined || result === undefined) return [{ kind: 'dropped', task }];
  const parsed = examine(desk, flight, result);
  if (parsed === null) return [{ kind: 'dropped', task }];
  desk.landed.set(flight.cut, { task, flight, chunk });
  const outcomes = arrive(flight.file.reading, flight.cut, parsed);
  return outcomes.flatMap((outcome) => settleOutcome(desk, flight.file, outcome));
}

function settleOutcome(desk: Desk, file: SourceFile, outcome: Outcome): Verdict[] {
  if (outcome.kind === 'contradiction') {
    contradict(desk, file);
    return [];
  }
  const landed = desk.landed.get(outcome.cut);
  if (landed === undefined) return [];
  desk.landed.delete(outcome.cut);
  const { task, flight, chunk } = landed;
  switch (outcome.kind) {
    case 'accepted': {
      if (stopsForBudget(desk, flight, outcome)) return [{ kind: 'dropped', task }];
      const slice = acceptedSlice(desk, flight, outcome);
      return [{ kind: 'accepted', task, chunk: { slices: [slice], rows: chunk.rows } }];
    }
    case 'again':
      return [{ kind: 'again', task, next: makeTask(desk, [flight], task.size) }];
    case 'dropped':
      return [{ kind: 'dropped', task }];
    default:
      return outcome satisfies never;
  }
}

/** Many small files: all that can be taken is taken together, or the whole is parsed again without those that changed. */
function acceptMany(desk: Desk, task: SourceTask, flights: readonly Flight[], chunk: ParsedChunk): Verdict[] {
  const good: { flight: Flight; parsed: Parsed; index: number }[] = [];
  let spoiled = false;
  for (const [index, flight] of flights.entries()) {
    const result = chunk.slices[index];
    const parsed = result === undefined ? null : examine(desk, flight, result);
    if (parsed === null) spoiled ||= result?.kind === 'parsed' && result.rows > 0;
    else good.push({ flight, parsed, index });
  }
  for (const { flight, parsed } of good) if (exceedsBudget(desk, flight, parsed)) spoiled ||= parsed.rows > 0;
  // A look at one file may void another one's flight (the same file under two names).
  const alive = good.filter(({ flight }) => !flight.cut.void);
  spoiled ||= alive.length < good.length;
  if (alive.length === 0) return [{ kind: 'dropped', task }];
  if (spoiled) {
    const again = alive.map(({ flight }) => flight);
    return [{ kind: 'again', task, next: makeTask(desk, again, task.size) }];
  }
  const slices: AcceptedSlice[] = [];
  const places = new Uint16Array(flights.length);
  for (const { flight, parsed, index } of alive) {
    const [outcome] = arrive(flight.file.reading, flight.cut, parsed);
    if (outcome?.kind !== 'accepted') continue;
    places[index] = slices.length;
    slices.push(acceptedSlice(desk, flight, outcome));
  }
  if (slices.length === 0) return [{ kind: 'dropped', task }];
  return [{ kind: 'accepted', task, chunk: renumber(chunk, slices, places) }];
}

/** The slice with which a file passes its error budget is not taken: nothing of it is written, and it stays a gap. */
function stopsForBudget(
  desk: Desk,
  flight: Flight,
  { cut, piece, result }: Extract<Outcome, { kind: 'accepted' }>,
): boolean {
  const { file } = flight;
  // Parked by a slice before it, in this very answer.
  if (file.phase.kind !== 'parked') {
    const reason = overBudget(desk.settings, file, result, cut.final && piece.end === file.stamp.size);
    if (reason === null) return false;
    endFile(desk, file, 'parked', reason);
  }
  giveBack(file.reading, piece.start);
  return true;
}

/** The same for one of many small files: its cuts are exact, so it can be judged before it is joined. */
function exceedsBudget(desk: Desk, { file, cut }: Flight, parsed: Parsed): boolean {
  const reason = overBudget(desk.settings, file, parsed, cut.final && parsed.end === file.stamp.size);
  if (reason !== null) endFile(desk, file, 'parked', reason);
  return reason !== null;
}

/** `rows.slices` counts the slices that were asked for; those without rows may be missing now. */
function renumber(chunk: ParsedChunk, slices: AcceptedSlice[], places: Uint16Array): AcceptedChunk {
  const owners = chunk.rows.slices;
  if (owners !== null && slices.length < places.length) {
    for (let row = 0; row < owners.length; row += 1) owners[row] = places[owners[row] ?? 0] ?? 0;
  }
  return { slices, rows: chunk.rows };
}

function acceptedSlice(
  desk: Desk,
  flight: Flight,
  outcome: Extract<Outcome, { kind: 'accepted' }>,
): AcceptedSlice {
  const { file } = flight;
  const { piece, result } = outcome;
  const left = desk.settings.rejectsMaxPerFile - file.rejected;
  const ends = endsFile(desk, flight, piece);
  // With the stamp of now: should the database refuse too much of it, this is what was parked.
  const info = { ...file.info, stamp: file.stamp };
  countResult(file, result);
  if (ends) file.endsAs = info;
  if (outcome.cut.final && piece.end === contentSize(file)) file.tailTaken = true;
  return {
    file: info,
    start: piece.start,
    end: piece.end,
    firstLine: piece.firstLine,
    lines: piece.lines,
    crc: piece.crc,
    head: piece.head,
    header: piece.start === 0 ? result.header : null,
    records: result.records,
    rejected: result.rejected,
    blankLines: result.blankLines,
    rejects: placeRejects(result.rejects, piece.firstLine, left),
    endsFile: ends,
    seenMs: flight.seenMs,
    reread: rereader(desk, file, piece),
  };
}

/**
 * All of a content that the books do not know yet, in a file that has been still for long enough: the transaction that brings it can write
 * it down as done. Of 20,000 files of 50 rows each one then costs one row version and a look less (database: 1.4 s of 11.9).
 * A file that is to be moved away is confirmed by a transaction of its own, which reads the lease for that.
 */
function endsFile(desk: Desk, { file, sentMs }: Flight, piece: Piece): boolean {
  return (
    piece.start === 0 &&
    piece.end === file.stamp.size &&
    !file.registered &&
    !file.isPacked &&
    desk.settings.after === 'keep' &&
    isStill({ ...file.stillness, lookedMs: sentMs }, desk.settings)
  );
}

/** Is the answer one about the file that was meant? Gives it when it is; else has drawn the consequences for the file. */
function examine(desk: Desk, flight: Flight, result: ParsedSlice): Parsed | null {
  const { file, cut } = flight;
  if (cut.void) return null;
  switch (result.kind) {
    case 'unreadable':
      trouble(desk, file, result.code);
      return null;
    case 'postponed':
      voidFlights(desk, file);
      return null;
    case 'refused':
      if (!isUnchanged(desk, flight, result.stamp)) return null;
      endFile(desk, file, 'refused', result.reason);
      return null;
    case 'parsed':
      break;
    default:
      result satisfies never;
  }
  if (!isUnchanged(desk, flight, result.stamp)) return null;
  if (!stillStands(desk, flight, result)) {
    trouble(desk, file, 'CHANGED');
    return null;
  }
  if (isJoinable(cut, result)) return result;
  contradict(desk, file);
  return null;
}

/**
 * A file that grew while it was read may have been written anew from its beginning, and where nothing of it is accepted yet no head
 * would tell: what was read, and what waits behind it, must be what stands there now.
 */
function stillStands(desk: Desk, flight: Flight, result: Parsed): boolean {
  const { file, cut } = flight;
  if (changeBetween(flight.stamp, file.stamp) === 'none') return true;
  const read = [result, ...cut.chain.flying.flatMap((other) => other.result ?? [])];
  return atFile(desk, flight, (fd) => read.every((range) => rangeAgreesSync(fd, range))) === true;
}

/** By the descriptor where there is one; null when the path means another file now, or it cannot be read: the next worker names why. */
function atFile(desk: Desk, { file, handle }: Flight, use: (fd: number) => boolean): boolean | null {
  try {
    if (handle !== null && !handle.letGo) return use(handle.fd);
    return withFileSync(file.path, (stats) => sameKey(file.stamp, stampOf(stats, desk.rule.birthsKept)), use);
  } catch {
    return null;
  }
}

/** What was read cannot be joined with what is committed: another content. Not without end, should we be wrong ourselves. */
function contradict(desk: Desk, file: SourceFile): void {
  file.faults += 1;
  renew(desk, file, 'overwritten');
  if (file.faults > CONTRADICTIONS_MAX) rest(desk, file, CONTRADICTION_REST_MS, false);
}

/** Looks at the file once more; growth is fine as long as what is committed still stands. */
function isUnchanged(desk: Desk, flight: Flight, byWorker: FileStamp | null): boolean {
  const { file } = flight;
  if (byWorker !== null && !sameKey(file.stamp, byWorker)) {
    trouble(desk, file, 'ENOENT');
    return false;
  }
  // The worker's stamp is older than a look that came in meanwhile.
  let stamp: FileStamp | null;
  try {
    stamp = byWorker !== null && file.lookNumber === flight.lookNumber ? byWorker : stampNow(desk, flight);
  } catch (error) {
    trouble(desk, file, error);
    return false;
  }
  if (stamp === null) {
    trouble(desk, file, 'ENOENT');
    return false;
  }
  const change = changeBetween(file.stamp, stamp);
  switch (change) {
    case 'none':
      return true;
    case 'handled':
      lookAgain(desk, file);
      return !flight.cut.void;
    case 'grown':
      if (file.isPacked) {
        lookAgain(desk, file);
        return false;
      }
      return takeGrowth(desk, flight, stamp);
    case 'rewritten':
    case 'shrunk':
    case 'replaced':
      lookAgain(desk, file);
      if (!flight.cut.void) trouble(desk, file, 'CHANGED');
      return false;
    default:
      return change satisfies never;
  }
}

/** Throws what `fstat` throws. */
function stampNow(desk: Desk, flight: Flight): FileStamp | null {
  const { handle, file } = flight;
  if (file.isPacked && file.place === 'nowhere') return file.stamp;
  const stats =
    handle !== null && !handle.letGo && !file.isPacked
      ? fstatSync(handle.fd, { bigint: true })
      : lstatQuietly(file.path);
  return stats === null ? null : stampOf(stats, desk.rule.birthsKept);
}

/** Compared at once: an answer must not wait, and with growth the bytes before may be others too (cp over a shorter file). */
function takeGrowth(desk: Desk, flight: Flight, stamp: FileStamp): boolean {
  const { file } = flight;
  desk.looks += 1;
  file.lookNumber = desk.looks;
  noteStillness(desk, file, stamp, 'grown');
  const { pieces } = file.reading;
  if (extent(file.reading) === 0) return true;
  const agrees = atFile(desk, flight, (fd) => endsAgreeSync(fd, pieces));
  if (agrees === true) return true;
  if (agrees === null) trouble(desk, file, 'ENOENT');
  else renew(desk, file, 'overwritten');
  return false;
}
