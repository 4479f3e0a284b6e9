-- The readings around each alert, copied into alert_snapshot before retention drops them. Here and not in repeatable/,
-- because the retention of both editions waits for it.

CREATE OR REPLACE FUNCTION snapshot_reach() RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT interval '2 minutes'
$$;

-- Every alert is queued by the change of it that is stored first, whichever that is: a retained alert of before ingest's
-- first start has a later revision. With the owner's rights, so that ingest needs none on the table. Due by the time of
-- arrival, because readings and alerts may arrive long after they were published.
CREATE OR REPLACE FUNCTION queue_alert_snapshot() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- ON CONFLICT alone waits for the end of a take_alert_snapshots() that has updated the row.
    INSERT INTO alert_snapshot (alert_id, ward, device_id, raised_at, due_at)
    SELECT NEW.alert_id, NEW.ward, NEW.device_id, NEW.raised_at, NEW.received_at + snapshot_reach()
    WHERE NOT EXISTS (SELECT FROM alert_snapshot WHERE alert_id = NEW.alert_id)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER queue_alert_snapshot AFTER INSERT ON alert_event
    FOR EACH ROW EXECUTE FUNCTION queue_alert_snapshot();

-- Readings from this time on are still to be copied: retention drops none of them. Those of a clock that is behind have
-- earlier times. No more than a day: a clock of years ago would end retention.
CREATE OR REPLACE FUNCTION snapshots_need_readings_from() RETURNS timestamptz LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
    SELECT min(raised_at - greatest(interval '0', least(interval '1 day', clock_offset))) - snapshot_reach()
    FROM alert_snapshot LEFT JOIN device_clock USING (device_id) WHERE due_at IS NOT NULL
$$;

-- The readings around an alert: of its bed, in the ward in which it was raised, and of its patient. An alert has the time
-- of arrivals, and a reading that of its device, whose clock may be wrong: `clock` is added. A reading without a patient
-- id is that of the assigned patient, by the time of measurement and not before it arrived, as in is_of_patient(). An
-- alert without a patient has no reading of one; who was assigned afterwards does not count. At most 2,000, the nearest.
-- One aggregate per column, of rows in order: 2.1 ms for four minutes of a reading a second. A row of JSON per reading,
-- split by sign, took 5.7 ms, and thousands of alerts two fifths of a core.
DO $$ BEGIN
    EXECUTE format($function$
CREATE OR REPLACE FUNCTION readings_around(wanted alert_snapshot) RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = public, pg_temp AS $body$
DECLARE
    patient CONSTANT text := (SELECT e.patient_id FROM alert_event e WHERE e.alert_id = wanted.alert_id
                              AND e.patient_id IS NOT NULL ORDER BY e.revision DESC LIMIT 1);
    clock CONSTANT interval := coalesce((SELECT c.clock_offset FROM device_clock c WHERE c.device_id = wanted.device_id),
                                        interval '0');
    device_raised_at CONSTANT timestamptz := wanted.raised_at - clock;
BEGIN
    RETURN (SELECT jsonb_strip_nulls(jsonb_build_object(
        'seconds', to_jsonb(array_agg(round(extract(epoch FROM time - device_raised_at), 3))),
        %s))
    FROM (SELECT * FROM (
        SELECT v.* FROM patient_vitals v
        LEFT JOIN LATERAL (
            SELECT a.patient_id, true AS is_known FROM assignment a
            WHERE a.device_id = v.device_id AND v.patient_id IS NULL
              AND CASE WHEN patient IS NULL THEN a.from_time ELSE a.patient_since END
                  <= least(v.time + clock, arrival_time(v.received_at, v.time, v.arrival_lag_ms))
              AND (a.to_time IS NULL
                   OR a.to_time > least(v.time + clock, arrival_time(v.received_at, v.time, v.arrival_lag_ms)))
            ORDER BY a.from_time DESC LIMIT 1
        ) AS assigned ON true
        WHERE v.device_id = wanted.device_id AND v.ward = wanted.ward
          AND v.time BETWEEN device_raised_at - snapshot_reach() AND device_raised_at + snapshot_reach()
          AND (coalesce(v.patient_id, assigned.patient_id) IS NOT DISTINCT FROM patient
               OR (v.patient_id IS NULL AND assigned.is_known IS NULL))
        ORDER BY greatest(v.time - device_raised_at, device_raised_at - v.time) LIMIT 2000
    ) AS nearest ORDER BY time) AS reading);
END $body$ $function$, format_per_sign('%1$L, CASE WHEN count(%1$I) > 0 THEN to_jsonb(array_agg(%1$I)) END'));
END $$;

-- The second copy where it has more readings, else the first. If the clock of the device was corrected between the two, the
-- second one is of another time, and usually has as many.
CREATE OR REPLACE FUNCTION more_readings(first jsonb, second jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN jsonb_array_length(second -> 'seconds') > coalesce(jsonb_array_length(first -> 'seconds'), 0)
                THEN second ELSE coalesce(first, second) END
$$;

-- Copy the readings of at most max_alerts alerts that are due, the oldest first; ingest calls it twice a minute, on both
-- editions. Each alert is copied two minutes after it arrived, and again after late_after, when readings that a device
-- sent later have arrived too. What was not copied before a stop remains due, and retention keeps its readings. SECURITY
-- DEFINER, because ingest may not read. Two ingest processes take different alerts.
--
-- taken     copied by this call
-- waiting   still due after it
CREATE OR REPLACE FUNCTION take_alert_snapshots(max_alerts integer) RETURNS TABLE (taken integer, waiting bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    late_after CONSTANT interval := (SELECT period FROM retention_setting WHERE name = 'late_after');
    due alert_snapshot;
BEGIN
    taken := 0;
    FOR due IN SELECT * FROM alert_snapshot WHERE due_at <= now() ORDER BY due_at LIMIT max_alerts FOR UPDATE SKIP LOCKED
    LOOP
        UPDATE alert_snapshot
        SET readings = more_readings(due.readings, readings_around(due)), taken_at = now(),
            due_at = CASE WHEN due.taken_at IS NULL AND due.due_at + late_after > now() THEN due.due_at + late_after END
        WHERE alert_id = due.alert_id;
        taken := taken + 1;
    END LOOP;
    SELECT count(*) INTO waiting FROM alert_snapshot WHERE due_at <= now();
    RETURN NEXT;
END $$;
