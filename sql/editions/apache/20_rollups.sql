-- Without continuous aggregates the rollups are plain views: the same names, the same columns, computed when asked.
-- Replaced and not dropped, so that views of your own on them stay; a new sign's columns come last.
DO $$
DECLARE rollup record;
BEGIN
    FOR rollup IN SELECT * FROM rollup_queries() LOOP
        EXECUTE format('CREATE OR REPLACE VIEW %I AS %s', rollup.name, rollup.query);
    END LOOP;
END $$;

-- There are no policies either: ingest calls this once an hour. Says how many chunks it dropped. As its owner, because
-- ingest itself may remove nothing; the period is the database's own, so that no caller can shorten it.
CREATE OR REPLACE FUNCTION drop_old_readings() RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '5s' AS $$
    SELECT count(*)::integer FROM drop_chunks(
        'patient_vitals', older_than => now() - (SELECT period FROM retention_setting WHERE name = 'raw_retention'))
$$;
