-- Refresh on request and after late readings. Procedures without a search_path of their own, because a refresh commits,
-- which a procedure with SET clauses may not.

-- The earliest time from which a rollup may be refreshed. Retention may have dropped older rows of its source, and a
-- refresh before that time would delete the rollup's rows for them.
CREATE OR REPLACE FUNCTION rollup_floor(rollup text) RETURNS timestamptz LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
    SELECT min(chunk.range_start)
    FROM rollup_queries() q
    JOIN timescaledb_information.chunks chunk
      ON format('%I.%I', chunk.hypertable_schema, chunk.hypertable_name)::regclass
       = coalesce(rollup_table(q.source), q.source::regclass)
    WHERE q.name = rollup
$$;

-- Refresh one rollup: every complete bucket that overlaps from_time to to_time.
CREATE OR REPLACE PROCEDURE refresh_rollup(rollup text, from_time timestamptz, to_time timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    -- In seconds: a day has 23 or 25 hours in a session whose time zone changes to or from summer time.
    width interval := (SELECT make_interval(secs => extract(epoch FROM q.bucket_width)::float8)
                       FROM public.rollup_queries() q WHERE q.name = rollup);
    first_bucket timestamptz := public.time_bucket(width, greatest(from_time, public.rollup_floor(rollup)));
    end_of_last timestamptz := least(public.time_bucket(width, to_time - interval '1 microsecond') + width,
                                     public.time_bucket(width, now()));
BEGIN
    -- A late minute of many devices changes a segment of the columnstore of each; see repeatable/10_roles.sql.
    PERFORM set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', false);
    IF public.rollup_floor(rollup) IS NOT NULL AND first_bucket < end_of_last THEN
        CALL public.refresh_continuous_aggregate(format('public.%I', rollup)::regclass, first_bucket, end_of_last);
        -- TimescaleDB records the invalidations for the levels above at the end of the transaction; without this COMMIT
        -- the next level finds nothing to refresh.
        COMMIT;
    END IF;
END $$;

-- Refresh all rollups over a range, each after its source.
CREATE OR REPLACE PROCEDURE refresh_rollups(from_time timestamptz, to_time timestamptz) LANGUAGE plpgsql AS $$
DECLARE
    rollup text;
BEGIN
    FOREACH rollup IN ARRAY (SELECT array_agg(name ORDER BY refresh_order) FROM public.rollup_queries()) LOOP
        CALL public.refresh_rollup(rollup, from_time, to_time);
    END LOOP;
END $$;

-- Job: refresh the buckets that ingest recorded in rollup_invalidation, at most config.minutes of them per run. If it
-- fails, the rows stay and the next run retries; nothing else depends on it.
CREATE OR REPLACE PROCEDURE refresh_invalidated_buckets(job_id integer, config jsonb) LANGUAGE plpgsql AS $$
DECLARE
    invalidations bigint[];
    late_minutes timestamptz[];
    late_readings bigint;
    rollup record;
    bucket tstzrange;
    buckets tstzrange[];
BEGIN
    WITH chosen AS (
        SELECT minute FROM public.rollup_invalidation GROUP BY minute ORDER BY min(id) LIMIT (config ->> 'minutes')::integer
    )
    SELECT array_agg(id), array_agg(DISTINCT minute), sum(readings) INTO invalidations, late_minutes, late_readings
    FROM public.rollup_invalidation JOIN chosen USING (minute);
    IF invalidations IS NULL THEN
        RETURN;
    END IF;
    FOR rollup IN SELECT * FROM public.rollup_queries() ORDER BY refresh_order LOOP
        SELECT array_agg(stretch) INTO buckets
        FROM (SELECT unnest(range_agg(tstzrange(start, start + rollup.bucket_width))) AS stretch
              FROM (SELECT public.time_bucket(rollup.bucket_width, minute) AS start FROM unnest(late_minutes) AS minute));
        FOREACH bucket IN ARRAY buckets LOOP
            CALL public.refresh_rollup(rollup.name, lower(bucket), upper(bucket));
        END LOOP;
    END LOOP;
    DELETE FROM public.rollup_invalidation WHERE id = ANY (invalidations);
    UPDATE public.rollup_invalidation_stats
    SET readings = readings + late_readings, minutes = minutes + cardinality(late_minutes), last_at = now();
END $$;

-- Retention is a policy in this edition, so ingest has nothing to drop.
CREATE OR REPLACE FUNCTION drop_old_readings() RETURNS integer LANGUAGE sql SET search_path = public, pg_temp AS $$
    SELECT 0
$$;
