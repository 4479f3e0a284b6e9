-- What the dashboards ask (grafana/dashboards). Every answer is bounded by its points and by the beds asked for, and an
-- unknown bed has an empty one: a chart without a line says it better than an error does. Functions and not views where
-- rollups are read, because `migrate` must be able to make those again.

-- How alerts look on every screen, as vitals/look.py says it: `!!! high`, and in brackets for the equipment.
CREATE OR REPLACE FUNCTION priority_rank(priority text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE priority WHEN 'high' THEN 3 WHEN 'medium' THEN 2 WHEN 'low' THEN 1 END
$$;
CREATE OR REPLACE FUNCTION alert_badge(priority text, kind text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN kind = 'technical' THEN '[' || repeat('!', priority_rank(priority)) || '] ' || priority
                ELSE repeat('!', priority_rank(priority)) || ' ' || priority END
$$;

-- A word for each bed: OFFLINE and SILENT come first, because no verdict on an old reading is an all-clear. Silent is who
-- has missed three readings and 15 seconds, as for the rule no-data.
CREATE OR REPLACE VIEW ward_condition AS
SELECT bed.ward, bed.device_id, bed.patient_id,
       CASE WHEN bed.device_state = 'offline' THEN 'OFFLINE'
            WHEN bed.time IS NULL THEN 'WAITING'
            WHEN bed.age > greatest(interval '15 seconds', 3 * make_interval(secs => device.interval_s)) THEN 'SILENT'
            WHEN bed.status = 'CRITICAL' THEN 'CRITICAL'
            WHEN bed.sensor_off <> '{}' THEN 'SENSOR OFF'
            ELSE 'NORMAL' END AS condition,
       greatest(extract(epoch FROM bed.age), 0)::float8 AS age_s,
       device.interval_s::float8 AS interval_s, device.model, device.dropped,
       bed.time, bed.sensor_off, bed.alerts, bed.alert_list
FROM ward_now AS bed LEFT JOIN device USING (device_id);
COMMENT ON VIEW ward_condition IS 'a row a bed: what to call its condition, and how old its last reading is';

-- The same with the values, for a wall. A value is shown as long as it holds and its sensor is on; one that is older is
-- not shown, because an old 97 % looks like a patient who is well.
CREATE OR REPLACE VIEW ward_board AS
SELECT bed.ward, bed.device_id, bed.patient_id, bed.condition, bed.age_s,
       coalesce(priority_rank(worst.priority), 0) AS urgency,
       alert_badge(worst.priority, worst.kind) AS badge,
       CASE worst.state WHEN 'active' THEN worst.text ELSE worst.text || ' (' || replace(worst.state, '_', ' ') || ')' END
       AS alert_text,
       bed.alerts,
       CASE WHEN NOT score.stale THEN score.total END AS news2,
       CASE WHEN NOT score.stale THEN score.worst END AS news2_worst,
       CASE WHEN NOT score.stale THEN array_to_string(score.missing, ', ') END AS news2_missing,
       CASE WHEN fresh AND NOT 'heart_rate' = ANY (bed.sensor_off) THEN held.heart_rate END AS heart_rate,
       CASE WHEN fresh AND NOT 'spo2' = ANY (bed.sensor_off) THEN held.spo2 END AS spo2,
       CASE WHEN fresh AND NOT 'resp_rate' = ANY (bed.sensor_off) THEN held.resp_rate END AS resp_rate,
       CASE WHEN now() - held.temperature_time <= news2_hold('temperature')
             AND NOT 'temperature' = ANY (bed.sensor_off) THEN held.temperature END AS temperature,
       CASE WHEN now() - held.pressure_time <= news2_hold('systolic_bp') THEN held.systolic_bp END AS systolic_bp,
       CASE WHEN now() - held.pressure_time <= news2_hold('systolic_bp') THEN held.diastolic_bp END AS diastolic_bp,
       CASE WHEN fresh THEN CASE WHEN held.on_oxygen THEN 'oxygen' WHEN NOT held.on_oxygen THEN 'air' END END AS breathing,
       CASE WHEN fresh THEN held.consciousness END AS consciousness
FROM ward_condition AS bed
LEFT JOIN held_reading AS held USING (device_id)
LEFT JOIN LATERAL (SELECT now() - bed.time <= news2_hold('heart_rate') AS fresh) AS young ON true
LEFT JOIN LATERAL (
    SELECT total, worst, missing, NOT young.fresh AS stale
    FROM news2(held.resp_rate::numeric::float8, held.spo2::numeric::float8, held.on_oxygen,
               held.systolic_bp::numeric::float8, held.heart_rate::numeric::float8, held.consciousness,
               held.temperature::numeric::float8)
) AS score ON held.device_id IS NOT NULL
LEFT JOIN LATERAL (
    SELECT told.priority, told.kind, told.state, told.text
    FROM jsonb_to_recordset(bed.alert_list) AS told (priority text, kind text, state text, since timestamptz, text text)
    ORDER BY priority_rank(told.priority) DESC, told.kind, told.since DESC LIMIT 1
) AS worst ON true;
COMMENT ON VIEW ward_board IS 'a row a bed for a wall: condition, worst alert, NEWS2, and the values that still hold';

-- How many points a chart wants: one for each of Grafana's intervals, and one for the end that is not whole.
CREATE OR REPLACE FUNCTION chart_points(from_time timestamptz, to_time timestamptz, interval_ms bigint)
RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT least(2000, 1 + ceil(extract(epoch FROM to_time - from_time) * 1000 / greatest(interval_ms, 1)))::integer
$$;

-- vitals_series for a chart: of the first bed in `devices`, and with an empty row wherever no reading came for more
-- than two of its points and three of the device's own intervals, so that a line breaks there and nowhere else.
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
$function$, for_every_sign('%1$s_avg float8, %1$s_min real, %1$s_max real, %1$s_n bigint, %1$s_off float8'),
            for_every_sign('%1$s_avg, %1$s_min, %1$s_max, %1$s_n, %1$s_off'),
            for_every_sign('NULL, NULL, NULL, NULL, NULL'));
BEGIN
    EXECUTE definition;
EXCEPTION WHEN invalid_function_definition THEN  -- a new sign gives it new columns
    DROP FUNCTION bed_chart(text[], timestamptz, timestamptz, bigint);
    EXECUTE definition;
END $$;
COMMENT ON FUNCTION bed_chart IS 'vitals_series of the first of `devices` with an empty row in each gap; for charts';

-- NEWS2 over time with its parts, from the averages of a minute or more. A cuff's value stands for an hour. Oxygen and
-- consciousness have no average, so the total is a lower bound. A row without a total is a gap.
CREATE OR REPLACE FUNCTION news2_chart(devices text[], from_time timestamptz, to_time timestamptz, interval_ms bigint)
RETURNS TABLE ("time" timestamptz, total integer, worst integer, resp_rate_part integer, spo2_part integer,
               systolic_bp_part integer, heart_rate_part integer, temperature_part integer)
LANGUAGE sql STABLE AS $$
    WITH point AS (
        SELECT *, count(systolic_bp_avg) OVER past AS cuff, count(temperature_avg) OVER past AS probe
        FROM bed_chart(devices, from_time - interval '1 hour', to_time, greatest(interval_ms, 60000))
        WINDOW past AS (ORDER BY "time")
    ), held AS (
        SELECT *, first_value(systolic_bp_avg) OVER of_cuff AS systolic_bp, first_value("time") OVER of_cuff AS cuff_time,
               first_value(temperature_avg) OVER of_probe AS temperature
        FROM point
        WINDOW of_cuff AS (PARTITION BY cuff ORDER BY "time"), of_probe AS (PARTITION BY probe ORDER BY "time")
    )
    SELECT held."time", CASE WHEN measured THEN score.total END, CASE WHEN measured THEN score.worst END,
           score.resp_rate_part, score.spo2_part,
           CASE WHEN measured THEN score.systolic_bp_part END, score.heart_rate_part,
           CASE WHEN measured THEN score.temperature_part END
    FROM held
    CROSS JOIN LATERAL (SELECT coalesce(resp_rate_n, 0) + coalesce(spo2_n, 0) + coalesce(heart_rate_n, 0) > 0 AS measured) m
    CROSS JOIN LATERAL news2(
        resp_rate_avg, spo2_avg, NULL,
        CASE WHEN held."time" - cuff_time <= interval '1 hour' OR systolic_bp_avg IS NOT NULL THEN systolic_bp END,
        heart_rate_avg, NULL, temperature) AS score
    WHERE held."time" >= from_time
    ORDER BY 1
$$;
COMMENT ON FUNCTION news2_chart IS 'NEWS2 of the first of `devices` over time, from averages: a lower bound';

-- Alerts that were open at some moment of a range: raised in it, or cleared in it or after it, or open now.
CREATE OR REPLACE FUNCTION alert_overlapping(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (alert_id uuid, ward text, device_id text, patient_id text, rule text, kind text, text text,
               raised_at timestamptz, acknowledged_at timestamptz, cleared_at timestamptz, worst_priority text,
               alarms bigint)
LANGUAGE sql STABLE AS $$
    WITH known AS (
        SELECT alert_id FROM alert_event WHERE raised_at BETWEEN from_time AND to_time
        UNION
        SELECT alert_id FROM alert_event WHERE state = 'cleared' AND changed_at >= from_time AND raised_at < from_time
        UNION
        SELECT alert_id FROM alert_latest WHERE state <> 'cleared'
    )
    SELECT e.alert_id, max(e.ward), e.device_id, max(e.patient_id), e.rule, e.kind, max(e.text), e.raised_at,
           min(e.changed_at) FILTER (WHERE e.change = 'acknowledged' OR (e.state = 'cleared' AND e.acknowledged_by <> '')),
           max(e.changed_at) FILTER (WHERE e.state = 'cleared'),
           (ARRAY['low', 'medium', 'high'])[max(priority_rank(e.priority))],
           count(*) FILTER (WHERE e.change IN ('raised', 'escalated', 'returned'))
    FROM alert_event e JOIN known USING (alert_id)
    WHERE e.raised_at <= to_time
    GROUP BY e.alert_id, e.device_id, e.rule, e.kind, e.raised_at
$$;
COMMENT ON FUNCTION alert_overlapping IS 'a row an alert that was open at some moment of the range; alarms: times it sounded';

-- The worst open alert of each bed over time: 0 none, 1 low, 2 medium, 3 high; of equipment alone 0.5. Beds without an
-- alert in the range are left out, and of very many those with the fewest.
CREATE OR REPLACE FUNCTION alert_timeline(
    wards text[], from_time timestamptz, to_time timestamptz, interval_ms bigint, most_beds integer DEFAULT 40)
RETURNS TABLE ("time" timestamptz, bed text, severity float8)
LANGUAGE sql STABLE AS $$
    WITH width AS (
        SELECT series_step(from_time, to_time, chart_points(from_time, to_time, interval_ms)) AS step
    ), open AS (
        SELECT device_id, raised_at, coalesce(cleared_at, now()) AS until,
               CASE kind WHEN 'technical' THEN 0.5 ELSE priority_rank(worst_priority) END AS severity
        FROM alert_overlapping(from_time, to_time) WHERE ward = ANY (wards)
    ), bed AS (
        SELECT device_id FROM open GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT most_beds
    ), covered AS (
        SELECT device_id, generate_series(time_bucket(step, greatest(raised_at, from_time)),
                                          least(until, to_time), step) AS at, severity
        FROM open CROSS JOIN width
    )
    SELECT moment.at, bed.device_id, coalesce(max(covered.severity), 0)::float8
    FROM width
    CROSS JOIN LATERAL generate_series(time_bucket(step, from_time), least(to_time, now()), step) AS moment (at)
    CROSS JOIN bed
    LEFT JOIN covered ON covered.at = moment.at AND covered.device_id = bed.device_id
    GROUP BY 1, 2
    ORDER BY 1, 2
$$;
COMMENT ON FUNCTION alert_timeline IS 'the worst open alert of each bed over time; for a state timeline';

-- Readings stored a second, by the time they were measured, from the rollup of minutes or of hours. Whole buckets only;
-- a bucket without any, after the first with some, is a zero.
CREATE OR REPLACE FUNCTION reading_rate(from_time timestamptz, to_time timestamptz)
RETURNS TABLE ("time" timestamptz, per_second float8)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    span CONSTANT interval := to_time - from_time;
    step CONSTANT interval := CASE WHEN span <= '2 hours' THEN interval '1 minute' WHEN span <= '25 hours' THEN '15 minutes'
                                   WHEN span <= '10 days' THEN '1 hour' ELSE '1 day' END;
BEGIN
    RETURN QUERY EXECUTE format(
        'WITH counted AS (
             SELECT time_bucket(%L::interval, bucket) AS at, sum(readings) AS readings FROM %I
             WHERE bucket >= %L AND bucket < %L AND bucket < time_bucket(%L::interval, now())
             GROUP BY 1
         )
         SELECT moment.at, (coalesce(readings, 0) / %s)::float8
         FROM generate_series((SELECT min(at) FROM counted), least(%L, now()) - %L::interval, %L::interval) AS moment (at)
         LEFT JOIN counted USING (at) ORDER BY 1',
        step, CASE WHEN step < '1 hour' THEN 'vitals_1m' WHEN step < '1 day' THEN 'vitals_1h' ELSE 'vitals_1d' END,
        time_bucket(step, from_time), to_time, step, extract(epoch FROM step), to_time, step, step);
END $$;
COMMENT ON FUNCTION reading_rate IS 'readings stored a second over time, by the time they were measured';

-- How old readings are when ingest receives them. A sample, so that a month costs what an hour costs: of each interval
-- the first 300 readings.
CREATE OR REPLACE FUNCTION arrival_lag(from_time timestamptz, to_time timestamptz, interval_ms bigint)
RETURNS TABLE ("time" timestamptz, p50 float8, p95 float8)
LANGUAGE sql STABLE AS $$
    SELECT moment.at, lag.shares[1], lag.shares[2]
    FROM (SELECT series_step(from_time, to_time, chart_points(from_time, to_time, interval_ms)) AS step) AS width
    CROSS JOIN LATERAL generate_series(time_bucket(step, from_time), least(to_time, now()), step) AS moment (at)
    CROSS JOIN LATERAL (
        SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM received_at - v.time)::float8)
               AS shares
        FROM (SELECT received_at, first.time FROM patient_vitals AS first
              WHERE first.time >= moment.at AND first.time < moment.at + width.step ORDER BY first.time LIMIT 300) AS v
    ) AS lag
    WHERE lag.shares IS NOT NULL
    ORDER BY 1
$$;
COMMENT ON FUNCTION arrival_lag IS 'seconds from measured to received, median and 95th percentile over time, of a sample';

-- completeness_1h for a range, which does not look through all of history: the number before a device's first hour of
-- the range is sought in the week before it.
CREATE OR REPLACE FUNCTION completeness_between(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (bucket timestamptz, device_id text, stored bigint, expected numeric)
LANGUAGE sql STABLE AS $$
    WITH counted AS (
        SELECT s.bucket, s.device_id, s.stored, s.last_seq - coalesce(
                   max(s.last_seq) OVER (PARTITION BY s.device_id, s.boot ORDER BY s.bucket
                                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
                   CASE WHEN s.boot > (SELECT extract(epoch FROM min(v.time)) FROM patient_vitals AS v) THEN 0
                        ELSE s.first_seq - 1 END) AS expected
        FROM sequence_1h AS s
        WHERE s.bucket >= from_time - interval '7 days' AND s.bucket < to_time
    )
    SELECT counted.bucket, counted.device_id, sum(counted.stored)::bigint, sum(greatest(counted.expected, counted.stored))
    FROM counted
    WHERE counted.bucket > from_time - interval '1 hour'
    GROUP BY 1, 2
$$;
COMMENT ON FUNCTION completeness_between IS 'stored and expected readings per hour and device of a range; see completeness_1h';

-- Does anything arrive? Looks at the newest thousand, so that one device with a clock ahead does not hide silence.
CREATE OR REPLACE VIEW ingest_now AS
SELECT max(received_at) AS last_received_at, now() - max(received_at) AS silent_for,
       (SELECT count(*) FROM device WHERE state = 'online') AS devices_online
FROM (SELECT received_at FROM patient_vitals WHERE time > now() - interval '1 day' ORDER BY time DESC LIMIT 1000) AS newest;
COMMENT ON VIEW ingest_now IS 'when the last reading was received, and how many devices say that they are online';
