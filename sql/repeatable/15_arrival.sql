-- The time at which ingest received a reading, from its columns of these names. STABLE, as timestamptz + interval is:
-- declared IMMUTABLE it would be called for each row instead of being inlined.
CREATE OR REPLACE FUNCTION arrival_time(received_at timestamptz, "time" timestamptz, arrival_lag_ms bigint)
RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce($1, $2 + $3 * interval '1 ms')
$$;
COMMENT ON FUNCTION arrival_time IS 'time + arrival_lag_ms, or received_at of a reading stored by an earlier version';
