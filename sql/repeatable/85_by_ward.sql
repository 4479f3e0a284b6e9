-- For readers of some wards only: what vitalflow_reader has, under the same names, cut down to the wards that
-- reader_ward gives the current user. Their search_path begins with by_ward, so the same SQL works for both.
--
-- Views and not row-level security: TimescaleDB refuses that on tables with a columnstore, and refuses continuous
-- aggregates on tables that have it (seen with 2.23; its issues 5787 and 6827).
-- security_barrier keeps conditions that could tell something of other wards' rows (by an error, say) from being tried
-- on them; plain comparisons of times and names are still pushed down to chunks and indexes.
CREATE SCHEMA by_ward;

-- Every table and view that tells of a ward, or of a device: one without a ward of its own belongs to the ward in which
-- its device says it stands now. What tells of neither has no view here and is not seen.
DO $$
DECLARE
    relation record;
    mine CONSTANT text := 'ANY (ARRAY(SELECT m.ward FROM public.reader_ward m WHERE m.role = current_user))';
BEGIN
    FOR relation IN
        SELECT c.relname AS name, 'ward' = ANY (columns.names) AS by_ward, 'device_id' = ANY (columns.names) AS by_device
        FROM pg_class c
        CROSS JOIN LATERAL (SELECT array_agg(attname::text) AS names FROM pg_attribute
                            WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS columns
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND c.relname <> 'reader_ward'
          AND (columns.names && ARRAY['ward', 'device_id'] OR c.relname = 'rejected_message')
          -- Your own views may be here too; a member of the extension is none of ours.
          AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'e')
    LOOP
        EXECUTE format(
            'CREATE VIEW by_ward.%1$I WITH (security_barrier) AS SELECT * FROM public.%1$I WHERE %2$s',
            relation.name,
            CASE WHEN relation.by_ward THEN 'ward = ' || mine
                 WHEN relation.by_device THEN
                     'device_id IN (SELECT d.device_id FROM public.device d WHERE d.ward = ' || mine || ')'
                 ELSE 'substring(topic FROM ''/(?:vitals|status|alerts|acks|alert-commands|limits)/([^/]+)/'') = ' || mine END);
    END LOOP;
END $$;
