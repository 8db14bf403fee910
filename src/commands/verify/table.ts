// The records that `verify` found, side by side with the rows of the user's table: a temporary table that lives until the transaction ends,
// filled record by record, and one join. PostgreSQL's own casts read our texts, so that neither the pipeline's encoding nor ours is trusted.

import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { quoteIdentifier } from '../../schema/ddl.ts';
import type { TableDefinition } from '../../schema/table.ts';
import type { FoundRecord } from './reader.ts';

/** A valid record on its way into the temporary table. `file` and `group` are numbers of the caller's; group 0: in none. */
export interface Placed {
  readonly record: FoundRecord;
  readonly file: number;
  readonly group: number;
}

/** Group of rows that a transaction of another source, or of books that were taken away, has written. */
export const ELSEWHERE = 0;

/** Of the server's: with its usual 4 MB, sorts and joins of a million records go to disk. */
const WORK_MEMORY = '64MB';

const RECORDS = 'pg_temp.millrace_verify_records';
const XIDS = 'pg_temp.millrace_verify_xids';
const JOINED = 'pg_temp.millrace_verify_joined';

export class RecordTable {
  readonly #client: pg.Client;
  readonly #table: TableDefinition;
  readonly #tableSql: string;
  readonly #key: string;
  readonly #columns: readonly string[];
  #copying: Promise<void> = Promise.resolve();

  constructor(client: pg.Client, table: TableDefinition, tableSql: string) {
    this.#client = client;
    this.#table = table;
    this.#tableSql = tableSql;
    this.#key = quoteIdentifier(table.key);
    this.#columns = table.columns.map(({ name }) => quoteIdentifier(name));
  }

  /** Inside a transaction: it ends with it. */
  async make(): Promise<void> {
    const columns = this.#table.columns.map(({ name, type }) => `${quoteIdentifier(name)} ${type.sql}`);
    await this.#client.query(
      `SET LOCAL work_mem = '${WORK_MEMORY}';
       CREATE TEMPORARY TABLE millrace_verify_records (file integer, grp integer, byte_offset bigint, line bigint, ${columns.join(', ')})
         ON COMMIT DROP;
       CREATE TEMPORARY TABLE millrace_verify_xids (xid bigint PRIMARY KEY, grp integer NOT NULL) ON COMMIT DROP`,
    );
  }

  async add(placed: readonly Placed[]): Promise<void> {
    await this.addMeanwhile(placed);
    await this.settled();
  }

  /** Does not wait for the server, so that the next block is read meanwhile. Nobody else may ask the client anything before `settled`. */
  async addMeanwhile(placed: readonly Placed[]): Promise<void> {
    await this.settled();
    this.#copying = this.#copy(placed);
    this.#copying.catch(() => {}); // heard by whoever waits next
  }

  /** What was added is there. */
  async settled(): Promise<void> {
    const copying = this.#copying;
    this.#copying = Promise.resolve();
    await copying;
  }

  async #copy(placed: readonly Placed[]): Promise<void> {
    if (placed.length === 0) return;
    const target = `${RECORDS} (file, grp, byte_offset, line, ${this.#columns.join(', ')})`;
    const stream = this.#client.query(copyFrom(`COPY ${target} FROM STDIN`));
    await pipeline(Readable.from([placed.map(copyLine).join('')]), stream);
  }

  /** Low 32 bits of transaction ids, and the group that each belongs to. */
  async nameGroups(groups: ReadonlyMap<number, number>): Promise<void> {
    await this.#client.query(`INSERT INTO ${XIDS} SELECT * FROM unnest($1::bigint[], $2::integer[])`, [
      [...groups.keys()],
      [...groups.values()],
    ]);
  }

  /** The same; transactions of other sources and of books that are gone are ELSEWHERE. */
  async nameTransactions(groups: ReadonlyMap<number, number>, meaningful: string): Promise<void> {
    await this.nameGroups(groups);
    await this.#client.query(
      `INSERT INTO ${XIDS} SELECT DISTINCT b.xid::xid::text::bigint, ${ELSEWHERE} FROM millrace.batches b WHERE ${meaningful}
       ON CONFLICT DO NOTHING`,
    );
  }

  /** After the last `add`: pairs every record with its row. Rows without a record are taken as well, all or those of named groups, for `extra`. */
  async join(rows: 'of records' | 'of groups too' | 'all'): Promise<void> {
    const same = this.#table.columns
      .filter(({ name }) => name !== this.#table.key)
      .map(({ name }) => `r.${quoteIdentifier(name)} IS NOT DISTINCT FROM t.${quoteIdentifier(name)}`);
    await this.#client.query(
      `ANALYZE ${RECORDS};
       CREATE TEMPORARY TABLE millrace_verify_joined ON COMMIT DROP AS
         SELECT r.file, r.grp, r.byte_offset, r.line, coalesce(r.${this.#key}, t.${this.#key}) AS key, t.${this.#key} IS NOT NULL AS stored, x.grp AS row_grp,
                t.${this.#key} IS NOT NULL AND ${same.join(' AND ')} AS same
         FROM ${RECORDS} r ${rows === 'of records' ? 'LEFT' : 'FULL'} JOIN ${this.#tableSql} t ON t.${this.#key} = r.${this.#key}
         LEFT JOIN ${XIDS} x ON x.xid = t.xmin::text::bigint
         ${rows === 'of groups too' ? 'WHERE r.file IS NOT NULL OR x.grp IS NOT NULL' : ''};
       ANALYZE ${JOINED}`,
    );
  }

  /** Keys of one file by what their row is: in none, in a group (null: in no group), with the same values or others. */
  async keysOf(file: number): Promise<readonly KeyStanding[]> {
    const { rows } = await this.#client.query<KeyStanding>(
      `SELECT stored, same, grp, count(*)::float8 AS count, array_agg(key ORDER BY byte_offset) FILTER (WHERE place <= ${KEYS_MAX}) AS keys,
              array_agg(line::float8 ORDER BY byte_offset) FILTER (WHERE place <= ${KEYS_MAX}) AS lines,
              array_agg(byte_offset::float8 ORDER BY byte_offset) FILTER (WHERE place <= ${KEYS_MAX}) AS offsets
       FROM (SELECT *, row_number() OVER (PARTITION BY stored, same, grp ORDER BY byte_offset) AS place
             FROM (SELECT DISTINCT ON (key) key::text AS key, stored, same, row_grp AS grp, line, byte_offset FROM ${JOINED}
                   WHERE file = $1 ORDER BY key, byte_offset) firsts) placed
       GROUP BY stored, same, grp`,
      [file],
    );
    return rows;
  }

  /** Rows of a group whose key stands in no record. */
  async rowsWithout(group: number): Promise<{ readonly count: number; readonly keys: readonly string[] }> {
    return (await this.extra(KEYS_MAX)).get(group) ?? { count: 0, keys: [] };
  }

  /** Keys without a row, each at its first place. */
  missing(limit: number): Promise<Sampled<KeyPlace>> {
    return this.#sample<KeyPlace>(
      `SELECT DISTINCT ON (key) key, file, line::float8 AS line, byte_offset::float8 AS offset FROM ${JOINED}
       WHERE NOT stored ORDER BY key, file, byte_offset`,
      limit,
    );
  }

  /** Rows whose values no record has; left out are those whose record may stand where nobody looked. `whole`: groups that were read whole. */
  changed(whole: readonly number[], limit: number): Promise<Sampled<KeyPlace>> {
    return this.#sample<KeyPlace>(
      `SELECT key, (array_agg(file ORDER BY file, byte_offset))[1] AS file, (array_agg(line ORDER BY file, byte_offset))[1]::float8 AS line,
              (array_agg(byte_offset ORDER BY file, byte_offset))[1]::float8 AS offset
       FROM ${JOINED} WHERE file IS NOT NULL AND key IN (SELECT key FROM ${JOINED} WHERE file IS NOT NULL AND stored AND NOT same) GROUP BY key
       HAVING NOT bool_or(same) AND (min(row_grp) IS NULL OR min(row_grp) = ANY ($1))`,
      limit,
      [whole],
    );
  }

  /** Rows that hold a record's values, but of another record than those of the batch that stored them. `whole`: groups that were read whole. */
  wrongWinner(whole: readonly number[], limit: number): Promise<Sampled<KeyPlace>> {
    return this.#sample<KeyPlace>(
      `SELECT key, (array_agg(file ORDER BY file, byte_offset))[1] AS file, (array_agg(line ORDER BY file, byte_offset))[1]::float8 AS line,
              (array_agg(byte_offset ORDER BY file, byte_offset))[1]::float8 AS offset
       FROM ${JOINED} WHERE file IS NOT NULL AND key IN (SELECT key FROM ${JOINED} WHERE row_grp = ANY ($1) AND NOT (same AND grp = row_grp)) GROUP BY key
       HAVING bool_or(same) AND NOT bool_or(same AND grp = row_grp)`,
      limit,
      [whole],
    );
  }

  /** Per group: keys whose row carries a transaction of the group, keys whose row cannot be traced, and records that differ from their row. */
  async groups(): Promise<Map<number, GroupCount>> {
    const { rows } = await this.#client.query<GroupCount & { grp: number }>(
      `SELECT grp, count(*) FILTER (WHERE own)::float8 AS stored, count(*) FILTER (WHERE untraced)::float8 AS untraced,
              sum(differing)::float8 AS differing
       FROM (SELECT grp, coalesce(row_grp = grp, false) AS own, NOT stored OR row_grp IS NULL AS untraced,
                    count(*) FILTER (WHERE stored AND NOT same) AS differing
             FROM ${JOINED} WHERE file IS NOT NULL GROUP BY grp, key, row_grp, stored) keys
       GROUP BY grp`,
    );
    return new Map(rows.map(({ grp, ...counts }) => [grp, counts]));
  }

  async storedKeys(): Promise<number> {
    const { rows } = await this.#client.query<{ count: number }>(
      `SELECT count(DISTINCT key)::float8 AS count FROM ${JOINED} WHERE file IS NOT NULL AND stored`,
    );
    return rows[0]?.count ?? 0;
  }

  /** After a join of all rows: those whose key stands in no record, by the group of their transaction; null: a transaction that the books do not know. */
  async extra(keysMax = 100): Promise<Map<number | null, { count: number; keys: readonly string[] }>> {
    const { rows } = await this.#client.query<{ grp: number | null; count: number; keys: string[] }>(
      `SELECT grp, count(*)::float8 AS count, array_agg(key ORDER BY key) FILTER (WHERE place <= ${keysMax}) AS keys
       FROM (SELECT row_grp AS grp, key::text AS key, row_number() OVER (PARTITION BY row_grp ORDER BY key) AS place
             FROM ${JOINED} WHERE file IS NULL) rest
       GROUP BY grp`,
    );
    return new Map(rows.map(({ grp, count, keys }) => [grp, { count, keys }]));
  }

  /** Rows that have a record somewhere, by the group of their transaction: of these groups, and of none (null). */
  async rowsWithRecord(groups: readonly number[]): Promise<ReadonlyMap<number | null, number>> {
    const { rows } = await this.#client.query<{ grp: number | null; count: number }>(
      `SELECT row_grp AS grp, count(DISTINCT key)::float8 AS count FROM ${JOINED}
       WHERE file IS NOT NULL AND stored AND (row_grp = ANY ($1) OR row_grp IS NULL) GROUP BY row_grp`,
      [groups],
    );
    return new Map(rows.map(({ grp, count }) => [grp, count]));
  }

  /** Record and row of one key, column by column, as text; only columns that differ. */
  async contrast(place: KeyPlace): Promise<string> {
    const pairs = this.#table.columns.map(
      ({ name }) =>
        `jsonb_build_array(r.${quoteIdentifier(name)}::text, t.${quoteIdentifier(name)}::text, r.${quoteIdentifier(name)} IS NOT DISTINCT FROM t.${quoteIdentifier(name)})`,
    );
    const { rows } = await this.#client.query<{ pairs: [string | null, string | null, boolean][] }>(
      `SELECT jsonb_build_array(${pairs.join(', ')}) AS pairs FROM ${RECORDS} r JOIN ${this.#tableSql} t ON t.${this.#key} = r.${this.#key}
       WHERE r.file = $1 AND r.byte_offset = $2`,
      [place.file, place.offset],
    );
    const found = rows[0]?.pairs ?? [];
    return found
      .flatMap(([file, row, isSame], i) =>
        isSame
          ? []
          : [`${this.#table.columns[i]?.name}: ${shown(file)} in the file, ${shown(row)} in the table`],
      )
      .join('; ');
  }

  async #sample<R>(sql: string, limit: number, values: unknown[] = []): Promise<Sampled<R>> {
    const { rows } = await this.#client.query<R & { total: number }>(
      `SELECT *, count(*) OVER ()::float8 AS total FROM (${sql}) found ORDER BY file, "offset" LIMIT ${limit}`,
      values,
    );
    return { total: rows[0]?.total ?? 0, rows };
  }
}

export interface KeyPlace {
  readonly key: string;
  readonly file: number;
  readonly line: number;
  readonly offset: number;
}

/** At most so many keys of one standing are listed. */
const KEYS_MAX = 10_000;

export interface KeyStanding {
  readonly stored: boolean;
  readonly same: boolean;
  readonly grp: number | null;
  readonly count: number;
  readonly keys: readonly string[];
  readonly lines: readonly number[];
  readonly offsets: readonly number[];
}

export interface Sampled<R> {
  readonly total: number;
  readonly rows: readonly R[];
}

export interface GroupCount {
  readonly stored: number;
  readonly untraced: number;
  readonly differing: number;
}

function shown(value: string | null): string {
  return value === null ? 'NULL' : `'${value.slice(0, 100)}'`;
}

const ESCAPED: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

/** A line of COPY's text format. */
function copyLine({ record, file, group }: Placed): string {
  const values = (record.values ?? []).map((value) =>
    value === null ? '\\N' : value.replace(/[\\\t\n\r]/g, (character) => ESCAPED[character] ?? character),
  );
  return `${file}\t${group}\t${record.offset}\t${record.line}\t${values.join('\t')}\n`;
}
