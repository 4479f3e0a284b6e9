-- How far each rollup is refreshed, and the result of comparing it with the readings, a day at a time.

-- The jobs and `vitalflow db migrate` continue from `refreshed_to`, however long they did not run.
CREATE TABLE rollup_progress (
    rollup       text        PRIMARY KEY,
    refreshed_to timestamptz NOT NULL,
    changed_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN rollup_progress.refreshed_to IS 'every bucket before it is materialized; later ones are computed when queried';

-- `migrate` continues from rollup_progress. A database of an earlier version starts at its oldest readings, which repairs
-- what its policies had skipped.
DROP TABLE vitalflow_backfill;

CREATE TABLE rollup_check (
    day        timestamptz NOT NULL,
    rollup     text        NOT NULL,
    readings   bigint      NOT NULL,
    rolled_up  bigint      NOT NULL,
    checked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (day, rollup)
);
COMMENT ON TABLE rollup_check IS 'per UTC day: number of readings, and how many of them each rollup has';
COMMENT ON COLUMN rollup_check.readings IS 'in patient_vitals; for sequence_1h those with a sequence number';
