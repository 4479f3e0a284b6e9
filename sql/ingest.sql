-- name: stage
-- Where a batch lands before its duplicates are sorted out. Made once a connection; each COMMIT empties it.
CREATE TEMP TABLE stage (LIKE patient_vitals) ON COMMIT DELETE ROWS

-- name: keep_new_readings
-- A reading that is there already is left alone; the row count says how many were new.
INSERT INTO patient_vitals SELECT * FROM stage ON CONFLICT DO NOTHING

-- name: device_status
-- The device's last word. A word spoken live counts; a retained one, which comes again at every subscription, counts
-- unless a later boot is known. "offline" counts only for the boot that is known: the will of an old connection may
-- come after the birth of the new one.
INSERT INTO device (device_id, ward, state, boot, interval_s, model, changed_at)
VALUES (%(device_id)s, %(ward)s, %(state)s, %(boot)s, %(interval_s)s, %(model)s, %(changed_at)s)
ON CONFLICT (device_id) DO UPDATE SET
    ward = excluded.ward,
    state = excluded.state,
    boot = greatest(excluded.boot, CASE WHEN excluded.state = 'online' THEN 0 ELSE device.boot END),
    interval_s = coalesce(excluded.interval_s, device.interval_s),
    model = coalesce(excluded.model, device.model),
    -- Repeated at every subscription, a word is still as old as it was: "offline since" must not begin anew.
    changed_at = CASE
        WHEN excluded.state = device.state AND excluded.ward = device.ward
             AND (excluded.state <> 'online' OR excluded.boot = device.boot) THEN device.changed_at
        ELSE excluded.changed_at
    END
WHERE CASE
           WHEN excluded.state = 'online' THEN NOT %(retained)s OR excluded.boot >= device.boot
           WHEN excluded.state = 'forgotten' THEN excluded.ward = device.ward
           ELSE excluded.boot = device.boot AND excluded.ward = device.ward
      END
