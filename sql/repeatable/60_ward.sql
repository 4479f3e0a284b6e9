-- The present state of the ward. The cost must not grow with history: dashboards query every few seconds.

-- Where the time of a device belongs on the time line of arrivals (device_clock; vitals/clock.py). A reading that is
-- ahead of the present by more than 2 s with this offset comes from a time at which the clock was ahead by more. It is
-- not the newest reading: what arrived since then is.
CREATE OR REPLACE FUNCTION newest_device_time(device text) RETURNS timestamptz LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT now() + interval '2 s' - coalesce((SELECT clock_offset FROM device_clock WHERE device_id = $1), interval '0')
$$;

-- The age of a reading: since it was measured, and at least since it arrived. Never negative. NULL, which is silence, for
-- one that arrived in the future: the clock of this host was set back since then, and how long ago that was is not known.
-- The offset of the device's clock is an argument and not read here, so that the planner puts the expression in place of
-- the call.
CREATE OR REPLACE FUNCTION reading_age(clock_offset interval, reading_time timestamptz, received_at timestamptz)
RETURNS interval LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN received_at <= now() + interval '1 minute' THEN
           greatest(now() - received_at, now() - coalesce(clock_offset, interval '0') - reading_time, interval '0') END
$$;

-- The last reading of every bed with one in the last 24 hours. A loose index scan over the primary key: it goes from
-- one device's newest row to the next device's, and reads about one row per bed.
CREATE OR REPLACE VIEW last_reading AS
WITH RECURSIVE bed AS (
    (SELECT device_id FROM patient_vitals WHERE time > now() - interval '1 day'
     ORDER BY device_id DESC, time DESC, boot DESC, seq DESC LIMIT 1)
    UNION ALL
    SELECT next.device_id FROM bed CROSS JOIN LATERAL (
        SELECT device_id FROM patient_vitals v WHERE v.time > now() - interval '1 day' AND v.device_id < bed.device_id
        ORDER BY v.device_id DESC, v.time DESC, v.boot DESC, v.seq DESC LIMIT 1) AS next
)
SELECT newest.* FROM bed LEFT JOIN device_clock AS clock USING (device_id) CROSS JOIN LATERAL (
    -- Of one time the one that arrived last: a clock may count minutes, or stand still.
    SELECT * FROM (
        (SELECT * FROM patient_vitals v
         WHERE v.device_id = bed.device_id AND v.time > now() - interval '1 day'
           -- newest_device_time, written out: a call per bed cost more than all the rest.
           AND v.time <= now() + interval '2 s' - coalesce(clock.clock_offset, interval '0')
         ORDER BY v.time DESC FETCH FIRST ROW WITH TIES)
        UNION ALL
        -- After the clock of this host was set back it is not one of the past, but the last one from before.
        (SELECT * FROM patient_vitals v
         WHERE v.device_id = bed.device_id AND v.time > now() - interval '1 day'
           AND v.time > now() + interval '2 s' - coalesce(clock.clock_offset, interval '0')
           AND arrival_time(v.received_at, v.time, v.arrival_lag_ms) > now() + interval '1 minute'
         ORDER BY v.time DESC LIMIT 1)) AS v
    ORDER BY arrival_time(v.received_at, v.time, v.arrival_lag_ms) DESC, v.boot DESC, v.seq DESC LIMIT 1) AS newest;
COMMENT ON VIEW last_reading IS 'the last reading of every bed with one in the last 24 hours';

-- For beds without a recent reading, in functions, so that they run for those beds only. The times are literals of the
-- query: the planner opens every chunk that it cannot exclude by them, which took 200 ms for 1,100 chunks.

-- The readings of one device from one time to another.
CREATE OR REPLACE FUNCTION readings_between(device text, from_time timestamptz, to_time timestamptz)
RETURNS SETOF patient_vitals LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT * FROM patient_vitals WHERE device_id = %L AND time >= %L AND time <= %L',
                                $1, $2, $3);
END $$;

-- The last reading of one device within 32 days.
CREATE OR REPLACE FUNCTION last_reading_of(device text) RETURNS SETOF patient_vitals LANGUAGE plpgsql STABLE AS $$
DECLARE
    days integer;
BEGIN
    FOREACH days IN ARRAY ARRAY[2, 8, 32] LOOP
        RETURN QUERY EXECUTE format(
            'SELECT * FROM (SELECT * FROM patient_vitals WHERE device_id = %L AND time > %L AND time <= %L'
            ' ORDER BY time DESC FETCH FIRST ROW WITH TIES) AS v'
            ' ORDER BY arrival_time(received_at, time, arrival_lag_ms) DESC, boot DESC, seq DESC LIMIT 1',
            $1, now() - make_interval(days => days), newest_device_time($1));
        EXIT WHEN FOUND;
    END LOOP;
END $$;

-- The usual time between two readings of a device, in seconds, as `DeviceClock.usual_interval` in vitals/clock.py: as
-- announced, unless readings came at a shorter interval for the last minute; as they arrive where none was announced, NULL
-- where that is not known either. From the last 40 readings up to a time, or 512 for the minute; what arrives within half
-- a second is of one moment. A test compares the two.
CREATE OR REPLACE FUNCTION usual_interval(device text, announced float8, until timestamptz)
RETURNS float8 LANGUAGE sql STABLE AS $$
    WITH arrival AS (
        SELECT arrival_time(v.received_at, v.time, v.arrival_lag_ms) AS at FROM patient_vitals v
        WHERE v.device_id = $1 AND v.time <= $3 AND v.time > now() - interval '2 days'
          AND v.time > $3 - coalesce(make_interval(secs => 3 * $2 + 70), interval '1 day')
        ORDER BY v.time DESC, at DESC LIMIT CASE WHEN $2 IS NULL THEN 40 ELSE 512 END
    ), chain AS (
        SELECT at, count(*) FILTER (WHERE pause >= interval '0.5 s') OVER (ORDER BY at) AS number
        FROM (SELECT at, at - lag(at) OVER (ORDER BY at) AS pause FROM arrival) AS arrival
    ), moment AS (
        SELECT at, extract(epoch FROM at - lag(at) OVER (ORDER BY at))::float8 AS seconds FROM (
            SELECT min(at) AS at FROM (
                SELECT *, floor(extract(epoch FROM at - min(at) OVER (PARTITION BY number)) / 0.5) AS part FROM chain) AS chain
            GROUP BY number, part) AS moment
    ), usual AS (
        -- One outage, or two, do not change it; three gaps of another length do.
        SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY seconds) AS seconds
        FROM (SELECT seconds FROM moment ORDER BY at DESC LIMIT 5) AS recent
    )
    SELECT CASE WHEN $2 IS NULL THEN usual.seconds
                WHEN usual.seconds < $2 AND (
                    SELECT max(at) - coalesce(max(at) FILTER (
                               WHERE moment.seconds NOT BETWEEN usual.seconds / 2 AND usual.seconds * 2), min(at))
                    FROM moment WHERE moment.seconds IS NOT NULL) >= interval '60 s' THEN usual.seconds
                ELSE $2 END
    FROM usual
$$;
COMMENT ON FUNCTION usual_interval(text, float8, timestamptz) IS
    'seconds between two readings of a device, as announced, else as they arrive';

-- The same of now.
CREATE OR REPLACE FUNCTION usual_interval(device text) RETURNS interval LANGUAGE sql STABLE AS $$
    SELECT make_interval(secs => usual_interval($1, (SELECT interval_s FROM device d WHERE d.device_id = $1), now()))
$$;

-- Whether a bed is silent, by the age and the time of its last reading. The usual interval is never longer than
-- the announced one, so most beds are judged by it alone.
CREATE OR REPLACE FUNCTION is_silent(age interval, device text, announced float8, last_time timestamptz)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN $1 IS NULL THEN true
                WHEN $1 <= silent_after(NULL) THEN false
                WHEN $1 > silent_after($3) AND $3 IS NOT NULL THEN true
                ELSE $1 > silent_after(usual_interval($2, $3, $4)) END
$$;

-- One row per bed: its last reading and the age of it, the state of its device, its open alerts. The columns of the
-- signs come last, so that a new one can be appended.
DO $$
BEGIN
    EXECUTE format($view$
CREATE OR REPLACE VIEW ward_now AS
WITH open_alert AS (
    SELECT device_id, count(*) AS alerts,
           (ARRAY['low', 'medium', 'high'])[max(priority_rank(priority))] AS worst_alert,
           jsonb_agg(jsonb_build_object('rule', rule, 'priority', priority, 'kind', kind, 'state', state,
                                        'since', since, 'text', text) ORDER BY since) AS alert_list
    FROM alert_active WHERE ward <> 'stack' GROUP BY device_id  -- that ward has no beds
), recent AS MATERIALIZED (
    SELECT * FROM last_reading
), not_recent AS MATERIALIZED (
    -- A device that sends no status is known by an open alert, such as that of its silence, or by its clock, by which all
    -- that it sends is older.
    SELECT device_id FROM device WHERE state <> 'forgotten'
    UNION SELECT device_id FROM open_alert
    UNION SELECT device_id FROM device_clock WHERE clock_offset > interval '1 day'
    EXCEPT SELECT device_id FROM recent
), reading AS (
    SELECT * FROM recent
    UNION ALL
    SELECT older.* FROM not_recent CROSS JOIN LATERAL last_reading_of(not_recent.device_id) AS older
), of_patient AS (
    -- A reading from before the assignment is not one of the assigned patient, so the bed has none yet.
    SELECT reading.*, present.patient_id AS assigned, present.since, present.device_since
    FROM reading LEFT JOIN assignment_now AS present USING (device_id)
    WHERE is_of_patient(reading.patient_id, arrival_time(reading.received_at, reading.time, reading.arrival_lag_ms),
                        reading.time,
                        reading.patient_id, present.patient_id, present.since, present.device_since)
)
SELECT coalesce(reading.ward, device.ward, present.ward) AS ward,
       device_id,
       device.state AS device_state,
       device.changed_at AS device_state_since,
       coalesce(reading.patient_id, present.patient_id) AS patient_id,
       reading.time,
       reading_age(clock.clock_offset, reading.time,
                   arrival_time(reading.received_at, reading.time, reading.arrival_lag_ms)) AS age,
       coalesce(open_alert.alerts, 0) AS alerts,
       open_alert.worst_alert,
       coalesce(open_alert.alert_list, '[]') AS alert_list,
       -- No verdict without a value, as when no field of the readings was usable.
       CASE WHEN %s THEN 'CRITICAL' WHEN num_nonnulls(newest.on_oxygen, newest.consciousness, %s) > 0 THEN 'NORMAL' END AS status,
       CASE WHEN reading.time IS NOT NULL THEN array_remove(ARRAY[%s]::text[], NULL) END AS sensor_off,
       newest.on_oxygen,
       newest.consciousness,
       %s
FROM of_patient AS reading FULL JOIN device USING (device_id)
FULL JOIN (SELECT * FROM assignment_now WHERE patient_id IS NOT NULL) AS present USING (device_id)
LEFT JOIN open_alert USING (device_id)
LEFT JOIN device_clock AS clock USING (device_id)
LEFT JOIN LATERAL (
    SELECT greatest(verdict_max_age(), CASE WHEN 3 * device.interval_s <= extract(epoch FROM verdict_max_age()) THEN NULL
           ELSE silent_after(usual_interval(reading.device_id, device.interval_s, reading.time)) END) AS span
    OFFSET 0  -- once per bed
) AS verdict ON reading.time IS NOT NULL
-- The newest value of each sign up to the last reading, of its patient, and none after its sensor came off: a device may
-- send one message per sign.
LEFT JOIN LATERAL (
    SELECT (array_agg(v.on_oxygen ORDER BY v.time DESC, arrival_time(v.received_at, v.time, v.arrival_lag_ms) DESC)
            FILTER (WHERE v.on_oxygen IS NOT NULL))[1] AS on_oxygen,
           (array_agg(v.consciousness ORDER BY v.time DESC, arrival_time(v.received_at, v.time, v.arrival_lag_ms) DESC)
            FILTER (WHERE v.consciousness IS NOT NULL))[1] AS consciousness,
           string_agg(array_to_string(v.sensor_off, ' '), ' ') FILTER (WHERE v.sensor_off <> '{}') AS off,
           %s
    FROM (
        SELECT * FROM patient_vitals v
        WHERE v.device_id = reading.device_id AND v.time <= reading.time AND v.time >= reading.time - verdict.span
          AND reading.time > now() - interval '1 day' AND v.time > now() - interval '2 days'
        UNION ALL
        SELECT * FROM readings_between(reading.device_id, reading.time - verdict.span, reading.time)
        WHERE reading.time <= now() - interval '1 day'
    ) AS v
    WHERE is_of_patient(v.patient_id, arrival_time(v.received_at, v.time, v.arrival_lag_ms), v.time,
                        reading.patient_id, reading.assigned, reading.since, reading.device_since)
) AS newest ON reading.time IS NOT NULL
-- A removed device is no bed, unless it has sent since then.
WHERE device.state IS DISTINCT FROM 'forgotten' OR arrival_time(reading.received_at, reading.time, reading.arrival_lag_ms) > device.changed_at
      OR present.patient_id IS NOT NULL$view$,
        (SELECT string_agg(format('coalesce(is_critical(%1$L, newest.%1$I), false)', sign), ' OR ') FROM vital_signs() AS sign),
        format_per_sign('newest.%1$I'),
        format_per_sign('CASE WHEN newest.%1$I IS NULL AND %1$L = ANY (string_to_array(newest.off, '' '')) THEN %1$L END'),
        format_per_sign('newest.%1$I'),
        format_per_sign('(array_agg(v.%1$I ORDER BY v.time DESC, '
                        'arrival_time(v.received_at, v.time, v.arrival_lag_ms) DESC) '
                        'FILTER (WHERE v.%1$I IS NOT NULL OR %1$L = ANY (v.sensor_off)))[1] AS %1$I'));
END $$;
COMMENT ON VIEW ward_now IS 'one row per bed: its patient, last reading and its age, state of the device, open alerts';

-- The last value of each input of NEWS2, and of the diastolic pressure of the same cuff, if not older than
-- news2_max_age, counted from the bed's last reading; none after its sensor came off, as the alert worker scores. One
-- LATERAL join per input, each an index scan that ends at its first row. No function: it would read the tables with the
-- rights of a user who may read this view alone.
DO $$
DECLARE
    newest CONSTANT text := $join$
LEFT JOIN LATERAL (
    SELECT CASE WHEN v.%1$I IS NOT NULL THEN v.time END AS time, v.%1$I%2$s FROM (
        SELECT v.time, v.%1$I%2$s, v.received_at, v.arrival_lag_ms FROM patient_vitals v
        WHERE v.device_id = bed.device_id AND v.time <= bed.time AND v.time >= bed.time - news2_max_age(%1$L)
          AND v.time > now() - interval '2 days' AND (v.%1$I IS NOT NULL OR %1$L = ANY (v.sensor_off))
          AND is_of_patient(v.patient_id, arrival_time(v.received_at, v.time, v.arrival_lag_ms), v.time,
                            bed.patient_id, present.patient_id, present.since, present.device_since)
        ORDER BY v.time DESC FETCH FIRST ROW WITH TIES) AS v  -- of one time the one that arrived last
    ORDER BY arrival_time(v.received_at, v.time, v.arrival_lag_ms) DESC LIMIT 1) AS %1$I ON true$join$;
BEGIN
    EXECUTE $view$
CREATE OR REPLACE VIEW last_valid_vitals AS
SELECT bed.ward, bed.device_id, coalesce(bed.patient_id, present.patient_id) AS patient_id, bed.time,
       heart_rate.heart_rate, spo2.spo2, resp_rate.resp_rate, temperature.temperature,
       systolic_bp.systolic_bp, systolic_bp.diastolic_bp, on_oxygen.on_oxygen, consciousness.consciousness,
       systolic_bp.time AS pressure_time,
       temperature.time AS temperature_time,
       least(resp_rate.time, spo2.time, systolic_bp.time, heart_rate.time, temperature.time, on_oxygen.time,
             consciousness.time) AS oldest_input,
       -- As `rules_for_bed` in vitals/assignment.py: the scale of the bed's limits, else that of the assignment. Neither
       -- counts for another patient than the one whom the readings name.
       CASE WHEN coalesce(bed.patient_id = present.patient_id, true) THEN present.profile END AS profile,
       CASE WHEN limits.scale IN ('1', '2')
                 AND coalesce(limits.patient_id = coalesce(bed.patient_id, present.patient_id), true)
            THEN limits.scale::integer
            WHEN coalesce(bed.patient_id = present.patient_id, true) THEN coalesce(present.spo2_scale, 1)
            ELSE 1 END AS spo2_scale
FROM last_reading AS bed
LEFT JOIN assignment_now AS present USING (device_id)
LEFT JOIN device USING (device_id)
LEFT JOIN LATERAL (
    SELECT detail ->> 'spo2_scale' AS scale, detail ->> 'patient_id' AS patient_id  -- none after remove_limits
    FROM audit_event e WHERE e.device_id = bed.device_id AND e.action IN ('set_limits', 'remove_limits')
    ORDER BY e.id DESC LIMIT 1
) AS limits ON true$view$ || (
        SELECT string_agg(format(newest, input, CASE input WHEN 'systolic_bp' THEN ', v.diastolic_bp' END), '')
        FROM unnest(ARRAY['resp_rate', 'spo2', 'systolic_bp', 'heart_rate', 'temperature', 'on_oxygen', 'consciousness'])
             AS input) || $view$
WHERE is_of_patient(bed.patient_id, arrival_time(bed.received_at, bed.time, bed.arrival_lag_ms), bed.time,
                    bed.patient_id, present.patient_id, present.since, present.device_since)
  -- As in ward_now: a removed device is no bed, unless it has sent since then.
  AND (device.state IS DISTINCT FROM 'forgotten' OR present.patient_id IS NOT NULL
       OR arrival_time(bed.received_at, bed.time, bed.arrival_lag_ms) > device.changed_at)$view$;
END $$;
COMMENT ON VIEW last_valid_vitals IS
    'the last valid value of each input of NEWS2, one row per bed with a reading of its patient in the last 24 hours';

-- The NEWS2 of every bed as of its last reading, from the last valid value of each input. `stale`: that reading is more
-- than a minute old, so the score does not describe the patient's present state. For a patient under 16 years (profile)
-- NEWS2 does not apply, and the score is NULL.
CREATE OR REPLACE VIEW news2_latest AS
SELECT valid.ward, valid.device_id, valid.patient_id, valid.time, measured.age,
       (measured.age <= interval '1 minute') IS NOT true AS stale,
       score.*,
       valid.oldest_input, valid.profile, valid.spo2_scale
FROM last_valid_vitals AS valid
LEFT JOIN device_clock AS clock USING (device_id)
-- At least since its arrival: a reading of a clock that was ahead is not young because its time has come.
CROSS JOIN LATERAL (
    SELECT reading_age(clock.clock_offset, valid.time, max(arrival_time(v.received_at, v.time, v.arrival_lag_ms))) AS age
    FROM patient_vitals v
    WHERE v.device_id = valid.device_id AND v.time = valid.time AND v.time > now() - interval '2 days'
) AS measured
-- Cast through numeric, so that a real 36.05 is scored as 36.05 and not as 36.049999.
LEFT JOIN LATERAL news2(valid.resp_rate::numeric::float8, valid.spo2::numeric::float8, valid.on_oxygen,
                        valid.systolic_bp::numeric::float8, valid.heart_rate::numeric::float8, valid.consciousness,
                        valid.temperature::numeric::float8, valid.spo2_scale) AS score
    ON coalesce(valid.profile, 'adult') = 'adult';
COMMENT ON VIEW news2_latest IS
    'the NEWS2 of every bed of the last 24 hours, with its parts, on the SpO2 scale of its patient; NULL under 16 years';

DROP FUNCTION IF EXISTS reading_age(text, timestamptz, timestamptz);  -- replaced by the one above
