-- Bytes of WAL that each standby has not replayed; a disconnected standby by the name of its replication slot. The owner
-- needs pg_read_all_stats to see standbys of another user, which a superuser has. With the owner's privileges, because
-- ingest has none on statistics of others.
CREATE OR REPLACE FUNCTION replication_lag() RETURNS TABLE (standby text, lag_bytes bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT name, max(pg_wal_lsn_diff(pg_current_wal_lsn(), lsn))::bigint
    FROM (
        SELECT application_name AS name, coalesce(replay_lsn, flush_lsn, sent_lsn) AS lsn
        FROM pg_stat_replication WHERE state IN ('startup', 'catchup', 'streaming')
        UNION ALL
        SELECT slot_name, restart_lsn FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT active
    ) AS standbys
    WHERE lsn IS NOT NULL
    GROUP BY name
$$;
COMMENT ON FUNCTION replication_lag() IS 'bytes of WAL that each standby, or replication slot without one, has not replayed';
