-- Without continuous aggregates the rollups are plain views with the same names and columns, computed when queried, from
-- imported readings too.
-- Replaced and not dropped, so that dependent views of the operator remain; the columns of a new sign come last.
DO $$
DECLARE
    rollup record;
    older text;
BEGIN
    FOR rollup IN SELECT * FROM rollup_queries() LOOP
        -- As all_vitals, whose union would keep the planner from excluding chunks by the bucket.
        older := CASE rollup.name WHEN 'vitals_1m' THEN ' UNION ALL' || replace(
            rollup.query, 'FROM patient_vitals',
            'FROM imported_vitals WHERE time < coalesce(oldest_chunk(), ''infinity'')') END;
        EXECUTE format('CREATE OR REPLACE VIEW %I AS %s%s', rollup.name, rollup.query, older);
    END LOOP;
END $$;

-- Without retention policies, ingest calls this once an hour. Returns the number of dropped chunks. SECURITY DEFINER,
-- because ingest may not delete; the period comes from the database, so that no caller can shorten it. least() ignores
-- NULL. The lock: see store_import().
CREATE OR REPLACE FUNCTION drop_old_readings() RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '5s' AS $$
    SELECT pg_advisory_xact_lock(hashtext('vitalflow retention'));
    SELECT count(*)::integer FROM drop_chunks(
        'patient_vitals', older_than => least(
            now() - (SELECT period FROM retention_setting WHERE name = 'raw_retention'), snapshots_need_readings_from()))
$$;
