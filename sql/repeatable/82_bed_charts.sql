-- One bed over time, for charts. The number of rows is bounded, and an unknown bed gives none: an empty chart is better
-- than an error. Functions and not views, because `migrate` must be able to replace the rollups.

-- The number of points of a chart: one per interval of Grafana, and one for the incomplete end.
CREATE OR REPLACE FUNCTION chart_points(from_time timestamptz, to_time timestamptz, interval_ms bigint)
RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT least(2000, 1 + ceil(extract(epoch FROM to_time - from_time) * 1000 / greatest(interval_ms, 1)))::integer
$$;

-- vitals_series of the first bed in `devices`, with an empty row where no reading arrived for more than two points and
-- more than three intervals of the device, so that the line breaks there and nowhere else.
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
        RETURN;
    END IF;
    step := series_step($2, $3, points);
    pause := greatest(2 * step, (SELECT 3 * make_interval(secs => d.interval_s) FROM device d WHERE d.device_id = $1[1]));
    RETURN QUERY EXECUTE format('WITH point ("time", readings, %2$s) AS MATERIALIZED (%%s)
        SELECT * FROM point
        UNION ALL
        SELECT before + %%L, NULL, %3$s
        FROM (SELECT "time", lag("time") OVER (ORDER BY "time") AS before FROM point) AS step
        WHERE "time" - before > %%L
        ORDER BY 1', vitals_series_query($1[1], $2, $3, points), step, pause);
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

-- NEWS2 over time with its parts, from averages of a minute or more. A cuff pressure is valid for an hour. Oxygen and
-- consciousness have no average, so the total is a lower bound. A row without a total is a gap.
CREATE OR REPLACE FUNCTION news2_chart(devices text[], from_time timestamptz, to_time timestamptz, interval_ms bigint)
RETURNS TABLE ("time" timestamptz, total integer, worst integer, resp_rate_part integer, spo2_part integer,
               systolic_bp_part integer, heart_rate_part integer, temperature_part integer)
LANGUAGE sql STABLE AS $$
    WITH point AS (
        SELECT *, count(systolic_bp_avg) OVER past AS cuff, count(temperature_avg) OVER past AS probe
        FROM bed_chart(devices, from_time - interval '1 hour', to_time, greatest(interval_ms, 60000))
        WINDOW past AS (ORDER BY "time")
    ), valid AS (
        SELECT *, first_value(systolic_bp_avg) OVER of_cuff AS systolic_bp, first_value("time") OVER of_cuff AS cuff_time,
               first_value(temperature_avg) OVER of_probe AS temperature
        FROM point
        WINDOW of_cuff AS (PARTITION BY cuff ORDER BY "time"), of_probe AS (PARTITION BY probe ORDER BY "time")
    )
    SELECT valid."time", CASE WHEN measured THEN score.total END, CASE WHEN measured THEN score.worst END,
           score.resp_rate_part, score.spo2_part,
           CASE WHEN measured THEN score.systolic_bp_part END, score.heart_rate_part,
           CASE WHEN measured THEN score.temperature_part END
    FROM valid
    CROSS JOIN LATERAL (SELECT coalesce(resp_rate_n, 0) + coalesce(spo2_n, 0) + coalesce(heart_rate_n, 0) > 0 AS measured) m
    CROSS JOIN LATERAL news2(
        resp_rate_avg, spo2_avg, NULL,
        CASE WHEN valid."time" - cuff_time <= interval '1 hour' OR systolic_bp_avg IS NOT NULL THEN systolic_bp END,
        heart_rate_avg, NULL, temperature) AS score
    WHERE valid."time" >= from_time
    ORDER BY 1
$$;
COMMENT ON FUNCTION news2_chart IS 'NEWS2 of the first of `devices` over time, from averages: a lower bound';
