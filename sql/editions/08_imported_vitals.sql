-- Imported readings beside those of patient_vitals; see docs/decisions/0018-import.md.

-- The columns of signs that were added to patient_vitals since.
DO $$
DECLARE
    sign record;
BEGIN
    FOR sign IN
        SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute
        WHERE attrelid = 'patient_vitals'::regclass AND attnum > 0 AND NOT attisdropped
          AND attname NOT IN (SELECT attname FROM pg_attribute WHERE attrelid = 'imported_vitals'::regclass AND attnum > 0)
        ORDER BY attnum
    LOOP
        EXECUTE format('ALTER TABLE imported_vitals ADD COLUMN %I %s', sign.attname, sign.type);
    END LOOP;
END $$;

-- The beginning of the oldest chunk of patient_vitals; NULL without one. SECURITY DEFINER, so that a reader of one ward
-- gets the same.
CREATE OR REPLACE FUNCTION oldest_chunk() RETURNS timestamptz LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT _timescaledb_functions.to_timestamp(min(slice.range_start)) FROM _timescaledb_catalog.hypertable
    JOIN _timescaledb_catalog.dimension ON dimension.hypertable_id = hypertable.id
    JOIN _timescaledb_catalog.dimension_slice AS slice ON slice.dimension_id = dimension.id
    WHERE hypertable.schema_name = 'public' AND hypertable.table_name = 'patient_vitals'
$$;

-- Every stored reading once. An imported one from the oldest chunk on is in patient_vitals too.
CREATE OR REPLACE VIEW all_vitals AS
SELECT * FROM patient_vitals
UNION ALL
SELECT * FROM imported_vitals WHERE time < coalesce(oldest_chunk(), 'infinity');
COMMENT ON VIEW all_vitals IS 'every stored reading: patient_vitals, and the imported readings that are older';

-- The time from which imported readings are stored in patient_vitals too: the beginning of the raw retention, or of the
-- oldest chunk where there are averages of dropped readings before it: a refresh there would compute them again from the
-- imported readings alone. Not later than the oldest reading that ingest accepts, so that no chunk becomes older.
CREATE OR REPLACE FUNCTION import_boundary() RETURNS timestamptz LANGUAGE plpgsql STABLE
SET search_path = public, pg_temp AS $$
DECLARE
    kept_from CONSTANT timestamptz := time_bucket('1 day', now() - (
        SELECT period FROM retention_setting WHERE name = 'raw_retention'));
    oldest CONSTANT timestamptz := coalesce(oldest_chunk(), now());
BEGIN
    RETURN CASE WHEN oldest <= kept_from OR averages_exist(kept_from, oldest) THEN oldest ELSE kept_from END;
END $$;

-- Store the staged readings that retention keeps in patient_vitals too. Only a device without numbers may have sent one of
-- them itself.
CREATE OR REPLACE FUNCTION store_in_patient_vitals(boundary timestamptz) RETURNS void LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO patient_vitals SELECT * FROM pg_temp.import_stage WHERE time >= boundary;
EXCEPTION WHEN unique_violation THEN
    INSERT INTO patient_vitals SELECT * FROM pg_temp.import_stage WHERE time >= boundary ON CONFLICT DO NOTHING;
END $$;

-- Create the temporary tables of store_import(), once per connection; each COMMIT empties them. They belong to the owner of
-- the database: a trigger or a view of the login would run with the owner's rights in store_import().
CREATE OR REPLACE FUNCTION begin_import() RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    CREATE TEMP TABLE import_stage (LIKE patient_vitals_template) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE import_day (device_id text, day timestamptz, refused boolean) ON COMMIT DELETE ROWS;
    GRANT INSERT ON import_stage TO vitalflow_import;
END $$;

-- Record the begin or the end of the import of a file in the audit log.
CREATE OR REPLACE FUNCTION record_import(actor text, is_complete boolean, ward text, device_id text, detail text)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO audit_event (time, received_at, actor, action, ward, device_id, detail, topic, payload_sha256)
    VALUES (now(), now(), $1, CASE WHEN $2 THEN 'imported' ELSE 'import_started' END, $3, $4, $5::jsonb, '',
            sha256(convert_to($5, 'UTF8')))
$$;

-- Store the readings of the temporary table `import_stage`, with their averages in the same transaction. `import_day` is a
-- second temporary table. Devices and times are literals of the queries on hypertables: the planner excludes chunks, and
-- reads the rest by index. With the rights of the owner, because only the owner may write averages.
--
-- stored      new readings
-- duplicates  stored before, or sent by the device itself at the same time
-- refused     of days of which the averages of the device's own readings are kept, and no longer these readings: averages
--             of both cannot be computed
CREATE OR REPLACE FUNCTION store_import(
    OUT stored bigint, OUT duplicates bigint, OUT refused bigint, OUT refused_from timestamptz, OUT refused_to timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    boundary timestamptz;
    staged bigint;
    devices text[];
    earliest timestamptz;
    latest timestamptz;
    delete_known CONSTANT text := 'DELETE FROM pg_temp.import_stage AS s USING (
        SELECT device_id, time, boot, seq FROM %I WHERE device_id = ANY (%L) AND time >= %L AND time <= %L) AS known
        WHERE known.device_id = s.device_id AND known.time = s.time AND ';
BEGIN
    IF (SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole
            AND oid IN (to_regclass('pg_temp.import_stage'), to_regclass('pg_temp.import_day'))) <> 2 THEN
        RAISE EXCEPTION 'the temporary tables of an import are those of begin_import()'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT count(*), array_agg(DISTINCT device_id), min(time), max(time) INTO staged, devices, earliest, latest
    FROM pg_temp.import_stage;
    -- `vitalflow import` rejects the last 24 hours, by the clock of another host.
    IF latest > now() - interval '23 hours' THEN
        RAISE EXCEPTION 'a reading of the last 23 hours is no history' USING ERRCODE = 'check_violation';
    END IF;
    -- Retention takes the first lock to drop chunks, so the boundary is valid to the end of the transaction. The second
    -- one makes imports take turns: each computes the averages of whole days.
    PERFORM pg_advisory_xact_lock_shared(hashtext('vitalflow retention'));
    PERFORM pg_advisory_xact_lock(hashtext('vitalflow import'));
    boundary := import_boundary();

    INSERT INTO pg_temp.import_day
    SELECT device_id, time_bucket('1 day', time), false FROM pg_temp.import_stage WHERE time < boundary GROUP BY 1, 2;
    UPDATE pg_temp.import_day AS d SET refused = true FROM days_of_own_readings() AS own
    WHERE (own.device_id, own.day) = (d.device_id, d.day);
    refused := 0;
    IF FOUND THEN
        EXECUTE format(delete_known || '(known.boot, known.seq) = (s.boot, s.seq)',
                       'imported_vitals', devices, earliest, least(latest, boundary));
        WITH removed AS (
            DELETE FROM pg_temp.import_stage AS s USING pg_temp.import_day AS d
            WHERE d.refused AND s.device_id = d.device_id AND s.time >= d.day AND s.time < d.day + interval '24 hours'
            RETURNING s.time)
        SELECT count(*), min(time), max(time) INTO refused, refused_from, refused_to FROM removed;
        DELETE FROM pg_temp.import_day AS d WHERE d.refused;
    END IF;
    IF latest >= boundary THEN
        EXECUTE format(delete_known || 'known.seq > 0', 'patient_vitals', devices, greatest(earliest, boundary), latest);
    END IF;

    -- Imports take turns, so no other session stores the same readings. ON CONFLICT costs as much as the insert itself.
    EXECUTE format(delete_known || '(known.boot, known.seq) = (s.boot, s.seq)', 'imported_vitals', devices, earliest, latest);
    DELETE FROM pg_temp.import_stage AS s USING (
        SELECT device_id, time, boot, seq, min(ctid) AS first FROM pg_temp.import_stage
        GROUP BY 1, 2, 3, 4 HAVING count(*) > 1) AS repeated
    WHERE (s.device_id, s.time, s.boot, s.seq) = (repeated.device_id, repeated.time, repeated.boot, repeated.seq)
      AND s.ctid <> repeated.first;
    INSERT INTO imported_vitals SELECT * FROM pg_temp.import_stage;
    GET DIAGNOSTICS stored = ROW_COUNT;
    duplicates := staged - refused - stored;
    IF stored > 0 THEN
        IF latest >= boundary THEN
            PERFORM store_recent_import(boundary);
        END IF;
        PERFORM roll_up_imported_days();
    END IF;
END $$;
