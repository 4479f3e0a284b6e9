-- vitals_series: one device over any range, in at most max_points points, from the coarsest rollup that will do.

-- The width of the points: the finest of a ladder that gives at most max_points of them. A point is made of at most 15
-- rows of the readings or of a rollup, so what an answer costs follows from max_points and not from the range.
-- Immutable, so that the planner works it out and leaves the rollups that are not needed out of the plan.
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
            USING ERRCODE = 'invalid_parameter_value', HINT = 'max_points: how many points you want at most, 1 or more';
    ELSIF from_time IS NULL OR NOT isfinite(from_time) THEN
        RAISE EXCEPTION 'from_time is %', coalesce(from_time::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'from_time: give a moment, such as now() - interval ''1 day''';
    ELSIF to_time IS NULL OR NOT isfinite(to_time) THEN
        RAISE EXCEPTION 'to_time is %', coalesce(to_time::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'to_time: give a moment, such as now()';
    ELSIF to_time <= from_time THEN
        RAISE EXCEPTION 'the range from % to % is empty', from_time, to_time
            USING ERRCODE = 'invalid_parameter_value', HINT = 'to_time: it must be later than from_time';
    END IF;
    first_us := (extract(epoch FROM from_time) * 1000000)::bigint;
    last_us := (extract(epoch FROM to_time) * 1000000)::bigint - 1;
    FOREACH step IN ARRAY ARRAY['1 second', '5 seconds', '15 seconds', '1 minute', '5 minutes', '15 minutes',
                                '1 hour', '6 hours', '1 day']::interval[] LOOP
        width_us := (extract(epoch FROM step) * 1000000)::bigint;
        IF floor(last_us::numeric / width_us) - floor(first_us::numeric / width_us) + 1 <= max_points THEN
            RETURN step;
        END IF;
    END LOOP;
    days := floor(last_us::numeric / 86400000000) - floor(first_us::numeric / 86400000000) + 1;
    RETURN ceil(days::numeric / max_points) * interval '1 day';
END $$;

CREATE OR REPLACE FUNCTION is_device(device text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF EXISTS (SELECT FROM device WHERE device_id = $1)
       OR EXISTS (SELECT FROM patient_vitals WHERE device_id = $1 AND time > now() - interval '1 day')
       OR EXISTS (SELECT FROM patient_vitals WHERE device_id = $1)
       OR EXISTS (SELECT FROM vitals_1d WHERE device_id = $1) THEN
        RETURN true;
    END IF;
    RAISE EXCEPTION 'there is no device %', coalesce(quote_literal(device), 'NULL')
        USING ERRCODE = 'invalid_parameter_value', HINT = 'device: a device_id of ward_now or of the table device';
END $$;

-- Made from the columns that there are. One plain query, so that EXPLAIN of a call shows what it reads.
DO $$
DECLARE
    columns CONSTANT text := for_every_sign(
        '%1$s_avg double precision, %1$s_min real, %1$s_max real, %1$s_n bigint, %1$s_off double precision');
    merged CONSTANT text := for_every_sign(
        'sum(%1$s_avg * %1$s_n) / nullif(sum(%1$s_n), 0)::float8, min(%1$s_min), max(%1$s_max), sum(%1$s_n)::bigint,
    sum(%1$s_off * minutes) / sum(minutes)::float8');
    raw CONSTANT text := for_every_sign(
        'avg(%1$s), min(%1$s), max(%1$s), count(%1$s),
    count(*) FILTER (WHERE ''%1$s'' = ANY (sensor_off))::float8 / count(*)');
BEGIN
    -- Its columns change with the signs, which CREATE OR REPLACE cannot do.
    DROP FUNCTION IF EXISTS vitals_series(text, timestamptz, timestamptz, integer);
    EXECUTE format($function$
CREATE FUNCTION vitals_series(device text, from_time timestamptz, to_time timestamptz, max_points integer DEFAULT 1000)
RETURNS TABLE ("time" timestamptz, readings bigint, %1$s)
LANGUAGE sql STABLE AS $body$
SELECT time_bucket(series_step($2, $3, $4), v.time), count(*), %2$s
FROM patient_vitals v
WHERE series_step($2, $3, $4) < '1 minute' AND is_device($1)
  AND v.device_id = $1 AND v.time >= time_bucket(series_step($2, $3, $4), $2) AND v.time < $3
GROUP BY 1
UNION ALL
SELECT time_bucket(series_step($2, $3, $4), m.bucket), sum(m.readings)::bigint, %3$s
FROM vitals_1m m
WHERE series_step($2, $3, $4) >= '1 minute' AND series_step($2, $3, $4) < '1 hour' AND is_device($1)
  AND m.device_id = $1 AND m.bucket >= time_bucket(series_step($2, $3, $4), $2) AND m.bucket < $3
GROUP BY 1
UNION ALL
SELECT time_bucket(series_step($2, $3, $4), h.bucket), sum(h.readings)::bigint, %3$s
FROM vitals_1h h
WHERE series_step($2, $3, $4) >= '1 hour' AND series_step($2, $3, $4) < '1 day' AND is_device($1)
  AND h.device_id = $1 AND h.bucket >= time_bucket(series_step($2, $3, $4), $2) AND h.bucket < $3
GROUP BY 1
UNION ALL
SELECT time_bucket(series_step($2, $3, $4), d.bucket, time_bucket('1 day', $2)), sum(d.readings)::bigint, %3$s
FROM vitals_1d d
WHERE series_step($2, $3, $4) >= '1 day' AND is_device($1)
  AND d.device_id = $1 AND d.bucket >= time_bucket('1 day', $2) AND d.bucket < $3
GROUP BY 1
ORDER BY 1
$body$
$function$, columns, raw, merged);
END $$;
COMMENT ON FUNCTION vitals_series IS
    'one device from from_time to to_time in at most max_points points; the first and last cover their whole bucket';
