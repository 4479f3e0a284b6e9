-- The time of the oldest reading, NULL without one. From the first chunk that is not empty: the planner opens every chunk
-- for min(time), which took 200 ms for 1,100 chunks. SECURITY DEFINER, so that a reader of one ward gets the same.
CREATE OR REPLACE FUNCTION oldest_reading() RETURNS timestamptz LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    chunk record;
    oldest timestamptz;
BEGIN
    FOR chunk IN
        SELECT slice.range_start, slice.range_end FROM _timescaledb_catalog.hypertable
        JOIN _timescaledb_catalog.dimension ON dimension.hypertable_id = hypertable.id
        JOIN _timescaledb_catalog.dimension_slice AS slice ON slice.dimension_id = dimension.id
        WHERE hypertable.schema_name = 'public' AND hypertable.table_name = 'patient_vitals'
        ORDER BY slice.range_start
    LOOP
        EXECUTE format('SELECT min(time) FROM patient_vitals WHERE time >= %L AND time < %L',
                       _timescaledb_functions.to_timestamp(chunk.range_start),
                       _timescaledb_functions.to_timestamp(chunk.range_end)) INTO oldest;
        EXIT WHEN oldest IS NOT NULL;
    END LOOP;
    RETURN oldest;
END $$;
COMMENT ON FUNCTION oldest_reading IS 'the time of the oldest stored reading';

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
       OR boot > (SELECT extract(epoch FROM oldest_reading())));
COMMENT ON VIEW device_gap IS 'runs of missing seq per device and boot; empty if nothing is missing';
