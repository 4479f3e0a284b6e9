-- The queries of the rollups, for both editions, generated from the columns of patient_vitals.

-- The keys of the signs: the columns of patient_vitals of type `real`, which no other column has.
CREATE OR REPLACE FUNCTION vital_signs() RETURNS SETOF text LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT attname::text FROM pg_attribute
    WHERE attrelid = 'patient_vitals'::regclass AND atttypid = 'real'::regtype AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum
$$;

-- A column list with `pattern` once per sign; %1$s is its key.
CREATE OR REPLACE FUNCTION format_per_sign(pattern text) RETURNS text LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
    SELECT string_agg(format(pattern, sign), E',\n    ') FROM vital_signs() AS sign
$$;

-- Every rollup, in the order in which they must be refreshed: each after its source. Averages are weighted by n.
-- `<sign>_off` is the share of time with the sensor off the patient: the share of the readings within a minute, and of
-- the minutes in the levels above, so that it does not depend on how many readings a device sends per minute.
CREATE OR REPLACE FUNCTION rollup_queries() RETURNS TABLE (refresh_order integer, name text, source text, bucket_width interval, query text)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT 1, 'vitals_1m', 'patient_vitals', interval '1 minute', format($query$
SELECT
    time_bucket('1 minute', time) AS bucket, device_id, patient_id, ward,
    count(*) AS readings,
    1::bigint AS minutes,
    count(*) FILTER (WHERE status = 'CRITICAL') AS critical,
    %s
FROM patient_vitals
GROUP BY 1, 2, 3, 4$query$, format_per_sign($columns$avg(%1$s) AS %1$s_avg, min(%1$s) AS %1$s_min, max(%1$s) AS %1$s_max, count(%1$s) AS %1$s_n,
    count(*) FILTER (WHERE '%1$s' = ANY (sensor_off))::float8 / count(*) AS %1$s_off$columns$))
    UNION ALL
    SELECT above.refresh_order, above.name, above.source, above.bucket_width, format($query$
SELECT
    time_bucket(%L::interval, bucket) AS bucket, device_id, patient_id, ward,
    sum(readings)::bigint AS readings,
    sum(minutes)::bigint AS minutes,
    sum(critical)::bigint AS critical,
    %s
FROM %I
GROUP BY 1, 2, 3, 4$query$, above.bucket_width, format_per_sign($columns$sum(%1$s_avg * %1$s_n) / nullif(sum(%1$s_n), 0)::float8 AS %1$s_avg,
    min(%1$s_min) AS %1$s_min, max(%1$s_max) AS %1$s_max, sum(%1$s_n)::bigint AS %1$s_n,
    sum(%1$s_off * minutes) / sum(minutes)::float8 AS %1$s_off$columns$), above.source)
    FROM (VALUES (2, 'vitals_1h', 'vitals_1m', interval '1 hour'),
                 (3, 'vitals_1d', 'vitals_1h', interval '1 day')) AS above (refresh_order, name, source, bucket_width)
    UNION ALL
    SELECT 4, 'sequence_1h', 'patient_vitals', interval '1 hour', $query$
SELECT
    time_bucket('1 hour', time) AS bucket, device_id, boot,
    count(*) AS stored, min(seq) AS first_seq, max(seq) AS last_seq
FROM patient_vitals
WHERE seq > 0
GROUP BY 1, 2, 3$query$
    ORDER BY 1
$$;
