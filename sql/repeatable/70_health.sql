-- Completeness and latency of the stored readings.

-- Stored and expected readings per hour and device, from the numbers that devices assign. Readings missing in a gap
-- count in the hour of the next reading. Numbers before the first reading of a boot count as in device_gap.
CREATE OR REPLACE VIEW completeness_1h AS
WITH counted AS (
    SELECT bucket, device_id, stored, last_seq - coalesce(
               max(last_seq) OVER (PARTITION BY device_id, boot ORDER BY bucket
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
               CASE WHEN boot > (SELECT extract(epoch FROM min(bucket)) FROM sequence_1h) THEN 0
                    ELSE first_seq - 1 END) AS expected
    FROM sequence_1h
)
SELECT bucket, device_id, sum(stored)::bigint AS stored, sum(greatest(expected, stored)) AS expected,
       (sum(stored) / sum(greatest(expected, stored)))::float8 AS completeness
FROM counted
GROUP BY bucket, device_id;
COMMENT ON VIEW completeness_1h IS 'stored and expected readings per hour and device; completeness 1 means that none is missing';

-- What ingest stored and rejected per minute, and the age of the readings when they were received.
CREATE OR REPLACE FUNCTION ingest_health(
    from_time timestamptz DEFAULT now() - interval '1 hour', to_time timestamptz DEFAULT now())
RETURNS TABLE (minute timestamptz, rows bigint, lag_p50 interval, lag_p95 interval, rejected bigint,
               rejected_by_reason jsonb)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF from_time IS NULL OR to_time IS NULL OR to_time <= from_time THEN
        RAISE EXCEPTION 'the range from % to % is empty', from_time, to_time USING ERRCODE = 'invalid_parameter_value',
            HINT = 'to_time: it must be later than from_time';
    END IF;
    RETURN QUERY
    WITH stored AS (
        SELECT date_trunc('minute', v.arrived) AS minute, count(*) AS rows,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY v.arrived - v.time) AS p50,
               percentile_cont(0.95) WITHIN GROUP (ORDER BY v.arrived - v.time) AS p95
        FROM (SELECT time, arrival_time(received_at, time, arrival_lag_ms) AS arrived FROM patient_vitals) AS v
        WHERE v.arrived >= from_time AND v.arrived < to_time GROUP BY 1
    ), by_reason AS (
        SELECT date_trunc('minute', r.received_at) AS minute, r.reason, count(*) AS messages
        FROM rejected_message r WHERE r.received_at >= from_time AND r.received_at < to_time GROUP BY 1, 2
    ), rejected AS (
        SELECT by_reason.minute, sum(messages)::bigint AS messages, jsonb_object_agg(reason, messages) AS reasons
        FROM by_reason GROUP BY 1
    )
    SELECT coalesce(stored.minute, rejected.minute), coalesce(stored.rows, 0), stored.p50, stored.p95,
           coalesce(rejected.messages, 0), coalesce(rejected.reasons, '{}')
    FROM stored FULL JOIN rejected USING (minute) ORDER BY 1;
END $$;
COMMENT ON FUNCTION ingest_health IS 'per minute: rows stored, their age when received, messages rejected by reason';

-- Days of which a rollup does not have every reading, as last compared (Community edition; the job check_rollups).
CREATE OR REPLACE VIEW rollup_difference AS
SELECT day, rollup, readings, rolled_up, checked_at FROM rollup_check WHERE readings <> rolled_up;
COMMENT ON VIEW rollup_difference IS 'days of which a rollup does not have every reading; run vitalflow db backfill';
