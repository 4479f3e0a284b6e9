-- Throughput and latency for dashboards; 70_health.sql has the complete figures per minute.

-- Stored readings per second by time of measurement, from the rollup of minutes, hours or days. Complete buckets only;
-- a bucket without readings is 0, except before the first one.
CREATE OR REPLACE FUNCTION reading_rate(from_time timestamptz, to_time timestamptz)
RETURNS TABLE ("time" timestamptz, per_second float8)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    span CONSTANT interval := to_time - from_time;
    step CONSTANT interval := CASE WHEN span <= '2 hours' THEN interval '1 minute' WHEN span <= '25 hours' THEN '15 minutes'
                                   WHEN span <= '10 days' THEN '1 hour' ELSE '24 hours' END;
BEGIN
    RETURN QUERY EXECUTE format(
        'WITH counted AS (
             SELECT time_bucket(%L::interval, bucket) AS at, sum(readings) AS readings FROM %I
             WHERE bucket >= %L AND bucket < %L AND bucket < time_bucket(%L::interval, now())
             GROUP BY 1
         )
         SELECT moment.at, (coalesce(readings, 0) / %s)::float8
         FROM generate_series((SELECT min(at) FROM counted), least(%L, now()) - %L::interval, %L::interval) AS moment (at)
         LEFT JOIN counted USING (at) ORDER BY 1',
        step, CASE WHEN step < '1 hour' THEN 'vitals_1m' WHEN step < '1 day' THEN 'vitals_1h' ELSE 'vitals_1d' END,
        time_bucket(step, from_time), to_time, step, extract(epoch FROM step), to_time, step, step);
END $$;
COMMENT ON FUNCTION reading_rate IS 'stored readings per second, by time of measurement';

-- Age of the readings when ingest receives them, from the first 300 readings of each interval: a sample, so that a
-- month costs no more than an hour.
CREATE OR REPLACE FUNCTION arrival_lag(from_time timestamptz, to_time timestamptz, interval_ms bigint)
RETURNS TABLE ("time" timestamptz, p50 float8, p95 float8)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    -- Constants of the plan, which excludes chunks by them.
    step CONSTANT interval := series_step(from_time, to_time, chart_points(from_time, to_time, interval_ms));
    first CONSTANT timestamptz := time_bucket(step, from_time);
    last CONSTANT timestamptz := least(to_time, now());
    until CONSTANT timestamptz := last + step;
BEGIN
    RETURN QUERY
    SELECT moment.at, lag.shares[1], lag.shares[2]
    FROM generate_series(first, last, step) AS moment (at)
    CROSS JOIN LATERAL (
        SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY v.seconds) AS shares
        FROM (SELECT coalesce(reading.arrival_lag_ms::float8 / 1000,
                              extract(epoch FROM reading.received_at - reading.time)::float8) AS seconds
              FROM patient_vitals AS reading
              WHERE reading.time >= moment.at AND reading.time < moment.at + step
                AND reading.time >= first AND reading.time < until ORDER BY reading.time LIMIT 300) AS v
    ) AS lag
    WHERE lag.shares IS NOT NULL
    ORDER BY 1;
END $$;
COMMENT ON FUNCTION arrival_lag IS 'seconds from measurement to receipt: median and 95th percentile of a sample, over time';

-- The highest number of a boot before a time. A function, so that history is searched, and its chunks are opened, only for
-- a device that was silent for longer than completeness_between looks back.
CREATE OR REPLACE FUNCTION last_seq_before(device text, of_boot bigint, before timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT max(last_seq) FROM sequence_1h WHERE device_id = device AND boot = of_boot AND bucket < before);
END $$;
COMMENT ON FUNCTION last_seq_before IS 'the highest number of a boot of a device before a time';

-- completeness_1h for a range, without reading all of history: the number before the first hour of the range is
-- searched in the week before it, and in all of history only after a longer silence. In plpgsql, for readers of one ward
-- (45_days.sql).
CREATE OR REPLACE FUNCTION completeness_between(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (bucket timestamptz, device_id text, stored bigint, expected numeric)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    earliest CONSTANT timestamptz := from_time - interval '7 days';  -- a constant of the plan, which excludes chunks by it
    oldest CONSTANT float8 := extract(epoch FROM oldest_reading());
BEGIN
    RETURN QUERY
    WITH counted AS (
        SELECT s.bucket, s.device_id, s.stored, s.last_seq - coalesce(
                   max(s.last_seq) OVER (PARTITION BY s.device_id, s.boot ORDER BY s.bucket
                                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
                   CASE WHEN s.bucket > from_time - interval '1 hour' THEN last_seq_before(s.device_id, s.boot, earliest) END,
                   CASE WHEN s.boot > oldest THEN 0
                        ELSE s.first_seq - 1 END) AS expected
        FROM sequence_1h AS s
        WHERE s.bucket >= earliest AND s.bucket < to_time
    )
    SELECT counted.bucket, counted.device_id, sum(counted.stored)::bigint, sum(greatest(counted.expected, counted.stored))
    FROM counted
    WHERE counted.bucket > from_time - interval '1 hour'
    GROUP BY 1, 2;
END $$;
COMMENT ON FUNCTION completeness_between IS 'stored and expected readings per hour and device in a range; see completeness_1h';

-- The last reading that was received, among the newest thousand: a device whose clock is ahead does not hide an outage.
-- `late_minutes`: minutes with late readings that the rollups do not include yet.
CREATE OR REPLACE VIEW ingest_now AS
SELECT max(arrived) AS last_received_at, now() - max(arrived) AS silent_for,
       (SELECT count(*) FROM device WHERE state = 'online') AS devices_online,
       (SELECT count(DISTINCT minute) FROM rollup_invalidation) AS late_minutes
FROM (SELECT arrival_time(received_at, time, arrival_lag_ms) AS arrived FROM patient_vitals
      WHERE time > now() - interval '1 day'
      ORDER BY time DESC LIMIT 1000) AS newest;
COMMENT ON VIEW ingest_now IS 'when the last reading was received, how many devices are online, and minutes that wait for a refresh';
