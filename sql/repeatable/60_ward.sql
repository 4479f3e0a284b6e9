-- The ward as it is now. Nothing here may grow with history: a ward page asks every few seconds.

-- The last reading of every bed that sent one within a day. Steps through the key from one device's newest row to the
-- next device's, so it reads a row a bed.
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

-- The last reading of one device, however old. A function, so that only a bed that needs it pays for it.
CREATE OR REPLACE FUNCTION last_reading_of(device text) RETURNS SETOF patient_vitals LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY SELECT * FROM patient_vitals v WHERE v.device_id = $1 ORDER BY v.time DESC, v.boot DESC, v.seq DESC LIMIT 1;
END $$;

-- A row a bed: its last reading with its age, what its device last said, its open alerts. Columns of the signs come
-- last, so that a new one can be appended.
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
WHERE reading.time IS NOT NULL OR device.state <> 'forgotten'$view$, format_per_sign('reading.%1$I'));
END $$;
COMMENT ON VIEW ward_now IS 'a row a bed: last reading, its age, the device''s last word, open alerts';

-- What still holds for every bed of the past day: the last value of each input of NEWS2, and both blood pressures of the
-- same cuff, each no older than news2_max_age allows, counted from the bed's last reading.
CREATE OR REPLACE VIEW last_valid_vitals AS
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
    WHERE v.device_id = bed.device_id AND v.time <= bed.time AND v.time >= bed.time - news2_max_age('resp_rate')
      AND v.time > now() - interval '2 days' AND v.resp_rate IS NOT NULL ORDER BY v.time DESC LIMIT 1) AS resp_rate ON true
LEFT JOIN LATERAL (
    SELECT v.time, v.spo2 AS value FROM patient_vitals v
    WHERE v.device_id = bed.device_id AND v.time <= bed.time AND v.time >= bed.time - news2_max_age('spo2')
      AND v.time > now() - interval '2 days' AND v.spo2 IS NOT NULL ORDER BY v.time DESC LIMIT 1) AS spo2 ON true
LEFT JOIN LATERAL (
    SELECT v.time, v.systolic_bp AS value, v.diastolic_bp FROM patient_vitals v
    WHERE v.device_id = bed.device_id AND v.time <= bed.time AND v.time >= bed.time - news2_max_age('systolic_bp')
      AND v.time > now() - interval '2 days' AND v.systolic_bp IS NOT NULL
    ORDER BY v.time DESC LIMIT 1) AS pressure ON true
LEFT JOIN LATERAL (
    SELECT v.time, v.heart_rate AS value FROM patient_vitals v
    WHERE v.device_id = bed.device_id AND v.time <= bed.time AND v.time >= bed.time - news2_max_age('heart_rate')
      AND v.time > now() - interval '2 days' AND v.heart_rate IS NOT NULL
    ORDER BY v.time DESC LIMIT 1) AS heart_rate ON true
LEFT JOIN LATERAL (
    SELECT v.time, v.temperature AS value FROM patient_vitals v
    WHERE v.device_id = bed.device_id AND v.time <= bed.time AND v.time >= bed.time - news2_max_age('temperature')
      AND v.time > now() - interval '2 days' AND v.temperature IS NOT NULL
    ORDER BY v.time DESC LIMIT 1) AS temperature ON true
LEFT JOIN LATERAL (
    SELECT v.time, v.on_oxygen AS value FROM patient_vitals v
    WHERE v.device_id = bed.device_id AND v.time <= bed.time AND v.time >= bed.time - news2_max_age('on_oxygen')
      AND v.time > now() - interval '2 days' AND v.on_oxygen IS NOT NULL
    ORDER BY v.time DESC LIMIT 1) AS on_oxygen ON true
LEFT JOIN LATERAL (
    SELECT v.time, v.consciousness AS value FROM patient_vitals v
    WHERE v.device_id = bed.device_id AND v.time <= bed.time AND v.time >= bed.time - news2_max_age('consciousness')
      AND v.time > now() - interval '2 days' AND v.consciousness IS NOT NULL
    ORDER BY v.time DESC LIMIT 1) AS consciousness ON true;
COMMENT ON VIEW last_valid_vitals IS 'the last value of each input of NEWS2 that still holds, a row a bed of the past day';

-- The NEWS2 of every bed as of its last reading, from the last value of each input that still holds. `stale`: that
-- reading is more than a minute old, so the score describes a patient whom nobody measures any more.
CREATE OR REPLACE VIEW news2_latest AS
SELECT held.ward, held.device_id, held.patient_id, held.time, now() - held.time AS age,
       now() - held.time > interval '1 minute' AS stale,
       score.*,
       held.oldest_input
FROM last_valid_vitals AS held
-- By way of numeric, so that a real 36.05 is scored as the 36.05 that it was, and not as 36.049999.
CROSS JOIN LATERAL news2(held.resp_rate::numeric::float8, held.spo2::numeric::float8, held.on_oxygen,
                         held.systolic_bp::numeric::float8, held.heart_rate::numeric::float8, held.consciousness,
                         held.temperature::numeric::float8) AS score;
COMMENT ON VIEW news2_latest IS 'the NEWS2 of every bed of the past day, with its parts; on SpO2 scale 1';
