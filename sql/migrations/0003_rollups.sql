-- What the rollups need to keep: their periods, what they were made from, and where late readings touched them.
-- The rollups themselves are made by sql/editions/, because the two editions of TimescaleDB make them differently.

-- The periods of the settings, as `python -m sql migrate` was last told them.
CREATE TABLE vitalflow_period (
    name   text     PRIMARY KEY CHECK (name IN ('raw_retention', 'minute_retention', 'compress_after', 'late_after')),
    period interval NOT NULL
);

-- The edition that this database was last migrated on: a database never changes it without a word.
CREATE TABLE vitalflow_edition (
    only_one  boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    community boolean NOT NULL
);

-- The query that each rollup was made with. A rollup whose query has become another one is made again.
CREATE TABLE vitalflow_rollup (
    name  text PRIMARY KEY,
    query text NOT NULL
);

-- A stretch of readings that new rollups have still to take in. `python -m sql migrate` goes on from `done_to`.
CREATE TABLE vitalflow_backfill (
    id      integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    done_to timestamptz NOT NULL,
    until   timestamptz NOT NULL
);

-- Minutes that readings touched which came later than the refresh policies look back. Ingest notes them in the
-- transaction that stores the readings; the job that refreshes them deletes the notes it has read, and no others.
-- Without a key on `minute`: a note that comes while its minute is being refreshed must not be taken for the old one.
CREATE TABLE late_bucket (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    minute   timestamptz NOT NULL,
    readings integer     NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now()
);

-- How much of it was done, since the database was made.
CREATE TABLE late_total (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    readings bigint  NOT NULL DEFAULT 0,
    minutes  bigint  NOT NULL DEFAULT 0,
    last_at  timestamptz
);
COMMENT ON COLUMN late_total.minutes IS 'minutes refreshed; one that readings touched late twice may count twice';
INSERT INTO late_total DEFAULT VALUES;

-- Readings arrive in the order of received_at, so a block range index finds them and is some kB a day.
CREATE INDEX patient_vitals_received_at ON patient_vitals USING brin (received_at);
