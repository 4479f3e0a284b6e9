-- One bed over time, for charts. The number of rows is bounded. Where there is nothing to show, one row with the time only:
-- Grafana then draws an empty chart, and for no row an error ("Data does not have a time field"). Functions and not views,
-- because `migrate` must be able to replace the rollups.

-- The number of points of a chart: one per interval of Grafana, and one for the incomplete end.
CREATE OR REPLACE FUNCTION chart_points(from_time timestamptz, to_time timestamptz, interval_ms bigint)
RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT least(2000, 1 + ceil(extract(epoch FROM to_time - from_time) * 1000 / greatest(interval_ms, 1)))::integer
$$;

-- vitals_series of the first bed in `devices`, with an empty row where no reading arrived for more than two points and
-- more than three usual intervals of the device, so that the line breaks there and nowhere else.
DO $$
DECLARE
    definition CONSTANT text := format($function$
CREATE OR REPLACE FUNCTION bed_chart(devices text[], from_time timestamptz, to_time timestamptz, interval_ms bigint)
RETURNS TABLE ("time" timestamptz, readings bigint, %1$s)
LANGUAGE plpgsql STABLE AS $body$
DECLARE
    points CONSTANT integer := chart_points($2, $3, $4);
    step interval;
    pause interval;
BEGIN
    IF $1[1] IS NULL OR $3 <= $2 THEN
        "time" := $2;
        RETURN NEXT;
        RETURN;
    END IF;
    step := series_kept_step($2, $3, points);
    pause := greatest(2 * step, 3 * usual_interval($1[1]));
    RETURN QUERY EXECUTE format('WITH point ("time", readings, %2$s) AS MATERIALIZED (%%s)
        SELECT * FROM point
        UNION ALL
        SELECT before + %%L, NULL, %3$s
        FROM (SELECT "time", lag("time") OVER (ORDER BY "time") AS before FROM point) AS step
        WHERE "time" - before > %%L
        ORDER BY 1', vitals_series_query($1[1], $2, $3, points), step, pause);
    IF NOT FOUND THEN
        "time" := $2;
        RETURN NEXT;
    END IF;
END
$body$
$function$, format_per_sign('%1$s_avg float8, %1$s_min real, %1$s_max real, %1$s_n bigint, %1$s_off float8'),
            format_per_sign('%1$s_avg, %1$s_min, %1$s_max, %1$s_n, %1$s_off'),
            format_per_sign('NULL, NULL, NULL, NULL, NULL'));
BEGIN
    EXECUTE definition;
EXCEPTION WHEN invalid_function_definition THEN  -- a new sign adds columns
    DROP FUNCTION bed_chart(text[], timestamptz, timestamptz, bigint);
    EXECUTE definition;
END $$;
COMMENT ON FUNCTION bed_chart IS 'vitals_series of the first of `devices`, with an empty row in each gap';

-- NEWS2 over time with its parts, from averages of a minute or more, by the rules of news2_latest: an input is held for
-- news2_max_age, within one patient's time on the bed, and the score is on that patient's SpO2 scale and NULL under 16
-- years. A point at which the patient changes shows the later one. Oxygen and consciousness have no average, so the
-- total is a lower bound. A row without a total is a gap.
CREATE OR REPLACE FUNCTION news2_chart(devices text[], from_time timestamptz, to_time timestamptz, interval_ms bigint)
RETURNS TABLE ("time" timestamptz, total integer, worst integer, resp_rate_part integer, spo2_part integer,
               systolic_bp_part integer, heart_rate_part integer, temperature_part integer)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    device CONSTANT text := $1[1];
    inputs CONSTANT text[] := ARRAY['resp_rate', 'spo2', 'systolic_bp', 'heart_rate', 'temperature'];
    step interval;
    origin timestamptz;
    pause interval;
BEGIN
    IF device IS NULL OR $3 <= $2 THEN
        "time" := $2;
        RETURN NEXT;
        RETURN;
    END IF;
    step := greatest(series_kept_step($2, $3, chart_points($2, $3, greatest($4, 60000))), '1 minute');
    origin := CASE WHEN step < '1 day' THEN '2000-01-01Z' ELSE time_bucket('1 day', $2) END;
    pause := greatest(2 * step, 3 * usual_interval(device));
    RETURN QUERY EXECUTE format($query$
    WITH part AS (
        SELECT time_bucket(%1$L::interval, v.bucket, %2$L::timestamptz) AS at, coalesce(v.patient_id, a.patient_id) AS patient,
               bool_or(v.patient_id IS NULL) AS unnamed, max(a.patient_since) AS since, sum(v.readings) AS readings,
               max(a.profile) FILTER (WHERE coalesce(v.patient_id = a.patient_id, true)) AS profile,
               max(a.spo2_scale) FILTER (WHERE coalesce(v.patient_id = a.patient_id, true)) AS scale,
               %3$s
        FROM %4$I v
        LEFT JOIN assignment a ON a.device_id = v.device_id AND a.from_time < v.bucket + %5$L::interval
                                  AND (a.to_time IS NULL OR a.to_time >= v.bucket + %5$L::interval)
        WHERE v.device_id = %6$L AND v.bucket >= %7$L AND v.bucket < %8$L
        GROUP BY 1, 2
    ), point AS (
        SELECT DISTINCT ON (at) *
        FROM (SELECT *, lead(at) OVER (PARTITION BY patient ORDER BY at) = at + %1$L::interval AS stays FROM part) AS part
        ORDER BY at, stays DESC NULLS LAST, readings DESC
    ), changed AS (
        SELECT *, lag(at) OVER past AS before, lag(patient) OVER past IS DISTINCT FROM patient
                  OR (unnamed AND lag(since) OVER past IS DISTINCT FROM since) AS change
        FROM point WINDOW past AS (ORDER BY at)
    ), stay AS (
        SELECT *, count(*) FILTER (WHERE change) OVER (ORDER BY at) AS stay FROM changed
    ), numbered AS (
        SELECT *, %9$s FROM stay WINDOW past AS (PARTITION BY stay ORDER BY at)
    ), held AS (
        SELECT at, before, profile, coalesce(resp_rate, spo2, heart_rate) IS NOT NULL AS measured,
               CASE WHEN limits.scale IN ('1', '2') AND coalesce(limits.patient_id = patient, true)
                    THEN limits.scale::integer ELSE coalesce(numbered.scale, 1) END AS scale,
               %10$s
        FROM numbered
        LEFT JOIN LATERAL (
            SELECT detail ->> 'spo2_scale' AS scale, detail ->> 'patient_id' AS patient_id
            FROM audit_event e WHERE e.device_id = %6$L AND e.action IN ('set_limits', 'remove_limits')
                                     AND e.received_at < numbered.at + %1$L::interval
            ORDER BY e.id DESC LIMIT 1
        ) AS limits ON true
    )
    SELECT at, score.total, score.worst, score.resp_rate_part, score.spo2_part, score.systolic_bp_part,
           score.heart_rate_part, score.temperature_part
    FROM held
    LEFT JOIN LATERAL news2(resp_rate, spo2, NULL, systolic_bp, heart_rate, NULL, temperature, scale) AS score
        ON measured AND coalesce(profile, 'adult') = 'adult'
    WHERE at >= %11$L
    UNION ALL
    SELECT before + %1$L::interval, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM held WHERE at - before > %12$L::interval AND before + %1$L::interval >= %11$L
    ORDER BY 1$query$,
        step, origin,
        (SELECT string_agg(format('sum(v.%1$s_avg * v.%1$s_n) / nullif(sum(v.%1$s_n), 0)::float8 AS %1$I', key), ', ')
         FROM unnest(inputs) AS key),
        CASE WHEN step < '1 hour' THEN 'vitals_1m' WHEN step < '1 day' THEN 'vitals_1h' ELSE 'vitals_1d' END,
        CASE WHEN step < '1 hour' THEN '60 s' WHEN step < '1 day' THEN '60 min' ELSE '24 hours' END,
        device, time_bucket(step, $2 - news2_max_age('temperature'), origin), $3,
        (SELECT string_agg(format('count(%1$I) OVER past AS %2$I', key, key || '_number'), ', ') FROM unnest(inputs) AS key),
        -- The row of the last value is the first one with its number.
        (SELECT string_agg(format(
             'CASE WHEN at - first_value(at) OVER (PARTITION BY stay, %2$I ORDER BY at) <= %3$L::interval '
             'THEN first_value(%1$I) OVER (PARTITION BY stay, %2$I ORDER BY at) END AS %1$I',
             key, key || '_number', news2_max_age(key)), ', ') FROM unnest(inputs) AS key),
        $2, pause);
    IF NOT FOUND THEN
        "time" := $2;
        RETURN NEXT;
    END IF;
END $$;
COMMENT ON FUNCTION news2_chart IS 'NEWS2 of the first of `devices` over time, from averages: a lower bound';
