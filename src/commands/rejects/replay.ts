// `millrace rejects replay`: the stored bytes of refused records through the rules of today. Each page is one transaction under the
// exclusive fence; a kill between two pages leaves every record where it is: in quarantine, or in the table.

import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { ReadAgain, RecordBytes } from '../../core/again.ts';
import { readAgain } from '../../core/again.ts';
import { decodeAll } from '../../core/encoding.ts';
import { EXIT, MillraceError } from '../../errors.ts';
import type { ExitCode } from '../../errors.ts';
import type { RejectsOptions } from '../../options.ts';
import { quoteTable } from '../../schema/ddl.ts';
import { events } from '../../schema/events.ts';
import type { GenerationId } from '../../core/slice.ts';
import type { Fate, ReplayRow, ReplayTarget } from '../../sink/postgres/replay.ts';
import { replayRows } from '../../sink/postgres/replay.ts';
import { makeStageSql } from '../../sink/postgres/stage.ts';
import { ensureTable } from '../../sink/postgres/table.ts';
import { counted, printable } from '../../telemetry/text.ts';
import { underFence } from '../books/exclusive.ts';
import { createFinder } from '../books/content.ts';
import { folderOf, headerOf } from '../books/files.ts';
import type { BookedFile, KnownHeader } from '../books/files.ts';
import type { OpenBooks } from '../books/open.ts';
import { NOT_BY_ITSELF, filesWithRejects, isWhole, pageOf } from '../books/quarantine.ts';
import type { Chosen, StoredReject } from '../books/quarantine.ts';
import type { CommandIo } from '../command.ts';

/** Records of one transaction: at most 64 KiB each, so 64 MiB, and an engine that runs waits well under a second. */
const PAGE_RECORDS = 1_000;

/** What `rejects replay --json` prints. */
interface Replayed {
  inserted: number;
  duplicates: number;
  /** Refused again, by a rule or by the database: still in quarantine. */
  rejected: number;
  /** Not tried: not kept whole, or its header is known nowhere. */
  untried: number;
}

interface Run {
  readonly target: ReplayTarget;
  readonly chosen: Chosen;
  readonly sums: Replayed;
  /** Of the duplicates, those with other values than the stored row: still in quarantine, under another code. */
  conflicts: number;
  /** Of the transactions that were begun. */
  pages: number;
}

export async function replayRejects(
  { client, describe }: OpenBooks,
  options: RejectsOptions,
  chosen: Chosen,
  io: CommandIo,
): Promise<ExitCode> {
  if (chosen.code === NOT_BY_ITSELF)
    throw new MillraceError(
      'usage',
      `--code: ${NOT_BY_ITSELF} cannot be replayed: the key is stored with other values`,
      {
        wayOut: 'rejects export writes them; the stored row would have to go first',
      },
    );
  const { unreadable } = await ensureTable(client, events, options.table);
  await client.query(makeStageSql(events));
  const compares = unreadable.length === 0;
  const table = { table: events, tableSql: quoteTable(options.table), compares };
  const target: ReplayTarget = { client, ...table, describe, epoch: randomUUID() };
  const sums: Replayed = { inserted: 0, duplicates: 0, rejected: 0, untried: 0 };
  const run: Run = { target, chosen, sums, conflicts: 0, pages: 0 };
  const finder = createFinder({ ...options, inputDir: folderOf(chosen.source, options.inputDir) });
  for (const file of await filesWithRejects(client, chosen)) {
    const header = await headerOf(client, finder, file);
    if (header === null) io.stderr.write(`millrace: ${printable(withoutHeader(file))}\n`);
    await replayFile(run, file.generation, header);
  }
  io.stderr.write(`millrace: ${sentence(run)}\n`);
  if (options.json) io.stdout.write(`${JSON.stringify(sums)}\n`);
  return sums.rejected + sums.untried > 0 ? EXIT.found : EXIT.done;
}

function withoutHeader({ name }: BookedFile): string {
  return `the header of ${name} is neither in the books nor does that file stand in the folder or its archive with a header that is taken today: its records stay`;
}

async function replayFile(run: Run, generation: GenerationId, header: KnownHeader | null): Promise<void> {
  for (let after = -1; ;) {
    const last = await underFence(run.target.client, [run.chosen.source], () =>
      replayPage(run, generation, header, after),
    );
    if (last === null) return;
    after = last;
  }
}

/** Where the page ended; null when there is nothing more. Read under the fence: two replays at once take turns. */
async function replayPage(
  run: Run,
  generation: GenerationId,
  header: KnownHeader | null,
  after: number,
): Promise<number | null> {
  const { target, sums } = run;
  const page = await pageOf(target.client, run.chosen, generation, after, PAGE_RECORDS);
  const whole = header === null ? [] : page.filter(isWhole);
  const answers = header === null ? [] : readAgain(textsOf(whole, header), header, target.table);
  const rows = answers.flatMap((answer, index): ReplayRow[] => {
    const offset = whole[index]?.offset ?? 0;
    return answer.kind === 'row' ? [{ generation, offset, tuple: answer.tuple, key: answer.key }] : [];
  });
  run.pages += 1;
  const fates = rows.length === 0 ? [] : await replayRows(target, run.pages, rows);
  await noteReasons(target.client, generation, whole, answers, rows, fates);
  for (const fate of fates) {
    if (fate.kind === 'inserted') sums.inserted += 1;
    else if (fate.kind === 'duplicate' || fate.kind === 'conflict') sums.duplicates += 1;
    else sums.rejected += 1;
    if (fate.kind === 'conflict') run.conflicts += 1;
  }
  sums.rejected += answers.filter(({ kind }) => kind === 'rejected').length;
  sums.untried += page.length - whole.length + answers.filter(({ kind }) => kind === 'untold').length;
  return page.at(-1)?.offset ?? null;
}

/** In UTF-8, as the parser sees them. */
function textsOf(
  whole: readonly (StoredReject & { readonly raw: Buffer })[],
  { encoding }: KnownHeader,
): RecordBytes[] {
  return whole.map(({ offset, raw }) => ({ offset, raw: decodeAll(encoding, raw) }));
}

const REASONS = `UPDATE millrace.rejects r SET code = n.code, sentence = n.sentence, field = n.field, column_name = n.column_name
  FROM unnest($2::bigint[], $3::text[], $4::text[], $5::integer[], $6::text[]) AS n (byte_offset, code, sentence, field, column_name)
  WHERE r.generation = $1 AND r.byte_offset = n.byte_offset
    AND (r.code, r.sentence, r.field, r.column_name) IS DISTINCT FROM (n.code, n.sentence, n.field, n.column_name)`;

/** Those that stay get the reason of today. */
async function noteReasons(
  client: pg.Client,
  generation: GenerationId,
  whole: readonly StoredReject[],
  answers: readonly ReadAgain[],
  rows: readonly ReplayRow[],
  fates: readonly Fate[],
): Promise<void> {
  const refused = fates.flatMap((fate, index) => {
    if (fate.kind !== 'refused') return [];
    const { sentence: words, column } = fate.refusal;
    const offset = rows[index]?.offset ?? 0;
    return [{ offset, code: 'refused_by_database', sentence: words, field: null, column }];
  });
  const rejected = answers.flatMap((answer, index) =>
    answer.kind === 'rejected' ? [{ ...answer.reject, offset: whole[index]?.offset ?? 0 }] : [],
  );
  const stay = [...refused, ...rejected];
  if (stay.length === 0) return;
  await client.query(REASONS, [
    generation,
    stay.map((one) => one.offset),
    stay.map((one) => one.code),
    stay.map((one) => one.sentence.replaceAll('\0', '\\x00')),
    stay.map((one) => one.field),
    stay.map((one) => one.column?.replaceAll('\0', '\\x00') ?? null),
  ]);
}

function sentence({ sums, conflicts }: Run): string {
  const { inserted, duplicates, rejected, untried } = sums;
  const parts = [
    `${counted(inserted, 'record')} stored`,
    `${counted(duplicates, 'record')} stored already, so duplicates`,
    `${counted(rejected, 'record')} refused again`,
  ];
  if (conflicts > 0)
    parts.push(
      `${counted(conflicts, 'record')} of the duplicates with other values, kept as ${NOT_BY_ITSELF}`,
    );
  if (untried > 0)
    parts.push(`${counted(untried, 'record')} not tried, since they or their header are not kept whole`);
  return parts.join('; ');
}
