-- The refresh of the rollups. Not by TimescaleDB's refresh policies: their windows have a fixed length, so what was
-- stored before a longer stop of the jobs or of the server would never be materialized, although every later run says
-- Success. The jobs here continue from `rollup_progress`.
--
-- Procedures without a search_path of their own, because a refresh commits, which a procedure with SET clauses may not.

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

-- The width of a rollup's buckets. In seconds: a day has 23 or 25 hours in a session whose time zone changes to or from
-- summer time.
CREATE OR REPLACE FUNCTION rollup_width(rollup text) RETURNS interval LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
    SELECT make_interval(secs => extract(epoch FROM bucket_width)::float8) FROM rollup_queries() WHERE name = rollup
$$;

-- How far back every refresh looks: readings up to `late_after` old are not recorded as late. The hour is for a
-- transaction that began before a refresh and was committed after it.
CREATE OR REPLACE FUNCTION refresh_reach() RETURNS interval LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT period + interval '1 hour' FROM retention_setting WHERE name = 'late_after'
$$;

-- Refresh the buckets of one rollup from `from_time` on that end at `end_time` or before. TimescaleDB computes only those
-- whose source changed. The readings before `end_time` must have been materialized, or must be in this range: a refresh
-- moves the watermark to its end, and what lies before it is no longer computed when queried.
CREATE OR REPLACE PROCEDURE materialize_rollup(rollup text, from_time timestamptz, end_time timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    width interval := public.rollup_width(rollup);
    oldest timestamptz := public.rollup_floor(rollup);
    first_bucket timestamptz := public.time_bucket(width, greatest(from_time, oldest));
    end_of_last timestamptz := public.time_bucket(width, end_time);
BEGIN
    -- A late minute of many devices changes a segment of the columnstore of each; see repeatable/10_roles.sql.
    PERFORM set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', false);
    IF oldest IS NOT NULL AND first_bucket < end_of_last THEN
        CALL public.refresh_continuous_aggregate(format('public.%I', rollup)::regclass, first_bucket, end_of_last);
        -- TimescaleDB records the invalidations for the levels above at the end of the transaction; without this COMMIT
        -- the next level finds nothing to refresh.
        COMMIT;
    END IF;
END $$;

-- Refresh every bucket of one rollup that overlaps from_time to to_time, up to its progress.
CREATE OR REPLACE PROCEDURE refresh_rollup(rollup text, from_time timestamptz, to_time timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    width interval := public.rollup_width(rollup);
    progress timestamptz := (SELECT refreshed_to FROM public.rollup_progress AS p WHERE p.rollup = refresh_rollup.rollup);
BEGIN
    CALL public.materialize_rollup(
        rollup, from_time, least(progress, public.time_bucket(width, to_time - interval '1 microsecond') + width));
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

-- Refresh all rollups from where they are to `until`, or to the next midnight UTC if that is earlier, and record it.
CREATE OR REPLACE PROCEDURE advance_rollups(until timestamptz) LANGUAGE plpgsql AS $$
DECLARE
    rollup record;
    progress record;
    piece_end timestamptz;
    target timestamptz;
BEGIN
    -- Of the session, because it has to outlast the COMMITs. The end of the session releases it after an error.
    PERFORM pg_advisory_lock(hashtext('vitalflow rollups'));
    SELECT least(until, public.time_bucket('1 day', refreshed_to) + interval '24 hours') INTO piece_end
    FROM public.rollup_progress WHERE rollup_progress.rollup = 'vitals_1m';
    -- A rollup is refreshed no further than its source. So a change of the source that is not recorded as late is always
    -- later than the progress of the rollup minus refresh_reach(), where the next refresh begins.
    FOR rollup IN SELECT * FROM public.rollup_queries() ORDER BY refresh_order LOOP
        SELECT * INTO progress FROM public.rollup_progress WHERE rollup_progress.rollup = rollup.name;
        target := greatest(progress.refreshed_to, public.time_bucket(rollup.bucket_width, least(piece_end,
            (SELECT refreshed_to FROM public.rollup_progress WHERE rollup_progress.rollup = rollup.source))));
        -- A bucket of an hour made of readings is expensive, and a few late readings change it every minute.
        CONTINUE WHEN rollup.source = 'patient_vitals' AND rollup.bucket_width > interval '1 minute'
                  AND target = progress.refreshed_to AND progress.changed_at > now() - interval '15 minutes';
        CALL public.materialize_rollup(rollup.name, progress.refreshed_to - public.refresh_reach(), target);
        UPDATE public.rollup_progress SET refreshed_to = target, changed_at = now()
        WHERE rollup_progress.rollup = rollup.name;
        COMMIT;
    END LOOP;
    PERFORM pg_advisory_unlock(hashtext('vitalflow rollups'));
END $$;

-- Refresh the buckets that ingest recorded in rollup_invalidation, at most `minutes` of them.
CREATE OR REPLACE PROCEDURE refresh_invalidated_buckets(minutes integer) LANGUAGE plpgsql AS $$
DECLARE
    invalidations bigint[];
    late_minutes timestamptz[];
    late_readings bigint;
    rollup record;
    bucket tstzrange;
    buckets tstzrange[];
BEGIN
    WITH chosen AS (
        SELECT minute FROM public.rollup_invalidation GROUP BY minute ORDER BY min(id) LIMIT minutes
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
    SET readings = rollup_invalidation_stats.readings + late_readings,
        minutes = rollup_invalidation_stats.minutes + cardinality(late_minutes), last_at = now();
END $$;

-- Job: refresh what is due: up to config.days days after a long stop, and the buckets of late readings, up to
-- config.minutes minutes of them. If it fails, the next run continues where it stopped.
CREATE OR REPLACE PROCEDURE refresh_due_buckets(job_id integer, config jsonb) LANGUAGE plpgsql AS $$
BEGIN
    FOR day IN 1 .. (config ->> 'days')::integer LOOP
        CALL public.advance_rollups(now() - interval '2 minutes');
        EXIT WHEN (SELECT refreshed_to FROM public.rollup_progress WHERE rollup = 'vitals_1m') > now() - interval '4 minutes';
    END LOOP;
    CALL public.refresh_invalidated_buckets((config ->> 'minutes')::integer);
    CALL public.show_imported_averages();
END $$;

-- Job: drop the chunks of readings, and of minutes, that are older than their retention period, in the rollups and, where
-- they are around an alert, in its snapshot.
CREATE OR REPLACE PROCEDURE drop_old_chunks(job_id integer, config jsonb) LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    pending timestamptz;
    dropped record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('vitalflow retention'));  -- see store_import()
    pending := least((SELECT min(minute) FROM rollup_invalidation), snapshots_need_readings_from());
    FOR dropped IN
        SELECT kept.relation, least(now() - setting.period, pending, min(progress.refreshed_to) - refresh_reach()) AS before
        FROM (VALUES ('patient_vitals', 'raw_retention'), ('vitals_1m', 'minute_retention')) AS kept (relation, setting)
        JOIN retention_setting AS setting ON setting.name = kept.setting
        JOIN rollup_queries() AS above ON above.source = kept.relation
        JOIN rollup_progress AS progress ON progress.rollup = above.name
        GROUP BY kept.relation, setting.period
    LOOP
        PERFORM drop_chunks(dropped.relation::regclass, older_than => dropped.before);
    END LOOP;
END $$;

-- Job: convert the chunks of rollups and of imported readings to the columnstore, and those again that late readings or
-- imports have changed since. Imports wait for it, as for each other.
CREATE OR REPLACE PROCEDURE compress_rollups(job_id integer, config jsonb) LANGUAGE plpgsql AS $$
DECLARE
    age CONSTANT interval := (SELECT period FROM public.retention_setting WHERE name = 'compress_after');
    chunk regclass;
BEGIN
    FOREACH chunk IN ARRAY (
        SELECT coalesce(array_agg(piece), '{}')
        FROM unnest(ARRAY['public.vitals_1m', 'public.vitals_1h', 'public.imported_vitals']::regclass[]) AS relation
        CROSS JOIN LATERAL public.show_chunks(relation, older_than => age) AS piece
    ) LOOP
        PERFORM pg_advisory_xact_lock(hashtext('vitalflow import'));
        CALL public.convert_to_columnstore(chunk, if_not_columnstore => true);
        COMMIT;
    END LOOP;
END $$;

-- Job: compare the rollups of one day with its readings. Of the days that are complete in every rollup and have no late
-- readings pending, the next is one that was never compared, else the one compared longest ago.
CREATE OR REPLACE PROCEDURE check_rollups(job_id integer, config jsonb) LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    width CONSTANT interval := interval '24 hours';
    chosen timestamptz;
BEGIN
    DELETE FROM rollup_check WHERE day < rollup_floor('vitals_1m');
    SELECT candidate INTO chosen
    FROM generate_series(time_bucket('1 day', rollup_floor('vitals_1m')),
                         (SELECT min(refreshed_to) FROM rollup_progress) - width, width) AS candidate
    LEFT JOIN (SELECT day, min(checked_at) AS checked_at FROM rollup_check GROUP BY day) AS last ON day = candidate
    WHERE NOT EXISTS (SELECT FROM rollup_invalidation WHERE minute >= candidate AND minute < candidate + width)
    ORDER BY checked_at NULLS FIRST, candidate DESC
    LIMIT 1;
    INSERT INTO rollup_check (day, rollup, readings, rolled_up)
    SELECT chosen, sums.rollup, sums.readings, coalesce(sums.rolled_up, 0)
    FROM (SELECT count(*) AS readings, count(*) FILTER (WHERE seq > 0) AS numbered
          FROM patient_vitals WHERE time >= chosen AND time < chosen + width) AS stored
    CROSS JOIN LATERAL (VALUES
        ('vitals_1m', stored.readings,
         (SELECT sum(v.readings) FROM vitals_1m AS v WHERE v.bucket >= chosen AND v.bucket < chosen + width)),
        ('vitals_1h', stored.readings,
         (SELECT sum(v.readings) FROM vitals_1h AS v WHERE v.bucket >= chosen AND v.bucket < chosen + width)),
        ('vitals_1d', stored.readings, (SELECT sum(v.readings) FROM vitals_1d AS v WHERE v.bucket = chosen)),
        ('sequence_1h', stored.numbered,
         (SELECT sum(s.stored) FROM sequence_1h AS s WHERE s.bucket >= chosen AND s.bucket < chosen + width))
    ) AS sums (rollup, readings, rolled_up)
    WHERE chosen IS NOT NULL
    ON CONFLICT (day, rollup) DO UPDATE
    SET readings = excluded.readings, rolled_up = excluded.rolled_up, checked_at = now();
END $$;

-- Retention is a job in this edition, so ingest has nothing to drop.
CREATE OR REPLACE FUNCTION drop_old_readings() RETURNS integer LANGUAGE sql SET search_path = public, pg_temp AS $$
    SELECT 0
$$;
