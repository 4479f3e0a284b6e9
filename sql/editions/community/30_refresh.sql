-- Refreshing by hand and after late readings. These are procedures without a search_path of their own, because a
-- refresh commits, which a procedure with settings may not.

-- The oldest moment that a rollup may be refreshed from. What it is made of may be gone already, by retention, and a
-- refresh further back would delete what it remembers of that.
CREATE OR REPLACE FUNCTION rollup_floor(rollup text) RETURNS timestamptz LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
    SELECT min(chunk.range_start)
    FROM rollup_queries() made
    JOIN timescaledb_information.chunks chunk
      ON format('%I.%I', chunk.hypertable_schema, chunk.hypertable_name)::regclass
       = coalesce(rollup_table(made.source), made.source::regclass)
    WHERE made.name = rollup
$$;

-- Refresh one rollup: every bucket that from_time to to_time touches and that is over.
CREATE OR REPLACE PROCEDURE refresh_rollup(rollup text, from_time timestamptz, to_time timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    width interval := (SELECT made.bucket_width FROM public.rollup_queries() made WHERE made.name = rollup);
    first_bucket timestamptz := public.time_bucket(width, greatest(from_time, public.rollup_floor(rollup)));
    behind_last timestamptz := least(public.time_bucket(width, to_time - interval '1 microsecond') + width,
                                     public.time_bucket(width, now()));
BEGIN
    -- A late minute of many devices touches a segment of the columnstore of each; see always/10_roles.sql.
    PERFORM set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', false);
    IF public.rollup_floor(rollup) IS NOT NULL AND first_bucket < behind_last THEN
        CALL public.refresh_continuous_aggregate(format('public.%I', rollup)::regclass, first_bucket, behind_last);
        -- What a refresh has changed is noted for the rollups above at the end of its transaction, which it leaves to
        -- us; without this the next level finds nothing to do.
        COMMIT;
    END IF;
END $$;

-- Refresh all rollups over a range, each after the one it is made of.
CREATE OR REPLACE PROCEDURE refresh_rollups(from_time timestamptz, to_time timestamptz) LANGUAGE plpgsql AS $$
DECLARE
    rollup text;
BEGIN
    FOREACH rollup IN ARRAY (SELECT array_agg(name ORDER BY refresh_order) FROM public.rollup_queries()) LOOP
        CALL public.refresh_rollup(rollup, from_time, to_time);
    END LOOP;
END $$;

-- The job that takes late readings into the rollups: the buckets that ingest noted, and only those, at most
-- config.minutes of them a run. If it fails, its notes stay and the next run tries again; nobody else waits for it.
CREATE OR REPLACE PROCEDURE refresh_invalidated_buckets(job_id integer, config jsonb) LANGUAGE plpgsql AS $$
DECLARE
    notes bigint[];
    late_minutes timestamptz[];
    late_readings bigint;
    rollup record;
    bucket tstzrange;
    buckets tstzrange[];
BEGIN
    WITH chosen AS (
        SELECT minute FROM public.rollup_invalidation GROUP BY minute ORDER BY min(id) LIMIT (config ->> 'minutes')::integer
    )
    SELECT array_agg(id), array_agg(DISTINCT minute), sum(readings) INTO notes, late_minutes, late_readings
    FROM public.rollup_invalidation JOIN chosen USING (minute);
    IF notes IS NULL THEN
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
    DELETE FROM public.rollup_invalidation WHERE id = ANY (notes);
    UPDATE public.rollup_invalidation_stats
    SET readings = readings + late_readings, minutes = minutes + cardinality(late_minutes), last_at = now();
END $$;

-- Retention is a policy here, so there is nothing for ingest to do.
CREATE OR REPLACE FUNCTION drop_old_readings() RETURNS integer LANGUAGE sql SET search_path = public, pg_temp AS $$
    SELECT 0
$$;
