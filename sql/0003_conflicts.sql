-- Duplicates with another content: the same key, other values. The first one committed wins; the loser is a duplicate, counted once more
-- here, and kept in quarantine with code duplicate_conflict (which does not count as rejected).

ALTER TABLE millrace.slices
  ADD COLUMN conflicting bigint NOT NULL DEFAULT 0,
  ADD CONSTRAINT slices_conflicting_check CHECK (conflicting BETWEEN 0 AND duplicates);
COMMENT ON COLUMN millrace.slices.conflicting IS 'Of the duplicates, those whose values are not those of the row that is stored.';
COMMENT ON COLUMN millrace.rejects.code IS 'Stable code of the reason. A duplicate_conflict is no reject but a duplicate with other values than the stored row: it is not counted in slices.rejected.';

CREATE OR REPLACE VIEW millrace.file_totals AS
WITH marked AS (
  SELECT *, max(end_offset) OVER (PARTITION BY generation ORDER BY start_offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach
  FROM millrace.slices
), prefix AS (
  SELECT *, bool_and(coalesce(reach, 0) = start_offset) OVER (PARTITION BY generation ORDER BY start_offset) AS contiguous
  FROM marked
), totals AS (
  SELECT generation, max(end_offset) FILTER (WHERE contiguous) AS position, sum(lines)::bigint AS lines, sum(records)::bigint AS records,
         sum(inserted)::bigint AS inserted, sum(duplicates)::bigint AS duplicates, sum(rejected)::bigint AS rejected,
         sum(conflicting)::bigint AS conflicting
  FROM prefix GROUP BY generation
)
SELECT f.source_id, f.generation, f.name, f.state, f.reason, f.size, f.seen_at, f.ended_at,
       coalesce(t.position, 0) AS position, coalesce(t.lines, 0) AS lines, coalesce(t.records, 0) AS records,
       coalesce(t.inserted, 0) AS inserted, coalesce(t.duplicates, 0) AS duplicates, coalesce(t.rejected, 0) AS rejected,
       coalesce(t.conflicting, 0) AS conflicting
FROM millrace.files f LEFT JOIN totals t USING (generation);
COMMENT ON COLUMN millrace.file_totals.conflicting IS 'Of the duplicates, those with other values than the row that is stored.';
