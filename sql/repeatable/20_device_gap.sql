-- Readings that a device numbered and that never arrived: one row per run of missing seq, per device and boot.
-- Numbers missing before the first one that arrived count only if the boot is younger than the oldest reading kept;
-- otherwise retention may have removed them. A device may send any bigint as boot or seq, so the arithmetic must not
-- overflow. Query one device or a few: `WHERE device_id = ...` uses the index.
CREATE OR REPLACE VIEW device_gap AS
WITH numbered AS (
    SELECT device_id, boot, seq, time,
           lag(seq) OVER run AS seq_before,
           lag(time) OVER run AS time_before
    FROM patient_vitals
    WHERE seq > 0
    WINDOW run AS (PARTITION BY device_id, boot ORDER BY seq, time)
)
SELECT device_id,
       boot,
       coalesce(seq_before, 0) + 1       AS first_missing,
       seq - 1                           AS last_missing,
       seq - coalesce(seq_before, 0) - 1 AS missing,
       time_before                       AS last_before,
       time                              AS first_after
FROM numbered
WHERE seq - 1 > coalesce(seq_before, 0)
  AND (seq_before IS NOT NULL
       OR boot > (SELECT extract(epoch FROM min(time)) FROM patient_vitals));
COMMENT ON VIEW device_gap IS 'runs of missing seq per device and boot; empty if nothing is missing';
