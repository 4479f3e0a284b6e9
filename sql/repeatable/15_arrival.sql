-- The time at which ingest received a reading, from its columns of these names. STABLE, as timestamptz + interval is:
-- declared IMMUTABLE it would be called for each row instead of being inlined.
CREATE OR REPLACE FUNCTION arrival_time(received_at timestamptz, "time" timestamptz, arrival_lag_ms bigint)
RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce($1, $2 + $3 * interval '1 ms')
$$;
COMMENT ON FUNCTION arrival_time IS 'time + arrival_lag_ms, or received_at of a reading stored by an earlier version';

-- The name of a reading by its content: a negative number, as of a reading without `seq` (vitals/reading.py).
CREATE OR REPLACE FUNCTION content_number(reading jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT -1 - (('x' || left(md5((reading - '{device_id,time,boot,seq,ward,status,received_at,arrival_lag_ms}'::text[])::text), 16))
                 ::bit(64)::bigint & x'7FFFFFFFFFFFFFFF'::bigint)
$$;

-- The same of the reading that is stored with these numbers. Ingest, which may not read readings, learns from it whether
-- a number was used for two different ones.
CREATE OR REPLACE FUNCTION stored_content_number(device text, measured timestamptz, boot bigint, seq bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT content_number(to_jsonb(v)) FROM patient_vitals AS v
    WHERE v.device_id = device AND v.time = measured AND v.boot = $3 AND v.seq = $4
$$;
