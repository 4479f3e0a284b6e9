-- Delete the names of patients who were on no bed within the retention of readings; returns how many. With the owner's
-- rights, so that ingest, which calls it, can read no name.
CREATE OR REPLACE FUNCTION drop_old_names() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH kept (since) AS (SELECT now() - period FROM retention_setting WHERE name = 'raw_retention'),
    dropped AS (
        DELETE FROM names.patient_name AS known USING kept
        WHERE changed_at < kept.since AND NOT EXISTS (
            SELECT FROM assignment AS stay
            WHERE lower(stay.patient_id) = lower(known.patient_id) AND (stay.to_time IS NULL OR stay.to_time >= kept.since))
        RETURNING 1)
    SELECT count(*) FROM dropped
$$;

-- Give the number that a hospital's system merged another one into what is stored of that one and not of itself, when
-- the merge enters the audit log: both are of one patient. With the owner's rights, so that ingest can read no name.
CREATE OR REPLACE FUNCTION merge_names() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO names.patient_name AS known (patient_id, name, birth_date, changed_by)
    SELECT NEW.detail ->> 'patient_id', name, birth_date, NEW.actor FROM names.patient_name
    WHERE lower(patient_id) = lower(NEW.detail ->> 'former_patient_id')
      AND lower(patient_id) <> lower(NEW.detail ->> 'patient_id')
    ON CONFLICT (lower(patient_id)) DO UPDATE
    SET name = coalesce(known.name, excluded.name), birth_date = coalesce(known.birth_date, excluded.birth_date);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER merge_names AFTER INSERT ON audit_event FOR EACH ROW
    WHEN (NEW.action = 'merge') EXECUTE FUNCTION merge_names();
