-- Sizes, watermarks of the rollups, and jobs. The Apache edition has the same views, with columns of the same type and
-- collation, which CREATE OR REPLACE VIEW cannot change. The catalogue's names have the collation "C", also after a cast.

-- before_bytes and after_bytes are the sizes of the chunks in the columnstore, NULL while there is none.
CREATE OR REPLACE VIEW storage_now AS
SELECT hypertable.relation, hypertable_size(hypertable.id) AS bytes,
       (SELECT count(*) FROM show_chunks(hypertable.id)) AS chunks,
       coalesce(stats.number_compressed_chunks, 0) AS columnstore_chunks,
       stats.before_compression_total_bytes AS before_bytes, stats.after_compression_total_bytes AS after_bytes
FROM (VALUES ('patient_vitals', 'patient_vitals'::regclass), ('imported_vitals', 'imported_vitals'::regclass),
             ('vitals_1m', rollup_table('vitals_1m')),
             ('vitals_1h', rollup_table('vitals_1h')), ('vitals_1d', rollup_table('vitals_1d')),
             ('sequence_1h', rollup_table('sequence_1h'))) AS hypertable (relation, id)
LEFT JOIN LATERAL hypertable_columnstore_stats(hypertable.id) AS stats ON true;
COMMENT ON VIEW storage_now IS 'bytes and chunks of the readings and of each rollup, and what the columnstore saves';

-- With the owner's rights: TimescaleDB gives the watermark only to those who may read all of the rollup, which readers of
-- one ward may not.
CREATE OR REPLACE FUNCTION rollup_watermark(rollup text) RETURNS timestamptz LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT _timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(hypertable_id(rollup)))
$$;

-- `watermark`: everything before it is materialized; the rest is computed when queried.
CREATE OR REPLACE VIEW rollup_now AS
SELECT view_name::text COLLATE "default" AS rollup,
       rollup_watermark(view_name::text) AS watermark
FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'public';
COMMENT ON VIEW rollup_now IS 'the time up to which each rollup is materialized';

CREATE OR REPLACE VIEW job_now AS
SELECT job.proc_name::text COLLATE "default" AS job,
       coalesce(rollup.view_name, job.hypertable_name, '')::text COLLATE "default" AS relation,
       stats.last_run_status AS last_status, date_trunc('second', nullif(stats.last_run_started_at, '-infinity')) AS last_run,
       coalesce(stats.total_failures, 0) AS failures, date_trunc('second', nullif(stats.next_start, '-infinity')) AS next_run
FROM timescaledb_information.jobs job
LEFT JOIN timescaledb_information.job_stats stats USING (job_id)
LEFT JOIN timescaledb_information.continuous_aggregates rollup
       ON rollup.materialization_hypertable_name = job.hypertable_name
WHERE job.proc_schema = 'public' OR job.hypertable_name IS NOT NULL;
COMMENT ON VIEW job_now IS 'the jobs of rollups, retention and columnstore: last run, failures, next run';
