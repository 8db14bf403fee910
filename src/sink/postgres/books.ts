// The Books on PostgreSQL, over a connection of their own: what is known of a file, and what became of it. Every call that writes is one
// transaction under the fence. Positions of batches are not written here (checkpoint.ts).

import type { Books, EndedFile, FileQuery, KnownGeneration, StandingFile } from '../../core/books.ts';
import { BooksClosed } from '../../core/books.ts';
import type { GenerationId, GenerationInfo } from '../../core/slice.ts';
import { registerQuery } from './checkpoint.ts';
import type { Slot, Waits } from './connector.ts';
import { drop, sessionOf, untilDone, withDeadline } from './connector.ts';
import { dialectValues } from './dialect.ts';
import { RestartNeeded, during } from './fault.ts';
import { beginFenced } from './fence.ts';
import { findGenerations, findUnchanged } from './find.ts';
import { mergeSlices } from './merge.ts';
import type { Session } from './session.ts';
import type { Setup, Standing } from './standing.ts';
import type { Turns } from './turns.ts';

export interface BooksTools {
  readonly setup: Setup;
  readonly standing: Standing;
  readonly slot: Slot;
  readonly waits: Waits;
  readonly turns: Turns;
  readonly onEnd: () => void;
  /** A restart in process is needed. */
  readonly onBroken: (reason: string) => void;
  /** Another instance has taken over, or a person must mend something: trying again is of no use. */
  readonly onFailed: (error: unknown) => void;
  /** Fires when the sink leaves. */
  readonly closing: AbortSignal;
}

/** Far longer than any takes; the books are also the watch's connection. */
const CONVERSATION_MS_MAX = 60_000;

/** Even under asynchronous commit: once this is on disk, so is everything committed before. */
const FLUSHED = 'SET LOCAL synchronous_commit = on;';

/** The name once more: a batch that was on its way while the file was renamed has registered the old one after `moved` found no row. */
const FINISH = `
  UPDATE millrace.files f SET state = 'done', reason = NULL, ended_at = clock_timestamp(), name = e.name, name_bytes = e.name_bytes,
    size = e.size, mtime_ns = e.mtime_ns, ctime_ns = e.ctime_ns, blank_lines = e.blank_lines, archived_to = e.archived_to
  FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::bytea[], $9::text[])
    AS e (generation, size, mtime_ns, ctime_ns, blank_lines, reach, name, name_bytes, archived_to),
  LATERAL (
    SELECT coalesce(bool_and(start_offset = before), true) AS joined, coalesce(max(end_offset), 0) AS reach
    FROM (SELECT start_offset, end_offset, lag(end_offset, 1, 0::bigint) OVER (ORDER BY start_offset) AS before
          FROM millrace.slices WHERE generation = e.generation) s) c
  WHERE f.generation = e.generation AND c.joined AND c.reach = e.reach
  RETURNING f.generation`;

const END = `
  UPDATE millrace.files SET state = $2, reason = $3, size = $4, mtime_ns = $5, ctime_ns = $6, blank_lines = $7,
    ended_at = clock_timestamp() WHERE generation = $1`;

const MOVED = `
  UPDATE millrace.files SET name = $2, name_bytes = $3, dev = $4, ino = $5, birth_ns = $6,
    newline = $7, delimiter = $8, nulls = $9, encoding = $10 WHERE generation = $1`;

export class PostgresBooks implements Books {
  readonly #tools: BooksTools;

  constructor(tools: BooksTools) {
    this.#tools = tools;
  }

  find(files: readonly FileQuery[]): Promise<KnownGeneration[]> {
    return this.#converse((session) =>
      during('fence', session.client, () =>
        findGenerations(session.client, this.#tools.setup.sourceId, files),
      ),
    );
  }

  unchanged(files: readonly StandingFile[]): Promise<readonly number[]> {
    return this.#converse((session) =>
      during('fence', session.client, () => findUnchanged(session.client, this.#tools.setup.sourceId, files)),
    );
  }

  async finish(files: readonly EndedFile[]): Promise<ReadonlySet<GenerationId>> {
    const done = await this.#write(async ({ client }) => {
      await this.#register(client, files);
      const { rows } = await client.query<{ generation: GenerationId }>(FINISH, finishColumns(files));
      const generations = rows.map((row) => row.generation);
      await mergeSlices(client, generations);
      return new Set(generations);
    });
    // One that grows again is registered once more, to no effect; remembering all files for ever would not end.
    for (const generation of done) this.#tools.standing.registered.delete(generation);
    return done;
  }

  end(file: EndedFile, state: 'refused' | 'parked', reason: string): Promise<void> {
    return this.#write(async ({ client }) => {
      await this.#register(client, [file]);
      const { info, stamp, blankLines } = file;
      await client.query(END, [info.id, state, reason, stamp.size, stamp.mtimeNs, stamp.ctimeNs, blankLines]);
    });
  }

  moved(info: GenerationInfo): Promise<void> {
    return this.#write(async ({ client }) => {
      const { dev, ino, birthNs } = info.stamp;
      const dialect = dialectValues(info.dialect);
      await client.query(MOVED, [info.id, info.name, info.nameBytes, dev, ino, birthNs, ...dialect]);
    });
  }

  async #register(client: Session['client'], files: readonly EndedFile[]): Promise<void> {
    const infos = files
      .map((file) => file.info)
      .filter((info) => !this.#tools.standing.registered.has(info.id));
    await client.query(
      registerQuery(
        this.#tools.setup,
        infos.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
      ),
    );
  }

  /** One transaction under the fence. Safe to repeat when the answer to COMMIT is lost. */
  #write<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const { setup, standing } = this.#tools;
    return this.#converse(async (session) => {
      await beginFenced(session, setup, standing, FLUSHED);
      return during('positions', session.client, async () => {
        const result = await work(session);
        await session.client.query('COMMIT');
        return result;
      });
    });
  }

  #converse<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const { turns, setup, waits, closing, onBroken, onFailed } = this.#tools;
    return turns.take(async () => {
      try {
        const done = await untilDone(() => this.#once(work), waits, setup.target.describe, closing);
        if (done === null) throw new BooksClosed('the sink was left');
        return done.result;
      } catch (error) {
        if (error instanceof BooksClosed) throw error;
        if (!(error instanceof RestartNeeded)) {
          onFailed(error);
          throw error;
        }
        onBroken(error.message);
        throw new BooksClosed(error.message);
      }
    });
  }

  async #once<T>(work: (session: Session) => Promise<T>): Promise<{ result: T }> {
    const { slot, setup, standing, onEnd } = this.#tools;
    try {
      const session = await sessionOf(slot, setup, standing, onEnd);
      return await withDeadline(session, CONVERSATION_MS_MAX, async () => ({ result: await work(session) }));
    } catch (error) {
      drop(slot);
      throw error;
    }
  }
}

function finishColumns(files: readonly EndedFile[]): unknown[][] {
  return [
    files.map(({ info }) => info.id),
    files.map(({ stamp }) => stamp.size),
    files.map(({ stamp }) => stamp.mtimeNs),
    files.map(({ stamp }) => stamp.ctimeNs),
    files.map(({ blankLines }) => blankLines),
    files.map(({ reach, stamp }) => reach ?? stamp.size),
    files.map(({ info }) => info.name),
    files.map(({ info }) => info.nameBytes),
    files.map(({ archivedTo }) => archivedTo ?? null),
  ];
}
