// Statements of one transaction that travel in one message round trip: each is sent before the one ahead of it is answered. On a
// network of 1 ms that is 2 ms less for every batch. Not for COPY, which needs the line for itself (copy.ts).

import pg from 'pg';
import type { QueryConfig, QueryResult } from 'pg';
import type { Step } from '../../errors.ts';
import { during } from './fault.ts';

export interface Statement {
  readonly step: Step;
  readonly query: string | QueryConfig<unknown[]>;
}

/**
 * Sends all of them at once and returns their results in order. They must stand inside an open transaction: when one fails, the server
 * refuses those behind it, and a COMMIT among them rolls back. Throws StepFault with the step of the first that failed; when the
 * connection went away it is the step of the last, since any of them may have been carried out. `lastTook`: ms from the answer to the last
 * but one, or from the sending, to the answer to the last.
 */
export async function together(
  client: pg.Client,
  statements: readonly Statement[],
  lastTook: (ms: number) => void = () => {},
): Promise<QueryResult[]> {
  const line = client as PipelinedClient;
  const { stream } = client.connection;
  stream.cork();
  line.pipeline = true;
  const sent = statements.map(({ query }) => client.query(query as string));
  stream.uncork();
  let beganMs = performance.now();
  const began = (): void => void (beganMs = performance.now());
  sent.at(-2)?.then(began, began);
  const answers = await Promise.allSettled(sent);
  line.pipeline = false;
  lastTook(performance.now() - beganMs);
  const failed = answers.findIndex(({ status }) => status === 'rejected');
  const refused = answers[failed];
  if (refused?.status !== 'rejected')
    return answers.map((answer) => (answer as PromiseFulfilledResult<QueryResult>).value);
  const at = statements.at(isRefusal(answers.slice(failed)) ? failed : -1);
  return during(at?.step ?? 'commit', client, () => Promise.reject(refused.reason as Error));
}

/** pg's own switch for sending ahead, which it reads at each query. COPY streams refuse to run while it is on. */
interface PipelinedClient extends pg.Client {
  pipeline: boolean;
}

/**
 * The server has judged the first of these and lives on: it says so, or has answered one behind it. The word alone would not do, since it is
 * translated where `lc_messages` says so. A FATAL failure may come in the middle of a COMMIT that counts.
 */
function isRefusal([refused, ...behind]: readonly PromiseSettledResult<unknown>[]): boolean {
  if (refused?.status !== 'rejected') return false;
  const { reason } = refused as { reason: unknown };
  if (!(reason instanceof pg.DatabaseError)) return false;
  const isAnswer = (answer: PromiseSettledResult<unknown>): boolean =>
    answer.status === 'fulfilled' || (answer.reason instanceof pg.DatabaseError && answer.reason !== reason);
  return reason.severity === 'ERROR' || behind.some(isAnswer);
}
