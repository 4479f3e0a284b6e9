-- Who may do what. Passwords come from the settings, through `python -m sql migrate`, never from a file.
--
-- vitalflow_ingest        adds readings and cannot read one back, change one or remove one
-- vitalflow_reader        reads everything
-- vitalflow_ward_reader   nobody logs in with it: what readers of some wards only have in common (85_by_ward.sql)
DO $$
DECLARE role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['vitalflow_ingest', 'vitalflow_reader', 'vitalflow_ward_reader'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        EXCEPTION WHEN duplicate_object THEN
            NULL;  -- roles belong to the server, not to this database
        END;
    END LOOP;
END $$;

-- A reader that forgets a WHERE must not hold the server for long, and cannot write even where a grant is wrong. Both
-- are manners, which a session may lift; what cannot be lifted are the grants and the two limits below.
ALTER ROLE vitalflow_reader SET default_transaction_read_only = on;
ALTER ROLE vitalflow_reader SET statement_timeout = '30s';
-- Its questions take milliseconds, and the planner, which sees many chunks, thinks of some of them as dear: compiling
-- ward_board then took 2.9 s, and asking it 42 ms.
ALTER ROLE vitalflow_reader SET jit = off;
-- Readers without end must not keep ingest from connecting.
ALTER ROLE vitalflow_reader CONNECTION LIMIT 30;
DO $$
BEGIN
    -- Nor may a sort that is larger than the disk fill it. Only a superuser may set this; hosted services have their own.
    ALTER ROLE vitalflow_reader SET temp_file_limit = '4GB';
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END $$;
-- A batch takes milliseconds; one that takes longer waits for something that should be tried again.
ALTER ROLE vitalflow_ingest SET statement_timeout = '30s';
-- A batch of late readings may touch many segments of the columnstore, each of a thousand rows. Beyond the default of
-- 100,000 it would be refused, and refused again for ever.
ALTER ROLE vitalflow_ingest SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0;
