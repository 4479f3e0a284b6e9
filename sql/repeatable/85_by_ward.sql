-- Views for logins that read some wards only: the relations of vitalflow_reader, under the same names, restricted to
-- the wards that reader_ward lists for the current user. Their search_path begins with by_ward, so the same SQL works.
--
-- Views instead of row-level security: TimescaleDB does not support that on tables with a columnstore, nor continuous
-- aggregates on tables that have it (seen with 2.23; its issues 5787 and 6827).
-- security_barrier prevents a query's own conditions from being evaluated on rows of other wards, which an error could
-- disclose; plain comparisons of times and names are still pushed down to chunks and indexes.
CREATE SCHEMA by_ward;

-- One view per relation with a column `ward` or `device_id`. A row without a ward belongs to the present ward of its
-- device. A relation with neither column has no view here and cannot be read.
DO $$
DECLARE
    relation record;
    granted CONSTANT text := 'ANY (ARRAY(SELECT m.ward FROM public.reader_ward m WHERE m.role = current_user))';
BEGIN
    FOR relation IN
        SELECT c.relname AS name, 'ward' = ANY (columns.names) AS by_ward, 'device_id' = ANY (columns.names) AS by_device
        FROM pg_class c
        CROSS JOIN LATERAL (SELECT array_agg(attname::text) AS names FROM pg_attribute
                            WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS columns
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND c.relname <> 'reader_ward'
          AND (columns.names && ARRAY['ward', 'device_id'] OR c.relname = 'rejected_message')
          -- Views of the operator are included, members of the extension are not.
          AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'e')
    LOOP
        EXECUTE format(
            'CREATE VIEW by_ward.%1$I WITH (security_barrier) AS SELECT * FROM public.%1$I WHERE %2$s',
            relation.name,
            CASE WHEN relation.by_ward THEN 'ward = ' || granted
                 WHEN relation.by_device THEN
                     'device_id IN (SELECT d.device_id FROM public.device d WHERE d.ward = ' || granted || ')'
                 ELSE 'substring(topic FROM ''/(?:vitals|status|alerts|acks|alert-commands|limits|assignments)/([^/]+)/'') = ' || granted END);
    END LOOP;
END $$;

-- The wards of the current user.
CREATE VIEW by_ward.readable_ward WITH (security_barrier) AS
SELECT ward FROM public.reader_ward WHERE role = current_user;

-- Whether the current user reads a ward: where it does not, no rows mean nothing. In plpgsql, which plans
-- the second query only for users who may read by_ward.
CREATE OR REPLACE FUNCTION reads_ward(ward text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF has_table_privilege('public.alert_event', 'SELECT') THEN
        RETURN true;
    END IF;
    RETURN EXISTS (SELECT FROM by_ward.readable_ward AS granted WHERE granted.ward = $1);
END $$;
COMMENT ON FUNCTION reads_ward IS 'whether the current user may read the rows of a ward';
