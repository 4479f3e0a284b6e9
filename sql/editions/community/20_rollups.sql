-- The rollups as continuous aggregates, each on the one below it, in real time: what is not materialized yet is
-- computed from below when asked (off by default since TimescaleDB 2.13).
--
-- Made with no data, which is what lets all of this be one transaction. Three cases:
--   a rollup is not there yet        made; the readings that are there already are noted in vitalflow_backfill
--   a view of the Apache edition     dropped, then as above
--   its query has become another one (a new sign): made anew, and what the old one holds is moved over, because it
--                                    reaches back further than the readings do
DO $$
DECLARE
    rollup record;
    changed text[];
    readings_from timestamptz;
    made_new boolean := false;
    shared text;
    last_day timestamptz;
BEGIN
    SELECT array_agg(wanted.name ORDER BY wanted.refresh_order) INTO changed
    FROM rollup_queries() wanted LEFT JOIN vitalflow_rollup made USING (name)
    LEFT JOIN timescaledb_information.continuous_aggregates there ON there.view_name = wanted.name
    WHERE made.query IS DISTINCT FROM wanted.query OR there.view_name IS NULL;
    IF changed IS NULL THEN
        RETURN;
    END IF;
    DROP VIEW IF EXISTS completeness_1h;  -- of ours, on a rollup; always/ makes it again
    IF changed && ARRAY['vitals_1m', 'vitals_1h', 'vitals_1d'] THEN  -- one stands on the other
        changed := ARRAY['vitals_1m', 'vitals_1h', 'vitals_1d'] || array_remove(array_remove(array_remove(
            changed, 'vitals_1m'), 'vitals_1h'), 'vitals_1d');
    END IF;

    FOR rollup IN SELECT * FROM rollup_queries() WHERE name = ANY (changed) ORDER BY refresh_order DESC LOOP
        IF EXISTS (SELECT FROM timescaledb_information.continuous_aggregates WHERE view_name = rollup.name) THEN
            EXECUTE format('ALTER MATERIALIZED VIEW %I RENAME TO %I', rollup.name, 'old_' || rollup.name);
        ELSE
            made_new := true;
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

    -- New rollups take in all the readings that are there. Those that had rows moved over learn only by a refresh that
    -- gives them a row how far they reach; until then they show what is computed from the readings alone. So: from the
    -- last day of which every level had one.
    SELECT CASE WHEN made_new THEN min(range_start)
                ELSE least(last_day, time_bucket('1 day', (SELECT max(time) FROM patient_vitals) - interval '1 day')) END
    INTO readings_from
    FROM timescaledb_information.chunks WHERE hypertable_schema = 'public' AND hypertable_name = 'patient_vitals';
    IF readings_from < now() THEN
        INSERT INTO vitalflow_backfill (done_to, until) VALUES (readings_from, now());
    END IF;
END $$;
