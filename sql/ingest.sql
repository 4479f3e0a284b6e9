-- name: stage
-- Staging table for a batch that may contain duplicates. Created once per connection; each COMMIT empties it.
CREATE TEMP TABLE stage (LIKE patient_vitals_template) ON COMMIT DELETE ROWS

-- name: insert_new_readings
-- A reading that is already stored is not changed; the row count is the number of new ones.
INSERT INTO patient_vitals SELECT * FROM stage ON CONFLICT DO NOTHING

-- name: rename_different_readings
-- A device that numbers its moments, and not its readings, or two devices with one name: a reading whose number another
-- one has is named by its content, so that a second delivery is still the same row.
WITH numbered AS (
    SELECT array_agg(device_id) AS devices, array_agg(time) AS times, array_agg(boot) AS boots, array_agg(seq) AS seqs
    FROM stage WHERE seq > 0
)
UPDATE stage SET seq = content_number(to_jsonb(stage))
FROM numbered, stored_content_numbers(devices, times, boots, seqs) AS stored
WHERE stage.device_id = stored.device AND stage.time = stored.measured AND stage.boot = stored.boot
  AND stage.seq = stored.seq AND content_number(to_jsonb(stage)) <> stored.content

-- name: wait_for_standby
-- A commit that writes nothing waits for no standby. The first one of a connection, and one that finds its rows stored
-- already, follow perhaps a commit whose wait was cut off: a message in the WAL has them wait for those rows too.
SELECT pg_logical_emit_message(true, 'vitalflow', '')

-- name: commit_waits_for_standby
SELECT current_setting('synchronous_standby_names') <> ''
   AND current_setting('synchronous_commit') IN ('on', 'remote_apply', 'remote_write')

-- name: commit_waiting_for_standby
SELECT min(xact_start) AT TIME ZONE 'UTC' FROM pg_stat_activity
WHERE usename = current_user AND wait_event = 'SyncRep' HAVING count(*) > 0

-- name: late_after
-- The age above which a refresh misses a reading; no row on the Apache edition, whose rollups need no refresh.
SELECT period FROM retention_setting CROSS JOIN vitalflow_edition WHERE name = 'late_after' AND community

-- name: record_late_readings
-- The minutes of late readings, for the job refresh_due_buckets. In the transaction that moves the readings.
INSERT INTO rollup_invalidation (minute, readings)
SELECT date_trunc('minute', time), count(*) FROM stage WHERE time < now() - %s GROUP BY 1
RETURNING readings

-- name: set_aside_late_readings
-- Late readings do not enter patient_vitals with the others: their chunk may be locked (ingest/late.py moves them).
WITH late AS (DELETE FROM stage WHERE time < now() - %s RETURNING stage.*)
INSERT INTO late_reading (reading) SELECT to_jsonb(late) FROM late

-- name: late_readings_waiting
SELECT count(*), min(set_aside_at) FROM late_reading

-- name: take_late_readings
WITH late AS (
    DELETE FROM late_reading WHERE id IN (SELECT id FROM late_reading ORDER BY id LIMIT %s) RETURNING reading
)
INSERT INTO stage SELECT row.* FROM late, jsonb_populate_record(NULL::patient_vitals_template, reading) AS row

-- name: take_oldest_late_reading
DELETE FROM late_reading WHERE id IN (SELECT id FROM late_reading ORDER BY id LIMIT 1)
RETURNING reading ->> 'ward', reading ->> 'device_id',
          arrival_time((reading ->> 'received_at')::timestamptz, (reading ->> 'time')::timestamptz,
                       (reading ->> 'arrival_lag_ms')::bigint)::text,
          reading::text

-- name: reject_late_reading
INSERT INTO rejected_message (received_at, topic, payload, payload_size, reason, detail) VALUES (%s, %s, %s, %s, %s, %s)

-- name: device_status
-- The last status of a device. A live message is applied. A retained one, which is repeated at every subscription, is
-- applied unless a later boot is known. "offline" is applied only for the known boot: the will of an old connection may
-- arrive after the birth message of the new one. Nothing is applied of an ingest that another one has replaced: it may
-- have stood still in the middle of a batch. `epoch` as in `is_overtaken` (vitals/alert.py).
INSERT INTO device (device_id, ward, state, boot, interval_s, model, dropped, changed_at, writer, epoch)
VALUES (
    %(device_id)s, %(ward)s, %(state)s, %(boot)s, %(interval_s)s, %(model)s, %(dropped)s, %(changed_at)s, %(writer)s,
    %(epoch)s
)
ON CONFLICT (device_id) DO UPDATE SET
    ward = excluded.ward,
    state = excluded.state,
    boot = greatest(excluded.boot, CASE WHEN excluded.state = 'online' THEN 0 ELSE device.boot END),
    interval_s = coalesce(excluded.interval_s, device.interval_s),
    model = coalesce(excluded.model, device.model),
    -- A will was written at the start of the connection, so its counter is out of date.
    dropped = CASE WHEN excluded.state = 'online' THEN excluded.dropped ELSE device.dropped END,
    -- A repeated message does not change the time: "offline since" must stay.
    changed_at = CASE
        WHEN excluded.state = device.state AND excluded.ward = device.ward
             AND (excluded.state <> 'online' OR excluded.boot = device.boot) THEN device.changed_at
        ELSE excluded.changed_at
    END,
    writer = excluded.writer,
    epoch = excluded.epoch
WHERE NOT (excluded.writer = device.writer AND excluded.epoch < device.epoch AND device.epoch <= %(max_epoch)s)
  AND CASE
           WHEN excluded.state = 'online' THEN NOT %(retained)s OR excluded.boot >= device.boot
           WHEN excluded.state = 'forgotten' THEN excluded.ward = device.ward
           ELSE excluded.boot = device.boot AND excluded.ward = device.ward
      END

-- name: alert_event
-- A change of an alert. The broker and the alert worker repeat messages; a repeated one is ignored. So is one of a
-- process that another one has replaced, as in `is_overtaken` (vitals/alert.py), unless it is an earlier revision of the
-- same alert: that is history, which may arrive late.
INSERT INTO alert_event (
    alert_id, revision, rule, priority, kind, state, change, level, ward, device_id, patient_id, sign, value, "limit",
    unit, text, since, raised_at, changed_at, acknowledged_by, audio_paused_until, latched, reason, received_at,
    first_value, first_value_at, worst_value, worst_value_at, writer, epoch
) SELECT
    %(alert_id)s, %(revision)s, %(rule)s, %(priority)s, %(kind)s, %(state)s, %(change)s, %(level)s, %(ward)s,
    %(device_id)s, %(patient_id)s, %(sign)s, %(value)s, %(limit)s, %(unit)s, %(text)s, %(since)s, %(raised_at)s,
    %(changed_at)s, %(acknowledged_by)s, %(audio_paused_until)s, %(latched)s, %(reason)s, %(received_at)s,
    %(first_value)s, %(first_value_at)s, %(worst_value)s, %(worst_value_at)s, %(writer)s, %(epoch)s
WHERE NOT EXISTS (
    SELECT FROM alert_latest
    WHERE device_id = %(device_id)s AND rule = %(rule)s AND writer = %(writer)s
      AND epoch > %(epoch)s AND epoch <= %(max_epoch)s
      AND NOT (alert_id = %(alert_id)s AND revision > %(revision)s)
) ON CONFLICT DO NOTHING

-- name: alert_latest
-- The newest change of each rule of a device; a repeated older one is ignored, and one of a replaced process.
INSERT INTO alert_latest (device_id, rule, alert_id, revision, state, changed_at, writer, epoch)
VALUES (%(device_id)s, %(rule)s, %(alert_id)s, %(revision)s, %(state)s, %(changed_at)s, %(writer)s, %(epoch)s)
ON CONFLICT (device_id, rule) DO UPDATE SET
    alert_id = excluded.alert_id,
    revision = excluded.revision,
    state = excluded.state,
    changed_at = excluded.changed_at,
    writer = excluded.writer,
    epoch = excluded.epoch
WHERE CASE
          WHEN excluded.writer = alert_latest.writer AND excluded.epoch <> alert_latest.epoch
               AND alert_latest.epoch <= %(max_epoch)s THEN excluded.epoch > alert_latest.epoch
          -- The same change again, from the worker that has the ward now.
          WHEN excluded.alert_id = alert_latest.alert_id AND excluded.revision = alert_latest.revision
               THEN excluded.epoch > alert_latest.epoch
          WHEN excluded.alert_id = alert_latest.alert_id THEN excluded.revision > alert_latest.revision
          ELSE excluded.changed_at >= alert_latest.changed_at
      END

-- name: alert_worker
-- That a worker has published every alert that it knows. An epoch ahead of the clock decides nothing, as above.
INSERT INTO alert_worker (writer, epoch, wards)
SELECT %(writer)s, %(epoch)s, %(wards)s WHERE %(epoch)s <= %(max_epoch)s
ON CONFLICT DO NOTHING

-- name: audit_event
-- An action of a user, stored once. A message with a time is identified by its topic and content (`dedup_key`). A
-- message without one can be repeated in two ways:
--   retained     repeated at every subscription: stored only if it differs from the last one on its topic. `dedup_key`
--                prevents two ingest processes, which both receive it, from both storing it
--   redelivered  (MQTT's DUP) because ingest stopped before it acknowledged: it has the same delivery_id
INSERT INTO audit_event (
    time, received_at, actor, action, ward, device_id, rule, detail, topic, payload_sha256, delivery_id, dedup_key
)
SELECT coalesce(%(time)s, %(received_at)s), %(received_at)s, %(actor)s, %(action)s, %(ward)s, %(device_id)s, %(rule)s,
       %(detail)s::jsonb, %(topic)s, %(payload_sha256)s, %(delivery_id)s,
       CASE WHEN %(time)s IS NOT NULL THEN %(topic)s || ' ' || encode(%(payload_sha256)s, 'hex')
            WHEN %(retained)s THEN concat_ws(' ', 'retained after', last.id, %(topic)s, encode(%(payload_sha256)s, 'hex')) END
FROM (VALUES (true)) AS message
LEFT JOIN LATERAL (
    SELECT id, payload_sha256 FROM audit_event WHERE topic = %(topic)s ORDER BY id DESC LIMIT 1) AS last ON true
-- A deletion where nothing is set is no action, unless a user is named: revoking a device deletes its limits and
-- assignment in any case.
WHERE (%(actor)s::text IS NOT NULL OR %(action)s NOT IN ('remove_limits', 'discharge_patient') OR (
           SELECT action FROM audit_event
           WHERE device_id = %(device_id)s
             AND action IN (%(action)s, CASE %(action)s WHEN 'remove_limits' THEN 'set_limits' ELSE 'assign_patient' END)
           ORDER BY id DESC LIMIT 1) IN ('set_limits', 'assign_patient'))
  AND CASE WHEN %(time)s IS NOT NULL THEN true
           WHEN %(retained)s THEN last.payload_sha256 IS DISTINCT FROM %(payload_sha256)s
           WHEN %(dup)s THEN NOT EXISTS (
               SELECT FROM audit_event
               WHERE topic = %(topic)s AND payload_sha256 = %(payload_sha256)s AND delivery_id = %(delivery_id)s)
           ELSE true END
ON CONFLICT DO NOTHING

-- name: device_clocks
SELECT device_id, clock_offset FROM device_clock

-- name: device_clock
-- Nothing of an ingest that another one has replaced. That one is in `device` before it estimates a clock: a broker
-- sends the retained statuses first.
INSERT INTO device_clock (device_id, clock_offset, changed_at)
SELECT device_id, clock_offset, now()
FROM unnest(%(devices)s::text[], %(offsets)s::interval[]) AS changed (device_id, clock_offset)
WHERE NOT EXISTS (
    SELECT FROM device WHERE writer = %(writer)s AND epoch > %(epoch)s AND epoch <= %(max_epoch)s
)
ON CONFLICT (device_id) DO UPDATE SET clock_offset = excluded.clock_offset, changed_at = excluded.changed_at

-- name: begin_import
SELECT begin_import()

-- name: store_import
SELECT stored, duplicates, refused, refused_from, refused_to FROM store_import()

-- name: record_import
SELECT record_import(%s, %s, %s, %s, %s)

-- name: minutes_to_refresh
SELECT count(DISTINCT minute) FROM rollup_invalidation

-- name: may_refresh_rollups
-- NULL on the Apache edition, where rollups are computed when queried. Elsewhere whether this login may refresh them.
SELECT CASE WHEN community THEN pg_has_role(relowner, 'USAGE') END
FROM vitalflow_edition CROSS JOIN pg_class WHERE oid = 'patient_vitals'::regclass
