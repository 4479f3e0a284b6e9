-- Until now these views had the collation of the catalogue's names on the Community edition. editions/ creates them
-- again with the collation that they have on the Apache edition.
DO $$
DECLARE
    other regclass;
BEGIN
    FOR other IN
        SELECT DISTINCT attrelid FROM pg_attribute
        WHERE attrelid IN (to_regclass('rollup_now'), to_regclass('job_now')) AND attcollation = '"C"'::regcollation
    LOOP
        EXECUTE format('DROP VIEW %s', other);
    END LOOP;
END $$;
