-- The least privileges. Everything else is denied; tests/integration/test_roles.py tests it.

-- By default PostgreSQL lets every role connect to a database and create temporary tables. (The WebAssembly build of
-- the tests uses template1, whose privileges it cannot change; it has only one user.)
DO $$
BEGIN
    IF current_database() = 'template1' THEN
        RETURN;
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO vitalflow_ingest, vitalflow_reader, vitalflow_names, vitalflow_research, '
                   'vitalflow_import, vitalflow_ward_reader', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO vitalflow_ingest', current_database());  -- its staging table
END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;  -- the default since PostgreSQL 15, but not for a database upgraded from 14

-- Large objects can be written without a privilege on any table. Only a superuser can revoke that.
DO $$
BEGIN
    REVOKE EXECUTE ON FUNCTION pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid),
        pg_catalog.lo_from_bytea(oid, bytea) FROM PUBLIC;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END $$;

-- Ingest inserts and can neither read, change nor delete what is in patient_vitals. ON CONFLICT DO NOTHING needs no SELECT.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM vitalflow_ingest;
GRANT INSERT ON patient_vitals, rejected_message, alert_event, alert_worker, audit_event, rollup_invalidation
    TO vitalflow_ingest;
GRANT SELECT ON patient_vitals_template, retention_setting, vitalflow_edition, rollup_difference TO vitalflow_ingest;
GRANT SELECT (readings) ON rollup_invalidation TO vitalflow_ingest;
GRANT INSERT, SELECT, DELETE ON late_reading TO vitalflow_ingest;  -- the readings that it has still to move
GRANT SELECT (id, device_id, action, topic, payload_sha256, delivery_id) ON audit_event TO vitalflow_ingest;
-- Rows that the next message of the device or rule replaces.
GRANT INSERT, SELECT, UPDATE ON device, device_clock, alert_latest TO vitalflow_ingest;
-- The only way to delete readings: with the owner's privileges, by the period that the owner has set.
REVOKE EXECUTE ON FUNCTION drop_old_readings() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_old_readings() TO vitalflow_ingest;
REVOKE EXECUTE ON FUNCTION take_alert_snapshots(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_alert_snapshots(integer) TO vitalflow_ingest;
REVOKE EXECUTE ON FUNCTION drop_old_names() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_old_names() TO vitalflow_ingest;
REVOKE EXECUTE ON FUNCTION stored_content_numbers(text[], timestamptz[], bigint[], bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION stored_content_numbers(text[], timestamptz[], bigint[], bigint[]) TO vitalflow_ingest;
REVOKE EXECUTE ON FUNCTION replication_lag() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION replication_lag() TO vitalflow_ingest;

-- Imports, by functions with the rights of the owner and no others: the login can read, change and delete no reading. A
-- function of the owner reads its temporary tables, so it must not have any of its own.
REVOKE EXECUTE ON FUNCTION begin_import(), store_import(), record_import(text, boolean, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION begin_import(), store_import(), record_import(text, boolean, text, text, text) TO vitalflow_import;
GRANT SELECT ON vitalflow_edition TO vitalflow_import;
GRANT SELECT (minute) ON rollup_invalidation TO vitalflow_import;

-- Names of patients: for this role only, which may read nothing else.
GRANT USAGE ON SCHEMA names TO vitalflow_names;
GRANT SELECT, INSERT, UPDATE, DELETE ON names.patient_name TO vitalflow_names;

-- Readings, averages and stays, and nothing with names of users or the text of a message: no audit log, no rejected
-- message. By name, so that a new table is not readable by accident.
GRANT SELECT ON patient_vitals, imported_vitals, all_vitals, vitals_1m, vitals_1h, vitals_1d, assignment, device,
    device_clock, retention_setting, late_reading
    TO vitalflow_research;

-- vitalflow_reader reads everything else. Ward readers read by_ward and the settings.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO vitalflow_reader;
GRANT USAGE ON SCHEMA by_ward TO vitalflow_ward_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA by_ward TO vitalflow_ward_reader;
GRANT SELECT ON retention_setting, vitalflow_edition TO vitalflow_ward_reader;
-- Figures of the whole pipeline, without patients and devices: the dashboard Pipeline shows them to ward readers too.
GRANT SELECT ON ingest_now, storage_now, rollup_now, rollup_difference, job_now TO vitalflow_ward_reader;
