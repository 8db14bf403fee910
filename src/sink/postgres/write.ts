// One batch until it is settled: the transaction of lane.ts, tried again as the failure table says. A connection that failed in any way is
// destroyed, its backend ended; nothing is repaired on it. The states of a batch:
//
//   write --ok--> settled                      lookup --there--> settled
//     |--lost answer, or a number taken--> lookup   |--not there--> write again under the same number, or restart
//     '--a row refused--> trial --> write, without those rows

import type { Batch } from '../../core/batch.ts';
import { PARKED_WAY_OUT } from '../../core/books.ts';
import type { JudgedChunk } from '../../core/chunk.ts';
import type { GenerationInfo } from '../../core/slice.ts';
import type { ParkedFile, SettledChunk, WriteResult } from '../sink.ts';
import { Backoff } from './backoff.ts';
import { findRefused } from './bisect.ts';
import type { Slot, Waits } from './connector.ts';
import { drop, reasonOf, sessionOf } from './connector.ts';
import type { Refusals } from './draft.ts';
import { RestartNeeded, StepFault, policyFor, stopped } from './fault.ts';
import { CommitUnknown, writeDraft } from './lane.ts';
import { isCommitted } from './recover.ts';
import { sliceOf } from './rejects.ts';
import type { Setup, Standing } from './standing.ts';

/** A clean write that fails again after its refused rows were taken out: something changes under our hands. */
const TRIALS_MAX = 5;
/** Somebody's time-out is too short for every try. */
const CANCELS_MAX = 10;
const CANCELED = '57014';

export interface LaneTools {
  readonly setup: Setup;
  readonly standing: Standing;
  readonly slot: Slot;
  readonly waits: Waits;
  readonly onEnd: () => void;
  /** Writes down that a file is parked. */
  readonly park: (file: GenerationInfo, reason: string) => Promise<void>;
}

type Next =
  | { readonly kind: 'write' }
  /** `lost`: what holds if the batch is there; null when its number was taken although we never sent COMMIT. */
  | { readonly kind: 'lookup'; readonly lost: CommitUnknown | null }
  | { readonly kind: 'trial' };

/** A batch on its way. */
interface Job {
  readonly number: number;
  chunks: readonly JudgedChunk[];
  allUnsure: boolean;
  violated: boolean;
  refused: ReadonlyMap<JudgedChunk, Refusals>;
  readonly parked: ParkedFile[];
  readonly returned: JudgedChunk[];
  next: Next;
  /** Of the last COMMIT whose answer was lost. */
  lost: CommitUnknown | null;
  trials: number;
  cancels: number;
}

/** Throws MillraceError when another instance has taken over, or when a person must mend something. */
export async function writeBatch(tools: LaneTools, batch: Batch, abort: AbortSignal): Promise<WriteResult> {
  const job = jobOf(batch);
  const backoff = new Backoff();
  // Whatever is under way is rolled back when told so; a COMMIT that is on its way is looked for by the next opening.
  const cut = (): void => drop(tools.slot);
  abort.addEventListener('abort', cut);
  try {
    while (!abort.aborted) {
      try {
        const settled = await step(tools, job, abort);
        if (settled === null) continue;
        tools.waits.over();
        return settledResult(tools.standing, job, settled);
      } catch (error) {
        drop(tools.slot);
        if (abort.aborted) break;
        const again = judge(tools, job, error);
        if (again === 'later') await waitOut(tools, error, backoff, abort);
      }
    }
    return { kind: 'abandoned' };
  } catch (error) {
    if (error instanceof RestartNeeded) return { kind: 'restart', reason: error.message };
    throw error;
  } finally {
    abort.removeEventListener('abort', cut);
  }
}

function jobOf({ number, chunks, allUnsure }: Batch): Job {
  return {
    number,
    chunks,
    allUnsure,
    violated: false,
    refused: new Map(),
    parked: [],
    returned: [],
    next: { kind: 'write' },
    lost: null,
    trials: 0,
    cancels: 0,
  };
}

/** Goes on from the job's state; the settled chunks when it is done, null when there is more to do. */
async function step(tools: LaneTools, job: Job, abort: AbortSignal): Promise<readonly SettledChunk[] | null> {
  if (job.chunks.length === 0) return [];
  const { setup, standing, slot } = tools;
  const session = await sessionOf(slot, setup, standing, tools.onEnd);
  abort.throwIfAborted();
  const { next } = job;
  switch (next.kind) {
    case 'write':
      return writeDraft(session, setup, standing, job);
    case 'lookup':
      if (await isCommitted(session, setup, standing, job.number)) {
        if (job.lost === null)
          throw new RestartNeeded(`batch ${job.number} is in the books already, and not by this lane`);
        return job.lost.settled;
      }
      if (next.lost === null)
        throw new RestartNeeded('the books hold a slice of this batch already, from another batch');
      job.next = { kind: 'write' };
      // A COMMIT that was refused, not lost: the failure table says what that means.
      if (!(next.lost.cause instanceof StepFault) || policyFor(next.lost.cause) !== 'wait')
        throw next.lost.cause;
      return null;
    case 'trial':
      await runTrial(tools, job);
      return null;
    default:
      return next satisfies never;
  }
}

/** Decides what comes next after a failure, or throws what ends the batch. */
function judge(tools: LaneTools, job: Job, error: unknown): 'now' | 'later' {
  if (error instanceof CommitUnknown) {
    const again = job.lost === null ? 'now' : 'later';
    job.lost = error;
    job.next = { kind: 'lookup', lost: error };
    if (error.cause instanceof StepFault) tools.setup.events.retried(error.cause.fault.sqlstate);
    return again;
  }
  if (!(error instanceof StepFault)) throw error;
  const { sqlstate } = error.fault;
  const policy = policyFor(error);
  tools.setup.events.retried(sqlstate);
  job.cancels = sqlstate === CANCELED ? job.cancels + 1 : 0;
  switch (policy) {
    case 'wait':
      if (job.cancels >= CANCELS_MAX) throw stopped(error, tools.setup.target.describe);
      return 'later';
    case 'unsure':
      job.allUnsure = true;
      job.violated = true;
      return 'now';
    case 'lookup':
      job.next = { kind: 'lookup', lost: null };
      return 'now';
    case 'restart':
      throw new RestartNeeded(`the books lack what this batch refers to (${sqlstate})`);
    case 'bisect':
      job.allUnsure = true;
      job.next = { kind: 'trial' };
      return 'now';
    case 'stop':
      throw stopped(error, tools.setup.target.describe);
    default:
      return policy satisfies never;
  }
}

async function waitOut(
  tools: LaneTools,
  error: unknown,
  backoff: Backoff,
  abort: AbortSignal,
): Promise<void> {
  const { waits, setup } = tools;
  // A deadlock or a cut connection is mended by the next try; what lasts is told.
  if (error instanceof StepFault && (error.step === 'connect' || backoff.tries > 0))
    waits.tell(reasonOf(error, setup.target.describe));
  await backoff.wait(abort);
}

async function runTrial(tools: LaneTools, job: Job): Promise<void> {
  const { setup, standing, slot } = tools;
  job.trials += 1;
  if (job.trials > TRIALS_MAX) {
    const files = filesWithRefusals(job);
    const reason = `the database refuses rows of this file in another way at every try (${TRIALS_MAX} tries)`;
    await parkFiles(tools, job, files.size > 0 ? files : allFiles(job), reason);
  } else {
    const session = await sessionOf(slot, setup, standing, tools.onEnd);
    const { refused, tooMany } = await findRefused(session, setup, standing, job);
    job.refused = refused;
    if (tooMany)
      await parkFiles(tools, job, filesWithRefusals(job), 'the database refuses too many rows of this file');
  }
  job.next = { kind: 'write' };
}

/** Their chunks leave the batch whole: a chunk is never split, and its other files are read again. */
async function parkFiles(
  tools: LaneTools,
  job: Job,
  files: ReadonlySet<GenerationInfo>,
  why: string,
): Promise<void> {
  const reason = `${why}; ${PARKED_WAY_OUT}`;
  for (const file of files) {
    await tools.park(file, reason);
    job.parked.push({ generation: file.id, reason });
  }
  const parked = new Set(job.parked.map((file) => file.generation));
  const leaves = (chunk: JudgedChunk): boolean => chunk.slices.some((slice) => parked.has(slice.file.id));
  job.returned.push(...job.chunks.filter(leaves));
  job.chunks = job.chunks.filter((chunk) => !leaves(chunk));
  job.refused = new Map([...job.refused].filter(([chunk]) => !leaves(chunk)));
  job.trials = 0;
}

function filesWithRefusals({ refused }: Job): Set<GenerationInfo> {
  const files = new Map<string, GenerationInfo>();
  for (const [chunk, rows] of refused)
    for (const row of rows.keys()) files.set(sliceOf(chunk, row).file.id, sliceOf(chunk, row).file);
  return new Set(files.values());
}

function allFiles({ chunks }: Job): Set<GenerationInfo> {
  const files = chunks.flatMap((chunk) => chunk.slices.map((slice) => slice.file));
  return new Set(new Map(files.map((file) => [file.id, file])).values());
}

function settledResult(standing: Standing, job: Job, settled: readonly SettledChunk[]): WriteResult {
  // One that is done and grows again is registered once more, to no effect; remembering all files for ever would not end.
  for (const { slices } of settled)
    for (const { generation, ended } of slices) if (!ended) standing.registered.add(generation);
  const { parked, returned, violated } = job;
  return { kind: 'committed', settled, parked, returned, violated };
}
