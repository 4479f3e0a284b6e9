-- Order of the priorities, 3 being the highest (IEC 60601-1-8).
CREATE OR REPLACE FUNCTION priority_rank(priority text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE priority WHEN 'high' THEN 3 WHEN 'medium' THEN 2 WHEN 'low' THEN 1 END
$$;

-- Order of open alerts: by priority, and at each priority those whose condition has ended (latched) last, below a reading
-- that is beyond a limit of the same priority.
CREATE OR REPLACE FUNCTION alert_urgency(priority text, state text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 3 * priority_rank(priority) - CASE state WHEN 'latched' THEN 2 ELSE 0 END
$$;

-- Open alerts that the process which took over from their writer does not know. It is in alert_worker once it has published
-- every alert that it knows with its own epoch; an alert that arrives after that is open again.
CREATE OR REPLACE VIEW alert_end_unseen AS
SELECT latest.device_id, latest.rule, latest.alert_id, event.ward,
       greatest(event.raised_at, to_timestamp(worker.epoch / 1e9)) AS ended_at
FROM alert_latest AS latest
JOIN alert_event AS event USING (alert_id, revision)
CROSS JOIN LATERAL (
    SELECT epoch FROM alert_worker AS later
    WHERE later.writer = latest.writer AND later.epoch > latest.epoch AND later.wards && ARRAY['+', event.ward]
    ORDER BY epoch LIMIT 1
) AS worker
WHERE latest.state <> 'cleared';
COMMENT ON VIEW alert_end_unseen IS 'open alerts that the alert worker which took over does not know, and since when it acts';

-- One row per alert: its last state and the times of its changes. Value, limit and text are those of the change that
-- first gave it its worst priority: those of the last one are harmless, such as "NEWS2: 0". The columns that never
-- change are grouped by, so that `WHERE device_id = ... AND raised_at > ...` uses the index. A broker that fails may lose
-- the end of an alert before ingest receives it: such an alert ended before the next one of its rule at that device, or
-- when the worker that took over began (alert_end_unseen).
CREATE OR REPLACE VIEW alert AS
SELECT alert_id, device_id, rule, kind, sign, unit, since, raised_at, ward, patient_id,
       CASE WHEN next_at IS NULL THEN state ELSE 'cleared' END AS state,
       priority, worst_priority, value, "limit", text, acknowledged_at, acknowledged_by,
       coalesce(cleared_at, next_at)                    AS cleared_at,
       coalesce(reason, CASE WHEN next_at IS NOT NULL THEN 'its end was not received' END) AS reason,
       coalesce(cleared_at, next_at, now()) - raised_at AS duration,
       changes, first_value, first_value_at, worst_value, worst_value_at
FROM (
    SELECT alert_id, device_id, rule, kind, sign, unit, since, raised_at,
           (array_agg(ward ORDER BY revision DESC))[1]       AS ward,
           (array_agg(patient_id ORDER BY revision DESC))[1] AS patient_id,
           (array_agg(state ORDER BY revision DESC))[1]      AS state,
           (array_agg(priority ORDER BY revision DESC))[1]   AS priority,
           (ARRAY['low', 'medium', 'high'])[max(priority_rank(priority))] AS worst_priority,
           (array_agg(value ORDER BY priority_rank(priority) DESC, revision))[1]   AS value,
           (array_agg("limit" ORDER BY priority_rank(priority) DESC, revision))[1] AS "limit",
           (array_agg(text ORDER BY priority_rank(priority) DESC, revision))[1]    AS text,
           min(changed_at) FILTER (WHERE change = 'acknowledged' OR (state = 'cleared' AND acknowledged_by IS NOT NULL))
                                                             AS acknowledged_at,
           (array_agg(acknowledged_by ORDER BY revision) FILTER (WHERE acknowledged_by IS NOT NULL))[1]
                                                             AS acknowledged_by,
           max(changed_at) FILTER (WHERE state = 'cleared')  AS cleared_at,
           max(reason)                                       AS reason,
           count(*)                                          AS changes,
           (array_agg(coalesce(first_value, value) ORDER BY revision))[1]       AS first_value,
           (array_agg(coalesce(first_value_at, changed_at) ORDER BY revision)
            FILTER (WHERE coalesce(first_value, value) IS NOT NULL))[1]         AS first_value_at,
           -- Alerts from before these columns: the value of the worst priority.
           coalesce((array_agg(worst_value ORDER BY revision DESC) FILTER (WHERE worst_value IS NOT NULL))[1],
                    (array_agg(value ORDER BY priority_rank(priority) DESC, revision))[1]) AS worst_value,
           coalesce((array_agg(worst_value_at ORDER BY revision DESC) FILTER (WHERE worst_value IS NOT NULL))[1],
                    (array_agg(changed_at ORDER BY priority_rank(priority) DESC, revision) FILTER (WHERE value IS NOT NULL))[1])
                                                                                AS worst_value_at
    FROM alert_event
    GROUP BY alert_id, device_id, rule, kind, sign, unit, since, raised_at
) AS changes_of_one LEFT JOIN LATERAL (
    SELECT min(over_at) AS next_at FROM (
        SELECT later.raised_at AS over_at FROM alert_event AS later
        WHERE later.device_id = changes_of_one.device_id AND later.rule = changes_of_one.rule
          AND later.raised_at > changes_of_one.raised_at
        UNION ALL
        SELECT ended_at FROM alert_end_unseen AS unseen
        WHERE unseen.device_id = changes_of_one.device_id AND unseen.rule = changes_of_one.rule
          AND unseen.alert_id = changes_of_one.alert_id
    ) AS known
    WHERE changes_of_one.state <> 'cleared'
) AS next ON true;
COMMENT ON VIEW alert IS 'one row per alert: raised, acknowledged and by whom, cleared, duration; until now if open';

-- The alerts that are open now. Its cost does not grow with history.
CREATE OR REPLACE VIEW alert_active AS
SELECT event.alert_id, event.revision, event.rule, event.priority, event.kind, event.state, event.change, event.level,
       event.ward, event.device_id, event.patient_id, event.sign, event.value, event."limit", event.unit, event.text,
       event.since, event.raised_at, event.changed_at, event.acknowledged_by, event.audio_paused_until, event.latched,
       event.reason, event.received_at, now() - event.raised_at AS duration,
       event.first_value, event.first_value_at, event.worst_value, event.worst_value_at
FROM alert_latest AS latest
JOIN alert_event AS event USING (alert_id, revision)
WHERE latest.state <> 'cleared' AND NOT EXISTS (
    SELECT FROM alert_end_unseen AS unseen
    WHERE unseen.device_id = latest.device_id AND unseen.rule = latest.rule
);
COMMENT ON VIEW alert_active IS 'open alerts as stored; the retained topics at the broker are more recent';
