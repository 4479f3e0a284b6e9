-- A row a bed for a wall, as the dashboards show it (grafana/dashboards). Does not grow with history, as in 60_ward.sql.

-- How alerts look on every screen, as vitals/alert_format.py says it: `!!! high`, and in brackets for the equipment.
CREATE OR REPLACE FUNCTION priority_rank(priority text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE priority WHEN 'high' THEN 3 WHEN 'medium' THEN 2 WHEN 'low' THEN 1 END
$$;
CREATE OR REPLACE FUNCTION alert_badge(priority text, kind text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN kind = 'technical' THEN '[' || repeat('!', priority_rank(priority)) || '] ' || priority
                ELSE repeat('!', priority_rank(priority)) || ' ' || priority END
$$;

-- The condition of each bed, by the rules of vitals/bed_snapshot.py. OFFLINE and SILENT come first: an old reading says
-- nothing about the patient's present state.
CREATE OR REPLACE VIEW ward_condition AS
SELECT bed.ward, bed.device_id, bed.patient_id,
       CASE WHEN bed.device_state = 'offline' THEN 'OFFLINE'
            WHEN bed.time IS NULL THEN 'WAITING'
            WHEN bed.age > silent_after(device.interval_s) THEN 'SILENT'
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
       CASE WHEN now() - held.temperature_time <= news2_max_age('temperature')
             AND NOT 'temperature' = ANY (bed.sensor_off) THEN held.temperature END AS temperature,
       CASE WHEN now() - held.pressure_time <= news2_max_age('systolic_bp') THEN held.systolic_bp END AS systolic_bp,
       CASE WHEN now() - held.pressure_time <= news2_max_age('systolic_bp') THEN held.diastolic_bp END AS diastolic_bp,
       CASE WHEN fresh THEN CASE WHEN held.on_oxygen THEN 'oxygen' WHEN NOT held.on_oxygen THEN 'air' END END AS breathing,
       CASE WHEN fresh THEN held.consciousness END AS consciousness
FROM ward_condition AS bed
LEFT JOIN last_valid_vitals AS held USING (device_id)
LEFT JOIN LATERAL (SELECT now() - bed.time <= news2_max_age('heart_rate') AS fresh) AS young ON true
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
