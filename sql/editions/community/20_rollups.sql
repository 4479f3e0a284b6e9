-- The rollups as hierarchical, real-time continuous aggregates: what is not materialized yet is computed from the
-- source when queried (materialized_only is the default since TimescaleDB 2.13).
--
-- Created WITH NO DATA, which allows a single transaction. Three cases:
--   a rollup does not exist        created; refreshed from the oldest reading on (rollup_progress)
--   a view of the Apache edition   dropped, then as above
--   its query changed (new sign)   created again, and the rows of the old one are copied, because they go back further
--                                  than the readings
DO $$
DECLARE
    rollup record;
    changed text[];
    readings_from timestamptz;
    created boolean := false;
    shared text;
    last_day timestamptz;
BEGIN
    SELECT array_agg(wanted.name ORDER BY wanted.refresh_order) INTO changed
    FROM rollup_queries() wanted LEFT JOIN vitalflow_rollup current USING (name)
    LEFT JOIN timescaledb_information.continuous_aggregates cagg ON cagg.view_name = wanted.name
    WHERE current.query IS DISTINCT FROM wanted.query OR cagg.view_name IS NULL;
    IF changed IS NULL THEN
        RETURN;
    END IF;
    DROP VIEW IF EXISTS completeness_1h;  -- depends on a rollup; repeatable/ creates it again
    IF changed && ARRAY['vitals_1m', 'vitals_1h', 'vitals_1d'] THEN  -- each depends on the one before
        changed := ARRAY['vitals_1m', 'vitals_1h', 'vitals_1d'] || array_remove(array_remove(array_remove(
            changed, 'vitals_1m'), 'vitals_1h'), 'vitals_1d');
    END IF;

    FOR rollup IN SELECT * FROM rollup_queries() WHERE name = ANY (changed) ORDER BY refresh_order DESC LOOP
        IF EXISTS (SELECT FROM timescaledb_information.continuous_aggregates WHERE view_name = rollup.name) THEN
            EXECUTE format('ALTER MATERIALIZED VIEW %I RENAME TO %I', rollup.name, 'old_' || rollup.name);
        ELSE
            created := true;
            EXECUTE format('DROP VIEW IF EXISTS %I', rollup.name);
        END IF;
    END LOOP;
    FOR rollup IN SELECT * FROM rollup_queries() WHERE name = ANY (changed) ORDER BY refresh_order LOOP
        EXECUTE format(
            'CREATE MATERIALIZED VIEW %I WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS %s'
            ' WITH NO DATA', rollup.name, rollup.query);
        INSERT INTO vitalflow_rollup (name, query) VALUES (rollup.name, rollup.query)
        ON CONFLICT (name) DO UPDATE SET query = excluded.query;
        IF to_regclass('old_' || rollup.name) IS NOT NULL THEN
            SELECT string_agg(quote_ident(attname), ', ') INTO shared
            FROM (SELECT attname FROM pg_attribute WHERE attrelid = rollup.name::regclass AND attnum > 0
                  INTERSECT
                  SELECT attname FROM pg_attribute WHERE attrelid = ('old_' || rollup.name)::regclass AND attnum > 0);
            EXECUTE format('INSERT INTO %1$s (%3$s) SELECT %3$s FROM %2$s',
                           rollup_table(rollup.name), rollup_table('old_' || rollup.name), shared);
            IF rollup.name = 'vitals_1d' THEN
                EXECUTE format('SELECT max(bucket) FROM %s', rollup_table('old_vitals_1d')) INTO last_day;
            END IF;
        END IF;
    END LOOP;
    FOR rollup IN SELECT * FROM rollup_queries() WHERE name = ANY (changed) ORDER BY refresh_order DESC LOOP
        IF to_regclass('old_' || rollup.name) IS NOT NULL THEN
            EXECUTE format('DROP MATERIALIZED VIEW %I', 'old_' || rollup.name);
        END IF;
    END LOOP;

    -- New rollups need all stored readings. Those with copied rows get their watermark only from a refresh that adds a
    -- row, and until then ignore the copied rows. Hence from the last day for which every level had a row.
    SELECT CASE WHEN created THEN min(range_start)
                ELSE least(last_day, time_bucket('1 day', (SELECT max(time) FROM patient_vitals) - interval '1 day')) END
    INTO readings_from
    FROM timescaledb_information.chunks WHERE hypertable_schema = 'public' AND hypertable_name = 'patient_vitals';
    INSERT INTO rollup_progress (rollup, refreshed_to)
    SELECT name, time_bucket(bucket_width, least(readings_from, now())) FROM rollup_queries() WHERE name = ANY (changed)
    ON CONFLICT ON CONSTRAINT rollup_progress_pkey DO UPDATE SET refreshed_to = excluded.refreshed_to, changed_at = now();
END $$;
