-- What quarantine, error budget and undo need: the header behind the records of a file, a person's word that reading goes on, and a
-- state for a file whose rows were taken away again.

ALTER TABLE millrace.slices ADD COLUMN header bytea;
COMMENT ON COLUMN millrace.slices.header IS 'Bytes of the file from 0 to the end of its header, kept with the slice that begins there: the records in quarantine can be read again with it when the file is gone.';
COMMENT ON COLUMN millrace.slices.merged_xids IS 'Transaction ids of all batches that wrote rows of this range, when there was more than one: small neighbouring slices were merged, or records were replayed out of quarantine. NULL: the one of its batch.';

ALTER TABLE millrace.files ADD COLUMN resumed_at timestamptz;
COMMENT ON COLUMN millrace.files.resumed_at IS 'When a person decided to read on in a file that was parked; --rejects-max and --rejects-max-share do not stop it again.';

ALTER TABLE millrace.files DROP CONSTRAINT files_state_check;
ALTER TABLE millrace.files ADD CONSTRAINT files_state_check CHECK (state IN ('reading', 'done', 'refused', 'parked', 'undone'));
COMMENT ON COLUMN millrace.files.state IS 'reading; done: wholly committed and nothing more expected; refused: not read at all, see reason; parked: stopped in the middle, see reason; undone: its rows and its books were taken away, and this content is not read again.';

COMMENT ON COLUMN millrace.batches.undone_at IS 'When rows of it were taken away by an undo. Those of the other files in the same transaction are still there. The row itself is never deleted by an undo.';
