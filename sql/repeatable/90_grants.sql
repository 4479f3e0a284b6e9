-- The least that each needs. Whatever is not here is refused; tests/integration/test_roles.py tries.

-- PostgreSQL lets everybody connect to a new database and make temporary tables in it. (The WebAssembly build of the
-- tests lives in template1, whose rights it cannot change; it has one user anyway.)
DO $$
BEGIN
    IF current_database() = 'template1' THEN
        RETURN;
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO vitalflow_ingest, vitalflow_reader, vitalflow_ward_reader',
                   current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO vitalflow_ingest', current_database());  -- its stage
END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;  -- as it is since PostgreSQL 15, but not where a database came from 14

-- Large objects are a way to write without a right to any table. They are the superuser's to close.
DO $$
BEGIN
    REVOKE EXECUTE ON FUNCTION pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid),
        pg_catalog.lo_from_bytea(oid, bytea) FROM PUBLIC;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END $$;

-- Ingest adds: what it has stored it can neither read, nor change, nor remove. ON CONFLICT DO NOTHING needs no SELECT.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM vitalflow_ingest;
GRANT INSERT ON patient_vitals, rejected_message, alert_event, audit_event, rollup_invalidation TO vitalflow_ingest;
GRANT SELECT ON patient_vitals_template, retention_setting, vitalflow_edition TO vitalflow_ingest;
GRANT SELECT (readings) ON rollup_invalidation TO vitalflow_ingest;
GRANT SELECT (id, topic, payload_sha256, delivery_id) ON audit_event TO vitalflow_ingest;
-- A last word is replaced by the next one.
GRANT INSERT, SELECT, UPDATE ON device, alert_latest TO vitalflow_ingest;
-- The one thing that removes readings: as the owner, by the period that the owner has set.
REVOKE EXECUTE ON FUNCTION drop_old_readings() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_old_readings() TO vitalflow_ingest;

-- The reader only reads. Readers of some wards read nothing but by_ward, and what is about no patient.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO vitalflow_reader;
GRANT USAGE ON SCHEMA by_ward TO vitalflow_ward_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA by_ward TO vitalflow_ward_reader;
GRANT SELECT ON retention_setting, vitalflow_edition TO vitalflow_ward_reader;
