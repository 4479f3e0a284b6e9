-- name: stage
-- Where a batch lands before its duplicates are sorted out. Made once a connection; each COMMIT empties it.
CREATE TEMP TABLE stage (LIKE patient_vitals_template) ON COMMIT DELETE ROWS

-- name: insert_new_readings
-- A reading that is there already is left alone; the row count says how many were new.
INSERT INTO patient_vitals SELECT * FROM stage ON CONFLICT DO NOTHING

-- name: late_after
-- How old a reading is that the refresh policies do not see any more; no row where rollups need no refresh (Apache).
SELECT period FROM retention_setting CROSS JOIN vitalflow_edition WHERE name = 'late_after' AND community

-- name: record_late_readings
-- The minutes that late readings touch, for the job refresh_invalidated_buckets. In the transaction that stores them.
INSERT INTO rollup_invalidation (minute, readings)
SELECT date_trunc('minute', time), count(*) FROM stage WHERE time < now() - %s GROUP BY 1
RETURNING readings

-- name: device_status
-- The device's last word. A word spoken live counts; a retained one, which comes again at every subscription, counts
-- unless a later boot is known. "offline" counts only for the boot that is known: the will of an old connection may
-- come after the birth of the new one.
INSERT INTO device (device_id, ward, state, boot, interval_s, model, dropped, changed_at)
VALUES (
    %(device_id)s, %(ward)s, %(state)s, %(boot)s, %(interval_s)s, %(model)s, %(dropped)s, %(changed_at)s
)
ON CONFLICT (device_id) DO UPDATE SET
    ward = excluded.ward,
    state = excluded.state,
    boot = greatest(excluded.boot, CASE WHEN excluded.state = 'online' THEN 0 ELSE device.boot END),
    interval_s = coalesce(excluded.interval_s, device.interval_s),
    model = coalesce(excluded.model, device.model),
    -- A last will was written when the connection began and knows of no loss since.
    dropped = CASE WHEN excluded.state = 'online' THEN excluded.dropped ELSE device.dropped END,
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

-- name: alert_event
-- A change of an alert. One that is there already was told again, by the broker or by the worker.
INSERT INTO alert_event (
    alert_id, revision, rule, priority, kind, state, change, level, ward, device_id, patient_id, sign, value, "limit",
    unit, text, since, raised_at, changed_at, acknowledged_by, audio_paused_until, latched, reason, received_at
) VALUES (
    %(alert_id)s, %(revision)s, %(rule)s, %(priority)s, %(kind)s, %(state)s, %(change)s, %(level)s, %(ward)s,
    %(device_id)s, %(patient_id)s, %(sign)s, %(value)s, %(limit)s, %(unit)s, %(text)s, %(since)s, %(raised_at)s,
    %(changed_at)s, %(acknowledged_by)s, %(audio_paused_until)s, %(latched)s, %(reason)s, %(received_at)s
) ON CONFLICT DO NOTHING

-- name: alert_latest
-- The newest change of a rule of a device; an older one, told again, moves nothing back.
INSERT INTO alert_latest (device_id, rule, alert_id, revision, state, changed_at)
VALUES (%(device_id)s, %(rule)s, %(alert_id)s, %(revision)s, %(state)s, %(changed_at)s)
ON CONFLICT (device_id, rule) DO UPDATE SET
    alert_id = excluded.alert_id,
    revision = excluded.revision,
    state = excluded.state,
    changed_at = excluded.changed_at
WHERE (excluded.alert_id = alert_latest.alert_id AND excluded.revision > alert_latest.revision)
   OR (excluded.alert_id <> alert_latest.alert_id AND excluded.changed_at >= alert_latest.changed_at)

-- name: audit_event
-- What a person did, once. A message that says when it was done is another one than any before it, so its content names
-- it (`dedup_key`). One that does not say may come twice in two ways:
--   retained     told again at every subscription: kept where it is not what the last one on its topic said. `dedup_key` then
--                keeps two ingests, which both hear it, from both keeping it
--   delivered again    (MQTT's DUP) because ingest died before it acknowledged: it has the number that it had
INSERT INTO audit_event (
    time, received_at, actor, action, ward, device_id, rule, detail, topic, payload_sha256, delivery_id, dedup_key
)
SELECT coalesce(%(time)s, %(received_at)s), %(received_at)s, %(actor)s, %(action)s, %(ward)s, %(device_id)s, %(rule)s,
       %(detail)s::jsonb, %(topic)s, %(payload_sha256)s, %(delivery_id)s,
       CASE WHEN %(time)s IS NOT NULL THEN %(topic)s || ' ' || encode(%(payload_sha256)s, 'hex')
            WHEN %(retained)s THEN concat_ws(' ', 'retained after', last.id, %(topic)s, encode(%(payload_sha256)s, 'hex')) END
FROM (VALUES (true)) AS told
LEFT JOIN LATERAL (
    SELECT id, payload_sha256 FROM audit_event WHERE topic = %(topic)s ORDER BY id DESC LIMIT 1) AS last ON true
WHERE CASE WHEN %(time)s IS NOT NULL THEN true
           WHEN %(retained)s THEN last.payload_sha256 IS DISTINCT FROM %(payload_sha256)s
           WHEN %(dup)s THEN NOT EXISTS (
               SELECT FROM audit_event
               WHERE topic = %(topic)s AND payload_sha256 = %(payload_sha256)s AND delivery_id = %(delivery_id)s)
           ELSE true END
ON CONFLICT DO NOTHING
