-- Alerts over a time range, for charts. The cost depends on the alerts in the range, not on the length of history.

-- Alerts that were open at any time in a range: raised in it, cleared in it or after it, or open now.
CREATE OR REPLACE FUNCTION alert_overlapping(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (alert_id uuid, ward text, device_id text, patient_id text, rule text, kind text, text text,
               raised_at timestamptz, acknowledged_at timestamptz, cleared_at timestamptz, worst_priority text,
               alarms bigint)
LANGUAGE sql STABLE AS $$
    WITH overlapping AS (
        SELECT alert_id FROM alert_event WHERE raised_at BETWEEN from_time AND to_time
        UNION
        SELECT alert_id FROM alert_event WHERE state = 'cleared' AND changed_at >= from_time AND raised_at < from_time
        UNION
        SELECT alert_id FROM alert_latest WHERE state <> 'cleared'
    )
    SELECT e.alert_id, max(e.ward), e.device_id, max(e.patient_id), e.rule, e.kind,
           -- The text of the worst priority: later ones may have a harmless value.
           (array_agg(e.text ORDER BY priority_rank(e.priority) DESC, e.revision))[1], e.raised_at,
           min(e.changed_at) FILTER (WHERE e.change = 'acknowledged' OR (e.state = 'cleared' AND e.acknowledged_by <> '')),
           -- Without an end it ended before the next one, as in the view `alert`.
           coalesce(max(e.changed_at) FILTER (WHERE e.state = 'cleared'),
                    least((SELECT min(later.raised_at) FROM alert_event AS later
                           WHERE later.device_id = e.device_id AND later.rule = e.rule AND later.raised_at > e.raised_at),
                          (SELECT unseen.ended_at FROM alert_end_unseen AS unseen
                           WHERE unseen.device_id = e.device_id AND unseen.rule = e.rule
                             AND unseen.alert_id = e.alert_id))),
           (ARRAY['low', 'medium', 'high'])[max(priority_rank(e.priority))],
           count(*) FILTER (WHERE e.change IN ('raised', 'escalated', 'returned'))
    FROM alert_event e JOIN overlapping USING (alert_id)
    WHERE e.raised_at <= to_time
    GROUP BY e.alert_id, e.device_id, e.rule, e.kind, e.raised_at
$$;
COMMENT ON FUNCTION alert_overlapping IS
    'one row per alert that was open in the range; alarms: how often it sounded';

-- The worst open alert of each bed over time: 0 none, 1 low, 2 medium, 3 high; technical alerts alone 0.5. Beds without
-- an alert in the range are left out; of more than max_beds, those with the fewest alerts. Without any, one row named
-- `no alert`: an empty state timeline shows an error message.
CREATE OR REPLACE FUNCTION alert_timeline(
    wards text[], from_time timestamptz, to_time timestamptz, interval_ms bigint, max_beds integer DEFAULT 20)
RETURNS TABLE ("time" timestamptz, bed text, severity float8)
LANGUAGE sql STABLE AS $$
    WITH width AS (
        SELECT series_step(from_time, to_time, chart_points(from_time, to_time, interval_ms)) AS step
    ), open AS (
        SELECT device_id, raised_at, coalesce(cleared_at, now()) AS until,
               CASE kind WHEN 'technical' THEN 0.5 ELSE priority_rank(worst_priority) END AS severity
        FROM alert_overlapping(from_time, to_time) WHERE ward = ANY (wards)
    ), bed AS (
        (SELECT device_id FROM open GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT max_beds)
        UNION ALL
        SELECT 'no alert' WHERE NOT EXISTS (SELECT FROM open)
    ), covered AS (
        SELECT device_id, generate_series(time_bucket(step, greatest(raised_at, from_time)),
                                          least(until, to_time), step) AS at, severity
        FROM open CROSS JOIN width
    )
    SELECT moment.at, bed.device_id, coalesce(max(covered.severity), 0)::float8
    FROM width
    CROSS JOIN LATERAL generate_series(time_bucket(step, from_time), least(to_time, now()), step) AS moment (at)
    CROSS JOIN bed
    LEFT JOIN covered ON covered.at = moment.at AND covered.device_id = bed.device_id
    GROUP BY 1, 2
    ORDER BY 1, 2
$$;
COMMENT ON FUNCTION alert_timeline IS 'the worst open alert of each bed over time, for a state timeline';

-- The alerts of the first of `devices` as regions of a chart, of one kind, and of one priority and of some signs unless
-- NULL. Alerts that are less than a hundredth of the range apart are one region: a week has no more regions than an hour.
CREATE OR REPLACE FUNCTION bed_alert_regions(
    devices text[], from_time timestamptz, to_time timestamptz, alert_kind text, priority text, signs text[])
RETURNS TABLE ("time" timestamptz, "timeEnd" timestamptz, text text, tags text)
LANGUAGE sql STABLE AS $$
    WITH found AS (
        SELECT alert.raised_at, greatest(alert.raised_at, coalesce(alert.cleared_at, now())) AS until, alert.rule,
               alert_badge(alert.worst_priority, alert.kind) || ' ' || alert.text AS text
        FROM alert_overlapping(from_time, to_time) AS alert
        WHERE alert.device_id = devices[1] AND alert.kind = alert_kind
          AND (bed_alert_regions.priority IS NULL OR alert.worst_priority = bed_alert_regions.priority)
          AND (signs IS NULL OR EXISTS (
              SELECT FROM alert_event AS event WHERE event.alert_id = alert.alert_id AND event.sign = ANY (signs)))
    ), spaced AS (
        SELECT *, coalesce(raised_at - max(until) OVER (ORDER BY raised_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
                           > (to_time - from_time) / 100, true) AS begins
        FROM found
    ), numbered AS (
        SELECT *, count(*) FILTER (WHERE begins) OVER (ORDER BY raised_at) AS region FROM spaced
    )
    SELECT min(raised_at), max(until),
           CASE count(*) WHEN 1 THEN '' ELSE count(*) || ' alerts, the last: ' END
           || (array_agg(numbered.text ORDER BY raised_at DESC))[1],
           string_agg(DISTINCT rule, ',')
    FROM numbered GROUP BY region ORDER BY 1
$$;
COMMENT ON FUNCTION bed_alert_regions IS 'alerts of the first of `devices` as regions of a chart; alerts close together are one';
