-- The parts of store_import() that differ between the editions. Here rollups are computed when queried.

-- Whether there are averages from one time to another. Those of readings that are dropped are gone with them.
CREATE OR REPLACE FUNCTION averages_exist(from_time timestamptz, to_time timestamptz) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM imported_vitals WHERE time >= from_time AND time < to_time)
$$;

CREATE OR REPLACE FUNCTION days_of_own_readings() RETURNS TABLE (device_id text, day timestamptz)
LANGUAGE sql STABLE AS $$ SELECT NULL::text, NULL::timestamptz WHERE false $$;

CREATE OR REPLACE FUNCTION store_recent_import(boundary timestamptz) RETURNS void LANGUAGE sql AS $$
    SELECT store_in_patient_vitals(boundary)
$$;

CREATE OR REPLACE FUNCTION roll_up_imported_days() RETURNS void LANGUAGE sql AS $$ $$;
