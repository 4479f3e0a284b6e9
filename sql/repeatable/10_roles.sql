-- The roles. `vitalflow db migrate` sets their passwords from the settings; 90_grants.sql grants their privileges.
--
-- vitalflow_ingest        inserts readings; cannot read, change or delete them
-- vitalflow_reader        reads everything
-- vitalflow_names         reads and writes the names of patients, and nothing else
-- vitalflow_research      reads readings, rollups and stays; for queries that take long
-- vitalflow_import        stores readings of the past; cannot read, change or delete them
-- vitalflow_ward_reader   group role without a login, for logins that read some wards only (85_by_ward.sql)
DO $$
DECLARE role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['vitalflow_ingest', 'vitalflow_reader', 'vitalflow_names', 'vitalflow_research',
                                     'vitalflow_import', 'vitalflow_ward_reader'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        EXCEPTION WHEN duplicate_object THEN
            NULL;  -- roles belong to the server and may exist already
        END;
    END LOOP;
END $$;

-- A query without a WHERE must not occupy the server for long, and a reader must not write even if a grant is wrong.
-- Both are defaults that a session can override; it cannot override the grants and the two limits below.
ALTER ROLE vitalflow_reader SET default_transaction_read_only = on;
ALTER ROLE vitalflow_reader SET statement_timeout = '30s';
-- Dashboard queries take milliseconds, but the planner overestimates those over many chunks and compiles them: for
-- ward_board compiling took 2.9 s and running 42 ms.
ALTER ROLE vitalflow_reader SET jit = off;
-- Readers must not use up the connections that ingest needs.
ALTER ROLE vitalflow_reader CONNECTION LIMIT 30;
DO $$
BEGIN
    -- A large sort must not fill the disk. Only a superuser may set this; hosted services have limits of their own.
    ALTER ROLE vitalflow_reader SET temp_file_limit = '4GB';
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END $$;
-- For research: a query over a month of readings may take an hour, few at a time, and must not write or fill the disk.
ALTER ROLE vitalflow_research SET default_transaction_read_only = on;
ALTER ROLE vitalflow_research SET statement_timeout = '1h';
ALTER ROLE vitalflow_research CONNECTION LIMIT 5;
DO $$
BEGIN
    ALTER ROLE vitalflow_research SET temp_file_limit = '16GB';
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END $$;
ALTER ROLE vitalflow_import CONNECTION LIMIT 5;
-- A statement of this role takes a millisecond; its parameters are names, which belong in no log of the server.
ALTER ROLE vitalflow_names SET statement_timeout = '5s';
DO $$
BEGIN
    ALTER ROLE vitalflow_names SET log_parameter_max_length = 0;
    ALTER ROLE vitalflow_names SET log_parameter_max_length_on_error = 0;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END $$;
-- A batch takes milliseconds; one that takes longer is waiting for something, and ingest will retry it.
ALTER ROLE vitalflow_ingest SET statement_timeout = '30s';
-- A batch of late readings may change many segments of the columnstore, each of a thousand rows. Above the default of
-- 100,000 rows the batch would be refused at every retry.
ALTER ROLE vitalflow_ingest SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0;
