-- State of the rollups: periods, queries, and the minutes that late readings changed. The rollups themselves are
-- created by sql/editions/, because they differ between the two editions of TimescaleDB.

-- The periods of the settings, as last applied by `vitalflow db migrate`.
CREATE TABLE vitalflow_period (
    name   text     PRIMARY KEY CHECK (name IN ('raw_retention', 'minute_retention', 'compress_after', 'late_after')),
    period interval NOT NULL
);

-- The edition that this database was last migrated on. A change is logged or refused.
CREATE TABLE vitalflow_edition (
    only_one  boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    community boolean NOT NULL
);

-- The query that each rollup was created with. A rollup whose query changed is created again.
CREATE TABLE vitalflow_rollup (
    name  text PRIMARY KEY,
    query text NOT NULL
);

-- Readings that new rollups do not include yet. `vitalflow db migrate` continues from `done_to`.
CREATE TABLE vitalflow_backfill (
    id      integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    done_to timestamptz NOT NULL,
    until   timestamptz NOT NULL
);

-- Minutes of readings that arrived too late for the refresh policies. Ingest inserts them in the transaction that
-- stores the readings; the job that refreshes them deletes the rows it has read, and no others. No key on `minute`: a
-- row inserted while its minute is being refreshed must not be merged with the old one.
CREATE TABLE late_bucket (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    minute   timestamptz NOT NULL,
    readings integer     NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now()
);

-- How many of them were refreshed since the database was created.
CREATE TABLE late_total (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    readings bigint  NOT NULL DEFAULT 0,
    minutes  bigint  NOT NULL DEFAULT 0,
    last_at  timestamptz
);
COMMENT ON COLUMN late_total.minutes IS 'minutes refreshed; one that readings touched late twice may count twice';
INSERT INTO late_total DEFAULT VALUES;

-- Readings arrive in the order of received_at, so a block range index finds them and takes some kB a day.
CREATE INDEX patient_vitals_received_at ON patient_vitals USING brin (received_at);
