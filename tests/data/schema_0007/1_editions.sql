-- What `migrate` applied after the migrations when 0007 was the last one (version 0.1.0), comments left out: for
-- tests/community/test_migrate_from_every_version.py. Never edit it.
DROP SCHEMA IF EXISTS by_ward CASCADE;

CREATE OR REPLACE FUNCTION vital_signs() RETURNS SETOF text LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT attname::text FROM pg_attribute
    WHERE attrelid = 'patient_vitals'::regclass AND atttypid = 'real'::regtype AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum
$$;

CREATE OR REPLACE FUNCTION for_every_sign(pattern text) RETURNS text LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
    SELECT string_agg(format(pattern, sign), E',\n    ') FROM vital_signs() AS sign
$$;

CREATE OR REPLACE FUNCTION rollup_queries() RETURNS TABLE (place integer, name text, source text, width interval, query text)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT 1, 'vitals_1m', 'patient_vitals', interval '1 minute', format($query$
SELECT
    time_bucket('1 minute', time) AS bucket, device_id, patient_id, ward,
    count(*) AS readings,
    1::bigint AS minutes,
    count(*) FILTER (WHERE status = 'CRITICAL') AS critical,
    %s
FROM patient_vitals
GROUP BY 1, 2, 3, 4$query$, for_every_sign($columns$avg(%1$s) AS %1$s_avg, min(%1$s) AS %1$s_min, max(%1$s) AS %1$s_max, count(%1$s) AS %1$s_n,
    count(*) FILTER (WHERE '%1$s' = ANY (sensor_off))::float8 / count(*) AS %1$s_off$columns$))
    UNION ALL
    SELECT above.place, above.name, above.source, above.width, format($query$
SELECT
    time_bucket(%L::interval, bucket) AS bucket, device_id, patient_id, ward,
    sum(readings)::bigint AS readings,
    sum(minutes)::bigint AS minutes,
    sum(critical)::bigint AS critical,
    %s
FROM %I
GROUP BY 1, 2, 3, 4$query$, above.width, for_every_sign($columns$sum(%1$s_avg * %1$s_n) / nullif(sum(%1$s_n), 0)::float8 AS %1$s_avg,
    min(%1$s_min) AS %1$s_min, max(%1$s_max) AS %1$s_max, sum(%1$s_n)::bigint AS %1$s_n,
    sum(%1$s_off * minutes) / sum(minutes)::float8 AS %1$s_off$columns$), above.source)
    FROM (VALUES (2, 'vitals_1h', 'vitals_1m', interval '1 hour'),
                 (3, 'vitals_1d', 'vitals_1h', interval '1 day')) AS above (place, name, source, width)
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
