-- Without continuous aggregates the rollups are plain views with the same names and columns, computed when queried.
-- Replaced and not dropped, so that dependent views of the operator remain; the columns of a new sign come last.
DO $$
DECLARE rollup record;
BEGIN
    FOR rollup IN SELECT * FROM rollup_queries() LOOP
        EXECUTE format('CREATE OR REPLACE VIEW %I AS %s', rollup.name, rollup.query);
    END LOOP;
END $$;

-- Without retention policies, ingest calls this once an hour. Returns the number of dropped chunks. SECURITY DEFINER,
-- because ingest may not delete; the period comes from the database, so that no caller can shorten it. least() ignores
-- NULL.
CREATE OR REPLACE FUNCTION drop_old_readings() RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '5s' AS $$
    SELECT count(*)::integer FROM drop_chunks(
        'patient_vitals', older_than => least(
            now() - (SELECT period FROM retention_setting WHERE name = 'raw_retention'), snapshots_need_readings_from()))
$$;
