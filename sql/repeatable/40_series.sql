-- vitals_series: one device over any range, in at most max_points points, from the coarsest rollup that suffices.

-- The width of a point: the finest of a list that gives at most max_points points. A point is computed from at most 15
-- rows of the readings or of a rollup, so the cost of a query depends on max_points and not on the range. In hours and
-- not in days: `timestamptz + '1 day'` depends on the time zone of the session.
-- Immutable, so that the planner evaluates it and excludes the rollups that are not needed.
CREATE OR REPLACE FUNCTION series_step(from_time timestamptz, to_time timestamptz, max_points integer)
RETURNS interval LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    step interval;
    first_us bigint;
    last_us bigint;
    width_us bigint;
    days bigint;
BEGIN
    IF max_points IS NULL OR max_points < 1 THEN
        RAISE EXCEPTION 'max_points is %', coalesce(max_points::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'max_points: the highest number of points, 1 or more';
    ELSIF from_time IS NULL OR NOT isfinite(from_time) THEN
        RAISE EXCEPTION 'from_time is %', coalesce(from_time::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'from_time: give a time, such as now() - interval ''1 day''';
    ELSIF to_time IS NULL OR NOT isfinite(to_time) THEN
        RAISE EXCEPTION 'to_time is %', coalesce(to_time::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'to_time: give a time, such as now()';
    ELSIF to_time <= from_time THEN
        RAISE EXCEPTION 'the range from % to % is empty', from_time, to_time
            USING ERRCODE = 'invalid_parameter_value', HINT = 'to_time: it must be later than from_time';
    END IF;
    first_us := (extract(epoch FROM from_time) * 1000000)::bigint;
    last_us := (extract(epoch FROM to_time) * 1000000)::bigint - 1;
    FOREACH step IN ARRAY ARRAY['1 second', '5 seconds', '15 seconds', '1 minute', '5 minutes', '15 minutes',
                                '1 hour', '6 hours', '24 hours']::interval[] LOOP
        width_us := (extract(epoch FROM step) * 1000000)::bigint;
        IF floor(last_us::numeric / width_us) - floor(first_us::numeric / width_us) + 1 <= max_points THEN
            RETURN step;
        END IF;
    END LOOP;
    days := floor(last_us::numeric / 86400000000) - floor(first_us::numeric / 86400000000) + 1;
    RETURN ceil(days::numeric / max_points) * interval '24 hours';
END $$;

-- The step of a range that begins at from_time: at least the width of the finest data that is still kept there.
-- (Hours are kept without end.)
CREATE OR REPLACE FUNCTION series_kept_step(from_time timestamptz, to_time timestamptz, max_points integer)
RETURNS interval LANGUAGE sql STABLE AS $$
    SELECT greatest(series_step(from_time, to_time, max_points),
                    (SELECT max(CASE name WHEN 'raw_retention' THEN interval '1 minute' ELSE interval '1 hour' END)
                     FROM retention_setting
                     WHERE name IN ('raw_retention', 'minute_retention') AND from_time < now() - period))
$$;

-- The query that vitals_series runs: one source, with literal values, so that the planner excludes chunks. EXPLAIN it
-- to see what it reads. wards: only what was measured in these, NULL for all.
CREATE OR REPLACE FUNCTION vitals_series_query(
    device text, from_time timestamptz, to_time timestamptz, max_points integer, wards text[])
RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    step CONSTANT interval := series_kept_step(from_time, to_time, max_points);
    -- Points of several days begin with the range; shorter ones at round times.
    origin CONSTANT timestamptz := CASE WHEN step < '1 day' THEN '2000-01-01Z' ELSE time_bucket('1 day', from_time) END;
    only_wards CONSTANT text := CASE WHEN wards IS NULL THEN '' ELSE format(' AND ward = ANY (%L::text[])', wards) END;
BEGIN
    IF step < '1 minute' THEN
        RETURN format(
            'SELECT time_bucket(%L::interval, time, %L::timestamptz), count(*), %s FROM patient_vitals'
            ' WHERE device_id = %L AND time >= %L AND time < %L%s GROUP BY 1 ORDER BY 1',
            step, origin, format_per_sign('avg(%1$I), min(%1$I), max(%1$I), count(%1$I), '
                                         'count(*) FILTER (WHERE %1$L = ANY (sensor_off))::float8 / count(*)'),
            device, time_bucket(step, from_time, origin), to_time, only_wards);
    END IF;
    RETURN format(
        'SELECT time_bucket(%L::interval, bucket, %L::timestamptz), sum(readings)::bigint, %s FROM %I'
        ' WHERE device_id = %L AND bucket >= %L AND bucket < %L%s GROUP BY 1 ORDER BY 1',
        step, origin, format_per_sign('sum(%1$s_avg * %1$s_n) / nullif(sum(%1$s_n), 0)::float8, min(%1$s_min), '
                                     'max(%1$s_max), sum(%1$s_n)::bigint, '
                                     'sum(%1$s_off * minutes) / sum(minutes)::float8'),
        CASE WHEN step < '1 hour' THEN 'vitals_1m' WHEN step < '1 day' THEN 'vitals_1h' ELSE 'vitals_1d' END,
        device, time_bucket(step, from_time, origin), to_time, only_wards);
END $$;

CREATE OR REPLACE FUNCTION vitals_series_query(
    device text, from_time timestamptz, to_time timestamptz, max_points integer DEFAULT 1000)
RETURNS text LANGUAGE sql STABLE AS $$ SELECT vitals_series_query(device, from_time, to_time, max_points, NULL) $$;

-- Two functions and not one with a default: views of the operator may depend on the one without wards.
DO $$
DECLARE
    result CONSTANT text := format('RETURNS TABLE ("time" timestamptz, readings bigint, %s)', format_per_sign(
        '%1$s_avg float8, %1$s_min real, %1$s_max real, %1$s_n bigint, %1$s_off float8'));
    of_wards CONSTANT text := format($function$
CREATE OR REPLACE FUNCTION vitals_series(
    device text, from_time timestamptz, to_time timestamptz, max_points integer, wards text[])
%s
LANGUAGE plpgsql STABLE AS $body$
BEGIN
    RETURN QUERY EXECUTE vitals_series_query($1, $2, $3, $4, $5);
    -- One statement after another: as one expression all of them are planned, the later ones over every chunk.
    IF FOUND OR EXISTS (SELECT FROM device d WHERE d.device_id = $1) THEN
        RETURN;
    ELSIF EXISTS (SELECT FROM patient_vitals WHERE device_id = $1) OR EXISTS (SELECT FROM vitals_1d WHERE device_id = $1) THEN
        RETURN;
    END IF;
    RAISE EXCEPTION 'unknown device %%', coalesce(quote_literal($1), 'NULL')
        USING ERRCODE = 'invalid_parameter_value', HINT = 'device: a device_id of ward_now or of the table device';
END
$body$
$function$, result);
    of_all CONSTANT text := format($function$
CREATE OR REPLACE FUNCTION vitals_series(
    device text, from_time timestamptz, to_time timestamptz, max_points integer DEFAULT 1000)
%s
LANGUAGE plpgsql STABLE AS $body$
BEGIN
    RETURN QUERY SELECT * FROM vitals_series($1, $2, $3, $4, NULL);
END
$body$
$function$, result);
BEGIN
    EXECUTE of_wards;
    EXECUTE of_all;
EXCEPTION WHEN invalid_function_definition THEN  -- a new sign adds columns
    DROP FUNCTION IF EXISTS vitals_series(text, timestamptz, timestamptz, integer, text[]);
    DROP FUNCTION vitals_series(text, timestamptz, timestamptz, integer);
    EXECUTE of_wards;
    EXECUTE of_all;
END $$;
COMMENT ON FUNCTION vitals_series(text, timestamptz, timestamptz, integer) IS
    'one device from from_time to to_time in at most max_points points; the first and last point cover a whole bucket';
COMMENT ON FUNCTION vitals_series(text, timestamptz, timestamptz, integer, text[]) IS
    'the same of what was measured in some wards only';
