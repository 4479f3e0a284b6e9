-- The views of the Community edition. This edition has no materialized rollups, no columnstore and no jobs.
CREATE OR REPLACE VIEW storage_now AS
SELECT relation, hypertable_size(id) AS bytes,
       (SELECT count(*) FROM show_chunks(id)) AS chunks, 0::bigint AS columnstore_chunks,
       NULL::bigint AS before_bytes, NULL::bigint AS after_bytes
FROM (VALUES ('patient_vitals', 'patient_vitals'::regclass), ('imported_vitals', 'imported_vitals'::regclass))
     AS hypertable (relation, id); -- no cast of the name when it is read: a reader of some wards has a view of that name
COMMENT ON VIEW storage_now IS 'bytes and chunks of the readings';

CREATE OR REPLACE VIEW rollup_now AS SELECT NULL::text AS rollup, NULL::timestamptz AS watermark WHERE false;
COMMENT ON VIEW rollup_now IS 'empty: rollups are computed when queried';

CREATE OR REPLACE VIEW job_now AS
SELECT NULL::text AS job, NULL::text AS relation, NULL::text AS last_status, NULL::timestamptz AS last_run,
       NULL::bigint AS failures, NULL::timestamptz AS next_run WHERE false;
COMMENT ON VIEW job_now IS 'empty: there are no jobs';
