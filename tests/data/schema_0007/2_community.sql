DO $$
DECLARE
    version CONSTANT text := (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb');
BEGIN
    IF string_to_array(split_part(version, '-', 1), '.')::integer[] < ARRAY[2, 18] THEN
        RAISE EXCEPTION 'TimescaleDB % of the Community edition is too old for VitalFlow; 2.18 is needed', version;
    END IF;
END $$;
CREATE OR REPLACE FUNCTION rollup_table(rollup text) RETURNS regclass LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
    SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
    FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'public' AND view_name = rollup
$$;

CREATE OR REPLACE FUNCTION policy_relation(relation text) RETURNS integer LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
    SELECT id FROM _timescaledb_catalog.hypertable
    WHERE format('%I.%I', schema_name, table_name)::regclass = coalesce(rollup_table(relation), relation::regclass)
$$;
DO $$
DECLARE
    rollup record;
    changed text[];
    readings_from timestamptz;
    made_new boolean := false;
    shared text;
    last_day timestamptz;
BEGIN
    SELECT array_agg(wanted.name ORDER BY wanted.place) INTO changed
    FROM rollup_queries() wanted LEFT JOIN vitalflow_rollup made USING (name)
    LEFT JOIN timescaledb_information.continuous_aggregates there ON there.view_name = wanted.name
    WHERE made.query IS DISTINCT FROM wanted.query OR there.view_name IS NULL;
    IF changed IS NULL THEN
        RETURN;
    END IF;
    DROP VIEW IF EXISTS completeness_1h;
    IF changed && ARRAY['vitals_1m', 'vitals_1h', 'vitals_1d'] THEN
        changed := ARRAY['vitals_1m', 'vitals_1h', 'vitals_1d'] || array_remove(array_remove(array_remove(
            changed, 'vitals_1m'), 'vitals_1h'), 'vitals_1d');
    END IF;

    FOR rollup IN SELECT * FROM rollup_queries() WHERE name = ANY (changed) ORDER BY place DESC LOOP
        IF EXISTS (SELECT FROM timescaledb_information.continuous_aggregates WHERE view_name = rollup.name) THEN
            EXECUTE format('ALTER MATERIALIZED VIEW %I RENAME TO %I', rollup.name, 'old_' || rollup.name);
        ELSE
            made_new := true;
            EXECUTE format('DROP VIEW IF EXISTS %I', rollup.name);
        END IF;
    END LOOP;
    FOR rollup IN SELECT * FROM rollup_queries() WHERE name = ANY (changed) ORDER BY place LOOP
        EXECUTE format(
            'CREATE MATERIALIZED VIEW %I WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS %s'
            ' WITH NO DATA', rollup.name, rollup.query);
        INSERT INTO vitalflow_rollup (name, query) VALUES (rollup.name, rollup.query)
        ON CONFLICT (name) DO UPDATE SET query = excluded.query;
        IF to_regclass('old_' || rollup.name) IS NOT NULL THEN
            SELECT string_agg(quote_ident(attname), ', ') INTO shared
            FROM (SELECT attname FROM pg_attribute WHERE attrelid = rollup.name::regclass AND attnum > 0
                  INTERSECT
                  SELECT attname FROM pg_attribute WHERE attrelid = ('old_' || rollup.name)::regclass AND attnum > 0);
            EXECUTE format('INSERT INTO %1$s (%3$s) SELECT %3$s FROM %2$s',
                           rollup_table(rollup.name), rollup_table('old_' || rollup.name), shared);
            IF rollup.name = 'vitals_1d' THEN
                EXECUTE format('SELECT max(bucket) FROM %s', rollup_table('old_vitals_1d')) INTO last_day;
            END IF;
        END IF;
    END LOOP;
    FOR rollup IN SELECT * FROM rollup_queries() WHERE name = ANY (changed) ORDER BY place DESC LOOP
        IF to_regclass('old_' || rollup.name) IS NOT NULL THEN
            EXECUTE format('DROP MATERIALIZED VIEW %I', 'old_' || rollup.name);
        END IF;
    END LOOP;

    SELECT CASE WHEN made_new THEN min(range_start)
                ELSE least(last_day, time_bucket('1 day', (SELECT max(time) FROM patient_vitals) - interval '1 day')) END
    INTO readings_from
    FROM timescaledb_information.chunks WHERE hypertable_schema = 'public' AND hypertable_name = 'patient_vitals';
    IF readings_from < now() THEN
        INSERT INTO vitalflow_backfill (done_to, until) VALUES (readings_from, now());
    END IF;
END $$;

CREATE OR REPLACE FUNCTION rollup_floor(rollup text) RETURNS timestamptz LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
    SELECT min(chunk.range_start)
    FROM rollup_queries() made
    JOIN timescaledb_information.chunks chunk
      ON format('%I.%I', chunk.hypertable_schema, chunk.hypertable_name)::regclass
       = coalesce(rollup_table(made.source), made.source::regclass)
    WHERE made.name = rollup
$$;

CREATE OR REPLACE PROCEDURE refresh_rollup(rollup text, from_time timestamptz, to_time timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    width interval := (SELECT made.width FROM public.rollup_queries() made WHERE made.name = rollup);
    first_bucket timestamptz := public.time_bucket(width, greatest(from_time, public.rollup_floor(rollup)));
    behind_last timestamptz := least(public.time_bucket(width, to_time - interval '1 microsecond') + width,
                                     public.time_bucket(width, now()));
BEGIN
    PERFORM set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', false);
    IF public.rollup_floor(rollup) IS NOT NULL AND first_bucket < behind_last THEN
        CALL public.refresh_continuous_aggregate(format('public.%I', rollup)::regclass, first_bucket, behind_last);
        COMMIT;
    END IF;
END $$;

CREATE OR REPLACE PROCEDURE refresh_rollups(from_time timestamptz, to_time timestamptz) LANGUAGE plpgsql AS $$
DECLARE
    rollup text;
BEGIN
    FOREACH rollup IN ARRAY (SELECT array_agg(name ORDER BY place) FROM public.rollup_queries()) LOOP
        CALL public.refresh_rollup(rollup, from_time, to_time);
    END LOOP;
END $$;

CREATE OR REPLACE PROCEDURE refresh_late(job_id integer, config jsonb) LANGUAGE plpgsql AS $$
DECLARE
    notes bigint[];
    late_minutes timestamptz[];
    late_readings bigint;
    rollup record;
    bucket tstzrange;
    buckets tstzrange[];
BEGIN
    WITH chosen AS (
        SELECT minute FROM public.late_bucket GROUP BY minute ORDER BY min(id) LIMIT (config ->> 'minutes')::integer
    )
    SELECT array_agg(id), array_agg(DISTINCT minute), sum(readings) INTO notes, late_minutes, late_readings
    FROM public.late_bucket JOIN chosen USING (minute);
    IF notes IS NULL THEN
        RETURN;
    END IF;
    FOR rollup IN SELECT * FROM public.rollup_queries() ORDER BY place LOOP
        SELECT array_agg(stretch) INTO buckets
        FROM (SELECT unnest(range_agg(tstzrange(start, start + rollup.width))) AS stretch
              FROM (SELECT public.time_bucket(rollup.width, minute) AS start FROM unnest(late_minutes) AS minute));
        FOREACH bucket IN ARRAY buckets LOOP
            CALL public.refresh_rollup(rollup.name, lower(bucket), upper(bucket));
        END LOOP;
    END LOOP;
    DELETE FROM public.late_bucket WHERE id = ANY (notes);
    UPDATE public.late_total
    SET readings = readings + late_readings, minutes = minutes + cardinality(late_minutes), last_at = now();
END $$;

CREATE OR REPLACE FUNCTION drop_old_readings() RETURNS integer LANGUAGE sql SET search_path = public, pg_temp AS $$
    SELECT 0
$$;
DO $$
DECLARE
    period CONSTANT jsonb := (SELECT jsonb_object_agg(name, vitalflow_period.period) FROM vitalflow_period);
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
            WHERE id = policy_relation(columnar.relation)) <> 0 THEN
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
        relation_id := policy_relation(wanted.relation);
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

    IF NOT EXISTS (SELECT FROM timescaledb_information.jobs WHERE proc_name = 'refresh_late') THEN
        PERFORM add_job('public.refresh_late', interval '1 minute', config => '{"minutes": 600}');
    END IF;
END $$;

CREATE OR REPLACE VIEW storage_now AS
SELECT ours.relation, hypertable_size(ours.id) AS bytes,
       (SELECT count(*) FROM show_chunks(ours.id)) AS chunks,
       coalesce(stats.number_compressed_chunks, 0) AS columnstore_chunks,
       stats.before_compression_total_bytes AS before_bytes, stats.after_compression_total_bytes AS after_bytes
FROM (VALUES ('patient_vitals', 'patient_vitals'::regclass), ('vitals_1m', rollup_table('vitals_1m')),
             ('vitals_1h', rollup_table('vitals_1h')), ('vitals_1d', rollup_table('vitals_1d')),
             ('sequence_1h', rollup_table('sequence_1h'))) AS ours (relation, id)
LEFT JOIN LATERAL hypertable_columnstore_stats(ours.id) AS stats ON true;
COMMENT ON VIEW storage_now IS 'bytes and chunks of the readings and of each rollup, and what the columnstore saves';

CREATE OR REPLACE VIEW rollup_now AS
SELECT view_name::text AS rollup,
       _timescaledb_functions.to_timestamp(
           _timescaledb_functions.cagg_watermark(policy_relation(view_name::text))) AS reaches
FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'public';
COMMENT ON VIEW rollup_now IS 'how far each rollup is materialized';

CREATE OR REPLACE VIEW job_now AS
SELECT job.proc_name::text AS job, coalesce(rollup.view_name, job.hypertable_name, '')::text AS relation,
       stats.last_run_status AS last_status, nullif(stats.last_run_started_at, '-infinity') AS last_run,
       coalesce(stats.total_failures, 0) AS failures, nullif(stats.next_start, '-infinity') AS next_run
FROM timescaledb_information.jobs job
LEFT JOIN timescaledb_information.job_stats stats USING (job_id)
LEFT JOIN timescaledb_information.continuous_aggregates rollup
       ON rollup.materialization_hypertable_name = job.hypertable_name
WHERE job.proc_name = 'refresh_late' OR job.hypertable_name IS NOT NULL;
COMMENT ON VIEW job_now IS 'the policies and the job for late readings: last run, failures, next run';
