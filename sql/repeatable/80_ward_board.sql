-- One row per bed, as the dashboards show it (grafana/dashboards). The cost does not grow with history, as in
-- 60_ward.sql.

-- The mark of an alert, as in vitals/alert_format.py: `!!! high`, in brackets if the alert is technical.
CREATE OR REPLACE FUNCTION alert_badge(priority text, kind text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN kind = 'technical' THEN '[' || repeat('!', priority_rank(priority)) || '] ' || priority
                ELSE repeat('!', priority_rank(priority)) || ' ' || priority END
$$;

-- An age in whole seconds, minutes, hours, days or weeks: rounded down, and at least a second. With the unit `s` Grafana
-- writes it as "1 s", "59 s", "11 mins", "1 hour".
CREATE OR REPLACE FUNCTION whole_age(seconds float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN seconds < 60 THEN greatest(1, floor(seconds))
                WHEN seconds < 3600 THEN floor(seconds / 60) * 60
                WHEN seconds < 86400 THEN floor(seconds / 3600) * 3600
                WHEN seconds < 604800 THEN floor(seconds / 86400) * 86400
                WHEN seconds IS NOT NULL THEN floor(seconds / 604800) * 604800 END
$$;

-- The condition of each bed, by the rules of vitals/bed_snapshot.py. OFFLINE and SILENT come first: an old reading says
-- nothing about the patient's present state. VACANT: discharged, and no reading was measured since then. After a month, or
-- once the readings since then may have been dropped, that is not known, and the bed is WAITING.
CREATE OR REPLACE VIEW ward_condition AS
SELECT bed.ward, bed.device_id, bed.patient_id,
       -- A reading since then ends OFFLINE: a device may reconnect without a birth.
       CASE WHEN bed.time IS NULL AND vacant.since > now() - least(interval '31 days', vacant.kept) THEN 'VACANT'
            WHEN bed.device_state = 'offline'
                 AND (bed.time IS NULL OR bed.age >= now() - bed.device_state_since) THEN 'OFFLINE'
            WHEN bed.time IS NULL THEN 'WAITING'
            WHEN is_silent(bed.age, bed.device_id, device.interval_s, bed.time) THEN 'SILENT'
            WHEN bed.status = 'CRITICAL' THEN 'CRITICAL'
            WHEN bed.sensor_off <> '{}' THEN 'SENSOR OFF'
            WHEN bed.status IS NULL THEN 'WAITING'
            ELSE 'NORMAL' END AS condition,
       extract(epoch FROM bed.age)::float8 AS age_s,
       device.interval_s::float8 AS interval_s, device.model, device.dropped,
       bed.time, bed.sensor_off, bed.alerts, bed.alert_list
FROM ward_now AS bed LEFT JOIN device USING (device_id)
LEFT JOIN (
    SELECT device_id, since, (SELECT period FROM retention_setting WHERE name = 'raw_retention') AS kept
    FROM assignment_now WHERE patient_id IS NULL
) AS vacant USING (device_id);
COMMENT ON VIEW ward_condition IS 'one row per bed: its condition and the age of its last reading';

-- The same with the values. A value is shown while it is valid and its sensor is attached; an older one is not shown,
-- because an old 97 % looks like a patient who is well.
-- `urgency` sorts beds: a high alert, then a CRITICAL reading, then a high alert whose condition has ended (latched), then
-- medium and low in the same way. `alert_text` ends with the worst value, if it is not in the text, and the present value
-- of the alert's sign or score if it is another one: "NEWS2, worst 8 at 20:20, now 0".
CREATE OR REPLACE VIEW ward_board AS
SELECT bed.ward, bed.device_id, bed.patient_id, bed.condition, bed.age_s,
       greatest(coalesce(worst.urgency, 0), CASE bed.condition WHEN 'CRITICAL' THEN 8 ELSE 0 END) AS urgency,
       alert_badge(worst.priority, worst.kind) AS badge,
       worst.text
           || CASE WHEN worst.worst_value <> worst.value
                   THEN ', worst ' || trim_scale(round(worst.worst_value::numeric, 1)) || ' at '
                        || to_char(worst.worst_value_at AT TIME ZONE ward_time_zone(bed.ward), 'HH24:MI') ELSE '' END
           || CASE WHEN now_value <> round(coalesce(worst.worst_value, worst.value)::numeric, 1) THEN ', now ' || trim_scale(now_value) ELSE '' END
           || CASE worst.state WHEN 'active' THEN '' ELSE ' (' || replace(worst.state, '_', ' ') || ')' END AS alert_text,
       bed.alerts,
       CASE WHEN NOT score.stale THEN score.total END AS news2,
       CASE WHEN NOT score.stale THEN score.worst END AS news2_worst,
       CASE WHEN NOT score.stale THEN array_to_string(score.missing, ', ') END AS news2_missing,
       shown.heart_rate, shown.spo2, shown.resp_rate, shown.temperature, shown.systolic_bp, shown.diastolic_bp,
       CASE WHEN fresh THEN CASE WHEN valid.on_oxygen THEN 'oxygen' WHEN NOT valid.on_oxygen THEN 'air' END END AS breathing,
       CASE WHEN fresh THEN valid.consciousness END AS consciousness,
       valid.profile, valid.spo2_scale,
       extract(epoch FROM now() - worst.since)::float8 AS alert_age_s,
       worst.state AS alert_state, worst.sign AS alert_sign, now_value AS alert_now
FROM ward_condition AS bed
LEFT JOIN last_valid_vitals AS valid USING (device_id)
LEFT JOIN LATERAL (
    SELECT make_interval(secs => bed.age_s) AS age, bed.age_s <= extract(epoch FROM news2_max_age('heart_rate')) AS fresh
) AS young ON true
LEFT JOIN LATERAL (
    SELECT CASE WHEN fresh AND NOT 'heart_rate' = ANY (bed.sensor_off) THEN valid.heart_rate END AS heart_rate,
           CASE WHEN fresh AND NOT 'spo2' = ANY (bed.sensor_off) THEN valid.spo2 END AS spo2,
           CASE WHEN fresh AND NOT 'resp_rate' = ANY (bed.sensor_off) THEN valid.resp_rate END AS resp_rate,
           CASE WHEN young.age + (bed.time - valid.temperature_time) <= news2_max_age('temperature')
                 AND NOT 'temperature' = ANY (bed.sensor_off) THEN valid.temperature END AS temperature,
           CASE WHEN young.age + (bed.time - valid.pressure_time) <= news2_max_age('systolic_bp')
                THEN valid.systolic_bp END AS systolic_bp,
           CASE WHEN young.age + (bed.time - valid.pressure_time) <= news2_max_age('systolic_bp')
                THEN valid.diastolic_bp END AS diastolic_bp
) AS shown ON true
LEFT JOIN LATERAL (
    SELECT total, worst, missing, NOT young.fresh AS stale
    FROM news2(valid.resp_rate::numeric::float8, valid.spo2::numeric::float8, valid.on_oxygen,
               valid.systolic_bp::numeric::float8, valid.heart_rate::numeric::float8, valid.consciousness,
               valid.temperature::numeric::float8, coalesce(valid.spo2_scale, 1))
) AS score ON valid.device_id IS NOT NULL AND coalesce(valid.profile, 'adult') = 'adult'
LEFT JOIN LATERAL (
    SELECT alert.*, alert_urgency(alert.priority, alert.state) AS urgency
    FROM alert_active AS alert WHERE alert.device_id = bed.device_id
    ORDER BY urgency DESC, alert.kind, alert.since DESC LIMIT 1
) AS worst ON true
LEFT JOIN LATERAL (
    -- Of the patient of the alert only. A patient's alert without sign and unit is that of the score.
    SELECT CASE WHEN worst.sign IS NOT NULL THEN round((to_jsonb(shown) ->> worst.sign)::numeric, 1)
                WHEN worst.kind = 'physiological' AND worst.unit IS NULL AND NOT score.stale THEN score.total END AS now_value
) AS present ON worst.patient_id IS NULL OR worst.patient_id = bed.patient_id;
COMMENT ON VIEW ward_board IS 'one row per bed: condition, worst alert, NEWS2, and the values that are still valid';
