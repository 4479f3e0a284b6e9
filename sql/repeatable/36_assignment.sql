-- Which patient is on which bed, for devices that send no patient_id.

-- Continue the history of a bed when an assignment or discharge enters the audit log, which stores each once. With the
-- owner's rights, so that ingest needs none on the table. The lock makes two ingest processes take turns. What was
-- measured while no patient was assigned, since the last discharge, is the assigned patient's, as for the alert worker
-- and the station; for the first patient of a bed that is since the epoch, which every client can read, unlike
-- -infinity. A discharge counts where no patient is assigned too: the device may name one.
CREATE OR REPLACE FUNCTION store_assignment() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    patient CONSTANT text := NEW.detail ->> 'patient_id';
    present assignment;
    began timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('assignment ' || NEW.device_id, 0));
    SELECT * INTO present FROM assignment WHERE device_id = NEW.device_id AND to_time IS NULL;
    began := greatest(least(NEW.time, NEW.received_at), present.from_time);
    UPDATE assignment SET to_time = began WHERE id = present.id;
    INSERT INTO assignment (device_id, ward, patient_id, profile, spo2_scale, actor, from_time, patient_since)
    VALUES (NEW.device_id, NEW.ward, patient, NEW.detail ->> 'profile', (NEW.detail ->> 'spo2_scale')::integer, NEW.actor,
            began, CASE WHEN patient IS NULL THEN began
                        WHEN present.id IS NULL THEN 'epoch'
                        WHEN patient = present.patient_id OR present.patient_id IS NULL THEN present.patient_since
                        ELSE began END);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER store_assignment AFTER INSERT ON audit_event FOR EACH ROW
    WHEN (NEW.action IN ('assign_patient', 'discharge_patient')) EXECUTE FUNCTION store_assignment();

-- `device_since` is `since` in the time of the device's clock.
CREATE OR REPLACE VIEW assignment_now AS
SELECT device_id, ward, patient_id, profile, spo2_scale, patient_since AS since,
       patient_since - coalesce(clock_offset, interval '0') AS device_since
FROM assignment LEFT JOIN device_clock USING (device_id)
WHERE to_time IS NULL;
COMMENT ON VIEW assignment_now IS 'the present patient of each bed that ever had one assigned; NULL after a discharge';

-- Whether a reading (its patient_id, received_at, time) is one of the patient on the bed, whose last reading names
-- `named` and whose present assignment, or discharge, is `assigned` since then. A patient id in a reading comes before
-- the assignment; a reading without one belongs to the assigned patient. What came before the assignment or discharge,
-- for the former patient, does not count, unless it names the assigned patient. $2 and $3 occur once, or the planner
-- would call the function for each row.
CREATE OR REPLACE FUNCTION is_of_patient(
    patient_id text, received_at timestamptz, "time" timestamptz,
    named text, assigned text, since timestamptz, device_since timestamptz)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN $1 IS NOT NULL THEN $1 IS NOT DISTINCT FROM coalesce($4, $5)
                ELSE $4 IS NULL OR $4 IS NOT DISTINCT FROM $5 END
           AND ($6 IS NULL OR $1 = $5 OR ($2 >= $6 AND $3 >= $7))
$$;

-- The patient of a stored reading: the one that it names, else the one who was assigned to its bed when it was measured.
-- By the device's clock with its present offset, but not later than its arrival: a clock may have been ahead in the past.
CREATE OR REPLACE FUNCTION patient_of_reading(
    patient_id text, device_id text, "time" timestamptz, arrived_at timestamptz)
RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce($1, (
        SELECT a.patient_id FROM assignment a LEFT JOIN device_clock c ON c.device_id = a.device_id
        WHERE a.device_id = $2 AND a.patient_id IS NOT NULL
          AND least($3 + coalesce(c.clock_offset, interval '0'), $4) >= a.patient_since
          AND (a.to_time IS NULL OR least($3 + coalesce(c.clock_offset, interval '0'), $4) < a.to_time)
        ORDER BY a.from_time DESC LIMIT 1))
$$;
COMMENT ON FUNCTION patient_of_reading IS 'patient_id of a reading, else the patient assigned to its bed at that time';
