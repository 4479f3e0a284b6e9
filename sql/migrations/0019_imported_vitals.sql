-- Readings that `vitalflow import` has stored, with their original times. Not in patient_vitals: its chunks of a day are
-- dropped after the raw retention, and queries of the live ward open each of them.
CREATE TABLE imported_vitals (
    LIKE patient_vitals INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS,
    PRIMARY KEY (device_id, time, boot, seq)
);
SELECT create_hypertable('imported_vitals', by_range('time', INTERVAL '30 days'), create_default_indexes => false);
COMMENT ON TABLE imported_vitals IS
    'one row per imported reading; retention does not drop them. Those that retention would keep are in patient_vitals too';
COMMENT ON COLUMN imported_vitals.seq IS 'a negative digest of the content, by which a second import finds the reading';
COMMENT ON COLUMN imported_vitals.arrival_lag_ms IS 'milliseconds from time to the import; see arrival_time()';
