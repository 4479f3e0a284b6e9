-- The parts of store_import() that differ between the editions. Here rollups are materialized: the averages of imported
-- readings older than patient_vitals are written beside those of other devices, which a refresh would delete.

CREATE OR REPLACE FUNCTION averages_exist(from_time timestamptz, to_time timestamptz) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM vitals_1d WHERE bucket >= from_time AND bucket < to_time)
$$;

-- The days of import_day of which a rollup has more readings of the device than were imported.
CREATE OR REPLACE FUNCTION days_of_own_readings() RETURNS TABLE (device_id text, day timestamptz)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
    devices CONSTANT text[] := (SELECT array_agg(DISTINCT d.device_id) FROM pg_temp.import_day AS d);
    earliest CONSTANT timestamptz := (SELECT min(d.day) FROM pg_temp.import_day AS d);
    until CONSTANT timestamptz := (SELECT max(d.day) + interval '24 hours' FROM pg_temp.import_day AS d);
BEGIN
    RETURN QUERY EXECUTE format($query$
        SELECT d.device_id, d.day FROM pg_temp.import_day AS d
        JOIN (SELECT device_id, bucket AS day, sum(readings) AS readings FROM vitals_1d
              WHERE device_id = ANY (%1$L) AND bucket >= %2$L AND bucket < %3$L GROUP BY 1, 2) AS kept USING (device_id, day)
        LEFT JOIN (SELECT device_id, time_bucket('1 day', time) AS day, count(*) AS readings FROM imported_vitals
                   WHERE device_id = ANY (%1$L) AND time >= %2$L AND time < %3$L GROUP BY 1, 2) AS imported USING (device_id, day)
        WHERE kept.readings > coalesce(imported.readings, 0)$query$, devices, earliest, until);
END $$;

-- Store the readings that retention keeps in patient_vitals too, and record their minutes for refresh_due_buckets.
CREATE OR REPLACE FUNCTION store_recent_import(boundary timestamptz) RETURNS void LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM store_in_patient_vitals(boundary);
    INSERT INTO rollup_invalidation (minute, readings)
    SELECT date_trunc('minute', time), count(*) FROM pg_temp.import_stage WHERE time >= boundary GROUP BY 1;
END $$;

-- Compute the averages of the days in import_day from imported_vitals, level by level, and replace those of their devices.
-- Minutes only where their retention keeps them, or has not dropped them yet.
CREATE OR REPLACE FUNCTION roll_up_imported_days() RETURNS void LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    minutes_kept_from timestamptz := time_bucket('1 day', now() - (
        SELECT period FROM retention_setting WHERE name = 'minute_retention'));
    oldest_minutes CONSTANT timestamptz := rollup_floor('vitals_1h');
    devices CONSTANT text[] := (SELECT array_agg(DISTINCT device_id) FROM pg_temp.import_day);
    range CONSTANT tstzrange := (SELECT tstzrange(min(day), max(day) + interval '24 hours') FROM pg_temp.import_day);
    rollup record;
    source text;
    columns text;
BEGIN
    IF oldest_minutes <= minutes_kept_from
       OR EXISTS (SELECT FROM vitals_1h WHERE bucket >= minutes_kept_from AND bucket < oldest_minutes) THEN
        minutes_kept_from := oldest_minutes;
    END IF;
    source := format('(SELECT v.* FROM pg_temp.import_day AS d JOIN public.imported_vitals AS v'
                     '   ON v.device_id = d.device_id AND v.time >= d.day AND v.time < d.day + interval ''24 hours'''
                     ' WHERE v.device_id = ANY (%L) AND v.time >= %L AND v.time < %L) AS imported',
                     devices, lower(range), upper(range));
    FOR rollup IN SELECT * FROM rollup_queries() WHERE name <> 'sequence_1h' ORDER BY refresh_order LOOP
        EXECUTE format('DROP TABLE IF EXISTS pg_temp.import_%s', rollup.name);
        EXECUTE format('CREATE TEMP TABLE import_%s ON COMMIT DROP AS %s', rollup.name,
                       replace(rollup.query, 'FROM ' || rollup.source, 'FROM ' || source));
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
        FROM pg_attribute WHERE attrelid = format('pg_temp.import_%s', rollup.name)::regclass AND attnum > 0;
        EXECUTE format('DELETE FROM %s AS old USING pg_temp.import_day AS d WHERE old.device_id = d.device_id'
                       ' AND old.bucket >= d.day AND old.bucket < d.day + interval ''24 hours'''
                       ' AND old.device_id = ANY (%L) AND old.bucket >= %L AND old.bucket < %L',
                       rollup_table(rollup.name), devices, lower(range), upper(range));
        EXECUTE format('INSERT INTO %1$s (%2$s) SELECT %2$s FROM pg_temp.import_%3$s WHERE bucket >= %4$L',
                       rollup_table(rollup.name), columns, rollup.name,
                       CASE rollup.name WHEN 'vitals_1m' THEN minutes_kept_from ELSE '-infinity' END);
        source := format('pg_temp.import_%s', rollup.name);
    END LOOP;
END $$;

-- Compute the averages of all imported readings from one time to another that no refresh reaches: after a change from the
-- Apache edition, or on request. A day in which the device's own readings are in the averages is left as it is.
CREATE OR REPLACE PROCEDURE roll_up_imports(from_time timestamptz, to_time timestamptz) LANGUAGE plpgsql AS $$
DECLARE
    chunk record;
BEGIN
    CREATE TEMP TABLE IF NOT EXISTS import_day (device_id text, day timestamptz, refused boolean) ON COMMIT DELETE ROWS;
    FOR chunk IN
        SELECT range_start, range_end FROM timescaledb_information.chunks
        WHERE hypertable_schema = 'public' AND hypertable_name = 'imported_vitals'
          AND range_start < to_time AND range_end > from_time ORDER BY range_start
    LOOP
        PERFORM pg_advisory_xact_lock_shared(hashtext('vitalflow retention'));
        PERFORM pg_advisory_xact_lock(hashtext('vitalflow import'));
        INSERT INTO pg_temp.import_day
        SELECT DISTINCT device_id, public.time_bucket('1 day', time), false FROM public.imported_vitals
        WHERE time >= greatest(chunk.range_start, from_time) AND time < least(chunk.range_end, to_time, public.import_boundary());
        DELETE FROM pg_temp.import_day AS d USING public.days_of_own_readings() AS own
        WHERE (own.device_id, own.day) = (d.device_id, d.day);
        PERFORM public.roll_up_imported_days();
        COMMIT;
    END LOOP;
END $$;

-- Show the averages of imported readings in a database without later ones. A rollup shows what it holds only up to its
-- watermark, which TimescaleDB moves when a refresh adds a row. So a refresh adds the row of a reading without values at
-- the begin of the raw retention, which no screen reads, and both are deleted again.
CREATE OR REPLACE PROCEDURE show_imported_averages() LANGUAGE plpgsql AS $$
DECLARE
    marker CONSTANT text := 'vitalflow-import';
    day CONSTANT timestamptz := public.time_bucket('1 day', now() - (
        SELECT period FROM public.retention_setting WHERE name = 'raw_retention'));
    levels CONSTANT text[] := ARRAY['vitals_1m', 'vitals_1h', 'vitals_1d'];
    newest timestamptz;
    level text;
BEGIN
    EXECUTE format('SELECT max(bucket) FROM %s', public.rollup_table('vitals_1d')) INTO newest;
    IF newest IS NULL OR newest < (SELECT min(public.rollup_watermark(name)) FROM unnest(levels) AS name) THEN
        RETURN;
    END IF;
    INSERT INTO public.patient_vitals (time, device_id, boot, seq, ward, status, arrival_lag_ms)
    VALUES (day, marker, 0, 0, '', 'NORMAL', 0) ON CONFLICT DO NOTHING;
    COMMIT;
    FOREACH level IN ARRAY levels LOOP
        CALL public.refresh_continuous_aggregate(format('public.%I', level)::regclass, day, day + interval '24 hours');
        COMMIT;
    END LOOP;
    DELETE FROM public.patient_vitals WHERE device_id = marker AND time = day;
    FOREACH level IN ARRAY levels LOOP
        EXECUTE format('DELETE FROM %s WHERE device_id = %L', public.rollup_table(level), marker);
    END LOOP;
END $$;
