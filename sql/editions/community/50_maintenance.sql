-- How the database does its own housekeeping: sizes, how far rollups reach, jobs. The Apache edition has the same names.

-- before_bytes and after_bytes are of those chunks that are in the columnstore, and NULL while none is.
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

-- `watermark`: everything before it is materialized; what is younger is computed when asked.
CREATE OR REPLACE VIEW rollup_now AS
SELECT view_name::text AS rollup,
       _timescaledb_functions.to_timestamp(
           _timescaledb_functions.cagg_watermark(hypertable_id(view_name::text))) AS watermark
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
WHERE job.proc_name = 'refresh_invalidated_buckets' OR job.hypertable_name IS NOT NULL;
COMMENT ON VIEW job_now IS 'the policies and the job for late readings: last run, failures, next run';
