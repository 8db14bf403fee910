-- How a content was read, kept with it: whoever opens the file again (undo, rejects, verify, why, diff) reads it in the same way, whatever
-- the options say today. And where a file went when it was archived. Written with the first slice, in the statement that writes the file.

ALTER TABLE millrace.files
  ADD COLUMN newline     text   NOT NULL DEFAULT 'lf' CHECK (newline IN ('lf', 'cr')),
  ADD COLUMN delimiter   text,
  ADD COLUMN nulls       text[] NOT NULL DEFAULT '{}',
  ADD COLUMN encoding    text   NOT NULL DEFAULT 'auto',
  ADD COLUMN archived_to text;
COMMENT ON COLUMN millrace.files.newline IS 'What ended its records (--newline): lf (also CR LF) or cr. This and the next three columns say how this content was read; contents that were read before they were kept have the defaults.';
COMMENT ON COLUMN millrace.files.delimiter IS 'What separated its fields (--delimiter), one character; NULL: the one of comma, semicolon, tab and pipe that yields the column names of its header.';
COMMENT ON COLUMN millrace.files.nulls IS 'Words that meant NULL when they were all of a field (--null).';
COMMENT ON COLUMN millrace.files.encoding IS 'Its encoding (--encoding); auto: UTF-8, or the UTF-16 whose byte order mark it begins with.';
COMMENT ON COLUMN millrace.files.archived_to IS 'The folder that --after archive moves it to once it is done; it has its own name there, with .1, .2 and so on behind it where that was taken. NULL: it stays.';
COMMENT ON COLUMN millrace.files.size IS 'Bytes of the file when it was found done, refused or parked. Of a compressed file the compressed ones: offsets are those of its unpacked content, whose length is file_totals.position when it is done.';

-- What ends the header ended the records.
UPDATE millrace.files f SET newline = 'cr'
  FROM millrace.slices s WHERE s.generation = f.generation AND s.start_offset = 0 AND substring(s.header FROM length(s.header)) = '\x0d';

COMMENT ON COLUMN millrace.file_totals.source_id IS 'The source that it belongs to.';
COMMENT ON COLUMN millrace.file_totals.generation IS 'One content of one file.';
COMMENT ON COLUMN millrace.file_totals.name IS 'Path below the input folder; bytes that are not valid UTF-8 and control characters are written as \xNN.';
COMMENT ON COLUMN millrace.file_totals.state IS 'reading, done, refused, parked or undone, as in files.state.';
COMMENT ON COLUMN millrace.file_totals.reason IS 'Why it was refused or parked, in a sentence.';
COMMENT ON COLUMN millrace.file_totals.size IS 'Bytes of the file, compressed ones of a compressed file, when it was found done, refused or parked.';
COMMENT ON COLUMN millrace.file_totals.seen_at IS 'When its first slice was written down.';
COMMENT ON COLUMN millrace.file_totals.ended_at IS 'When it became done, refused, parked or undone.';
COMMENT ON COLUMN millrace.file_totals.position IS 'Everything before this byte is committed; of a compressed file this byte of its unpacked content.';
COMMENT ON COLUMN millrace.file_totals.lines IS 'Physical lines committed, the header among them.';
COMMENT ON COLUMN millrace.file_totals.records IS 'Records committed; always inserted + duplicates + rejected.';
COMMENT ON COLUMN millrace.file_totals.inserted IS 'Records that became rows.';
COMMENT ON COLUMN millrace.file_totals.duplicates IS 'Records whose key was already stored.';
COMMENT ON COLUMN millrace.file_totals.rejected IS 'Records refused by a rule or by the database; they stand in millrace.rejects.';
