// What time decides: a file that is still is done or final, one that rested is tried again, one that is done may be archived or
// deleted. Called every now and then; looks once more before each decision.

import { failPoint } from '../failpoints.ts';
import { tidy } from './after.ts';
import type { Desk } from './desk.ts';
import { enter, forget, isHidden, letGo, wake } from './desk.ts';
import type { SourceFile } from './file.ts';
import { contentSize } from './file.ts';
import { finalAfterMs, isFinal, isStill } from './finality.ts';
import { confirm } from './ledger.ts';
import { lookAgain } from './looks.ts';
import { startUnpacking } from './packed.ts';
import { extent, inFlight, isCommitted, waitsForTail } from './reading.ts';
import { changeBetween } from './stamp.ts';
import { rest, retryNow } from './trouble.ts';

/** Files that one call to the books finishes. */
export const FINISH_MAX = 500;

const LOST_MS = 250;

/** Goes through the files for which time decides. Gives those that the books can be asked to confirm. */
export function attend(desk: Desk): SourceFile[] {
  const nowMs = desk.settings.now();
  const still: SourceFile[] = [];
  for (const file of desk.pending) {
    if (still.length >= FINISH_MAX) break;
    if (attendTo(desk, file, nowMs)) still.push(file);
  }
  return still;
}

/** True when it is to be confirmed. */
function attendTo(desk: Desk, file: SourceFile, nowMs: number): boolean {
  switch (file.phase.kind) {
    case 'resting':
      if (nowMs >= file.phase.untilMs) tryAgain(desk, file);
      return false;
    case 'unpacking':
      attendUnpacking(desk, file, nowMs);
      return false;
    case 'reading':
      return attendReading(desk, file, nowMs);
    case 'done':
      attendDone(desk, file, nowMs);
      return false;
    case 'finishing':
    case 'comparing':
      return false;
    case 'asking':
    case 'refused':
    case 'parked':
    case 'waiting':
    case 'gone':
      desk.pending.delete(file);
      return false;
    default:
      return file.phase satisfies never;
  }
}

function attendReading(desk: Desk, file: SourceFile, nowMs: number): boolean {
  const { settings } = desk;
  const standsForMs = nowMs - file.stillness.sinceMs;
  if (isCommitted(file.reading, contentSize(file))) {
    if (standsForMs < settings.settleMs || !lookOrVanish(desk, file)) return false;
    return (
      file.phase.kind === 'reading' &&
      isCommitted(file.reading, contentSize(file)) &&
      isStill(file.stillness, settings)
    );
  }
  if (!waitsForTail(file.reading, contentSize(file))) {
    desk.pending.delete(file);
    // Nothing in flight, nothing at rest: there is something to cut.
    if (!inFlight(file.reading)) wake(desk, file);
    return false;
  }
  if (standsForMs < finalAfterMs(file.stillness.grew, settings) || !lookOrVanish(desk, file)) return false;
  if (file.phase.kind !== 'reading' || !isFinal(file.stillness, settings)) return false;
  desk.pending.delete(file);
  wake(desk, file);
  return false;
}

/** One that is still being written would be found cut off. */
function attendUnpacking(desk: Desk, file: SourceFile, nowMs: number): void {
  if (file.phase.kind !== 'unpacking' || file.phase.running) return;
  if (nowMs - file.stillness.sinceMs < desk.settings.settleMs || !lookOrVanish(desk, file)) return;
  if (isStill(file.stillness, desk.settings)) startUnpacking(desk, file);
}

function lookOrVanish(desk: Desk, file: SourceFile): boolean {
  if (lookAgain(desk, file)) return true;
  lose(desk, file);
  return false;
}

function tryAgain(desk: Desk, file: SourceFile): void {
  desk.pending.delete(file);
  retryNow(desk, file);
  if (!lookAgain(desk, file)) lose(desk, file);
}

/** Not where it was: let alone until the scan has found it under another name, or dropped it. */
function lose(desk: Desk, file: SourceFile): void {
  if (file.place !== 'folder') {
    forget(desk, file);
    return;
  }
  // Nobody knows when a folder that may not be read can be read again.
  rest(desk, file, LOST_MS, !isHidden(desk, file.nameKey));
  desk.requestScan();
}

/** A file that is done may be moved away once it is final. */
function attendDone(desk: Desk, file: SourceFile, nowMs: number): void {
  if (file.phase.kind !== 'done' || file.phase.after !== 'wait') {
    desk.pending.delete(file);
    return;
  }
  const { settings } = desk;
  if (nowMs - file.stillness.sinceMs < finalAfterMs(file.stillness.grew, settings)) return;
  if (!lookOrVanish(desk, file)) return;
  if (file.phase.kind === 'done' && isFinal(file.stillness, settings)) tidy(desk, file);
}

/** Asks the books to confirm; what they do not confirm is asked about from the beginning. */
export async function finish(desk: Desk, files: readonly SourceFile[]): Promise<void> {
  for (const file of files) enter(desk, file, { kind: 'finishing' });
  const sizes = files.map((file) => extent(file.reading));
  const { era } = desk;
  const confirmed = await confirm(desk, files);
  failPoint('finished');
  if (desk.era !== era) return;
  for (const [index, file] of files.entries()) {
    // It changed meanwhile: another part has taken it over.
    if (file.phase.kind !== 'finishing') continue;
    if (confirmed === null) rest(desk, file, 1000, true);
    else if (confirmed.has(file.info.id)) become(desk, file, sizes[index] ?? 0);
    else askAgain(desk, file);
  }
  desk.bell.ring();
}

/** The transaction that brought all of it has written it down as done, and it is still what was read then; else it is confirmed as usual. */
export function endWithBatch(desk: Desk, file: SourceFile): void {
  const { endsAs, info, phase, reading, stamp } = file;
  if (endsAs === null || phase.kind !== 'reading' || !isCommitted(reading, stamp.size)) return;
  if (endsAs.nameBytes !== info.nameBytes || changeBetween(endsAs.stamp, stamp) !== 'none') return;
  file.endsAs = null;
  become(desk, file, stamp.size);
}

function become(desk: Desk, file: SourceFile, size: number): void {
  file.registered = true;
  desk.counts.done += 1;
  desk.settings.events.ended(file.info.name, size);
  if (file.place !== 'folder') {
    forget(desk, file);
    return;
  }
  const keeps = desk.settings.after === 'keep';
  enter(desk, file, { kind: 'done', after: keeps ? 'nothing' : 'wait' });
  letGo(desk, file);
  if (keeps) desk.pending.delete(file);
}

/** The books know of gaps that we do not: believe them. */
function askAgain(desk: Desk, file: SourceFile): void {
  file.faults += 1;
  file.identified = false;
  rest(desk, file, 100 * file.faults, true);
}
