-- Columnstore and policies, by the retention settings. A policy that already has the wanted configuration is kept, with
-- its history and its next run.
--
-- Refresh windows start `late_after` ago or earlier, for each level earlier than for the one below, so that a change of
-- the lower level is inside the window of the upper one. Later readings are recorded by ingest and refreshed by the job
-- refresh_invalidated_buckets. No window includes a time at which retention drops the source.
DO $$
DECLARE
    period CONSTANT jsonb := (SELECT jsonb_object_agg(name, retention_setting.period) FROM retention_setting);
    late_after CONSTANT interval := period ->> 'late_after';
    columnar record;
    wanted record;
    job record;
    relation_id integer;
BEGIN
    FOR columnar IN SELECT * FROM (VALUES
        ('patient_vitals', 'time DESC, boot, seq'),
        ('vitals_1m', 'bucket DESC'),
        ('vitals_1h', 'bucket DESC')) AS store (relation, orderby)
    LOOP
        IF (SELECT compression_state FROM _timescaledb_catalog.hypertable
            WHERE id = hypertable_id(columnar.relation)) <> 0 THEN
            CONTINUE;
        END IF;
        EXECUTE format(
            'ALTER %s %I SET (timescaledb.enable_columnstore, timescaledb.segmentby = %L, timescaledb.orderby = %L)',
            CASE columnar.relation WHEN 'patient_vitals' THEN 'TABLE' ELSE 'MATERIALIZED VIEW' END,
            columnar.relation, 'device_id', columnar.orderby);
    END LOOP;

    FOR wanted IN SELECT * FROM (VALUES
        ('refresh', 'vitals_1m', late_after + interval '1 hour', interval '2 minutes', interval '1 minute'),
        ('refresh', 'vitals_1h', late_after + interval '4 hours', interval '1 hour', interval '15 minutes'),
        ('refresh', 'vitals_1d', late_after + interval '3 days', interval '1 day', interval '1 hour'),
        ('refresh', 'sequence_1h', late_after + interval '3 hours', interval '1 hour', interval '15 minutes'),
        ('columnstore', 'patient_vitals', (period ->> 'compress_after')::interval, NULL, NULL),
        ('columnstore', 'vitals_1m', (period ->> 'compress_after')::interval, NULL, NULL),
        ('columnstore', 'vitals_1h', (period ->> 'compress_after')::interval, NULL, NULL),
        ('retention', 'patient_vitals', (period ->> 'raw_retention')::interval, NULL, NULL),
        ('retention', 'vitals_1m', (period ->> 'minute_retention')::interval, NULL, NULL)
        ) AS policy (kind, relation, after, until, every)
    LOOP
        relation_id := hypertable_id(wanted.relation);
        SELECT j.job_id, j.schedule_interval, (j.config ->> 'end_offset')::interval AS until,
               coalesce(j.config ->> 'start_offset', j.config ->> 'compress_after', j.config ->> 'drop_after')::interval
               AS after
        INTO job
        FROM timescaledb_information.jobs j
        WHERE j.proc_name = CASE wanted.kind WHEN 'refresh' THEN 'policy_refresh_continuous_aggregate'
                                WHEN 'columnstore' THEN 'policy_compression' ELSE 'policy_retention' END
          AND coalesce(j.config ->> 'mat_hypertable_id', j.config ->> 'hypertable_id')::integer = relation_id;
        IF job.job_id IS NOT NULL THEN
            CONTINUE WHEN job.after = wanted.after AND job.until IS NOT DISTINCT FROM wanted.until
                      AND job.schedule_interval = coalesce(wanted.every, job.schedule_interval);
            PERFORM delete_job(job.job_id);
        END IF;
        CASE wanted.kind
            WHEN 'refresh' THEN PERFORM add_continuous_aggregate_policy(
                wanted.relation::regclass, start_offset => wanted.after, end_offset => wanted.until,
                schedule_interval => wanted.every);
            WHEN 'columnstore' THEN CALL add_columnstore_policy(wanted.relation::regclass, after => wanted.after);
            ELSE PERFORM add_retention_policy(wanted.relation::regclass, drop_after => wanted.after);
        END CASE;
    END LOOP;

    IF NOT EXISTS (SELECT FROM timescaledb_information.jobs WHERE proc_name = 'refresh_invalidated_buckets') THEN
        -- 600 minutes per run: a day of late readings is refreshed within two and a half minutes.
        PERFORM add_job('public.refresh_invalidated_buckets', interval '1 minute', config => '{"minutes": 600}');
    END IF;
END $$;
