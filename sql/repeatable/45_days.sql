-- Days of a ward, in its own time zone, the same in every session. The rollup vitals_1d has UTC days.

-- SECURITY DEFINER: a login that reads one ward does not see the setting of all wards.
CREATE OR REPLACE FUNCTION ward_time_zone(ward text) RETURNS text LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce((SELECT s.time_zone FROM time_zone_setting s WHERE s.ward IN ($1, '')
                     ORDER BY s.ward DESC LIMIT 1), 'UTC')
$$;
COMMENT ON FUNCTION ward_time_zone IS 'the time zone in which the days of a ward are counted; see vitalflow db set-time-zone';

-- Computed from hours. Where the day begins within an hour (Asia/Kolkata), from the minutes of that hour; where these are
-- no longer stored, the hour belongs to the day in which it begins. In plpgsql: TimescaleDB lets a reader of one ward read
-- a continuous aggregate in a query, but not in a function of the language sql, which asks for the watermark as that reader.
DO $$
DECLARE
    definition CONSTANT text := format($function$
CREATE OR REPLACE FUNCTION vitals_by_day(from_time timestamptz, to_time timestamptz, devices text[] DEFAULT NULL)
RETURNS TABLE (day date, ward text, device_id text, patient_id text, readings bigint, minutes bigint, critical bigint, %1$s)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $body$
#variable_conflict use_column
DECLARE
    -- Every zone's days of the range lie between these. Constants of a custom plan, by which the planner excludes chunks.
    earliest CONSTANT timestamptz := from_time - interval '50 hours';
    latest CONSTANT timestamptz := to_time + interval '50 hours';
BEGIN
    RETURN QUERY
    WITH zone AS MATERIALIZED (
        SELECT found.ward, ward_time_zone(found.ward) AS name
        FROM (SELECT DISTINCT h.ward FROM vitals_1h h
              WHERE h.bucket > earliest AND h.bucket < latest) AS found
    ), range AS MATERIALIZED (
        SELECT zone.*, first_day, last_day, first_day::timestamp AT TIME ZONE name AS start,
               (last_day + 1)::timestamp AT TIME ZONE name AS until
        FROM zone
        CROSS JOIN LATERAL (SELECT (from_time AT TIME ZONE name)::date AS first_day,
                                   ((to_time - interval '1 microsecond') AT TIME ZONE name)::date AS last_day) AS days
        WHERE from_time < to_time
    ), divided AS MATERIALIZED (
        SELECT range.ward, time_bucket('1 hour', midnight) AS hour
        FROM range
        CROSS JOIN LATERAL generate_series(0, last_day - first_day + 1) AS number
        CROSS JOIN LATERAL (SELECT (first_day + number)::timestamp AT TIME ZONE name AS midnight) AS day
        WHERE midnight <> time_bucket('1 hour', midnight)
    ), part AS (
        SELECT bucket, ward, device_id, patient_id, readings, minutes, critical, %2$s
        FROM vitals_1h h
        WHERE bucket > earliest AND bucket < latest
          AND (devices IS NULL OR device_id = ANY (devices))
          AND NOT EXISTS (
              SELECT FROM divided
              JOIN vitals_1m m ON m.bucket >= divided.hour AND m.bucket < divided.hour + interval '60 minutes'
              WHERE divided.ward = h.ward AND divided.hour = h.bucket AND m.ward = h.ward AND m.device_id = h.device_id
                AND m.bucket > earliest AND m.bucket < latest)
        UNION ALL
        SELECT bucket, m.ward, device_id, patient_id, readings, minutes, critical, %2$s
        FROM divided JOIN vitals_1m m ON m.ward = divided.ward
             AND m.bucket >= divided.hour AND m.bucket < divided.hour + interval '60 minutes'
             AND m.bucket > earliest AND m.bucket < latest
        WHERE devices IS NULL OR device_id = ANY (devices)
    )
    SELECT (bucket AT TIME ZONE name)::date, part.ward, device_id, patient_id, sum(readings)::bigint, sum(minutes)::bigint,
           sum(critical)::bigint, %3$s
    FROM part JOIN range ON range.ward = part.ward AND bucket >= time_bucket('1 hour', start) AND bucket < until
    WHERE (bucket AT TIME ZONE name)::date >= first_day
    GROUP BY 1, 2, 3, 4;
END
$body$
$function$, format_per_sign('%1$s_avg float8, %1$s_min real, %1$s_max real, %1$s_n bigint, %1$s_off float8'),
            format_per_sign('%1$s_avg, %1$s_min, %1$s_max, %1$s_n, %1$s_off'),
            format_per_sign('sum(%1$s_avg * %1$s_n) / nullif(sum(%1$s_n), 0)::float8, min(%1$s_min), max(%1$s_max), '
                            'sum(%1$s_n)::bigint, sum(%1$s_off * minutes) / sum(minutes)::float8'));
BEGIN
    EXECUTE definition;
EXCEPTION WHEN invalid_function_definition THEN  -- a new sign adds columns
    DROP FUNCTION vitals_by_day(timestamptz, timestamptz, text[]);
    EXECUTE definition;
END $$;
COMMENT ON FUNCTION vitals_by_day IS
    'whole days in the time zone of each ward that overlap the range, per patient and device; devices: NULL for all';
