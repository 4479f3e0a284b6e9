-- name: tables
-- The estimated row count of a large table, whose rows would take minutes to count; NULL for a small one.
SELECT relation, CASE WHEN bytes > 64 * 1024 * 1024 THEN approximate_row_count(relation::regclass) END,
       pg_size_pretty(bytes)
FROM (
    SELECT relation, coalesce(hypertable_size(relation::regclass), pg_total_relation_size(relation::regclass)) AS bytes
    FROM unnest(ARRAY['patient_vitals', 'rejected_message', 'alert_event', 'device']) AS relation
)

-- name: readings_span
SELECT min(time), max(time) FROM patient_vitals

-- name: server_settings
-- Two settings of the server: the name, the value, the value that is needed, and what it is for. A worker process each for
-- the launcher, the scheduler of this database and replication. A query without a bounded time range locks every chunk
-- with its indexes; the table of locks has room for four such queries at once.
SELECT 'max_worker_processes', current_setting('max_worker_processes')::integer,
       3 + coalesce(current_setting('timescaledb.max_background_workers', true)::integer, 0)
       + current_setting('max_parallel_workers')::integer,
       'for TimescaleDB''s jobs and parallel queries'
UNION ALL
SELECT 'max_locks_per_transaction', current_setting('max_locks_per_transaction')::integer,
       ceil(4.0 * count(*) / (current_setting('max_connections')::integer
                              + current_setting('max_prepared_transactions')::integer))::integer,
       format('for %s chunks and their indexes', count(*))
FROM pg_class WHERE relnamespace = '_timescaledb_internal'::regnamespace AND relkind IN ('r', 'i')

-- name: columnstore
SELECT relation, coalesce(total_chunks, 0), coalesce(number_compressed_chunks, 0), pg_size_pretty(before_compression_total_bytes),
       pg_size_pretty(after_compression_total_bytes),
       round(before_compression_total_bytes / after_compression_total_bytes::numeric, 1)
FROM (VALUES ('patient_vitals', 'patient_vitals'::regclass), ('vitals_1m', rollup_table('vitals_1m')),
             ('vitals_1h', rollup_table('vitals_1h'))) AS hypertable (relation, id)
LEFT JOIN LATERAL hypertable_columnstore_stats(id) ON true

-- name: jobs
SELECT job.proc_name, coalesce(rollup.view_name, job.hypertable_name, ''), nullif(stats.last_run_started_at, '-infinity'), stats.last_run_status,
       coalesce(stats.total_failures, 0), nullif(stats.next_start, '-infinity'),
       CASE stats.last_run_status WHEN 'Failed' THEN (
           SELECT err_message FROM timescaledb_information.job_errors error
           WHERE error.job_id = job.job_id ORDER BY start_time DESC LIMIT 1) END
FROM timescaledb_information.jobs job
LEFT JOIN timescaledb_information.job_stats stats USING (job_id)
LEFT JOIN timescaledb_information.continuous_aggregates rollup
       ON rollup.materialization_hypertable_name = job.hypertable_name
WHERE job.proc_schema = 'public' OR job.hypertable_name IS NOT NULL
ORDER BY job.job_id

-- name: late
SELECT (SELECT count(DISTINCT minute) FROM rollup_invalidation), readings, minutes, last_at FROM rollup_invalidation_stats

-- name: progress
SELECT rollup, refreshed_to FROM rollup_progress JOIN rollup_queries() ON name = rollup ORDER BY refresh_order

-- name: checked
SELECT count(DISTINCT day), min(checked_at) FROM rollup_check

-- name: differences
SELECT day, rollup, readings, rolled_up FROM rollup_difference ORDER BY day, rollup
