-- The books of Millrace: who reads a source, which content of which file was read how far, and what became of each
-- record. A batch only INSERTs here (two lanes that update the same rows in different order deadlock); totals are views.

CREATE TABLE millrace.leases (
  source_id  integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source     text        NOT NULL,
  target     text        NOT NULL,
  epoch      uuid        NOT NULL,
  forget     bigint      NOT NULL DEFAULT 0,
  holder     text        NOT NULL,
  taken_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (source, target)
);
COMMENT ON TABLE millrace.leases IS 'One row per source and target table: the instance that may write.';
COMMENT ON COLUMN millrace.leases.source_id IS 'Short name of the source in the other tables; also the second key of its advisory lock.';
COMMENT ON COLUMN millrace.leases.source IS 'The source, normally the absolute path of the input folder (--source names it otherwise).';
COMMENT ON COLUMN millrace.leases.target IS 'The table that this source is written to, as schema.name.';
COMMENT ON COLUMN millrace.leases.epoch IS 'Random mark of the instance that took the source over last; another one is fenced off. Random, never a counter: a counter that vanished in a crash and was raised again would let the old instance pass.';
COMMENT ON COLUMN millrace.leases.forget IS 'Raised by whoever takes rows away on purpose (reset, undo): memories of commits older than this must be dropped.';
COMMENT ON COLUMN millrace.leases.holder IS 'Host and process of that instance, for people.';
COMMENT ON COLUMN millrace.leases.taken_at IS 'When it took over. Information only: no clock decides who may write.';

CREATE TABLE millrace.files (
  generation  uuid          PRIMARY KEY,
  ordinal     bigint        GENERATED ALWAYS AS IDENTITY,
  source_id   integer       NOT NULL REFERENCES millrace.leases,
  name        text          NOT NULL,
  name_bytes  bytea         NOT NULL,
  dev         numeric(20,0) NOT NULL,
  ino         numeric(20,0) NOT NULL,
  birth_ns    bigint,
  replaces    uuid,
  state       text          NOT NULL DEFAULT 'reading' CHECK (state IN ('reading', 'done', 'refused', 'parked')),
  reason      text,
  size        bigint        CHECK (size >= 0),
  mtime_ns    bigint,
  ctime_ns    bigint,
  blank_lines bigint        NOT NULL DEFAULT 0,
  seen_at     timestamptz   NOT NULL DEFAULT clock_timestamp(),
  ended_at    timestamptz
);
CREATE INDEX files_ino ON millrace.files (source_id, ino);
CREATE INDEX files_name ON millrace.files (source_id, name_bytes);
COMMENT ON TABLE millrace.files IS 'One row per generation: one content of one file. A replaced or re-sent file is a new generation with its own books.';
COMMENT ON COLUMN millrace.files.generation IS 'Chosen at random by the engine when it first read this content.';
COMMENT ON COLUMN millrace.files.ordinal IS 'Order in which generations were written down, whatever the clock says; numbers are left out.';
COMMENT ON COLUMN millrace.files.source_id IS 'The source that it belongs to.';
COMMENT ON COLUMN millrace.files.name IS 'Path below the input folder; bytes that are not valid UTF-8 and control characters are written as \xNN.';
COMMENT ON COLUMN millrace.files.name_bytes IS 'The same path, byte for byte.';
COMMENT ON COLUMN millrace.files.dev IS 'Device number when last read; not stable over reboots.';
COMMENT ON COLUMN millrace.files.ino IS 'Inode number.';
COMMENT ON COLUMN millrace.files.birth_ns IS 'Birth time in nanoseconds since 1970, where the file system has one.';
COMMENT ON COLUMN millrace.files.replaces IS 'The generation that had this name or inode before, if any.';
COMMENT ON COLUMN millrace.files.state IS 'reading; done: wholly committed and nothing more expected; refused: not read at all, see reason; parked: stopped in the middle, see reason.';
COMMENT ON COLUMN millrace.files.reason IS 'Why it was refused or parked, in a sentence.';
COMMENT ON COLUMN millrace.files.size IS 'Bytes when it was found done, refused or parked.';
COMMENT ON COLUMN millrace.files.mtime_ns IS 'Modification time at that moment; a later one without growth means: compare the content again.';
COMMENT ON COLUMN millrace.files.ctime_ns IS 'Change time at that moment.';
COMMENT ON COLUMN millrace.files.blank_lines IS 'Blank lines skipped; filled in when the file is done.';
COMMENT ON COLUMN millrace.files.seen_at IS 'When its first slice was written down.';
COMMENT ON COLUMN millrace.files.ended_at IS 'When it became done, refused or parked.';

CREATE TABLE millrace.batches (
  epoch             uuid        NOT NULL,
  number            bigint      NOT NULL,
  xid               xid8        NOT NULL DEFAULT pg_current_xact_id(),
  system_identifier bigint      NOT NULL,
  database_oid      oid         NOT NULL,
  committed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  undone_at         timestamptz,
  PRIMARY KEY (epoch, number)
);
COMMENT ON TABLE millrace.batches IS 'One row per committed transaction. Its presence is the proof of the commit when the answer to COMMIT was lost.';
COMMENT ON COLUMN millrace.batches.epoch IS 'The instance that wrote it (leases.epoch at that time).';
COMMENT ON COLUMN millrace.batches.number IS 'Number of the batch within that instance, in the order in which chunks left dedup.';
COMMENT ON COLUMN millrace.batches.xid IS 'Transaction id. Rows inserted by the batch carry it as xmin, so a row can be traced to its batch and files.';
COMMENT ON COLUMN millrace.batches.system_identifier IS 'Cluster in which xid means something.';
COMMENT ON COLUMN millrace.batches.database_oid IS 'Database in which xid means something.';
COMMENT ON COLUMN millrace.batches.committed_at IS 'Just before COMMIT, by the server''s clock.';
COMMENT ON COLUMN millrace.batches.undone_at IS 'When its rows were taken away again, if they were. The row itself is never deleted by an undo.';

CREATE TABLE millrace.slices (
  generation   uuid    NOT NULL REFERENCES millrace.files,
  start_offset bigint  NOT NULL CHECK (start_offset >= 0),
  end_offset   bigint  NOT NULL CHECK (end_offset >= start_offset),
  first_line   bigint  NOT NULL,
  lines        bigint  NOT NULL,
  crc32        bigint  NOT NULL,
  head         bytea,
  head_length  integer,
  records      bigint  NOT NULL,
  inserted     bigint  NOT NULL,
  duplicates   bigint  NOT NULL,
  rejected     bigint  NOT NULL,
  epoch        uuid    NOT NULL,
  batch        bigint  NOT NULL,
  merged_xids  xid8[],
  PRIMARY KEY (generation, start_offset),
  FOREIGN KEY (epoch, batch) REFERENCES millrace.batches,
  CHECK (records = inserted + duplicates + rejected),
  CHECK ((head IS NULL) = (head_length IS NULL))
);
COMMENT ON TABLE millrace.slices IS 'The checkpoint: which bytes of which generation are committed, and the books of each range. Half-open ranges [start, end).';
COMMENT ON COLUMN millrace.slices.generation IS 'The content that it is a range of.';
COMMENT ON COLUMN millrace.slices.start_offset IS 'First byte. The first slice of a file begins at 0 and contains the header.';
COMMENT ON COLUMN millrace.slices.end_offset IS 'Byte after the last; always a record boundary.';
COMMENT ON COLUMN millrace.slices.first_line IS 'Number of the physical line on which it begins; the first line of a file is 1.';
COMMENT ON COLUMN millrace.slices.lines IS 'Physical lines in it.';
COMMENT ON COLUMN millrace.slices.crc32 IS 'CRC-32 (IEEE, as zlib) of its bytes; tells whether committed bytes were overwritten.';
COMMENT ON COLUMN millrace.slices.head IS 'SHA-256 of the first head_length bytes of the file, kept with slices that begin below 64 KiB.';
COMMENT ON COLUMN millrace.slices.head_length IS 'min(64 KiB, end_offset).';
COMMENT ON COLUMN millrace.slices.records IS 'Records that begin in it; blank lines and the header are not records.';
COMMENT ON COLUMN millrace.slices.inserted IS 'Records that became rows.';
COMMENT ON COLUMN millrace.slices.duplicates IS 'Records whose key was already stored.';
COMMENT ON COLUMN millrace.slices.rejected IS 'Records refused by a rule or by the database.';
COMMENT ON COLUMN millrace.slices.epoch IS 'With batch: the transaction that wrote it (of merged slices: the last one).';
COMMENT ON COLUMN millrace.slices.batch IS 'See epoch.';
COMMENT ON COLUMN millrace.slices.merged_xids IS 'Transaction ids of all batches when small neighbouring slices were merged; NULL otherwise.';
CREATE INDEX slices_batch ON millrace.slices (epoch, batch);

CREATE TABLE millrace.rejects (
  generation  uuid        NOT NULL REFERENCES millrace.files,
  byte_offset bigint      NOT NULL,
  line        bigint      NOT NULL,
  field       integer,
  column_name text,
  code        text        NOT NULL,
  sentence    text        NOT NULL,
  raw         bytea,
  raw_length  bigint      NOT NULL,
  records     bigint      NOT NULL DEFAULT 1,
  epoch       uuid        NOT NULL,
  batch       bigint      NOT NULL,
  rejected_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (generation, byte_offset)
);
COMMENT ON TABLE millrace.rejects IS 'Quarantine: the records that were refused, as they stood in the file.';
COMMENT ON COLUMN millrace.rejects.generation IS 'The content that the record stands in.';
COMMENT ON COLUMN millrace.rejects.byte_offset IS 'Where the record begins.';
COMMENT ON COLUMN millrace.rejects.line IS 'Physical line on which the record begins; the first line of a file is 1.';
COMMENT ON COLUMN millrace.rejects.field IS 'Number of the offending field in the header, from 1; NULL when the whole record is at fault.';
COMMENT ON COLUMN millrace.rejects.column_name IS 'Name of that column as the header writes it.';
COMMENT ON COLUMN millrace.rejects.code IS 'Stable code of the reason.';
COMMENT ON COLUMN millrace.rejects.sentence IS 'The reason for people; for database refusals the database''s own words.';
COMMENT ON COLUMN millrace.rejects.raw IS 'The record''s bytes, at most the first 64 KiB of them, without the line end.';
COMMENT ON COLUMN millrace.rejects.raw_length IS 'Length of the whole record in bytes.';
COMMENT ON COLUMN millrace.rejects.records IS '1; more in the row that stands for all further rejects of a range once a file has had --rejects-max-per-file of them.';
COMMENT ON COLUMN millrace.rejects.epoch IS 'With batch: the transaction that wrote it.';
COMMENT ON COLUMN millrace.rejects.batch IS 'See epoch.';
COMMENT ON COLUMN millrace.rejects.rejected_at IS 'When it was written down.';

CREATE TABLE millrace.deferred_indexes (
  target     text        NOT NULL,
  name       text        NOT NULL,
  definition text        NOT NULL,
  dropped_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (target, name)
);
COMMENT ON TABLE millrace.deferred_indexes IS 'Indexes dropped for a first load that must be built again; written in the transaction that drops them.';
COMMENT ON COLUMN millrace.deferred_indexes.target IS 'Table, as schema.name.';
COMMENT ON COLUMN millrace.deferred_indexes.name IS 'Name of the index.';
COMMENT ON COLUMN millrace.deferred_indexes.definition IS 'The CREATE INDEX statement.';
COMMENT ON COLUMN millrace.deferred_indexes.dropped_at IS 'When it was dropped.';

CREATE VIEW millrace.file_totals AS
WITH marked AS (
  SELECT *, max(end_offset) OVER (PARTITION BY generation ORDER BY start_offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach
  FROM millrace.slices
), prefix AS (
  SELECT *, bool_and(coalesce(reach, 0) = start_offset) OVER (PARTITION BY generation ORDER BY start_offset) AS contiguous
  FROM marked
), totals AS (
  SELECT generation, max(end_offset) FILTER (WHERE contiguous) AS position, sum(lines)::bigint AS lines, sum(records)::bigint AS records,
         sum(inserted)::bigint AS inserted, sum(duplicates)::bigint AS duplicates, sum(rejected)::bigint AS rejected
  FROM prefix GROUP BY generation
)
SELECT f.source_id, f.generation, f.name, f.state, f.reason, f.size, f.seen_at, f.ended_at,
       coalesce(t.position, 0) AS position, coalesce(t.lines, 0) AS lines, coalesce(t.records, 0) AS records,
       coalesce(t.inserted, 0) AS inserted, coalesce(t.duplicates, 0) AS duplicates, coalesce(t.rejected, 0) AS rejected
FROM millrace.files f LEFT JOIN totals t USING (generation);
COMMENT ON VIEW millrace.file_totals IS 'The books per generation: records = inserted + duplicates + rejected; position is the end of the contiguous committed prefix.';
COMMENT ON COLUMN millrace.file_totals.position IS 'Everything before this byte is committed.';
