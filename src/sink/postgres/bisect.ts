// Which rows does the database refuse? One trial transaction under the fence, rolled back at the end: a range of rows is tried under a
// savepoint; if it fails, its left half is tried, then its right half. What was accepted stays in while the rest is tried, so that rows
// which clash only with each other are found. All rows go through the stage: a key that is stored already is no refusal.

import { BATCH_ROWS_MAX } from '../../core/batch.ts';
import type { JudgedChunk } from '../../core/chunk.ts';
import { UNSURE } from '../../core/chunk.ts';
import type { Draft, Refusal, Refusals, RoutedChunk } from './draft.ts';
import { route, tuplesOf } from './draft.ts';
import { StepFault, during, policyFor } from './fault.ts';
import { beginFenced } from './fence.ts';
import { SET_THEIR_PATH } from './search-path.ts';
import type { Session } from './session.ts';
import { copyToStage, indexStage, insertRangeSql } from './stage.ts';
import type { Setup, Standing } from './standing.ts';

/** More refusals than this in a batch of the usual size are no accident of single rows: the files are parked. */
const REFUSALS_MAX = 1_000;
/** A smaller batch is mostly bad from here on, once more than a tenth of it is. */
const REFUSALS_FEW = 100;
const REFUSED_SHARE_MAX = 0.1;

const WORDS_MAX = 500;

export interface Trial {
  /** All refusals of the batch, those of earlier trials included. */
  readonly refused: ReadonlyMap<JudgedChunk, Refusals>;
  /** The limit was passed: the trial ended there, and the files with refusals are to be parked. */
  readonly tooMany: boolean;
}

interface Place {
  readonly chunk: JudgedChunk;
  readonly row: number;
}

/**
 * Runs a trial of a draft whose rows are all unsure. The session's transaction is left open and must be ended by destroying it or with
 * ROLLBACK. Throws StepFault for whatever is not the refusal of a row, and what `beginFenced` throws.
 */
export async function findRefused(
  session: Session,
  setup: Setup,
  standing: Standing,
  draft: Draft,
): Promise<Trial> {
  const { client } = session;
  const routed = route(draft);
  const places = placesOf(routed);
  const refused = new Map([...draft.refused].map(([chunk, rows]) => [chunk, new Map(rows)]));
  const allowed = refusalsAllowed(rowsOf(draft));

  await beginFenced(session, setup, standing, '', SET_THEIR_PATH);
  const first = await during('unsure', client, async () => {
    await copyToStage(client, setup.table, tuplesOf(routed, UNSURE));
    await client.query('SET CONSTRAINTS ALL IMMEDIATE');
    return indexStage(client);
  });
  let found = countRefused(draft.refused);
  for await (const { place, refusal } of refusedOf(session, setup, first, places)) {
    const rows = refused.get(place.chunk) ?? new Map<number, Refusal>();
    refused.set(place.chunk, rows.set(place.row, refusal));
    found += 1;
    if (found > allowed) break;
  }
  await during('unsure', client, () => client.query('ROLLBACK'));
  return { refused, tooMany: found > allowed };
}

/** Depth first, left before right; a range that is accepted stays in. */
async function* refusedOf(
  session: Session,
  setup: Setup,
  first: bigint,
  places: readonly Place[],
): AsyncGenerator<{ place: Place; refusal: Refusal }> {
  const open = [{ from: 0, to: places.length }];
  for (let range = open.pop(); range !== undefined; range = open.pop()) {
    const { from, to } = range;
    if (from === to) continue;
    const refusal = await tryRange(session, setup, first + BigInt(from), first + BigInt(to));
    if (refusal === null) continue;
    const place = places[from];
    if (to - from === 1 && place !== undefined) yield { place, refusal };
    else {
      const middle = (from + to) >>> 1;
      open.push({ from: middle, to }, { from, to: middle });
    }
  }
}

/** Null when the range is accepted. Only places of our own counting are written into the text. */
async function tryRange(session: Session, setup: Setup, from: bigint, to: bigint): Promise<Refusal | null> {
  const { client } = session;
  const insert = insertRangeSql(setup.table, setup.tableSql, from, to);
  try {
    await during('unsure', client, () => client.query(`SAVEPOINT trial; ${insert}; RELEASE trial`));
    return null;
  } catch (error) {
    if (!(error instanceof StepFault) || policyFor(error) !== 'bisect') throw error;
    await during('unsure', client, () => client.query('ROLLBACK TO trial; RELEASE trial'));
    return { sentence: sentenceOf(error), column: error.column };
  }
}

/** The database's own words. They hold values: for the quarantine table only. */
function sentenceOf(fault: StepFault): string {
  const words = fault.words.slice(0, WORDS_MAX);
  return words.replaceAll(
    /\p{Cc}/gu,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

function placesOf(routed: readonly RoutedChunk[]): Place[] {
  return routed.flatMap(({ chunk, ways }) =>
    ways === null
      ? []
      : Array.from(ways, (way, row) => ({ way, row })).flatMap(({ way, row }) =>
          way === UNSURE ? [{ chunk, row }] : [],
        ),
  );
}

function rowsOf({ chunks }: Draft): number {
  return chunks.reduce((total, chunk) => total + chunk.rows.count, 0);
}

/** Of a batch of so many rows. */
export function refusalsAllowed(rows: number): number {
  const batches = Math.max(1, Math.ceil(rows / BATCH_ROWS_MAX)); // a long slice is several in one
  return Math.min(REFUSALS_MAX * batches, Math.max(REFUSALS_FEW, Math.floor(rows * REFUSED_SHARE_MAX)));
}

function countRefused(refused: ReadonlyMap<JudgedChunk, Refusals>): number {
  return [...refused.values()].reduce((total, rows) => total + rows.size, 0);
}
