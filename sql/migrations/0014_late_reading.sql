-- Late readings belong to old chunks, on which a conversion to the columnstore may hold a lock. Ingest commits them here,
-- beside the readings in time, and its thread `late` moves them into patient_vitals. jsonb, so that a row that waits
-- survives a migration that adds a sign.
CREATE TABLE late_reading (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reading      jsonb       NOT NULL,
    set_aside_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE late_reading IS 'late readings that are stored, and not yet moved into patient_vitals';
COMMENT ON COLUMN late_reading.reading IS 'a row of patient_vitals';
