-- One row an alert: its last word, and the moments that matter. What never changes in an alert is grouped by, so that
-- `WHERE device_id = ... AND raised_at > ...` reaches the index.
CREATE OR REPLACE VIEW alert AS
SELECT alert_id, device_id, rule, kind, sign, unit, since, raised_at,
       (array_agg(ward ORDER BY revision DESC))[1]       AS ward,
       (array_agg(patient_id ORDER BY revision DESC))[1] AS patient_id,
       (array_agg(state ORDER BY revision DESC))[1]      AS state,
       (array_agg(priority ORDER BY revision DESC))[1]   AS priority,
       CASE min(CASE priority WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END)
            WHEN 1 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END AS worst_priority,
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
COMMENT ON VIEW alert IS 'one row an alert: raised, acknowledged and by whom, cleared, how long; open ones up to now';

-- The alerts that are open now: one row for each rule that holds, whatever the length of history.
CREATE OR REPLACE VIEW alert_active AS
SELECT event.*, now() - event.raised_at AS duration
FROM alert_latest AS latest
JOIN alert_event AS event USING (alert_id, revision)
WHERE latest.state <> 'cleared';
COMMENT ON VIEW alert_active IS 'open alerts, as the database knows them; the broker''s retained topics know first';
