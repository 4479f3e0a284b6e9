DO $$
DECLARE role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['vitalflow_ingest', 'vitalflow_reader', 'vitalflow_ward_reader'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        EXCEPTION WHEN duplicate_object THEN
            NULL;
        END;
    END LOOP;
END $$;

ALTER ROLE vitalflow_reader SET default_transaction_read_only = on;
ALTER ROLE vitalflow_reader SET statement_timeout = '30s';
ALTER ROLE vitalflow_reader SET jit = off;
ALTER ROLE vitalflow_reader CONNECTION LIMIT 30;
DO $$
BEGIN
    ALTER ROLE vitalflow_reader SET temp_file_limit = '4GB';
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END $$;
ALTER ROLE vitalflow_ingest SET statement_timeout = '30s';
ALTER ROLE vitalflow_ingest SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0;
CREATE OR REPLACE VIEW device_gap AS
WITH numbered AS (
    SELECT device_id, boot, seq, time,
           lag(seq) OVER run AS seq_before,
           lag(time) OVER run AS time_before
    FROM patient_vitals
    WHERE seq > 0
    WINDOW run AS (PARTITION BY device_id, boot ORDER BY seq, time)
)
SELECT device_id,
       boot,
       coalesce(seq_before, 0) + 1       AS first_missing,
       seq - 1                           AS last_missing,
       seq - coalesce(seq_before, 0) - 1 AS missing,
       time_before                       AS last_before,
       time                              AS first_after
FROM numbered
WHERE seq - 1 > coalesce(seq_before, 0)
  AND (seq_before IS NOT NULL
       OR boot > (SELECT extract(epoch FROM min(time)) FROM patient_vitals));
COMMENT ON VIEW device_gap IS 'runs of missing seq per device and boot; empty where nothing is missing';
CREATE OR REPLACE VIEW alert AS
SELECT alert_id, device_id, rule, kind, sign, unit, since, raised_at,
       (array_agg(ward ORDER BY revision DESC))[1]       AS ward,
       (array_agg(patient_id ORDER BY revision DESC))[1] AS patient_id,
       (array_agg(state ORDER BY revision DESC))[1]      AS state,
       (array_agg(priority ORDER BY revision DESC))[1]   AS priority,
       CASE min(CASE priority WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END)
            WHEN 1 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS worst_priority,
       (array_agg(value ORDER BY revision DESC))[1]      AS value,
       (array_agg("limit" ORDER BY revision DESC))[1]    AS "limit",
       (array_agg(text ORDER BY revision DESC))[1]       AS text,
       min(changed_at) FILTER (WHERE change = 'acknowledged' OR (state = 'cleared' AND acknowledged_by IS NOT NULL))
                                                         AS acknowledged_at,
       (array_agg(acknowledged_by ORDER BY revision) FILTER (WHERE acknowledged_by IS NOT NULL))[1]
                                                         AS acknowledged_by,
       max(changed_at) FILTER (WHERE state = 'cleared')  AS cleared_at,
       max(reason)                                       AS reason,
       coalesce(max(changed_at) FILTER (WHERE state = 'cleared'), now()) - raised_at AS duration,
       count(*)                                          AS changes
FROM alert_event
GROUP BY alert_id, device_id, rule, kind, sign, unit, since, raised_at;
COMMENT ON VIEW alert IS 'one row an alert: raised, acknowledged and by whom, cleared, how long; open ones up to now';

CREATE OR REPLACE VIEW alert_active AS
SELECT event.*, now() - event.raised_at AS duration
FROM alert_latest AS latest
JOIN alert_event AS event USING (alert_id, revision)
WHERE latest.state <> 'cleared';
COMMENT ON VIEW alert_active IS 'open alerts, as the database knows them; the broker''s retained topics know first';
CREATE OR REPLACE VIEW bed_limit AS
SELECT ward, device_id, who, time, detail
FROM (SELECT DISTINCT ON (topic) * FROM audit_event WHERE action IN ('set_limits', 'remove_limits') ORDER BY topic, id DESC)
WHERE action = 'set_limits';
COMMENT ON VIEW bed_limit IS 'a row a bed with limits of its own: the last ones that were set, whether or not the worker took them';

CREATE OR REPLACE VIEW reading_shape AS SELECT * FROM patient_vitals WHERE false;
COMMENT ON VIEW reading_shape IS 'the columns of patient_vitals and never a row';

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

CREATE OR REPLACE FUNCTION vitals_series_query(
    device text, from_time timestamptz, to_time timestamptz, max_points integer DEFAULT 1000)
RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    step CONSTANT interval := series_step(from_time, to_time, max_points);
    origin CONSTANT timestamptz := CASE WHEN step < '1 day' THEN '2000-01-01Z' ELSE time_bucket('1 day', from_time) END;
BEGIN
    IF step < '1 minute' THEN
        RETURN format(
            'SELECT time_bucket(%L::interval, time, %L::timestamptz), count(*), %s FROM patient_vitals'
            ' WHERE device_id = %L AND time >= %L AND time < %L GROUP BY 1 ORDER BY 1',
            step, origin, for_every_sign('avg(%1$I), min(%1$I), max(%1$I), count(%1$I), '
                                         'count(*) FILTER (WHERE %1$L = ANY (sensor_off))::float8 / count(*)'),
            device, time_bucket(step, from_time, origin), to_time);
    END IF;
    RETURN format(
        'SELECT time_bucket(%L::interval, bucket, %L::timestamptz), sum(readings)::bigint, %s FROM %I'
        ' WHERE device_id = %L AND bucket >= %L AND bucket < %L GROUP BY 1 ORDER BY 1',
        step, origin, for_every_sign('sum(%1$s_avg * %1$s_n) / nullif(sum(%1$s_n), 0)::float8, min(%1$s_min), '
                                     'max(%1$s_max), sum(%1$s_n)::bigint, '
                                     'sum(%1$s_off * minutes) / sum(minutes)::float8'),
        CASE WHEN step < '1 hour' THEN 'vitals_1m' WHEN step < '1 day' THEN 'vitals_1h' ELSE 'vitals_1d' END,
        device, time_bucket(step, from_time, origin), to_time);
END $$;

DO $$
DECLARE
    definition CONSTANT text := format($function$
CREATE OR REPLACE FUNCTION vitals_series(
    device text, from_time timestamptz, to_time timestamptz, max_points integer DEFAULT 1000)
RETURNS TABLE ("time" timestamptz, readings bigint, %s)
LANGUAGE plpgsql STABLE AS $body$
BEGIN
    RETURN QUERY EXECUTE vitals_series_query($1, $2, $3, $4);
    IF FOUND
       OR EXISTS (SELECT FROM device known WHERE known.device_id = $1)
       OR EXISTS (SELECT FROM patient_vitals WHERE device_id = $1)
       OR EXISTS (SELECT FROM vitals_1d WHERE device_id = $1) THEN
        RETURN;
    END IF;
    RAISE EXCEPTION 'there is no device %%', coalesce(quote_literal($1), 'NULL')
        USING ERRCODE = 'invalid_parameter_value', HINT = 'device: a device_id that ward_now or the table device has';
END
$body$
$function$, for_every_sign('%1$s_avg float8, %1$s_min real, %1$s_max real, %1$s_n bigint, %1$s_off float8'));
BEGIN
    EXECUTE definition;
EXCEPTION WHEN invalid_function_definition THEN
    DROP FUNCTION vitals_series(text, timestamptz, timestamptz, integer);
    EXECUTE definition;
END $$;
COMMENT ON FUNCTION vitals_series IS
    'one device from from_time to to_time in at most max_points points; the first and last cover their whole bucket';

CREATE OR REPLACE FUNCTION news2(
    resp_rate float8, spo2 float8, on_oxygen boolean, systolic_bp float8, heart_rate float8, consciousness text,
    temperature float8, scale integer DEFAULT 1,
    OUT total integer, OUT worst integer,
    OUT resp_rate_part integer, OUT spo2_part integer, OUT on_oxygen_part integer, OUT systolic_bp_part integer,
    OUT heart_rate_part integer, OUT consciousness_part integer, OUT temperature_part integer,
    OUT missing text[])
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    breaths CONSTANT float8 := floor(resp_rate + 0.5);
    saturation CONSTANT float8 := floor(spo2 + 0.5);
    pressure CONSTANT float8 := floor(systolic_bp + 0.5);
    beats CONSTANT float8 := floor(heart_rate + 0.5);
    tenths CONSTANT float8 := floor(temperature * 10 + 0.5);
BEGIN
    IF scale IS NULL OR scale NOT IN (1, 2) THEN
        RAISE EXCEPTION 'scale is %', coalesce(scale::text, 'NULL') USING ERRCODE = 'invalid_parameter_value',
            HINT = 'scale: the SpO2 scale, 1, or 2 for patients with hypercapnic respiratory failure';
    ELSIF consciousness NOT IN ('A', 'C', 'V', 'P', 'U') THEN
        RAISE EXCEPTION 'consciousness is %', quote_literal(consciousness) USING ERRCODE = 'invalid_parameter_value',
            HINT = 'consciousness: A, C, V, P or U (Alert, new Confusion, Voice, Pain, Unresponsive)';
    END IF;
    resp_rate_part := CASE WHEN breaths <= 8 THEN 3 WHEN breaths <= 11 THEN 1 WHEN breaths <= 20 THEN 0
                           WHEN breaths <= 24 THEN 2 WHEN breaths > 24 THEN 3 END;
    spo2_part := CASE
        WHEN saturation IS NULL THEN NULL
        WHEN scale = 1 THEN CASE WHEN saturation <= 91 THEN 3 WHEN saturation <= 93 THEN 2
                                 WHEN saturation <= 95 THEN 1 ELSE 0 END
        WHEN saturation <= 83 THEN 3 WHEN saturation <= 85 THEN 2 WHEN saturation <= 87 THEN 1
        WHEN saturation <= 92 OR on_oxygen IS NOT true THEN 0
        WHEN saturation <= 94 THEN 1 WHEN saturation <= 96 THEN 2 ELSE 3 END;
    on_oxygen_part := CASE WHEN on_oxygen THEN 2 WHEN NOT on_oxygen THEN 0 END;
    systolic_bp_part := CASE WHEN pressure <= 90 THEN 3 WHEN pressure <= 100 THEN 2 WHEN pressure <= 110 THEN 1
                             WHEN pressure <= 219 THEN 0 WHEN pressure > 219 THEN 3 END;
    heart_rate_part := CASE WHEN beats <= 40 THEN 3 WHEN beats <= 50 THEN 1 WHEN beats <= 90 THEN 0
                            WHEN beats <= 110 THEN 1 WHEN beats <= 130 THEN 2 WHEN beats > 130 THEN 3 END;
    consciousness_part := CASE WHEN consciousness = 'A' THEN 0 WHEN consciousness IS NOT NULL THEN 3 END;
    temperature_part := CASE WHEN tenths <= 350 THEN 3 WHEN tenths <= 360 THEN 1 WHEN tenths <= 380 THEN 0
                             WHEN tenths <= 390 THEN 1 WHEN tenths > 390 THEN 2 END;
    total := coalesce(resp_rate_part, 0) + coalesce(spo2_part, 0) + coalesce(on_oxygen_part, 0)
           + coalesce(systolic_bp_part, 0) + coalesce(heart_rate_part, 0) + coalesce(consciousness_part, 0)
           + coalesce(temperature_part, 0);
    worst := coalesce(greatest(resp_rate_part, spo2_part, on_oxygen_part, systolic_bp_part, heart_rate_part,
                               consciousness_part, temperature_part), 0);
    missing := array_remove(ARRAY[
        CASE WHEN resp_rate_part IS NULL THEN 'resp_rate' END, CASE WHEN spo2_part IS NULL THEN 'spo2' END,
        CASE WHEN systolic_bp_part IS NULL THEN 'systolic_bp' END,
        CASE WHEN heart_rate_part IS NULL THEN 'heart_rate' END,
        CASE WHEN temperature_part IS NULL THEN 'temperature' END,
        CASE WHEN on_oxygen_part IS NULL THEN 'on_oxygen' END,
        CASE WHEN consciousness_part IS NULL THEN 'consciousness' END], NULL);
END $$;

CREATE OR REPLACE FUNCTION news2_hold(input text) RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN input IN ('resp_rate', 'spo2', 'heart_rate') THEN interval '1 minute'
                WHEN input = 'systolic_bp' THEN interval '1 hour'
                WHEN input IN ('temperature', 'on_oxygen', 'consciousness') THEN interval '4 hours' END
$$;

CREATE OR REPLACE VIEW last_reading AS
WITH RECURSIVE bed AS (
    (SELECT * FROM patient_vitals WHERE time > now() - interval '1 day'
     ORDER BY device_id DESC, time DESC, boot DESC, seq DESC LIMIT 1)
    UNION ALL
    SELECT next.* FROM bed CROSS JOIN LATERAL (
        SELECT * FROM patient_vitals v WHERE v.time > now() - interval '1 day' AND v.device_id < bed.device_id
        ORDER BY v.device_id DESC, v.time DESC, v.boot DESC, v.seq DESC LIMIT 1) AS next
)
SELECT * FROM bed;
COMMENT ON VIEW last_reading IS 'the last reading of every bed, of those that sent one within a day';

CREATE OR REPLACE FUNCTION last_reading_of(device text) RETURNS SETOF patient_vitals LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY SELECT * FROM patient_vitals v WHERE v.device_id = $1 ORDER BY v.time DESC, v.boot DESC, v.seq DESC LIMIT 1;
END $$;

DO $$
BEGIN
    EXECUTE format($view$
CREATE OR REPLACE VIEW ward_now AS
WITH recent AS MATERIALIZED (
    SELECT * FROM last_reading
), silent AS MATERIALIZED (
    SELECT d.device_id FROM device d
    WHERE d.state <> 'forgotten' AND NOT EXISTS (SELECT FROM recent WHERE recent.device_id = d.device_id)
), reading AS (
    SELECT * FROM recent
    UNION ALL
    SELECT older.* FROM silent CROSS JOIN LATERAL last_reading_of(silent.device_id) AS older
), open_alert AS (
    SELECT device_id, count(*) AS alerts,
           CASE min(CASE priority WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END)
               WHEN 1 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS worst_alert,
           jsonb_agg(jsonb_build_object('rule', rule, 'priority', priority, 'kind', kind, 'state', state,
                                        'since', since, 'text', text) ORDER BY since) AS alert_list
    FROM alert_active GROUP BY device_id
)
SELECT coalesce(reading.ward, device.ward) AS ward,
       device_id,
       device.state AS device_state,
       device.changed_at AS device_state_since,
       reading.patient_id,
       reading.time,
       now() - reading.time AS age,
       coalesce(open_alert.alerts, 0) AS alerts,
       open_alert.worst_alert,
       coalesce(open_alert.alert_list, '[]') AS alert_list,
       reading.status,
       reading.sensor_off,
       reading.on_oxygen,
       reading.consciousness,
       %s
FROM reading FULL JOIN device USING (device_id) LEFT JOIN open_alert USING (device_id)
WHERE reading.time IS NOT NULL OR device.state <> 'forgotten'$view$, for_every_sign('reading.%1$I'));
END $$;
COMMENT ON VIEW ward_now IS 'a row a bed: last reading, its age, the device''s last word, open alerts';

CREATE OR REPLACE VIEW held_reading AS
SELECT bed.ward, bed.device_id, bed.patient_id, bed.time,
       heart_rate.value AS heart_rate, spo2.value AS spo2, resp_rate.value AS resp_rate,
       temperature.value AS temperature, pressure.value AS systolic_bp, pressure.diastolic_bp,
       on_oxygen.value AS on_oxygen, consciousness.value AS consciousness,
       pressure.time AS pressure_time,
       temperature.time AS temperature_time,
       least(resp_rate.time, spo2.time, pressure.time, heart_rate.time, temperature.time, on_oxygen.time,
             consciousness.time) AS oldest_input
FROM last_reading AS bed
LEFT JOIN LATERAL (
    SELECT v.time, v.resp_rate AS value FROM patient_vitals v
    WHERE v.device_id = bed.device_id AND v.time <= bed.time AND v.time >= bed.time - news2_hold('resp_rate')
      AND v.time > now() - interval '2 days' AND v.resp_rate IS NOT NULL ORDER BY v.time DESC LIMIT 1) AS resp_rate ON true
LEFT JOIN LATERAL (
    SELECT v.time, v.spo2 AS value FROM patient_vitals v
    WHERE v.device_id = bed.device_id AND v.time <= bed.time AND v.time >= bed.time - news2_hold('spo2')
      AND v.time > now() - interval '2 days' AND v.spo2 IS NOT NULL ORDER BY v.time DESC LIMIT 1) AS spo2 ON true
LEFT JOIN LATERAL (
    SELECT v.time, v.systolic_bp AS value, v.diastolic_bp FROM patient_vitals v
    WHERE v.device_id = bed.device_id AND v.time <= bed.time AND v.time >= bed.time - news2_hold('systolic_bp')
      AND v.time > now() - interval '2 days' AND v.systolic_bp IS NOT NULL
    ORDER BY v.time DESC LIMIT 1) AS pressure ON true
LEFT JOIN LATERAL (
    SELECT v.time, v.heart_rate AS value FROM patient_vitals v
    WHERE v.device_id = bed.device_id AND v.time <= bed.time AND v.time >= bed.time - news2_hold('heart_rate')
      AND v.time > now() - interval '2 days' AND v.heart_rate IS NOT NULL
    ORDER BY v.time DESC LIMIT 1) AS heart_rate ON true
LEFT JOIN LATERAL (
    SELECT v.time, v.temperature AS value FROM patient_vitals v
    WHERE v.device_id = bed.device_id AND v.time <= bed.time AND v.time >= bed.time - news2_hold('temperature')
      AND v.time > now() - interval '2 days' AND v.temperature IS NOT NULL
    ORDER BY v.time DESC LIMIT 1) AS temperature ON true
LEFT JOIN LATERAL (
    SELECT v.time, v.on_oxygen AS value FROM patient_vitals v
    WHERE v.device_id = bed.device_id AND v.time <= bed.time AND v.time >= bed.time - news2_hold('on_oxygen')
      AND v.time > now() - interval '2 days' AND v.on_oxygen IS NOT NULL
    ORDER BY v.time DESC LIMIT 1) AS on_oxygen ON true
LEFT JOIN LATERAL (
    SELECT v.time, v.consciousness AS value FROM patient_vitals v
    WHERE v.device_id = bed.device_id AND v.time <= bed.time AND v.time >= bed.time - news2_hold('consciousness')
      AND v.time > now() - interval '2 days' AND v.consciousness IS NOT NULL
    ORDER BY v.time DESC LIMIT 1) AS consciousness ON true;
COMMENT ON VIEW held_reading IS 'the last value of each input of NEWS2 that still holds, a row a bed of the past day';

CREATE OR REPLACE VIEW news2_latest AS
SELECT held.ward, held.device_id, held.patient_id, held.time, now() - held.time AS age,
       now() - held.time > interval '1 minute' AS stale,
       score.*,
       held.oldest_input
FROM held_reading AS held
CROSS JOIN LATERAL news2(held.resp_rate::numeric::float8, held.spo2::numeric::float8, held.on_oxygen,
                         held.systolic_bp::numeric::float8, held.heart_rate::numeric::float8, held.consciousness,
                         held.temperature::numeric::float8) AS score;
COMMENT ON VIEW news2_latest IS 'the NEWS2 of every bed of the past day, with its parts; on SpO2 scale 1';

CREATE OR REPLACE VIEW completeness_1h AS
WITH counted AS (
    SELECT bucket, device_id, stored, last_seq - coalesce(
               max(last_seq) OVER (PARTITION BY device_id, boot ORDER BY bucket
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
               CASE WHEN boot > (SELECT extract(epoch FROM min(bucket)) FROM sequence_1h) THEN 0
                    ELSE first_seq - 1 END) AS expected
    FROM sequence_1h
)
SELECT bucket, device_id, sum(stored)::bigint AS stored, sum(greatest(expected, stored)) AS expected,
       (sum(stored) / sum(greatest(expected, stored)))::float8 AS completeness
FROM counted
GROUP BY bucket, device_id;
COMMENT ON VIEW completeness_1h IS 'stored against expected readings per hour and device; 1 is complete';

CREATE OR REPLACE FUNCTION ingest_health(
    from_time timestamptz DEFAULT now() - interval '1 hour', to_time timestamptz DEFAULT now())
RETURNS TABLE (minute timestamptz, rows bigint, lag_p50 interval, lag_p95 interval, rejected bigint,
               rejected_by_reason jsonb)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF from_time IS NULL OR to_time IS NULL OR to_time <= from_time THEN
        RAISE EXCEPTION 'the range from % to % is empty', from_time, to_time USING ERRCODE = 'invalid_parameter_value',
            HINT = 'to_time: it must be later than from_time';
    END IF;
    RETURN QUERY
    WITH stored AS (
        SELECT date_trunc('minute', v.received_at) AS minute, count(*) AS rows,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY v.received_at - v.time) AS p50,
               percentile_cont(0.95) WITHIN GROUP (ORDER BY v.received_at - v.time) AS p95
        FROM patient_vitals v WHERE v.received_at >= from_time AND v.received_at < to_time GROUP BY 1
    ), by_reason AS (
        SELECT date_trunc('minute', r.received_at) AS minute, r.reason, count(*) AS messages
        FROM rejected_message r WHERE r.received_at >= from_time AND r.received_at < to_time GROUP BY 1, 2
    ), refused AS (
        SELECT by_reason.minute, sum(messages)::bigint AS messages, jsonb_object_agg(reason, messages) AS reasons
        FROM by_reason GROUP BY 1
    )
    SELECT coalesce(stored.minute, refused.minute), coalesce(stored.rows, 0), stored.p50, stored.p95,
           coalesce(refused.messages, 0), coalesce(refused.reasons, '{}')
    FROM stored FULL JOIN refused USING (minute) ORDER BY 1;
END $$;
COMMENT ON FUNCTION ingest_health IS 'per minute: rows stored, their age when received, messages rejected by reason';

CREATE OR REPLACE FUNCTION priority_rank(priority text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE priority WHEN 'high' THEN 3 WHEN 'medium' THEN 2 WHEN 'low' THEN 1 END
$$;
CREATE OR REPLACE FUNCTION alert_badge(priority text, kind text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN kind = 'technical' THEN '[' || repeat('!', priority_rank(priority)) || '] ' || priority
                ELSE repeat('!', priority_rank(priority)) || ' ' || priority END
$$;

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

CREATE OR REPLACE FUNCTION chart_points(from_time timestamptz, to_time timestamptz, interval_ms bigint)
RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT least(2000, 1 + ceil(extract(epoch FROM to_time - from_time) * 1000 / greatest(interval_ms, 1)))::integer
$$;

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
EXCEPTION WHEN invalid_function_definition THEN
    DROP FUNCTION bed_chart(text[], timestamptz, timestamptz, bigint);
    EXECUTE definition;
END $$;
COMMENT ON FUNCTION bed_chart IS 'vitals_series of the first of `devices` with an empty row in each gap; for charts';

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
COMMENT ON FUNCTION alert_overlapping IS
    'a row an alert that was open at some moment of the range; alarms: times it sounded';

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
CREATE SCHEMA by_ward;

DO $$
DECLARE
    relation record;
    mine CONSTANT text := 'ANY (ARRAY(SELECT m.ward FROM public.reader_ward m WHERE m.role = current_user))';
BEGIN
    FOR relation IN
        SELECT c.relname AS name, 'ward' = ANY (columns.names) AS by_ward, 'device_id' = ANY (columns.names) AS by_device
        FROM pg_class c
        CROSS JOIN LATERAL (SELECT array_agg(attname::text) AS names FROM pg_attribute
                            WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS columns
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND c.relname <> 'reader_ward'
          AND (columns.names && ARRAY['ward', 'device_id'] OR c.relname = 'rejected_message')
          AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'e')
    LOOP
        EXECUTE format(
            'CREATE VIEW by_ward.%1$I WITH (security_barrier) AS SELECT * FROM public.%1$I WHERE %2$s',
            relation.name,
            CASE WHEN relation.by_ward THEN 'ward = ' || mine
                 WHEN relation.by_device THEN
                     'device_id IN (SELECT d.device_id FROM public.device d WHERE d.ward = ' || mine || ')'
                 ELSE 'substring(topic FROM ''/(?:vitals|status|alerts|acks|limits)/([^/]+)/'') = ' || mine END);
    END LOOP;
END $$;

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

CREATE OR REPLACE VIEW ingest_now AS
SELECT max(received_at) AS last_received_at, now() - max(received_at) AS silent_for,
       (SELECT count(*) FROM device WHERE state = 'online') AS devices_online
FROM (SELECT received_at FROM patient_vitals WHERE time > now() - interval '1 day'
      ORDER BY time DESC LIMIT 1000) AS newest;
COMMENT ON VIEW ingest_now IS 'when the last reading was received, and how many devices say that they are online';

DO $$
BEGIN
    IF current_database() = 'template1' THEN
        RETURN;
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO vitalflow_ingest, vitalflow_reader, vitalflow_ward_reader',
                   current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO vitalflow_ingest', current_database());
END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

DO $$
BEGIN
    REVOKE EXECUTE ON FUNCTION pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid),
        pg_catalog.lo_from_bytea(oid, bytea) FROM PUBLIC;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END $$;

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM vitalflow_ingest;
GRANT INSERT ON patient_vitals, rejected_message, alert_event, audit_event, late_bucket TO vitalflow_ingest;
GRANT SELECT ON reading_shape, vitalflow_period, vitalflow_edition TO vitalflow_ingest;
GRANT SELECT (readings) ON late_bucket TO vitalflow_ingest;
GRANT SELECT (id, topic, content, delivery) ON audit_event TO vitalflow_ingest;
GRANT INSERT, SELECT, UPDATE ON device, alert_latest TO vitalflow_ingest;
REVOKE EXECUTE ON FUNCTION drop_old_readings() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_old_readings() TO vitalflow_ingest;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO vitalflow_reader;
GRANT USAGE ON SCHEMA by_ward TO vitalflow_ward_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA by_ward TO vitalflow_ward_reader;
GRANT SELECT ON vitalflow_period, vitalflow_edition TO vitalflow_ward_reader;
