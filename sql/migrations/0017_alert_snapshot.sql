-- The readings around each alert. Retention drops readings, and alerts stay: what an alert was about is kept with it.
-- Filled by sql/editions/15_alert_snapshot.sql.
CREATE TABLE alert_snapshot (
    alert_id  uuid        PRIMARY KEY,
    ward      text        NOT NULL,
    device_id text        NOT NULL,
    raised_at timestamptz NOT NULL,
    due_at    timestamptz,
    taken_at  timestamptz,
    readings  jsonb       NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE alert_snapshot IS 'one row per alert: the readings of its bed from two minutes before it was raised to two minutes after';
COMMENT ON COLUMN alert_snapshot.due_at IS 'when the readings are to be copied; NULL: done. Retention keeps them until then';
COMMENT ON COLUMN alert_snapshot.taken_at IS 'when they were copied last; NULL: not yet';
COMMENT ON COLUMN alert_snapshot.readings IS 'arrays of equal length: seconds after raised_at, and each sign that was measured';
CREATE INDEX alert_snapshot_due ON alert_snapshot (due_at) WHERE due_at IS NOT NULL;

-- The alerts so far: those whose readings are still stored get them within minutes, the others stay empty.
INSERT INTO alert_snapshot (alert_id, ward, device_id, raised_at, due_at)
SELECT alert_id, (array_agg(ward ORDER BY revision))[1], device_id, raised_at, min(received_at) + interval '2 minutes'
FROM alert_event GROUP BY alert_id, device_id, raised_at
ON CONFLICT DO NOTHING;
