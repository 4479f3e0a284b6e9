-- The columnstore has its present API since 2.18. In 2.17.2 ON CONFLICT lost rows for a compressed chunk.
DO $$
DECLARE
    version CONSTANT text := (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb');
BEGIN
    IF string_to_array(split_part(version, '-', 1), '.')::integer[] < ARRAY[2, 18] THEN
        RAISE EXCEPTION 'TimescaleDB % of the Community edition is too old for VitalFlow; 2.18 is needed', version;
    END IF;
END $$;
