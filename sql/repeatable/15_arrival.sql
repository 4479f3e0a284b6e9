-- The time at which ingest received a reading, from its columns of these names. STABLE, as timestamptz + interval is:
-- declared IMMUTABLE it would be called for each row instead of being inlined.
CREATE OR REPLACE FUNCTION arrival_time(received_at timestamptz, "time" timestamptz, arrival_lag_ms bigint)
RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce($1, $2 + $3 * interval '1 ms')
$$;
COMMENT ON FUNCTION arrival_time IS 'time + arrival_lag_ms, or received_at of a reading stored by an earlier version';

-- The name of a reading by its content: a negative number, as of a reading without `seq` (vitals/reading.py). Without its
-- NULLs: the stage of an ingest that runs while a sign is added lacks the column that the stored reading has.
CREATE OR REPLACE FUNCTION content_number(reading jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT -1 - (('x' || left(md5(jsonb_strip_nulls(
        reading - '{device_id,time,boot,seq,ward,status,received_at,arrival_lag_ms}'::text[])::text), 16))
                 ::bit(64)::bigint & x'7FFFFFFFFFFFFFFF'::bigint)
$$;

-- The same of the readings that are stored with these numbers. Ingest, which may not read readings, learns from it whether
-- a number was used for two different ones. Day by day, and each with its bounds as literals: the planner then opens the
-- chunk of the day only, and each reading is searched by index.
CREATE OR REPLACE FUNCTION stored_content_numbers(devices text[], times timestamptz[], boots bigint[], seqs bigint[])
RETURNS TABLE (device text, measured timestamptz, boot bigint, seq bigint, content bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    day timestamptz;
BEGIN
    FOR day IN SELECT DISTINCT time_bucket('1 day', one) FROM unnest(times) AS one LOOP
        RETURN QUERY EXECUTE format('
            SELECT v.device_id, v.time, v.boot, v.seq, content_number(to_jsonb(v))
            FROM unnest($1, $2, $3, $4) AS wanted (device_id, time, boot, seq)
            JOIN patient_vitals AS v USING (device_id, time, boot, seq)
            WHERE wanted.time >= %1$L AND v.time >= %1$L AND wanted.time < %2$L AND v.time < %2$L',
            day, day + interval '24 hours') USING devices, times, boots, seqs;
    END LOOP;
END $$;
