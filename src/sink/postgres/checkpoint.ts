// The positions of a batch: its files, its `batches` row and its slices, in one statement. They commit together with the rows, or
// not at all. A batch only INSERTs here: two lanes that update the same rows in different order deadlock.

import type { QueryConfig } from 'pg';
import { DEFAULT_DIALECT, sameDialect } from '../../core/booked-dialect.ts';
import type { AcceptedSlice, GenerationId, GenerationInfo } from '../../core/slice.ts';
import type { SettledChunk } from '../sink.ts';
import { byteArray, hexArray, plainArray } from './arrays.ts';
import { dialectColumns, dialectValues } from './dialect.ts';
import type { Setup, Standing } from './standing.ts';

/** How the dialects of a statement's files are passed: nearly always all have one. As arrays they cost 7 us a file. */
type Dialects = 'one' | 'many';

/** Files known to be registered are left out; their order is fixed, so that two lanes never wait for each other in a circle. */
function filesSql(dialects: Dialects): string {
  const [columns, arrays, dialect] =
    dialects === 'one'
      ? ['', '', '$13::text, $14::text, $15::text[], $16::text']
      : [
          ', newline, delimiter, nulls, encoding',
          ', $13::text[], $14::text[], $15::text[], $16::text[]',
          'f.newline, f.delimiter, f.nulls::text[], f.encoding',
        ];
  return `
  INSERT INTO millrace.files (generation, source_id, name, name_bytes, dev, ino, birth_ns, replaces,
                              state, size, mtime_ns, ctime_ns, blank_lines, ended_at, newline, delimiter, nulls, encoding)
  SELECT f.generation, $1, f.name, f.name_bytes, f.dev, f.ino, f.birth_ns, f.replaces,
         CASE WHEN f.size IS NULL THEN 'reading' ELSE 'done' END, f.size, f.mtime_ns, f.ctime_ns, coalesce(f.blank_lines, 0),
         CASE WHEN f.size IS NULL THEN NULL ELSE clock_timestamp() END, ${dialect}
  FROM unnest($2::uuid[], $3::text[], $4::bytea[], $5::numeric[], $6::numeric[], $7::bigint[], $8::uuid[],
              $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[]${arrays})
    AS f (generation, name, name_bytes, dev, ino, birth_ns, replaces, size, mtime_ns, ctime_ns, blank_lines${columns})
  ON CONFLICT (generation) DO NOTHING`;
}

function positionsSql(dialects: Dialects): string {
  return `
  WITH files AS (${filesSql(dialects)}), batch AS (
    INSERT INTO millrace.batches (epoch, number, system_identifier, database_oid) VALUES ($17, $18, $19, $20))
  INSERT INTO millrace.slices (generation, start_offset, end_offset, first_line, lines, crc32, head, head_length, header,
                               records, inserted, duplicates, rejected, conflicting, epoch, batch)
  SELECT s.*, $17, $18
  FROM unnest($21::uuid[], $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[], $26::bigint[], $27::bytea[], $28::integer[],
              $29::bytea[], $30::bigint[], $31::bigint[], $32::bigint[], $33::bigint[], $34::bigint[]) AS s`;
}

const POSITIONS: Readonly<Record<Dialects, string>> = {
  one: positionsSql('one'),
  many: positionsSql('many'),
};

/** A file to be registered; `end` is what ended it in the same transaction. */
interface NewFile {
  readonly file: GenerationInfo;
  readonly end: AcceptedSlice | null;
}

/** The statement for a batch; prepared once per connection, and once more where files of several dialects meet. */
export function positionsQuery(
  setup: Setup,
  standing: Standing,
  number: number,
  settled: readonly SettledChunk[],
): QueryConfig<unknown[]> {
  const slices = settled.flatMap(({ chunk, slices: counts }) =>
    chunk.slices.map((slice, index) => ({ slice, counts: counts[index] })),
  );
  const files = newFiles(settled, standing.registered);
  const { systemIdentifier, databaseOid } = standing.cluster;
  const dialects = dialectsOf(files);
  const heads = slices.map(({ slice }) => slice.head);
  return {
    name: dialects === 'one' ? 'millrace_positions' : 'millrace_positions_many',
    text: POSITIONS[dialects],
    values: [
      setup.sourceId,
      ...fileColumns(files),
      standing.epoch,
      number,
      systemIdentifier,
      databaseOid,
      ...sliceColumns(slices.map(({ slice }) => slice)),
      hexArray(heads.map((head) => head?.hash ?? null)),
      plainArray(heads.map((head) => head?.length)),
      byteArray(slices.map(({ slice }) => slice.header)),
      plainArray(slices.map(({ slice }) => slice.records)),
      plainArray(slices.map(({ counts }) => counts?.inserted)),
      plainArray(slices.map(({ counts }) => counts?.duplicates)),
      plainArray(slices.map(({ counts }) => counts?.rejected)),
      plainArray(slices.map(({ counts }) => counts?.conflicting)),
    ],
  };
}

/** Registers files without a batch: an empty one, or one that is refused as a whole. */
export function registerQuery(setup: Setup, files: readonly GenerationInfo[]): QueryConfig<unknown[]> {
  const all = files.map((file) => ({ file, end: null }));
  return { text: filesSql(dialectsOf(all)), values: [setup.sourceId, ...fileColumns(all)] };
}

/** One array per column of `files`, in the order of `filesSql`; of the dialect one value per column where all have one. */
function fileColumns(files: readonly NewFile[]): unknown[] {
  return [
    plainArray(files.map(({ file }) => file.id)),
    files.map(({ file }) => file.name),
    byteArray(files.map(({ file }) => file.nameBytes)),
    plainArray(files.map(({ file }) => file.stamp.dev)),
    plainArray(files.map(({ file }) => file.stamp.ino)),
    plainArray(files.map(({ file }) => file.stamp.birthNs)),
    plainArray(files.map(({ file }) => file.replaces)),
    plainArray(files.map(({ end }) => end?.end)),
    plainArray(files.map(({ file, end }) => (end === null ? null : file.stamp.mtimeNs))),
    plainArray(files.map(({ file, end }) => (end === null ? null : file.stamp.ctimeNs))),
    plainArray(files.map(({ end }) => end?.blankLines)),
    ...(dialectsOf(files) === 'one'
      ? dialectValues(files[0]?.file.dialect ?? DEFAULT_DIALECT)
      : dialectColumns(files.map(({ file }) => file.dialect))),
  ];
}

function dialectsOf(files: readonly NewFile[]): Dialects {
  const first = files[0]?.file.dialect ?? DEFAULT_DIALECT;
  return files.every(({ file }) => sameDialect(file.dialect, first)) ? 'one' : 'many';
}

function sliceColumns(slices: readonly AcceptedSlice[]): string[] {
  return [
    plainArray(slices.map((slice) => slice.file.id)),
    plainArray(slices.map((slice) => slice.start)),
    plainArray(slices.map((slice) => slice.end)),
    plainArray(slices.map((slice) => slice.firstLine)),
    plainArray(slices.map((slice) => slice.lines)),
    plainArray(slices.map((slice) => slice.crc)),
  ];
}

function newFiles(settled: readonly SettledChunk[], registered: ReadonlySet<GenerationId>): NewFile[] {
  const files = new Map<GenerationId, NewFile>();
  for (const { chunk, slices } of settled)
    for (const [index, slice] of chunk.slices.entries()) {
      const { file } = slice;
      if (!registered.has(file.id)) files.set(file.id, { file, end: slices[index]?.ended ? slice : null });
    }
  return [...files.values()].toSorted((a, b) => (a.file.id < b.file.id ? -1 : 1));
}
