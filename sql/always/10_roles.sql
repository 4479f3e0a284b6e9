-- Who may do what. Passwords come from the settings, through `python -m sql migrate`, never from a file.
DO $$
DECLARE role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['vitalflow_ingest', 'vitalflow_reader'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        EXCEPTION WHEN duplicate_object THEN
            NULL;  -- roles belong to the server, not to this database
        END;
    END LOOP;
END $$;

-- A reader that forgets a WHERE must not hold the server for long, and cannot write even where a grant is wrong.
ALTER ROLE vitalflow_reader SET default_transaction_read_only = on;
ALTER ROLE vitalflow_reader SET statement_timeout = '30s';
-- Its questions take milliseconds, and the planner, which sees many chunks, thinks of some of them as dear: compiling
-- ward_board then took 2.9 s, and asking it 42 ms.
ALTER ROLE vitalflow_reader SET jit = off;
-- A batch takes milliseconds; one that takes longer waits for something that should be tried again.
ALTER ROLE vitalflow_ingest SET statement_timeout = '30s';
-- A batch of late readings may touch many segments of the columnstore, each of a thousand rows. Beyond the default of
-- 100,000 it would be refused, and refused again for ever.
ALTER ROLE vitalflow_ingest SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0;
