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

-- Store the readings of the temporary table `import_stage`, with their averages in the same transaction. `import_day` is a
-- second temporary table. Devices and times are literals of the queries on hypertables: the planner excludes chunks, and
-- reads the rest by index.
--
-- stored      new readings
-- duplicates  stored before, or sent by the device itself at the same time
-- refused     of days of which the averages of the device's own readings are kept, and no longer these readings: averages
--             of both cannot be computed
CREATE OR REPLACE FUNCTION store_import(
    OUT stored bigint, OUT duplicates bigint, OUT refused bigint, OUT refused_from timestamptz, OUT refused_to timestamptz)
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    boundary timestamptz;
    staged CONSTANT bigint := (SELECT count(*) FROM pg_temp.import_stage);
    devices CONSTANT text[] := (SELECT array_agg(DISTINCT device_id) FROM pg_temp.import_stage);
    earliest timestamptz;
    latest timestamptz;
    delete_known CONSTANT text := 'DELETE FROM pg_temp.import_stage AS s USING (
        SELECT device_id, time, boot, seq FROM %I WHERE device_id = ANY (%L) AND time >= %L AND time <= %L) AS known
        WHERE known.device_id = s.device_id AND known.time = s.time AND ';
BEGIN
    -- Retention takes the first lock to drop chunks, so the boundary is valid to the end of the transaction. The second
    -- one makes imports take turns: each computes the averages of whole days.
    PERFORM pg_advisory_xact_lock_shared(hashtext('vitalflow retention'));
    PERFORM pg_advisory_xact_lock(hashtext('vitalflow import'));
    boundary := import_boundary();
    SELECT min(time), max(time) INTO earliest, latest FROM pg_temp.import_stage;

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
