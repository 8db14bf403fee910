// ONE transaction of a batch, top to bottom: rows, rejects and positions become visible together or not at all. It either returns what
// became of each slice, or throws and has written nothing - except CommitUnknown, when the answer to COMMIT did not come.
// Not for what is done after a failure (write.ts), nor for who may write (fence.ts).

import type pg from 'pg';
import { FRESH, KEY_BYTES, UNSURE } from '../../core/chunk.ts';
import { MillraceError } from '../../errors.ts';
import { failPoint } from '../../failpoints.ts';
import type { SettledChunk } from '../sink.ts';
import { positionsQuery } from './checkpoint.ts';
import { copyTuples } from './copy.ts';
import type { Draft, RoutedChunk, StageAnswer } from './draft.ts';
import { NOTHING_STAGED, route, tally, tuplesOf } from './draft.ts';
import { RestartNeeded, StepFault, during } from './fault.ts';
import { beginFenced, beginFencedCopy } from './fence.ts';
import { isCommitted } from './recover.ts';
import { conflictsOf } from './conflicts.ts';
import type { PlacedReject } from './rejects.ts';
import { REJECT_COLUMNS, countRejects, rejectTuples } from './rejects.ts';
import { SETTLE_THEIRS, SET_OUR_PATH, SET_THEIR_PATH } from './search-path.ts';
import type { Session } from './session.ts';
import { columnsSql, compareStage, copyToStage, insertFromStage } from './stage.ts';
import type { Setup, Standing } from './standing.ts';
import type { Statement } from './together.ts';
import { together } from './together.ts';

/** COMMIT was sent, its answer is lost. `settled` holds if the batch is found to be there. */
export class CommitUnknown extends Error {
  readonly settled: readonly SettledChunk[];

  constructor(settled: readonly SettledChunk[], cause: unknown) {
    super('the answer to COMMIT is lost', { cause });
    this.name = 'CommitUnknown';
    this.settled = settled;
  }
}

/**
 * Writes a draft. Throws StepFault for a failed statement or a lost connection, CommitUnknown, RestartNeeded, and MillraceError 'fenced'
 * or 'database'. After any of these the session must be destroyed: that is its ROLLBACK.
 */
export async function writeDraft(
  session: Session,
  setup: Setup,
  standing: Standing,
  draft: Draft,
): Promise<readonly SettledChunk[]> {
  const { client } = session;
  requireJudgedAs(standing.forget, draft);
  const routed = route(draft);

  await copyFresh(session, setup, standing, routed);
  const answer = await during('unsure', client, () => writeUnsure(client, setup, routed));
  failPoint('rows-sent');

  const settled = tally(draft, routed, answer, setup);
  const owed: Statement[] = [
    { step: 'checks', query: SETTLE_THEIRS },
    { step: 'positions', query: positionsQuery(setup, standing, draft.number, settled) },
  ];
  // Positions before rejects: a reject refers to its file, which this very statement may register.
  const conflicts = conflictsOf(settled);
  if (countRejects(draft) + conflicts.length > 0) {
    await together(client, owed.splice(0));
    await during('rejects', client, () => copyRejects(client, standing, draft, conflicts));
  }
  failPoint('before-commit');
  await commit(session, setup, standing, draft, settled, owed);
  failPoint('committed');
  return settled;
}

/** What memory said of a row holds only under the `forget` that it was said under. */
function requireJudgedAs(forget: bigint, { chunks }: Draft): void {
  if (chunks.some((chunk) => chunk.forget !== forget))
    throw new RestartNeeded('rows were judged before others were taken away on purpose');
}

/** Opens the transaction, and stores what is known to be new. */
async function copyFresh(
  session: Session,
  setup: Setup,
  standing: Standing,
  routed: readonly RoutedChunk[],
): Promise<void> {
  const { client } = session;
  const sent = sum(routed, (each) => each.fresh);
  if (sent === 0) {
    await beginFenced(session, setup, standing, '', SET_THEIR_PATH);
    failPoint('begun');
    return;
  }
  const target = `${setup.tableSql} (${columnsSql(setup.table)})`;
  const copy = await beginFencedCopy(session, setup, standing, target);
  failPoint('begun');
  const stored = await during('rows', client, () => copy.send(tuplesOf(routed, FRESH)));
  if (stored !== sent) throw await swallowed(client, setup, sent - stored);
}

/** May wait for an earlier batch that writes one of these keys. */
async function writeUnsure(
  client: pg.Client,
  setup: Setup,
  routed: readonly RoutedChunk[],
): Promise<StageAnswer> {
  const sent = sum(routed, (each) => each.unsure);
  if (sent === 0) return NOTHING_STAGED;
  const staged = await copyToStage(client, setup.table, tuplesOf(routed, UNSURE));
  if (staged !== sent)
    throw new MillraceError('internal', `${sent} rows were sent to the stage, and ${staged} arrived`);
  const inserted = await insertFromStage(client, setup.table, setup.tableSql);
  // Looking them up costs 3 us a row; where every row was stored there is nothing to look for.
  if (inserted.byteLength === sent * KEY_BYTES) return { ...NOTHING_STAGED, inserted };
  const { swallowed: missing, differing } = await compareStage(
    client,
    setup.table,
    setup.tableSql,
    setup.compares,
  );
  if (missing > 0) throw await swallowed(client, setup, missing);
  return { inserted, differing };
}

async function copyRejects(
  client: pg.Client,
  standing: Standing,
  draft: Draft,
  conflicts: readonly PlacedReject[],
): Promise<void> {
  const stored = await copyTuples(
    client,
    `millrace.rejects (${REJECT_COLUMNS})`,
    rejectTuples(draft, conflicts, standing.epoch),
  );
  const sent = countRejects(draft) + conflicts.length;
  if (stored !== sent)
    throw new MillraceError('database', `of ${sent} rejects only ${stored} were stored in millrace.rejects`);
}

/** COMMIT, behind the statements that are still owed. An acknowledged commit joins the list of those that may vanish, unless it is on disk. */
async function commit(
  session: Session,
  setup: Setup,
  standing: Standing,
  draft: Draft,
  settled: readonly SettledChunk[],
  owed: readonly Statement[],
): Promise<void> {
  const looks = standing.looks;
  try {
    const lsn = await sendCommit(session.client, setup, owed);
    if (lsn !== null) standing.unflushed.set(draft.number, { lsn, seenOn: session });
    // Another connection looked for vanished commits while the answer travelled, and could not know of this one.
    if (looks !== standing.looks && !(await isCommitted(session, setup, standing, draft.number)))
      throw new RestartNeeded('an acknowledged commit has vanished from the database');
  } catch (error) {
    const isBefore = error instanceof StepFault && error.step !== 'commit';
    throw isBefore || error instanceof RestartNeeded ? error : new CommitUnknown(settled, error);
  }
}

/** Returns a WAL position at or after the commit when it was not flushed, else null. */
async function sendCommit(
  client: pg.Client,
  { synchronousCommit, events }: Setup,
  owed: readonly Statement[],
): Promise<bigint | null> {
  const position = synchronousCommit
    ? ''
    : "; SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::text AS lsn";
  let tookMs = 0;
  const statements: Statement[] = [...owed, { step: 'commit', query: `COMMIT${position}` }];
  const answers = await together(client, statements, (ms) => (tookMs = ms));
  const [committed, where] = [answers.at(-1)].flat() as pg.QueryResult<{ lsn: string }>[];
  if (committed?.command !== 'COMMIT')
    throw new MillraceError('internal', `COMMIT was answered with ${committed?.command}`);
  events.committed?.(tookMs);
  return synchronousCommit ? null : BigInt(where?.rows[0]?.lsn ?? 0);
}

/** Rows vanished without an error: only a person can mend that, so name what may have done it. */
async function swallowed(client: pg.Client, setup: Setup, rows: number): Promise<MillraceError> {
  await client.query(SET_OUR_PATH);
  const { rows: found } = await client.query<{ name: string }>(
    `SELECT 'trigger ' || tgname AS name FROM pg_trigger
       WHERE tgrelid = $1::regclass AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 3 = 3
     UNION ALL SELECT 'rule ' || rulename FROM pg_rewrite WHERE ev_class = $1::regclass AND rulename <> '_RETURN' ORDER BY 1`,
    [setup.tableSql],
  );
  const suspects =
    found.map(({ name }) => name).join(', ') || 'something that is no trigger or rule of its own';
  return new MillraceError(
    'database',
    `${rows} rows sent to ${setup.tableText} vanished without an error, because of ${suspects}`,
    {
      wayOut:
        'drop or change it: a row that is neither stored nor refused would be lost; nothing of this batch was written',
    },
  );
}

function sum(routed: readonly RoutedChunk[], of: (each: RoutedChunk) => number): number {
  return routed.reduce((total, each) => total + of(each), 0);
}
