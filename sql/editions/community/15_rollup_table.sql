-- The materialization hypertable of a rollup.
CREATE OR REPLACE FUNCTION rollup_table(rollup text) RETURNS regclass LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
    SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
    FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'public' AND view_name = rollup
$$;

-- The id of a hypertable, or of a rollup's materialization hypertable, as in the configuration of TimescaleDB's jobs.
CREATE OR REPLACE FUNCTION hypertable_id(relation text) RETURNS integer LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
    SELECT id FROM _timescaledb_catalog.hypertable
    WHERE format('%I.%I', schema_name, table_name)::regclass = coalesce(rollup_table(relation), relation::regclass)
$$;
