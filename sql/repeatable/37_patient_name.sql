-- Delete the names of patients who were on no bed within the retention of readings; returns how many. With the owner's
-- rights, so that ingest, which calls it, can read no name.
CREATE OR REPLACE FUNCTION drop_old_names() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH kept (since) AS (SELECT now() - period FROM retention_setting WHERE name = 'raw_retention'),
    dropped AS (
        DELETE FROM names.patient_name AS known USING kept
        WHERE changed_at < kept.since AND NOT EXISTS (
            SELECT FROM assignment AS stay
            WHERE lower(stay.patient_id) = lower(known.patient_id) AND (stay.to_time IS NULL OR stay.to_time >= kept.since))
        RETURNING 1)
    SELECT count(*) FROM dropped
$$;
