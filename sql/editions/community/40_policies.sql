-- Columnstore, its policies by the retention settings, and the jobs of 30_refresh.sql. A policy that already has the
-- wanted configuration is kept, with its history and its next run.

-- Where a database of an earlier version has no progress yet, its rollups are refreshed from the oldest readings on.
INSERT INTO rollup_progress (rollup, refreshed_to)
SELECT name, time_bucket(bucket_width, least(rollup_floor(name), now())) FROM rollup_queries()
ON CONFLICT DO NOTHING;

DO $$
DECLARE
    compress_after CONSTANT interval := (SELECT period FROM retention_setting WHERE name = 'compress_after');
    columnar record;
    job record;
BEGIN
    FOR columnar IN SELECT * FROM (VALUES
        ('patient_vitals', 'time DESC, boot, seq'),
        ('imported_vitals', 'time DESC, boot, seq'),
        ('vitals_1m', 'bucket DESC'),
        ('vitals_1h', 'bucket DESC')) AS store (relation, orderby)
    LOOP
        IF (SELECT compression_state FROM _timescaledb_catalog.hypertable
            WHERE id = hypertable_id(columnar.relation)) = 0 THEN
            EXECUTE format(
                'ALTER %s %I SET (timescaledb.enable_columnstore, timescaledb.segmentby = %L, timescaledb.orderby = %L)',
                CASE WHEN columnar.relation LIKE '%_vitals' THEN 'TABLE' ELSE 'MATERIALIZED VIEW' END,
                columnar.relation, 'device_id', columnar.orderby);
        END IF;
    END LOOP;
    -- Of patient_vitals only, the others are converted by compress_rollups: TimescaleDB refuses the policy for an aggregate without a refresh policy.
    SELECT job_id, (config ->> 'compress_after')::interval AS after INTO job FROM timescaledb_information.jobs
    WHERE proc_name = 'policy_compression' AND (config ->> 'hypertable_id')::integer = hypertable_id('patient_vitals');
    IF job.after IS DISTINCT FROM compress_after THEN
        PERFORM delete_job(job.job_id) WHERE job.job_id IS NOT NULL;
        CALL add_columnstore_policy('patient_vitals', after => compress_after);
    END IF;

    -- Of versions before rollup_progress.
    PERFORM delete_job(job_id) FROM timescaledb_information.jobs
    WHERE proc_name = 'refresh_invalidated_buckets'
       OR (proc_name = 'policy_compression' AND (config ->> 'hypertable_id')::integer <> hypertable_id('patient_vitals'))
       OR (proc_name IN ('policy_refresh_continuous_aggregate', 'policy_retention')
           AND coalesce(config ->> 'mat_hypertable_id', config ->> 'hypertable_id')::integer IN (
               SELECT hypertable_id(name) FROM rollup_queries() UNION SELECT hypertable_id('patient_vitals')));
    DROP PROCEDURE IF EXISTS refresh_invalidated_buckets(integer, jsonb);

    FOR job IN SELECT * FROM (VALUES
        -- 600 minutes per run: a day of late readings is refreshed within two and a half minutes.
        ('refresh_due_buckets', interval '1 minute', '{"days": 10, "minutes": 600}'::jsonb),
        ('compress_rollups', interval '12 hours', NULL),
        ('drop_old_chunks', interval '1 hour', NULL),
        ('check_rollups', interval '1 hour', NULL)) AS wanted (name, every, config)
    LOOP
        IF NOT EXISTS (SELECT FROM timescaledb_information.jobs WHERE proc_name = job.name) THEN
            -- A failed run is repeated at the next interval and not after a growing pause.
            PERFORM alter_job(add_job(('public.' || job.name)::regproc, job.every, config => job.config),
                              max_retries => -1, retry_period => job.every);
        END IF;
    END LOOP;
END $$;
