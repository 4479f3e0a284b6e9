-- The time of arrival as a delay in milliseconds: as a timestamptz with microseconds it took 3 of 8.7 bytes of a reading
-- in the columnstore. Only the catalog changes, so the migration takes as long on a large table as on an empty one, and
-- chunks in the columnstore are not converted. Readings stored before it keep received_at; repeatable/15_arrival.sql
-- reads both. DROP NOT NULL on a table with a columnstore needs TimescaleDB 2.18, as VitalFlow does.
ALTER TABLE patient_vitals ADD COLUMN arrival_lag_ms bigint;
ALTER TABLE patient_vitals ALTER COLUMN received_at DROP NOT NULL;
COMMENT ON COLUMN patient_vitals.arrival_lag_ms IS
    'milliseconds from time to arrival at ingest, rounded up; negative if the clock is ahead; see arrival_time()';
COMMENT ON COLUMN patient_vitals.received_at IS
    'time of arrival of a reading stored by an earlier version, otherwise NULL; see arrival_time()';
