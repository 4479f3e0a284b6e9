-- Order of the priorities, 3 being the highest (IEC 60601-1-8).
CREATE OR REPLACE FUNCTION priority_rank(priority text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE priority WHEN 'high' THEN 3 WHEN 'medium' THEN 2 WHEN 'low' THEN 1 END
$$;

-- Order of open alerts: by priority, and at each priority those whose condition has ended (latched) last, below a reading
-- that is beyond a limit of the same priority.
CREATE OR REPLACE FUNCTION alert_urgency(priority text, state text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 3 * priority_rank(priority) - CASE state WHEN 'latched' THEN 2 ELSE 0 END
$$;

-- One row per alert: its last state and the times of its changes. The columns that never change are grouped by, so that
-- `WHERE device_id = ... AND raised_at > ...` uses the index.
CREATE OR REPLACE VIEW alert AS
SELECT alert_id, device_id, rule, kind, sign, unit, since, raised_at,
       (array_agg(ward ORDER BY revision DESC))[1]       AS ward,
       (array_agg(patient_id ORDER BY revision DESC))[1] AS patient_id,
       (array_agg(state ORDER BY revision DESC))[1]      AS state,
       (array_agg(priority ORDER BY revision DESC))[1]   AS priority,
       (ARRAY['low', 'medium', 'high'])[max(priority_rank(priority))] AS worst_priority,
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
COMMENT ON VIEW alert IS 'one row per alert: raised, acknowledged and by whom, cleared, duration; until now if open';

-- The alerts that are open now. Its cost does not grow with history.
CREATE OR REPLACE VIEW alert_active AS
SELECT event.*, now() - event.raised_at AS duration
FROM alert_latest AS latest
JOIN alert_event AS event USING (alert_id, revision)
WHERE latest.state <> 'cleared';
COMMENT ON VIEW alert_active IS 'open alerts as stored; the retained topics at the broker are more recent';
